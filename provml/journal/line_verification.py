"""Checks the lines of an events file against their checksums.

The module `checksums` describes the format of the checksums. Imports only `checksums`,
`damage_ranges`, `layout`, `base.results` and `base.sparse_files` from provml.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Final

from provml.base.results import Damage
from provml.base.sparse_files import skip_line
from provml.journal import layout
from provml.journal.checksums import check_line, follows_torn, is_sealed, seed_of
from provml.journal.damage_ranges import MAX_COUNT, limit_damage, name_range

_HEAD_BYTES: Final = 2**16
_CLOSED_START: Final = b'{"record":"closed",'
_END_START: Final = b'{"record":"end",'


def find_seals(file: BinaryIO) -> bool:
    """Return whether the lines of an events file have checksums: either all of them do, or none.

    Looks at the first line. If that line has no checksum, it may be damaged, so the function also
    looks at the lines in the first and last 64 KiB. Leaves the file at its beginning.
    """
    file.seek(0)
    found = is_sealed(file.readline(_HEAD_BYTES))
    if not found:
        head = file.read(_HEAD_BYTES)
        length = file.seek(0, 2)
        file.seek(max(0, length - _HEAD_BYTES))
        lines = (*head.splitlines(keepends=True), *file.read().splitlines(keepends=True))
        found = any(map(is_sealed, lines))
    file.seek(0)
    return found


class LineChecker:
    """Checks the lines of an events file that has checksums, in the order of reading.

    Attributes:
        closed: whether the ``closed`` line, the last line of a file, was read.
        ended: whether the ``end`` line, which says how the run ended, was read.
        ends_open: whether the ``end`` line is the last line, because the process was killed before
            it wrote the ``closed`` line. In that case, no recorded line is missing.
        torn: the number of lines that were written only in part.
    """

    def __init__(self, name: str, file_name: str, from_start: bool = True) -> None:
        """Prepare to check a file.

        Args:
            name: the writer's name.
            file_name: the name of the file, for messages.
            from_start: whether the lines begin with the first line of the file.
        """
        self.closed = False
        self.ended = False
        self.ends_open = False
        self.torn = 0
        self._seed = seed_of(name)
        self._file_name = file_name
        self._next = 1 if from_start else 0
        self._unreadable = 0
        self._damage: list[Damage] = []

    def accept(self, line: bytes, read_next: Callable[[], bytes]) -> bool:
        """Return whether a line is intact and in the right place. If not, note the damage.

        Args:
            line: the line.
            read_next: a function that returns the next line without advancing the file.
        """
        number = check_line(line, self._seed)
        self.ends_open = False
        if number is None:
            self._unreadable += line != b"\n"
            return False
        if not self._next:  # reading began in the middle of the file, perhaps within a line
            self._next, self._unreadable = number, 0
        if number < self._next:
            self._note(number, number, 1, "is repeated or out of place")
            return False
        if (
            number > self._next
            and self._next <= (check_line(read_next(), self._seed) or 0) < number
        ):
            self._note(number, number, 1, "is repeated or out of place")
            return False
        if number > self._next:
            self._note(self._next, number - 1, number - self._next, "damaged or missing")
        elif self._unreadable == 1 and follows_torn(line):
            self.torn += 1
        elif self._unreadable:
            problem = f"there are {self._unreadable:,} unreadable lines before line {number:,}"
            self._damage.append(Damage(self._file_name, problem, self._unreadable, "lines"))
        self._unreadable = 0
        self._next = number + 1
        self.closed = self.closed or line.startswith(_CLOSED_START)
        self.ends_open = line.startswith(_END_START)
        self.ended = self.ended or self.ends_open
        return True

    def finish(self, must_be_closed: bool, torn_bytes: int) -> list[Damage]:
        """Return the damage in the file.

        Args:
            must_be_closed: whether the writer has ended, so that a missing ``closed`` line is
                damage.
            torn_bytes: the length of the last line if it does not end in a line feed, else 0.
        """
        if torn_bytes and self.closed:
            problem = f"{torn_bytes:,} bytes were added after the last line"
            self._damage.append(Damage(self._file_name, problem, torn_bytes, "bytes"))
        if self._unreadable and self.closed:
            problem = f"{self._unreadable:,} lines were added after the last line"
            self._damage.append(Damage(self._file_name, problem, self._unreadable, "lines"))
        elif self._unreadable and not must_be_closed:
            last = self._next + self._unreadable - 1
            self._note(self._next, last, self._unreadable, "damaged or missing")
        if must_be_closed and not self.closed:
            problem = f"line {self._next:,} and all later lines are damaged or missing"
            self._damage.append(Damage(self._file_name, problem, 1, "lines", self._next))
        return limit_damage(self._damage)

    def _note(self, first: int, last: int, count: int, problem: str) -> None:
        problem = name_range("line", first, last, problem)
        count = min(count, MAX_COUNT)
        self._damage.append(Damage(self._file_name, problem, count, "lines", first, last))


def count_lines(file: BinaryIO, name: str) -> int:
    """Return the number of lines that a writer has written to its events file.

    Args:
        file: an events file with checksums.
        name: the writer's name.
    """
    file.seek(0)
    seed, count = seed_of(name), 0
    while line := file.readline(layout.MAX_EVENT_LINE_BYTES + 1):
        if len(line) > layout.MAX_EVENT_LINE_BYTES and not line.endswith(b"\n"):
            skip_line(file)
            continue
        # if only the line feed is missing, the next write adds it, so this line already counts
        number = check_line(line if line.endswith(b"\n") else line + b"\n", seed)
        count = count if number is None else max(number, count)
    return count
