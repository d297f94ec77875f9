r"""What Python code prints in a ``with`` block, read for metrics as it passes through.

``sys.stdout`` and ``sys.stderr`` are stood in for by objects that hand everything on and have
whatever else the real ones have. No file descriptor is touched: what other programs and C code
print is not seen, nor what goes through a stream that was taken from ``sys`` before. Imports
`lines`, `lifecycle`, `joining`.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple

from provml.capture.lines import LineReader, compile_patterns
from provml.errors import NoActiveRunError
from provml.recording import process_hooks
from provml.recording.disabled_run import DisabledRun
from provml.recording.joined_run import JoinedRun
from provml.recording.run import Run

_MAX_PIECES: Final = 256
_LONG_PIECE: Final = 4096

_OWN: Final = frozenset({"write", "writelines"})
_set: Final = object.__setattr__


def capture_output(
    run: Run | None = None,
    patterns: Sequence[str] = (),
    *,
    stdout: bool = True,
    stderr: bool = True,
) -> CapturedOutput:
    """Record the metrics that code in a ``with`` block prints; what it prints stays as it is.

        with provml.capture_output(patterns=["epoch {epoch} loss {loss}"]):
            train()

    Costs some microseconds for each line printed. Known without patterns are JSON lines
    (``{"metric": "loss", "value": 0.5, "step": 3}``), Keras's and tqdm's bars. Lines that look
    like a metric and are none are counted in the event ``lines rejected``. Within another one for
    the same run, the inner one records. Under ``provml run``, which reads the output itself, only
    what the patterns find is recorded here.

    Args:
        run: what to record into; by default the active run.
        patterns: templates and regular expressions, as for ``provml ingest``.
        stdout, stderr: which of the two to read.

    Raises:
        NoActiveRunError: no run is given and none is active, when the block is entered.
        InvalidArgumentError: a pattern that can't be one.
    """
    compile_patterns(patterns)
    names = [name for name, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted]
    return CapturedOutput(run, tuple(patterns), names)


class CapturedOutput:
    """What `capture_output` gives; each ``with`` block captures anew."""

    def __init__(self, run: Run | None, patterns: tuple[str, ...], names: list[str]) -> None:
        self._run = run
        self._patterns = patterns
        self._names = names
        self._open: list[tuple[list[_Standing], list[_Lines]]] = []

    def __enter__(self) -> None:
        run: Run | None = process_hooks.active() if self._run is None else self._run
        if run is None:
            raise NoActiveRunError("capture_output")
        # what the command around reads too is not to be there twice
        forms = not isinstance(run, JoinedRun)
        standing: list[_Standing] = []
        outer: list[_Lines] = []
        if not isinstance(run, DisabledRun) and (forms or self._patterns):
            for name in self._names:
                original = getattr(sys, name)
                if original is None:
                    continue
                outer += [known for known in list(_known) if known.reads(run, name)]
                stream = _Stream(original, _Lines(run, self._patterns, name, forms))
                setattr(sys, name, stream)
                standing.append(_Standing(name, original, stream))
        for lines in outer:
            lines.pauses += 1
        self._open.append((standing, outer))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        standing, outer = self._open.pop()
        for name, original, stream in reversed(standing):
            # another may have taken its place, or stand in for its method: then it stays, and
            # hands on what it is given
            if getattr(sys, name) is stream and not stream._is_patched():
                setattr(sys, name, original)
            stream._lines.finish()
        for lines in outer:
            lines.pauses -= 1


class _Standing(NamedTuple):
    """A stream of `sys` and what stands in for it."""

    name: str
    original: Any
    stream: _Stream


class _Lines:
    """What was written to a stream, on its way to a reader. Raises nothing.

    What a thread writes is put together to lines of its own, as most are printed in two pieces.
    """

    def __init__(self, run: Run, patterns: tuple[str, ...], source: str, forms: bool) -> None:
        self.pauses = 0
        self._run = run
        self._arguments = (patterns, source, forms)
        self.begin()
        _known.add(self)

    def begin(self) -> None:
        """Start anew: also in a forked child, where other threads' locks are held for ever."""
        patterns, source, forms = self._arguments
        self._reader = LineReader(self._run, patterns, source=source, forms=forms)
        self._lock = threading.Lock()
        self._local = threading.local()

    def reads(self, run: Run, source: str) -> bool:
        """Whether this is what reads a stream for a run."""
        return not self.pauses and self._run is run and self._arguments[1] == source

    def take(self, piece: str | bytes) -> None:
        """Read on, once a line is there."""
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
        if not ends and len(pieces) < _MAX_PIECES and len(piece) < _LONG_PIECE:
            return
        if not local.reads:  # else a signal handler, or recording itself, prints within `_read`
            local.reads = True
            try:
                self._read(pieces)
            finally:
                local.reads = False

    def _read(self, pieces: list[str | bytes]) -> None:
        with self._lock:
            while pieces:
                own = pieces[:]
                del pieces[: len(own)]
                self._reader.feed(
                    b"".join(
                        [p.encode("utf-8", "replace") if isinstance(p, str) else p for p in own]
                    )
                )

    def finish(self) -> None:
        """Read what this thread has begun, and no more after it."""
        self.take("\n")
        self.pauses += 1
        with self._lock:
            self._reader.finish()


class _Passing:
    """Hands on whatever it does not have itself."""

    _original: Any
    _lines: _Lines
    _write: Any
    _take: Any

    def __init__(self, original: Any, lines: _Lines) -> None:
        _set(self, "_original", original)
        _set(self, "_lines", lines)
        _set(self, "_write", original.write)  # not looked up later: it may come to lead here
        _set(self, "_take", lines.take)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # code asks isinstance(sys.stdout, io.TextIOWrapper)
        return type(self._original)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            _set(self, name, value)
        else:
            setattr(self._original, name, value)

    def __delattr__(self, name: str) -> None:
        if name in _OWN:
            object.__delattr__(self, name)
        else:
            delattr(self._original, name)

    def _is_patched(self) -> bool:
        """Whether another stands in for a method of this."""
        return not _OWN.isdisjoint(vars(self))

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


class _Stream(_Passing):
    """Stands in for a text stream."""

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
        return _Buffer(self._original.buffer, self._lines)


class _Buffer(_Passing):
    """Stands in for a text stream's buffer."""

    def write(self, data: Any) -> Any:
        written = self._write(data)
        taken = bytes(data)
        self._take(taken[:written] if isinstance(written, int) else taken)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


_known: weakref.WeakSet[_Lines] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for lines in _known:
        lines.begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
