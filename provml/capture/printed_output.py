r"""Reads metrics from the text that Python code prints in a ``with`` block.

During the block, ``sys.stdout`` and ``sys.stderr`` are replacements that have the attributes and
methods of the original streams, and that pass everything on to the original streams. The file
descriptors do not change, so this module does not see:

- the output of other programs and of C code,
- text written to a stream that the script took from ``sys`` before the block.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple

from provml.capture.framework_lines import FrameworkLines
from provml.capture.lines import LineReader, compile_patterns
from provml.capture.state import STATE
from provml.recording.disabled_run import DisabledRun
from provml.recording.joined_run import JoinedRun
from provml.recording.run import Run
from provml.recording.worker_run import find_run

_MAX_PIECES: Final = 256
_LONG_PIECE_LENGTH: Final = 4096

_OVERRIDABLE: Final = frozenset({"write", "writelines"})
_set_on_self: Final = object.__setattr__


def capture_output(
    run: Run | None = None,
    patterns: Sequence[str] = (),
    *,
    stdout: bool = True,
    stderr: bool = True,
) -> PrintedOutputCapture:
    """Record the metrics that your code prints in a ``with`` block. The output does not change.

        with provml.capture_output(patterns=["epoch {epoch} loss {loss}"]):
            train()

    These lines need no pattern: JSON lines (``{"metric": "loss", "value": 0.5, "step": 3}``), Keras
    progress bars, tqdm bars, and most lines such as ``epoch 3 | loss 0.12``. The event ``lines
    rejected`` counts the lines that look like a metric but can't be read as one. If you nest blocks
    for the same run, only the innermost block records. Under ``provml run``, which reads these
    lines itself, the block uses only your patterns.

    Costs a few microseconds for each printed line.

    Args:
        run: the run to record into; by default the active run.
        patterns: templates and regular expressions, as for ``provml ingest``.
        stdout: whether to read standard output.
        stderr: whether to read standard error.

    Raises:
        NoActiveRunError: no ``run`` was given and no run is active. This error is raised when the
            block is entered.
        InvalidArgumentError: a pattern is invalid.
    """
    compile_patterns(patterns)
    names = [name for name, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted]
    return PrintedOutputCapture(run, tuple(patterns), names)


class PrintedOutputCapture:
    """The context manager that `capture_output` returns. It can be entered more than once."""

    def __init__(self, run: Run | None, patterns: tuple[str, ...], names: list[str]) -> None:
        self._run = run
        self._patterns = patterns
        self._names = names
        self._open: list[tuple[list[_ReplacedStream], list[_PrintedLines]]] = []

    def __enter__(self) -> None:
        run: Run = find_run("capture_output") if self._run is None else self._run
        # `provml run` reads the built-in formats itself, so don't record them twice
        built_in = not isinstance(run, JoinedRun)
        replaced: list[_ReplacedStream] = []
        outer: list[_PrintedLines] = []
        if not isinstance(run, DisabledRun) and (built_in or self._patterns):
            for name in self._names:
                original = getattr(sys, name)
                if original is None:
                    continue
                open_lines = list(STATE.part(_OpenPrintedLines).all)
                outer += [lines for lines in open_lines if lines.reads(run, name)]
                stream = _TextStandIn(original, _PrintedLines(run, self._patterns, name, built_in))
                setattr(sys, name, stream)
                replaced.append(_ReplacedStream(name, original, stream))
        for lines in outer:
            lines.pauses += 1
        self._open.append((replaced, outer))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        replaced, outer = self._open.pop()
        for name, original, stream in reversed(replaced):
            # if other code has replaced or patched our stream in the meantime, leave our stream in
            # place: after `finish`, it only passes text on
            if getattr(sys, name) is stream and not stream._is_patched():
                setattr(sys, name, original)
            stream._lines.finish()
        for lines in outer:
            lines.pauses -= 1


class _ReplacedStream(NamedTuple):
    """A standard stream of `sys` and the object that replaces it during the block."""

    name: str
    original: Any
    stream: _TextStandIn


class _PrintedLines:
    """A buffer that joins the text from each thread into lines, and reads metrics from the lines.

    ``print`` writes a line in two pieces, so the pieces from different threads are kept apart.
    No method raises an error.

    Attributes:
        pauses: the number of reasons to ignore the text. Text is read only if this number is 0.
            Each inner block for the same run and stream adds 1, and so does the end of the block.
    """

    def __init__(self, run: Run, patterns: tuple[str, ...], source: str, built_in: bool) -> None:
        self.pauses = 0
        self._run = run
        self._arguments = (patterns, source, built_in)
        self.begin()
        STATE.part(_OpenPrintedLines).all.add(self)

    def begin(self) -> None:
        """Create a new reader and a new lock. After a fork, the old lock may still be held."""
        patterns, source, built_in = self._arguments
        self._reader = LineReader(
            self._run,
            patterns,
            source=source,
            built_in=built_in,
            is_repeat=FrameworkLines(None).repeats_record,
        )
        self._lock = threading.Lock()
        self._local = threading.local()

    def reads(self, run: Run, source: str) -> bool:
        """Return whether this object reads the stream ``source`` for a run and is not paused."""
        return not self.pauses and self._run is run and self._arguments[1] == source

    def take(self, piece: str | bytes) -> None:
        """Add a piece of text from this thread. At the end of a line, read the thread's text."""
        if self.pauses:
            return
        local = self._local
        try:
            pieces = local.pieces
        except AttributeError:
            pieces = local.pieces = []
            local.reads = False
        pieces.append(piece)
        if isinstance(piece, str):
            ends = "\n" in piece or "\r" in piece
        else:
            ends = b"\n" in piece or b"\r" in piece
        if not ends and len(pieces) < _MAX_PIECES and len(piece) < _LONG_PIECE_LENGTH:
            return
        if not local.reads:  # already true if a signal handler or provml prints during `_read`
            local.reads = True
            try:
                self._read(pieces)
            finally:
                local.reads = False

    def _read(self, pieces: list[str | bytes]) -> None:
        with self._lock:
            while pieces:
                taken = pieces[:]
                del pieces[: len(taken)]
                blocks = [p.encode("utf-8", "replace") if isinstance(p, str) else p for p in taken]
                self._reader.feed(b"".join(blocks))

    def finish(self) -> None:
        """Read this thread's unfinished line, and ignore all further text."""
        self.take("\n")
        self.pauses += 1
        with self._lock:
            self._reader.finish()


