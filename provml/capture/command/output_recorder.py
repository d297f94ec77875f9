"""What is made of the command's output: kept as artifacts, read for metrics.

A thread of its own does it, so that passing the output on never waits for it, but where it lies
`_MOST_WAITING_BYTES` behind: then the command is slowed down rather than its lines lost. Imports
`kept`, `lines`, `run`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from provml.capture.command.bounded_log import BoundedLog
from provml.capture.command.streams import Stream, Take
from provml.capture.lines import LineReader
from provml.recording.run import Run

_MOST_WAITING_BYTES: Final = 32 * 2**20
_MOST_JOINED_BYTES: Final = 4 * 2**20


class OutputRecorder:
    """Takes the blocks of all streams; any thread may give them."""

    def __init__(
        self,
        run: Run,
        streams: Sequence[Stream],
        limit_bytes: int,
        patterns: Sequence[str],
        miss: Callable[[str, str], None],
    ) -> None:
        """Start nothing yet.

        Args:
            limit_bytes: how much of each stream is kept, 0 for none.
            miss: told what could not be recorded, and why.
        """
        self._run = run
        self._miss = miss
        self._kept = [BoundedLog(run.path, stream.name, limit_bytes) for stream in streams]
        self._readers: list[LineReader | None] = [
            LineReader(run, patterns, source=stream.name) for stream in streams
        ]
        self._waiting: deque[tuple[int, bytes, int]] = deque()
        self._waiting_bytes = 0
        self._change = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._work, name="provml-output", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def taker(self, index: int) -> Take:
        """What a stream is to give its blocks to."""
        return partial(self._take, index)

    def _take(self, index: int, block: bytes, time_ns: int) -> None:
        with self._change:
            while self._waiting_bytes > _MOST_WAITING_BYTES:
                self._change.wait()
            if not self._waiting:
                self._change.notify_all()
            self._waiting.append((index, block, time_ns))
            self._waiting_bytes += len(block)

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._waiting:
                    if self._over:
                        return
                    self._change.wait()
                index, block, time_ns = self._next()
            try:
                self._kept[index].write(block)
                self._read(index, block, time_ns)
            finally:
                with self._change:
                    self._waiting_bytes -= len(block)
                    self._change.notify_all()

    def _next(self) -> tuple[int, bytes, int]:
        """The first block, with those behind it that are of the same stream."""
        index, block, time_ns = self._waiting.popleft()
        blocks, size = [block], len(block)
        while self._waiting and self._waiting[0][0] == index and size < _MOST_JOINED_BYTES:
            blocks.append(self._waiting.popleft()[1])
            size += len(blocks[-1])
        return index, block if len(blocks) == 1 else b"".join(blocks), time_ns

    def _read(self, index: int, block: bytes | None, time_ns: int = 0) -> None:
        """Have the lines read; None for the end. A reader that fails is left behind."""
        reader = self._readers[index]
        if reader is None:
            return
        try:
            if block is None:
                reader.finish()
            else:
                reader.feed(block, time_ns)
        except Exception as error:
            self._readers[index] = None
            reason = f"{type(error).__qualname__}: {error}"
            self._miss(f"lines of {self._kept[index].name}", reason)

    def finish(self) -> None:
        """Wait until all is recorded, and record the artifacts."""
        with self._change:
            self._over = True
            self._change.notify_all()
        self._thread.join()
        for index, kept in enumerate(self._kept):
            self._read(index, None)
            try:
                facts = kept.finish()
            except OSError as error:
                kept.trouble = kept.trouble or error
                facts = None
            if facts is not None:
                self._record(kept, facts)
            if kept.trouble is not None:
                self._miss(f"{kept.name}, {kept.left_out_bytes:,} bytes", str(kept.trouble))

    def _record(self, kept: BoundedLog, facts: dict[str, Any]) -> None:
        record = {
            "record": "artifact",
            "name": kept.name,
            "context": None,
            "step": None,
            "epoch": None,
            "time": time.time_ns(),
            "content": facts,
        }
        if kept.left_out_bytes:
            lengths = {"bytes": kept.total_bytes, "bytes_left_out": kept.left_out_bytes}
            record["metadata"] = lengths
        self._run._append(record)
