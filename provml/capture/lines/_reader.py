r"""From bytes to lines that may say a metric, and to the forms that read them.

A line ends at a newline, a carriage return or a backspace: what a program rewrites in place is a
line for each state. Whole blocks are searched for what forms are known by, so that text without
metrics is never cut into lines. How the bytes are cut into blocks changes nothing.

A form is a public module of this package with a class ``Form``; see `Form` here. Imports `_sink`,
`_patterns`, and the forms by their files' names.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Protocol

from provml.capture.lines import _patterns
from provml.capture.lines._sink import Sink
from provml.recording.disabled_run import DisabledRun
from provml.recording.run import Run

MAX_LINE_BYTES: Final = 2**16
"""A longer line is no metric; no more of one is kept in memory."""

_SEPARATOR: Final = re.compile(rb"[\n\r\x08]")
_LINE: Final = re.compile(rb"[^\n\r\x08]+")
_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\^-~])"
)
_REWRITTEN: Final = b"\x08\r"

Finder = Callable[[bytes, int, int], int]
"""Where between two places of some bytes a line shows that it may be of a form; -1: nowhere.

It looks at nothing beyond a line's ends, and may find lines that are not of the form.
"""


class Form(Protocol):
    """One form of lines, read from one text: made anew for each, so it may keep what it needs.

    Attributes:
        finders: what finds its lines in a block; each is called often, and has to be quick.
    """

    finders: tuple[Finder, ...]

    def __init__(self, sink: Sink) -> None: ...

    def read(self, text: str, rewrites: bool) -> bool:
        """Record what a line says; whether it is of this form, so that no other is asked.

        Args:
            text: without its end and escape codes; bytes that are not UTF-8 are lone surrogates.
            rewrites: whether it was written over the line before, by backspaces.
        """
        ...

    def finish(self) -> None:
        """Record what is held back: the text has ended."""
        ...


@cache
def _forms() -> tuple[type[Form], ...]:
    package = importlib.import_module(__package__ or "")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(
        importlib.import_module(f"{package.__name__}.{name}").Form
        for name in names
        if not name.startswith("_")
    )


class LineReader:
    """Records the metrics that a text says, as it comes in. For one thread at a time.

    Costs one search of each block for each thing that forms are known by, some microseconds for a
    line that says a metric, and with patterns as much for every line. Keeps at most a line of
    64 KiB. No content makes it raise.

    Args:
        run: what is recorded into.
        patterns: as `compile_patterns` takes them. Raises InvalidArgumentError.
        source: what the text is, for the event about what was refused.
        forms: whether to read what is known without patterns.
    """

    def __init__(
        self,
        run: Run,
        patterns: Sequence[str] = (),
        *,
        source: str = "stdout",
        forms: bool = True,
    ) -> None:
        self._sink = Sink(run, source)
        compiled = _patterns.compile_patterns(patterns)
        self._patterns = _patterns.PatternForm(self._sink, compiled) if compiled else None
        self._forms = [kind(self._sink) for kind in (_forms() if forms else ())]
        self._finders = [find for form in self._forms for find in form.finders]
        self._off = isinstance(run, DisabledRun)
        self._unfinished = bytearray()
        self._before = b""  # the two bytes before it

    @property
    def recorded(self) -> int:
        """How many samples were recorded so far."""
        return self._sink.recorded

    @property
    def rejected(self) -> int:
        """How many lines, or parts of one, were refused so far."""
        return self._sink.rejected

    def feed(self, data: bytes, time_ns: int | None = None) -> None:
        """Read on, in blocks of any size.

        Args:
            data: what comes next.
            time_ns: when it came, in nanoseconds since the epoch; None is now.
        """
        if self._off or not data:
            return
        self._sink.read_ns = time_ns
        try:
            self._feed(data)
        except Exception as error:  # what a text says must not stop what prints it
            self._sink.reject(f"reading failed: {type(error).__name__}", str(error))

    def finish(self) -> None:
        """Read the last line though nothing ends it, and report what was refused."""
        if self._off:
            return
        try:
            self._end_line(b"")
            for form in self._forms:
                form.finish()
        except Exception as error:
            self._sink.reject(f"reading failed: {type(error).__name__}", str(error))
        self._sink.report()

    def _feed(self, data: bytes) -> None:
        if not self._unfinished and data.endswith(b"\n") and not self._shows(data, 0, len(data)):
            self._before = data[-2:]
            return
        end = 1 + max(data.rfind(b"\n"), data.rfind(b"\r"), data.rfind(b"\x08"))
        start = 0
        if end:
            if self._unfinished:
                first = _SEPARATOR.search(data)
                assert first is not None
                start = first.end()
                self._end_line(data[: start - 1])
            self._read(data, start, end)
            self._before = (self._before + data[max(0, end - 2) : end])[-2:]
        room = MAX_LINE_BYTES + 1 - len(self._unfinished)
        self._unfinished += data[end : end + room]

    def _end_line(self, rest: bytes) -> None:
        """Read the unfinished line, of which this is the rest."""
        line = bytes(self._unfinished) + rest[: MAX_LINE_BYTES + 1]
        rewrites = self._before == _REWRITTEN
        self._unfinished.clear()
        self._before = b""
        if line:
            self._read_line(line, rewrites)

    def _read(self, data: bytes, start: int, end: int) -> None:
        """Read the lines of a block that ends where a line does."""
        if self._patterns is not None and self._patterns.shows(data, start, end):
            for match in _LINE.finditer(data, start, end):
                first, last = match.span()
                if self._shows(data, first, last):
                    self._read_at(data, first, last)
            return
        finders = self._finders
        places = [find(data, start, end) for find in finders]
        while hits := [place for place in places if place >= 0]:
            found = min(hits)
            first = start
            for separator in (b"\n", b"\r", b"\x08"):
                first = max(first, data.rfind(separator, start, found) + 1)
            ending = _SEPARATOR.search(data, found, end)
            start = end if ending is None else ending.start()
            self._read_at(data, first, start)
            for number, place in enumerate(places):
                if 0 <= place < start:
                    places[number] = finders[number](data, start, end)

    def _shows(self, data: bytes, start: int, end: int) -> bool:
        """Whether something between two places may say a metric."""
        for find in self._finders:
            if find(data, start, end) >= 0:
                return True
        return self._patterns is not None and self._patterns.shows(data, start, end)

    def _read_at(self, data: bytes, first: int, last: int) -> None:
        before = self._before + data[max(0, first - 2) : first]
        line = data[first : min(last, first + MAX_LINE_BYTES + 1)]
        self._read_line(line, before.endswith(_REWRITTEN))

    def _read_line(self, line: bytes, rewrites: bool) -> None:
        if len(line) > MAX_LINE_BYTES:
            if self._shows(line, 0, MAX_LINE_BYTES):
                text = line[:MAX_LINE_BYTES].decode("utf-8", "replace")
                self._sink.reject(f"the line is longer than {MAX_LINE_BYTES:,} bytes", text)
            return
        text = line.decode("utf-8", "surrogateescape")
        if "\x1b" in text:
            text = _ESCAPES.sub("", text)
        if self._patterns is not None and self._patterns.read(text):
            return
        # what is printed while a bar is drawn stands behind it, on its line
        behind = text.find("{")
        is_behind = behind > 0 and '"metric"' in text and text[:behind].strip(" \t\ufeff") != ""
        if is_behind and self._read_text(text[:behind], line, rewrites):
            text, rewrites = text[behind:], False
        self._read_text(text, line, rewrites)

    def _read_text(self, text: str, line: bytes, rewrites: bool) -> bool:
        """Have the forms that the line shows read a text of it; whether one of them did."""
        size = len(line)
        shown = (f for f in self._forms if any(find(line, 0, size) >= 0 for find in f.finders))
        return any(form.read(text, rewrites) for form in shown)
