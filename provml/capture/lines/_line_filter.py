"""Finds the lines that the general parser has to read, and skips lines that contain no metrics.

Output repeats itself: a program prints thousands of lines that differ only in their numbers. If the
parser finds no metric in a line, `LineFilter` skips all further lines that differ from this line
only in digits and spaces. It compares all lines of a block at once.

Even so, megabytes of text without metrics would cost too much time. After `_FULL_BYTES` of such
text, the filter looks only at a sample of each block: the lines that begin in the first
`_WINDOW_BYTES` of each `_STRIDE_BYTES` of the text. If the sample contains a line of a new kind,
the whole block is read. Sampling ends when the parser finds a line that may contain a metric. If a
program is still running, another `_FULL_BYTES` of its output are read completely every `_FULL_NS`.
So text that is printed slowly is read completely.
"""

from __future__ import annotations

from typing import Final

from provml.capture.lines import _vocabulary as vocabulary

_MAX_KNOWN: Final = 4096
_MAX_LINE_BYTES: Final = 4096
_FULL_BYTES: Final = 2 * 2**20
_STRIDE_BYTES: Final = 2**16
_WINDOW_BYTES: Final = 2**10
_FULL_NS: Final = 8 * 10**9
"""The time after which another `_FULL_BYTES` of a running program's output are read completely."""
_DIGITS: Final = b"0123456789. "
_LINE_ENDS: Final = bytes.maketrans(b"\r\x08", b"\n\n")
_LINE_ENDS_AND_DIGITS: Final = bytes.maketrans(b"\r\x08123456789", b"\n\n000000000")


class LineFilter:
    """Finds the lines in a block that may contain a metric.

    Attributes:
        reads_all: whether each line has to be read, because a table has begun.
    """

    def __init__(self) -> None:
        self.reads_all = False
        self._known: set[bytes] = {b""}
        self._known_exactly: set[bytes] = {b""}
        self._block = b""
        self._start = self._end = -1
        self._lines: list[tuple[int, bytes, bytes]] = []
        self._next = 0
        self._reads_block = False  # whether all lines of the block are read, not only a sample
        self._position = 0  # where the block begins in the text
        self._full_until = _FULL_BYTES
        self._full_since_ns: int | None = None

    def begin_block(self, position: int, time_ns: int | None) -> None:
        """Prepare for the next block of the text.

        Args:
            position: the number of bytes of the text that precede the block.
            time_ns: when the block arrived, in nanoseconds since the epoch; None if the text is a
                file.
        """
        self._position, self._block, self._reads_block = position, b"", False
        if time_ns is not None and (
            self._full_since_ns is None or time_ns - self._full_since_ns >= _FULL_NS
        ):
            self._full_since_ns = time_ns
            self._full_until = max(self._full_until, position + _FULL_BYTES)

    def covers(self, position: int) -> bool:
        """Return whether the line that begins at a position in the text has to be read."""
        return (
            self.reads_all
            or self._reads_block
            or position < self._full_until
            or position % _STRIDE_BYTES < _WINDOW_BYTES
        )

    def read_on(self, position: int) -> None:
        """Select all lines in the `_FULL_BYTES` after a line that may contain a metric."""
        if position + _FULL_BYTES > self._full_until:
            if position + _WINDOW_BYTES > self._full_until:
                self._block = b""  # check the block again: so far, only a sample was checked
            self._full_until = position + _FULL_BYTES

    def find(self, data: bytes, start: int, end: int) -> int:
        """Return the offset of the first line to read in a part of a block; -1 if there is none."""
        if data is not self._block or start < self._start or end > self._end:
            self._open_block(data, start, end)
        lines = self._lines
        while self._next < len(lines):
            offset, reduced, exact = lines[self._next]
            if offset >= end:
                break
            if offset >= start and (
                self.reads_all or not (reduced in self._known or exact in self._known_exactly)
            ):
                return offset
            self._next += 1
        return -1

    def learn(self, line: bytes) -> None:
        """Skip lines like this one from now on, because this line contains no metric."""
        if len(line) > _MAX_LINE_BYTES:
            return
        if vocabulary.may_name_metric(line.decode("utf-8", "replace")):
            # keep the digits: ``loss`` contains no metric, but ``loss 0.5`` does
            known, key = self._known_exactly, line.translate(_LINE_ENDS_AND_DIGITS)
        else:
            known, key = self._known, line.translate(None, _DIGITS)
        if len(known) >= _MAX_KNOWN:
            known.clear()
        known.add(key)

    def _open_block(self, data: bytes, start: int, end: int) -> None:
        self._block, self._start, self._end = data, start, end
        self._lines, self._next = [], 0
        position = self._position
        if self.reads_all or position + start < self._full_until or self._samples(data, start, end):
            self._reads_block = True
            self._open_part(data, start, end)

    def _samples(self, data: bytes, start: int, end: int) -> bool:
        """Return whether a sample of the text between two offsets has a line of a new kind."""
        position = self._position
        window = (position + start) // _STRIDE_BYTES * _STRIDE_BYTES
        for at in range(window - position, end, _STRIDE_BYTES):
            first = start if at <= start else data.find(b"\n", at - 1, end) + 1
            stop = at + _WINDOW_BYTES
            if first < stop and (first or at <= 0):
                self._open_part(data, first, data.find(b"\n", stop, end) + 1 or end)
                if self._lines:
                    self._lines = []
                    return True
        return False

    def _open_part(self, data: bytes, start: int, end: int) -> None:
        part = data if end - start == len(data) else data[start:end]
        reduced = part.translate(_LINE_ENDS, _DIGITS).split(b"\n")
        if not self.reads_all and self._known.issuperset(reduced):
            return
        exact = part.translate(_LINE_ENDS_AND_DIGITS).split(b"\n")
        if not self.reads_all and self._known_exactly.issuperset(
            [line for line, own in zip(exact, reduced, strict=True) if own not in self._known]
        ):
            return
        offset = start
        for line, own in zip(exact, reduced, strict=True):
            if line:
                self._lines.append((offset, own, line))
            offset += len(line) + 1
