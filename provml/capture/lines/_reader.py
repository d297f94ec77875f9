r"""Splits bytes into lines, and passes the lines that may contain a metric to the parsers.

A line ends at a newline, a carriage return or a backspace. So if a program rewrites a line in
place, each version counts as a separate line. The reader first searches whole blocks with fast
functions of the parsers, the *finders*, so it does not split text that contains no metrics. The
result does not depend on how the bytes are divided into blocks.

Each public module of this package defines one parser: a class ``Parser`` that implements
`LineParser`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from provml.capture.lines import _patterns
from provml.capture.lines._sink import LineSink
from provml.recording.disabled_run import DisabledRun
from provml.recording.run import Run

if TYPE_CHECKING:
    from provml.capture.lines._general import GeneralParser
    from provml.capture.lines._line_filter import LineFilter

MAX_LINE_BYTES: Final = 2**16
"""The maximum length of a line. A longer line is refused; only its beginning is kept in memory."""

_MAX_HEADER_LENGTH: Final = 32
_LINE_SEPARATOR: Final = re.compile(rb"[\n\r\x08]")
_LINE_TEXT: Final = re.compile(rb"[^\n\r\x08]+")
_TERMINAL_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\^-~])"
)
_RANK_PREFIX: Final = re.compile(r"\s*\[?(?:(?i:rank)[ :=]?|default)(\d{1,6})(?:\]:? ?|: )")
"""Matches what a launcher puts before the lines of a rank: ``[rank0]:``, ``[default1]:``."""
_BACKSPACED: Final = b"\x08\r"

Finder = Callable[[bytes, int, int], int]
"""A function that searches a block, between two offsets, for a line that its parser may read.

