r"""The notes of what one process opened: ``journal/<command><start>-<pid>-<random>.<n>.opened``.

A file of 64 KiB, and when that is full others of 1 MiB, mapped, and allocated before they are: so a
note costs a copy to memory, a killed process leaves what it noted, and a full disk is an error
here, never a signal. It holds notes in UTF-8 (bytes that are none stand as they are), each a kind,
a time in nanoseconds since the epoch, a field that some kinds have, a space between them, and a
text that a zero byte ends; after the last come zeros. The kinds:

====== ========== =====================================================================
F                 begins a file: the process's rules, as JSON
C                 the working folder from now on; also begins a file
R                 path: opened to be read, for the first time; absolute or from the working
                  folder, and not yet looked at by the rules, as are the other paths
W      ``0``/``1``  path: opened to be written; 1: what was in it stays at first (append, ``r+``)
H      digest     path: what was in it before it was changed, moved, removed: ``<sha256>:<size>``
L      reason     path: likewise, but it was not hashed: ``large`` or ``unreadable``
D                 path: removed
M                 path: moved; a second path follows, ended by a zero byte
B      count      no path: the most files were noted before, and at least so many beyond
====== ========== =====================================================================

The files are removed when the run has been completed. Imports `layout`, `rules`.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import time_ns
from typing import Final, NamedTuple

from provml.capture.files.ignore_rules import Rules
from provml.journal import layout
from provml.journal.safe_open import avoid_std_fds

SUFFIX: Final = ".opened"
_FIRST_SIZE: Final = 64 * 2**10
_SIZE: Final = 2**20
_FIELDS: Final = {"F": 0, "C": 0, "R": 0, "W": 1, "H": 1, "L": 1, "D": 0, "M": 0, "B": 1}


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

    def __init__(
        self, run_folder: str, command: str, head: Callable[[], Iterable[tuple[str, str]]]
    ) -> None:
        """Make no file yet: a process that opens nothing leaves none.

        Args:
            run_folder: the run's.
            command: what the names of the files begin with.
            head: gives the notes that each file begins with.
        """
        self._folder = os.path.join(run_folder, layout.JOURNAL_FOLDER)
        self._command = command
        self._head = head
        self.restart()

    def restart(self) -> None:
        """Go on in a file of this process's own: in a forked child."""
        name = f"{self._command}{time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}"
        self._stem = os.path.join(self._folder, name)
        self._count = 0
        # one call into C: nothing comes between the copy and the step to the next place
        self.write: Callable[[bytes], object] = _full
        """Takes a note with its end; ValueError where the file is full: `add` takes it."""

    def add(self, kind: str, rest: str) -> None:
        """Write a note: its kind, the time, and what follows. Raises OSError without room."""
        note = _made(kind, rest)
        try:
            self.write(note)
        except ValueError:
            write = self._next()
            for head in self._head():
                write(_made(*head))
            write(note)
            self.write = write

    def _next(self) -> Callable[[bytes], object]:
        self._count += 1
        path = f"{self._stem}.{self._count:05d}{SUFFIX}"
        size = _FIRST_SIZE if self._count == 1 else _SIZE
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, size)
            else:
                os.pwrite(fd, bytes(size), 0)
            with avoid_std_fds():
                return mmap.mmap(fd, size).write
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(fd)


def _made(kind: str, rest: str) -> bytes:
    return f"{kind}{time_ns()} {rest}\0".encode("utf-8", "surrogateescape")


def _full(content: bytes) -> object:
    raise ValueError


def log_files(run_folder: Path, command: str = "") -> list[Path]:
    """The files of notes that a run's command has, or all, by the start of their processes."""
    folder = run_folder / layout.JOURNAL_FOLDER
    names = [path for path in folder.glob(f"{command}*{SUFFIX}") if not path.is_symlink()]
    return sorted(path for path in names if path.is_file())


def process_name(path: Path) -> int:
    """The number of the process whose notes a file holds. Raises ValueError."""
    return int(path.name.partition(".")[0].rsplit("-", 2)[1])


def read_log(path: Path) -> Iterator[Note]:
    """The notes of a file, those on what the rules keep; what makes no sense is passed over.

    Raises OSError.
    """
    if path.stat().st_size > _SIZE:
        return
    rules: Rules | None = None
    folder = "/"
    parts = iter(path.read_bytes().rstrip(b"\0").split(b"\0"))
    for part in parts:
        note = _note(part.decode("utf-8", "surrogateescape"))
        if note is None:
            continue
        kind, text = note.kind, note.path
        if kind == "F":
            rules = _rules(text)
        elif kind == "C":
            folder = text
        elif kind == "R":
            whole = os.path.normpath(os.path.join(folder, text))
            if rules is not None and not rules.leave_out(whole):
                yield note._replace(path=whole)
        elif kind == "M":
            target = next(parts, b"").decode("utf-8", "surrogateescape")
            if target.startswith("/"):
                yield note._replace(target=target)
        elif kind == "B" or text.startswith("/"):
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
    return Note(int(time_text), kind, field, rest)


def _rules(text: str) -> Rules | None:
    try:
        return Rules.from_text(text)
    except (ValueError, TypeError, RecursionError):
        return None
