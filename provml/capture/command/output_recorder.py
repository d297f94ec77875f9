"""Records the command's output: reads metrics from it, and keeps a copy with secrets masked.

A separate thread does this work, so that passing on the output is not delayed. If the thread falls
behind by more than `_MAX_WAITING_BYTES`, the command has to wait. No lines are lost.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from provml.capture.command.bounded_log import BoundedLog
from provml.capture.command.streams import BlockCallback, CommandStream
from provml.capture.framework_lines import FrameworkLines
from provml.collect.secrets import OutputMasker
from provml.recording.run import Run

if TYPE_CHECKING:
    from provml.capture.lines import LineReader
    from provml.capture.lines._suggestions import Suggestion

_MAX_WAITING_BYTES: Final = 32 * 2**20
_MAX_JOINED_BYTES: Final = 4 * 2**20


def check_patterns(patterns: Sequence[str]) -> None:
    """Check the patterns for lines with metrics.

    Raises:
        InvalidArgumentError: a pattern is invalid.
    """
    if patterns:
        from provml.capture.lines import compile_patterns

        compile_patterns(patterns)


class CommandOutputRecorder:
    """A recorder for all output streams of a command. Any thread may pass blocks to it.

    The line readers are imported and created when the first output arrives, because many commands
    print nothing.
    """

    def __init__(
        self,
        run: Run,
        streams: Sequence[CommandStream],
        limit_bytes: int,
        patterns: Sequence[str],
        note_missed: Callable[[str, str], None],
    ) -> None:
        """Prepare the recorder. Call `start` to start its thread.

        Args:
            run: the run that records the output.
            streams: the command's output streams.
            limit_bytes: the maximum number of bytes to keep of each stream; 0 keeps nothing.
            patterns: templates and regular expressions for lines with metrics.
            note_missed: a function to call for each output that could not be recorded, with the
                name of the output and the reason.
        """
        self._run = run
        self._note_missed = note_missed
        self._maskers = [OutputMasker() for _ in streams]
        self._logs = [BoundedLog(run.path, stream.name, limit_bytes) for stream in streams]
        self._framework_lines = FrameworkLines(run.path)
        self._patterns = patterns
        self._readers: dict[int, LineReader | None] = {}  # keyed by the stream's index
        self._waiting: deque[tuple[int, bytes, int]] = deque()
        self._waiting_bytes = 0
        self._change = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._work, name="provml-output", daemon=True)

    def start(self) -> None:
        """Start the recording thread."""
        self._thread.start()

    def callback_for(self, index: int) -> BlockCallback:
        """Return the function that receives each block of one stream.

        Args:
            index: the stream's index in the ``streams`` argument of the constructor.
        """
        return partial(self._enqueue, index)

    def _enqueue(self, index: int, block: bytes, time_ns: int) -> None:
        with self._change:
            while self._waiting_bytes > _MAX_WAITING_BYTES:
                self._change.wait()
            if not self._waiting:
                self._change.notify_all()
            self._waiting.append((index, block, time_ns))
            self._waiting_bytes += len(block)

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._waiting:
                    if self._is_over:
                        return
                    self._change.wait()
                index, block, time_ns = self._take_next()
            try:
                self._logs[index].write(self._maskers[index].mask(block))
                self._read_lines(index, block, time_ns)
            finally:
                with self._change:
                    self._waiting_bytes -= len(block)
                    self._change.notify_all()

    def _take_next(self) -> tuple[int, bytes, int]:
        """Remove the next blocks of one stream from the queue, and join them.

        Returns the index of the stream, the joined blocks, and when the first block arrived.
        """
        index, block, time_ns = self._waiting.popleft()
        blocks, size = [block], len(block)
        while self._waiting and self._waiting[0][0] == index and size < _MAX_JOINED_BYTES:
            blocks.append(self._waiting.popleft()[1])
            size += len(blocks[-1])
        return index, block if len(blocks) == 1 else b"".join(blocks), time_ns

    def _read_lines(self, index: int, block: bytes | None, time_ns: int = 0) -> None:
        """Read metrics from a block of a stream.

        A block of None marks the end of the stream. A reader that fails is not used again.
        """
        if block is None and index not in self._readers:
            return  # the stream was empty
        try:
            if index not in self._readers:
                self._readers[index] = self._create_reader(index)
            reader = self._readers[index]
            if reader is None:
                return
            if block is None:
                reader.finish()
            else:
                reader.feed(block, time_ns)
        except Exception as error:
            self._readers[index] = None
            reason = f"{type(error).__qualname__}: {error}"
            self._note_missed(f"lines of {self._logs[index].name}", reason)

    def _create_reader(self, index: int) -> LineReader:
        from provml.capture.lines import LineReader

        return LineReader(
            self._run,
            self._patterns,
            source=self._logs[index].name,
            others_log=True,
            is_repeat=self._framework_lines.repeats_record,
        )

    def finish(self, keep_marks: bool = False) -> None:
        """Wait until all blocks are recorded. Then record each stream's log as an artifact.

        Args:
            keep_marks: whether to keep the files that mark which frameworks are recorded. The
                ``provml run`` of another rank may need these files.
        """
        with self._change:
            self._is_over = True
            self._change.notify_all()
        self._thread.join()
        for index, log in enumerate(self._logs):
            self._read_lines(index, None)
            log.write(self._maskers[index].finish())
            try:
                facts = log.finish()
            except OSError as error:
                log.trouble = log.trouble or error
                facts = None
            if facts is not None:
                self._record_log(log, facts)
            if log.trouble is not None:
                self._note_missed(f"{log.name}, {log.left_out_bytes:,} bytes", str(log.trouble))

        if not keep_marks:
            self._framework_lines.remove_marks()

    def list_missed(self) -> list[Suggestion]:
        """Return a pattern for each shape of lines that look like metrics but were not recorded.

        Call this method after `finish`. Costs almost nothing if there are no such lines.
        """
        readers = [reader for reader in self._readers.values() if reader is not None]
        if not any(reader.list_missed() for reader in readers):
            return []
        from provml.capture.lines._suggestions import suggest_missed

        return [found for reader in readers for found in suggest_missed(reader)]

    def _record_log(self, log: BoundedLog, facts: dict[str, Any]) -> None:
        record = {
            "record": "artifact",
            "name": log.name,
            "context": None,
            "step": None,
            "epoch": None,
            "time": time.time_ns(),
            "content": facts,
        }
        if log.left_out_bytes:
            lengths = {"bytes": log.total_bytes, "bytes_left_out": log.left_out_bytes}
            record["metadata"] = lengths
        self._run._append(record)
