r"""The notes of what one process opened: ``journal/<start>-<pid>-<random>.<n>.opened``.

A file of 64 KiB, mapped and allocated before it is, so that a note costs a copy to memory, a killed
process leaves what it noted, and a full disk is an error here, never a signal; when it is full the
next one follows. It holds notes in UTF-8 (bytes that are none stand as they are), each a kind, a
time in nanoseconds since the epoch, the kind's fields, a space between them, and a path, ended by a
zero byte; after the last come zeros. The kinds:

====== ========== =====================================================================
R      -          opened to be read, for the first time
W      ``0``/``1``  opened to be written; 1: what was in it stays at first (append, ``r+``)
H      digest     what was in it before it was changed, moved, removed: ``<sha256>:<size>``
L      reason     likewise, but it was not hashed: ``large`` or ``unreadable``
D      -          removed
M      -          moved; a second path follows, ended by a zero byte
B      count      the most files were noted before, and at least so many beyond; no path
====== ========== =====================================================================

The files are removed when the run has been completed. Imports `layout`.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from provml.journal import layout

SUFFIX: Final = ".opened"
_SIZE: Final = 64 * 2**10
_FIELDS: Final = {"R": 0, "W": 1, "H": 1, "L": 1, "D": 0, "M": 0, "B": 1}
_MOST_BYTES: Final = 2**30


class Note(NamedTuple):
    """One thing that a process did.

    Attributes:
        field: what the kind has beside a path; empty where it has nothing.
        target: the second path of a move; else empty.
    """

    time_ns: int
    kind: str
    field: str
    path: str
    target: str = ""


class Log:
    """One process's notes. Safe from any thread, also within a note that is under way."""

    def __init__(self, run_folder: str) -> None:
        """Make no file yet: a process that opens nothing leaves none."""
        self._stem = os.path.join(
            run_folder,
            layout.JOURNAL_FOLDER,
            f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}",
        )
        self._count = 0
        # one call into C: nothing comes between the copy and the step to the next place
        self._write: Callable[[bytes], object] = _full

    def add(self, note: str) -> None:
        """Write a note, without its end. Raises OSError where the disk has no room for it."""
        content = note.encode("utf-8", "surrogateescape") + b"\0"
        try:
            self._write(content)
        except ValueError:
            self._write = self._next()
            self._write(content)

    def _next(self) -> Callable[[bytes], object]:
        self._count += 1
        path = f"{self._stem}.{self._count:05d}{SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, _SIZE)
            else:
                os.pwrite(fd, bytes(_SIZE), 0)
            return mmap.mmap(fd, _SIZE).write
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(fd)


def _full(content: bytes) -> object:
    raise ValueError


def log_files(run_folder: Path) -> list[Path]:
    """The files of notes that a run has, by the start of their processes."""
    folder = run_folder / layout.JOURNAL_FOLDER
    names = [path for path in folder.glob(f"*{SUFFIX}") if not path.is_symlink()]
    return sorted(path for path in names if path.is_file())


def read_log(path: Path) -> Iterator[Note]:
    """The notes of a file; what makes no sense is passed over. Raises OSError."""
    if path.stat().st_size > _MOST_BYTES:
        return
    parts = iter(path.read_bytes().rstrip(b"\0").split(b"\0"))
    for part in parts:
        note = _note(part.decode("utf-8", "surrogateescape"))
        if note is not None and note.kind == "M":
            target = next(parts, b"").decode("utf-8", "surrogateescape")
            note = note._replace(target=target) if target.startswith("/") else None
        if note is not None:
            yield note


def _note(text: str) -> Note | None:
    kind = text[:1]
    count = _FIELDS.get(kind)
    if count is None:
        return None
    time_text, _, rest = text[1:].partition(" ")
    field = ""
    if count:
        field, _, rest = rest.partition(" ")
    if not time_text.isdecimal() or len(time_text) > 19:
        return None
    if kind != "B" and not rest.startswith("/"):
        return None
    return Note(int(time_text), kind, field, rest)