It returns an offset in that line, or -1 if it finds no such line. The parser may still refuse the
line, but the finder must not combine text from several lines.
"""


class LineParser(Protocol):
    """A parser for one line format. Each stream or file has its own instance, which may keep state.

    Attributes:
        finders: the functions that find lines of this format in a block. They are called often, so
            they must be fast.
    """

    finders: tuple[Finder, ...]

    def __init__(self, sink: LineSink) -> None: ...

    def read(self, text: str, rewrites: bool) -> bool:
        """Record the metrics in a line; return whether the line has this format.

        If so, no other parser gets the line.

        Args:
            text: the line, without its line ending and terminal escape codes. Bytes that are not
                valid UTF-8 become lone surrogates.
            rewrites: whether backspaces moved the cursor back, so that the line overwrites the
                previous line.
        """
        ...

    def finish(self) -> None:
        """Record all pending metrics. The reader calls this method when the text ends."""
        ...


@cache
def _load_parsers() -> tuple[type[LineParser], ...]:
    package = importlib.import_module(__package__ or "")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(
        importlib.import_module(f"{package.__name__}.{name}").Parser
        for name in names
        if not name.startswith("_")
    )


class LineReader:
    """Records the metrics in a text, block by block. Use a reader from one thread at a time.

    Each finder searches every block once. In addition, each line with a metric costs a few
    microseconds. If there are patterns, every line can cost that much. At most 64 KiB of an
    unfinished line are kept in memory. Reading never raises an error, whatever the text contains.

    Args:
        run: the run to record into.
        patterns: templates and regular expressions (see `compile_patterns`).
        source: a name for the text, used in the event that counts refused lines.
        built_in: whether to read the formats that need no pattern.
        others_log: whether other processes may log metrics into the run. If they log a metric, its
            printed values are not recorded again.
        is_repeat: a function that returns whether a line only repeats what is recorded in another
            way. Such lines are read only with patterns.
        sink: the object that gets the samples; by default a `LineSink` for the run.

    Raises:
        InvalidArgumentError: a pattern is invalid.
    """

    def __init__(
        self,
        run: Run,
        patterns: Sequence[str] = (),
        *,
        source: str = "stdout",
        built_in: bool = True,
        others_log: bool = False,
        is_repeat: Callable[[str], bool] | None = None,
        sink: LineSink | None = None,
    ) -> None:
        self._sink = LineSink(run, source, others_log) if sink is None else sink
        self._is_repeat = is_repeat
        compiled = _patterns.compile_patterns(patterns)
        self._patterns = _patterns.PatternParser(self._sink, compiled) if compiled else None
        self._parsers = [kind(self._sink) for kind in (_load_parsers() if built_in else ())]
        self._finders = [find for parser in self._parsers for find in parser.finders]
        self._all_finders = list(self._finders)
        self._general: GeneralParser | None = None
        self._filter: LineFilter | None = None
        if built_in:
            # import these modules now, not when a line needs them: a fork during an import can stop
            # the child
            from provml.capture.lines._general import GeneralParser
            from provml.capture.lines._line_filter import LineFilter

            self._general, self._filter = GeneralParser(self._sink), LineFilter()
            self._all_finders.append(self._filter.find)
        self._is_off = sink is None and isinstance(run, DisabledRun)
        self._unfinished = bytearray()
        self._bytes_before = b""  # the last two bytes before the unfinished line
        self._unfinished_position = 0
        self._position = 0  # the number of bytes before the block that is being read
        self._line_position = 0  # where the line that is being read begins in the text

    @property
    def recorded(self) -> int:
        """The number of samples recorded so far."""
        return self._sink.recorded

    @property
    def rejected(self) -> int:
        """The number of lines and parts of lines refused so far."""
        return self._sink.rejected

    def list_missed(self) -> list[tuple[str, int]]:
        """Return the lines that look like metrics but were not recorded.

        Each line comes with the number of lines of the same shape. `_suggestions` suggests patterns
        for these lines. Call this method after `finish`.
        """
        return [] if self._general is None else self._general.missed

    def feed(self, data: bytes, time_ns: int | None = None) -> None:
        """Read the next block of bytes, of any size.

        Args:
            data: the bytes.
            time_ns: the time when the bytes arrived, in nanoseconds since the epoch; by default
                now.
        """
        if self._is_off or not data:
            return
        self._sink.read_ns = time_ns
        try:
            self._feed_block(data)
        except Exception as error:  # an error here must not stop the program that prints the text
            self._sink.reject(f"reading failed: {type(error).__name__}", str(error))

    def finish(self) -> None:
        """Read the last line, even if it has no newline, and log how many lines were refused."""
        if self._is_off:
            return
        try:
            self._end_line(b"")
            for parser in self._parsers:
                parser.finish()
            if self._general is not None:
                self._general.finish()
        except Exception as error:
            self._sink.reject(f"reading failed: {type(error).__name__}", str(error))
        self._sink.report()
        self._sink.close()

    def _feed_block(self, data: bytes) -> None:
        if self._filter is not None:
            self._filter.begin_block(self._position, self._sink.read_ns)
        try:
            self._split_block(data)
        finally:
            self._position += len(data)

    def _split_block(self, data: bytes) -> None:
        if not self._unfinished and data.endswith(b"\n"):
            self._read_lines(data, 0, len(data))
            self._bytes_before = (self._bytes_before + data[-2:])[-2:]
            return
        end = 1 + max(data.rfind(b"\n"), data.rfind(b"\r"), data.rfind(b"\x08"))
        start = 0
        if end:
            if self._unfinished:
                first = _LINE_SEPARATOR.search(data)
                assert first is not None
                start = first.end()
                self._end_line(data[: start - 1])
            self._read_lines(data, start, end)
            self._bytes_before = (self._bytes_before + data[max(0, end - 2) : end])[-2:]
        if not self._unfinished:
            self._unfinished_position = self._position + end
        room = MAX_LINE_BYTES + 1 - len(self._unfinished)
        self._unfinished += data[end : end + room]

    def _end_line(self, rest: bytes) -> None:
        """Read the unfinished line, now that the rest of it has arrived."""
        line = bytes(self._unfinished) + rest[: MAX_LINE_BYTES + 1]
        rewrites = self._bytes_before == _BACKSPACED
        self._unfinished.clear()
        self._bytes_before = b""
        if line:
            self._line_position = self._unfinished_position
            self._read_line(line, rewrites)

    def _read_lines(self, data: bytes, start: int, end: int) -> None:
        """Read the lines between two offsets in a block. A line must end at the second offset."""
        if self._patterns is not None and self._patterns.may_match(data, start, end):
            for match in _LINE_TEXT.finditer(data, start, end):
                first, last = match.span()
                if self._may_say_metric(data, first, last):
                    self._read_span(data, first, last)
            return
        finders = self._all_finders
        places = [find(data, start, end) for find in finders]
        while hits := [place for place in places if place >= 0]:
            found = min(hits)
            first = start
            for separator in (b"\n", b"\r", b"\x08"):
                first = max(first, data.rfind(separator, start, found) + 1)
            ending = _LINE_SEPARATOR.search(data, found, end)
            start = end if ending is None else ending.start()
            self._read_span(data, first, start)
            for number, place in enumerate(places):
                if 0 <= place < start:
                    places[number] = finders[number](data, start, end)

    def _may_say_metric(self, data: bytes, start: int, end: int) -> bool:
        """Return whether the text between two offsets may contain a metric."""
        for find in self._all_finders:
            if find(data, start, end) >= 0:
                return True
        return self._patterns is not None and self._patterns.may_match(data, start, end)

    def _has_known_format(self, line: bytes) -> bool:
        """Return whether a parser other than the general one, or a pattern, may read a line."""
        if any(find(line, 0, MAX_LINE_BYTES) >= 0 for find in self._finders):
            return True
        return self._patterns is not None and self._patterns.may_match(line, 0, MAX_LINE_BYTES)

    def _read_span(self, data: bytes, first: int, last: int) -> None:
        before = self._bytes_before + data[max(0, first - 2) : first]
        line = data[first : min(last, first + MAX_LINE_BYTES + 1)]
        self._line_position = self._position + first
        self._read_line(line, before.endswith(_BACKSPACED))

    def _read_line(self, line: bytes, rewrites: bool) -> None:
        if len(line) > MAX_LINE_BYTES:
            if self._has_known_format(line):
                text = line[:MAX_LINE_BYTES].decode("utf-8", "replace")
                self._sink.reject(f"the line is longer than {MAX_LINE_BYTES:,} bytes", text)
            return
        if not self._covers_line() and not self._has_known_format(line):
            return
        text = line.decode("utf-8", "surrogateescape")
        if "\x1b" in text:
            text = _TERMINAL_ESCAPES.sub("", text)
        self._sink.rank = None
        if "ank" in text[:12] or text.startswith("[default"):
            prefix = _RANK_PREFIX.match(text)
            if prefix is not None:
                self._sink.rank = int(prefix[1])
                text = text[prefix.end() :]
        if self._patterns is not None and self._patterns.read(text):
            return
        if self._is_repeat is not None and self._is_repeat(text):
            return
        # JSON that is printed while a progress bar is drawn follows the bar on the same line
        json_start = text.find("{")
        follows = (
            json_start > 0 and '"metric"' in text and text[:json_start].strip(" \t\ufeff") != ""
        )
        if follows and self._read_text(text[:json_start], line, rewrites):
            text, rewrites = text[json_start:], False
        self._read_text(text, line, rewrites)

    def _covers_line(self) -> bool:
        """Return whether the general parser has to read the current line."""
        return self._filter is not None and self._filter.covers(self._line_position)

    def _read_text(self, text: str, line: bytes, rewrites: bool) -> bool:
        """Pass a line to the parsers whose finders match, until one of them reads the line.

        Returns whether one of them has read the line. If not, the general parser gets the line.

        Args:
            text: the line, or the part of the line to read.
            line: the bytes of the line, for the finders.
            rewrites: as in `LineParser.read`.
        """
        size = len(line)
        candidates = (
            p for p in self._parsers if any(find(line, 0, size) >= 0 for find in p.finders)
        )
        if any(parser.read(text, rewrites) for parser in candidates):
            if self._general is not None and len(text) < _MAX_HEADER_LENGTH:
                self._general.read_header(text)  # Keras and many others print ``Epoch 3/10``
            return True
        if self._general is None or self._filter is None:
            return False
        if self._covers_line():
            if self._general.read(text):
                self._filter.read_on(self._line_position)
            else:
                self._filter.learn(line)
            self._filter.reads_all = self._general.reads_all
        return False
