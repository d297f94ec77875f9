"""A run out of text that is there already, or comes in: a log file, another program's output.

Imports `lines`, `errors`; `_api` is the caller's.
"""

from __future__ import annotations

import os
import re
import select
import stat
import time
from collections.abc import Callable
from typing import Final

from provml.capture.lines import LineReader
from provml.errors import ContentNotFoundError, InvalidArgumentError

STDIN: Final = 0
_BLOCK: Final = 2**16
_LOOKED_AT: Final = 2**13
_POLL_S: Final = 0.2
_MOVED: Final = re.compile(r"[.-]\d[\d_.:T-]*")
"""What follows the name of a log that was moved away: ``.1``, ``-20260101``, ``.2026-01-01_10``."""


def open_text(path: str) -> int:
    """A file descriptor to read a text from.

    Raises:
        ContentNotFoundError: there is no such file.
        InvalidArgumentError: a folder, or a file that is not text.
        OSError: it can't be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ContentNotFoundError(f"there is no file {path!r}") from None
    except ValueError as error:
        raise InvalidArgumentError(f"not a path: {path!r} ({error})") from None
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise InvalidArgumentError(f"{path!r} is a folder: give a file of text")
        if stat.S_ISREG(status.st_mode):
            head = os.pread(fd, _LOOKED_AT, 0)
            if b"\0" in head:
                raise InvalidArgumentError(
                    f"{path!r} is not text: it has a NUL byte at {head.index(0)}; of UTF-16 make "
                    "UTF-8 first (iconv), and unpack what is packed (zcat FILE | provml ingest -)"
                )
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_file(fd: int) -> bool:
    """Whether it is a file that can be read again, not a pipe or a terminal."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def read_text(
    fd: int,
    reader: LineReader,
    *,
    pass_on: int | None = None,
    goes_on: Callable[[], bool] | None = None,
    path: str | None = None,
) -> None:
    """Read a text to its end.

    Args:
        pass_on: a file descriptor to write it to, unchanged, block by block before it is read for
            metrics; let go where nobody reads it any more.
        goes_on: asked at the end of what there is, whether to wait for more; a file that has
            become shorter is read from its beginning then. None: the end is the end.
        path: where the file is; where others have taken its place since, these are read next: those
            that were moved away by now, as to ``train.log.1``, before it.

    Raises OSError where it can't be read.
    """
    rotation = None if path is None else _Rotation(path)
    while True:
        block = os.read(fd, _BLOCK)
        if block:
            if pass_on is not None and not _written(pass_on, block):
                pass_on = None
            reader.feed(block)
        elif goes_on is None or not goes_on():
            return
        else:
            if rotation is None or not rotation.is_behind:
                time.sleep(_POLL_S)
            if is_file(fd) and os.fstat(fd).st_size < os.lseek(fd, 0, os.SEEK_CUR):
                os.lseek(fd, 0, os.SEEK_SET)
            elif rotation and os.fstat(fd).st_size == os.lseek(fd, 0, os.SEEK_CUR):
                rotation.take_next(fd)


def pass_through(fd: int, to: int) -> None:
    """Write all that comes to another descriptor, until its end or nobody takes it."""
    while block := os.read(fd, _BLOCK):
        if not _written(to, block):
            return


class _Rotation:
    """The files that take each other's place under one path.

    Attributes:
        is_behind: whether what is read now has been moved away by now.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._read = {_mark(status) for _, status in self._moved_away() or ()}
        self.is_behind = False

    def _moved_away(self) -> list[tuple[str, os.stat_result]] | None:
        """The files beside it that are called as those moved away; None while they are moved."""
        folder, name = os.path.split(self._path)
        found = []
        try:
            with os.scandir(folder or os.curdir) as entries:
                for entry in entries:
                    if entry.name.startswith(name) and _MOVED.fullmatch(entry.name[len(name) :]):
                        status = entry.stat()
                        if stat.S_ISREG(status.st_mode):
                            found.append((entry.path, status))
        except OSError:
            return None
        return found

    def take_next(self, fd: int) -> None:
        """Have the descriptor lead to the file to read next, where there is another one."""
        own = os.fstat(fd)
        try:
            now = os.stat(self._path)
        except OSError:
            return  # a log is moved away before the next one is there
        self.is_behind = False
        if (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino) or not stat.S_ISREG(now.st_mode):
            return
        moved, again = self._moved_away(), self._moved_away()
        if moved is None or again is None or _places(moved) != _places(again):
            return  # a folder that changes may hide a file: the next look finds all
        self._read.add(_mark(own))
        unread = [
            (status.st_mtime_ns, path, status)
            for path, status in moved
            if _mark(status) not in self._read and status.st_mtime_ns >= own.st_mtime_ns
        ]
        _, path, status = min(unread, key=lambda one: one[:2], default=(0, self._path, now))
        try:
            new = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # moved on: the next look finds it
        if os.fstat(new).st_ino == status.st_ino:
            os.dup2(new, fd, inheritable=False)
            self.is_behind = status.st_ino != now.st_ino
        os.close(new)


def _places(files: list[tuple[str, os.stat_result]]) -> dict[str, int]:
    return {path: status.st_ino for path, status in files}


def _mark(status: os.stat_result) -> tuple[int, int, int]:
    """What tells a file that is written no more from others, also from one of its number later."""
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _written(fd: int, block: bytes) -> bool:
    """Write all of a block; whether there is still one who takes it."""
    rest = memoryview(block)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except OSError:
            return False  # a closed pipe, a full disk: the recording goes on
    return True
