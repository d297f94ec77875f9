"""Reads metrics from a log file, which may still be growing, or from another program's output.

The caller supplies a reader of the text, such as a `LineReader`, which records the metrics.
"""

from __future__ import annotations

import os
import re
import select
import stat
import time
from collections.abc import Callable
from typing import Final, Protocol

from provml.errors import ContentNotFoundError, InvalidArgumentError

STDIN: Final = 0
_INGEST_BLOCK_BYTES: Final = 2**16
_CHECKED_HEAD_BYTES: Final = 2**13
_POLL_S: Final = 0.2
_ROTATED_SUFFIX: Final = re.compile(r"[.-]\d[\d_.:T-]*")
"""Matches the end of a rotated log's name: ``.1``, ``-20260101``, ``.2026-01-01_10``."""


class BlockReader(Protocol):
    """A reader that gets a text in blocks of bytes, such as `provml.capture.lines.LineReader`."""

    def feed(self, data: bytes) -> None:
        """Read the next block of bytes, of any size."""
        ...


def open_text(path: str) -> int:
    """Open a text file, and return its file descriptor.

    Raises:
        ContentNotFoundError: the file does not exist.
        InvalidArgumentError: the path is invalid, or it names a folder or a binary file.
        OSError: the file can't be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ContentNotFoundError(f"there is no file {path!r}") from None
    except ValueError as error:
        raise InvalidArgumentError(f"{path!r} is not a valid path: {error}") from None
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise InvalidArgumentError(f"{path!r} is a folder: give the name of a text file")
        if stat.S_ISREG(status.st_mode):
            head = os.pread(fd, _CHECKED_HEAD_BYTES, 0)
            if b"\0" in head:
                raise InvalidArgumentError(
                    f"{path!r} is not text: it contains a NUL byte at offset {head.index(0)}. "
                    "Convert UTF-16 to UTF-8 (iconv), and unpack compressed files "
                    "(zcat FILE | provml ingest -)"
                )
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_file(fd: int) -> bool:
    """Return whether a descriptor refers to a regular file, and not to a pipe or a terminal."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def read_text(
    fd: int,
    reader: BlockReader,
    *,
    pass_on: int | None = None,
    goes_on: Callable[[], bool] | None = None,
    path: str | None = None,
) -> None:
    """Read all text from a descriptor, and feed it to a reader.

    Args:
        fd: the descriptor to read from.
        reader: the reader that gets each block.
        pass_on: a descriptor to which each block is copied, unchanged, before the reader gets the
            block. If nobody reads the copies any more, copying stops and reading continues.
        goes_on: a function to call at the end of the file; it returns True to wait for more text,
            or False to stop. If the file is truncated during the wait, the file is read again from
            the start. None means to stop at the end of the file.
        path: the path of the file, to follow log rotation. Once a new file has taken over the path,
            the new file is read next. If other files had the path in between and have been rotated
            away (``train.log.1``), they are read before the new file.

    Raises:
        OSError: the text can't be read.
    """
    rotation = None if path is None else _LogRotation(path)
    while True:
        block = os.read(fd, _INGEST_BLOCK_BYTES)
        if block:
            if pass_on is not None and not _write_if_read(pass_on, block):
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
    """Copy data between descriptors until the input ends or nobody reads the output any more."""
    while block := os.read(fd, _INGEST_BLOCK_BYTES):
        if not _write_if_read(to, block):
            return


class _LogRotation:
    """Follows a log that is rotated: from time to time, a new file takes over the log's path.

    Attributes:
        is_behind: whether the file that is being read has already been rotated away.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._read_files = {_file_identity(status) for _, status in self._find_rotated() or ()}
        self.is_behind = False

    def _find_rotated(self) -> list[tuple[str, os.stat_result]] | None:
        """Return the rotated files in the log's folder; None if the folder can't be listed now."""
        folder, name = os.path.split(self._path)
        found = []
        try:
            with os.scandir(folder or os.curdir) as entries:
                for entry in entries:
                    if entry.name.startswith(name) and _ROTATED_SUFFIX.fullmatch(
                        entry.name[len(name) :]
                    ):
                        status = entry.stat()
                        if stat.S_ISREG(status.st_mode):
                            found.append((entry.path, status))
        except OSError:
            return None
        return found

    def take_next(self, fd: int) -> None:
        """Make a descriptor refer to the next file to read, if there is one."""
        own = os.fstat(fd)
        try:
            now = os.stat(self._path)
        except OSError:
            return  # the log was rotated away, and its successor does not exist yet
        self.is_behind = False
        if (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino) or not stat.S_ISREG(now.st_mode):
            return
        moved, again = self._find_rotated(), self._find_rotated()
        if moved is None or again is None or _inodes_by_path(moved) != _inodes_by_path(again):
            return  # listing a folder while it changes can miss a file: try again later
        self._read_files.add(_file_identity(own))
        unread = [
            (status.st_mtime_ns, path, status)
            for path, status in moved
            if _file_identity(status) not in self._read_files
            and status.st_mtime_ns >= own.st_mtime_ns
        ]
        _, path, status = min(unread, key=lambda one: one[:2], default=(0, self._path, now))
        try:
            new = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # the file was moved in the meantime: try again later
        if os.fstat(new).st_ino == status.st_ino:
            os.dup2(new, fd, inheritable=False)
            self.is_behind = status.st_ino != now.st_ino
        os.close(new)


def _inodes_by_path(files: list[tuple[str, os.stat_result]]) -> dict[str, int]:
    return {path: status.st_ino for path, status in files}


def _file_identity(status: os.stat_result) -> tuple[int, int, int]:
    """Return an identifier for a finished file: its device, inode and modification time.

    The time distinguishes the file from a later file that reuses its inode.
    """
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _write_if_read(fd: int, block: bytes) -> bool:
    """Write a whole block. Return False if that fails, for example because nobody reads it."""
    rest = memoryview(block)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except OSError:
            return False  # a closed pipe or a full disk must not stop the recording
    return True