class _StandIn:
    """A replacement for a stream. Has all attributes of the stream; the subclass overrides some."""

    _original: Any
    _lines: _PrintedLines
    _write: Any
    _take: Any

    def __init__(self, original: Any, lines: _PrintedLines) -> None:
        _set_on_self(self, "_original", original)
        _set_on_self(self, "_lines", lines)
        # bind `write` now: if other code later makes the original's `write` call ours, calling
        # the original's `write` would never end
        _set_on_self(self, "_write", original.write)
        _set_on_self(self, "_take", lines.take)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # keeps isinstance(sys.stdout, io.TextIOWrapper) true
        return type(self._original)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OVERRIDABLE:
            _set_on_self(self, name, value)
        else:
            setattr(self._original, name, value)

    def __delattr__(self, name: str) -> None:
        if name in _OVERRIDABLE:
            object.__delattr__(self, name)
        else:
            delattr(self._original, name)

    def _is_patched(self) -> bool:
        """Return whether other code has patched a method of this object."""
        return not _OVERRIDABLE.isdisjoint(vars(self))

    def __dir__(self) -> list[str]:
        return dir(self._original)

    def __repr__(self) -> str:
        return repr(self._original)

    def __enter__(self) -> Any:
        self._original.__enter__()
        return self

    def __exit__(self, *arguments: Any) -> Any:
        return self._original.__exit__(*arguments)

    def __iter__(self) -> Any:
        return iter(self._original)

    def __next__(self) -> Any:
        return next(self._original)


class _TextStandIn(_StandIn):
    """A replacement for ``sys.stdout`` or ``sys.stderr``."""

    def write(self, text: str) -> Any:
        written = self._write(text)
        if isinstance(text, str):
            self._take(text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        return _BufferStandIn(self._original.buffer, self._lines)


class _BufferStandIn(_StandIn):
    """A replacement for the binary ``buffer`` of ``sys.stdout`` or ``sys.stderr``."""

    def write(self, data: Any) -> Any:
        written = self._write(data)
        taken = bytes(data)
        self._take(taken[:written] if isinstance(written, int) else taken)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


class _OpenPrintedLines:
    """The `_PrintedLines` objects that are in use in this process."""

    def __init__(self) -> None:
        self.all: weakref.WeakSet[_PrintedLines] = weakref.WeakSet()

    def after_fork_in_child(self) -> None:
        """Give each object a new reader and lock."""
        for lines in self.all:
            lines.begin()
