r"""Writes and reads the notes about the files that one process opens.

The notes are in ``journal/<command><start>-<pid>-<random>.<n>.opened``. Each process starts with a
64 KiB file and adds 1 MiB files as they fill up. The files are memory-mapped, so writing a note
costs only a memory copy, and a killed process loses no notes. Space is allocated up front, so a
full disk causes an error when a file is created, and never a signal (SIGBUS) later.

A file is a sequence of notes, followed by zero bytes. Each note has this form:

    <kind><time> <field> <path>\0

The time is in nanoseconds since the epoch. Only the kinds W, H, L and B have a field. The text is
UTF-8, but bytes of a path that are not valid UTF-8 are kept unchanged. `NoteKind` names the kinds:

====== =========== =====================================================================
kind   field       meaning
====== =========== =====================================================================
F                  the ignore rules of the process, as JSON; the first note of each log file
C                  the working folder from now on; also the second note of each log file
R                  the path is opened for reading for the first time. Unlike the paths of all
                   other kinds, this path may be relative to the working folder. The ignore
                   rules are applied to R, X and W when the notes are read
X                  the program at the path is executed; otherwise like R
W      ``0``/``1`` the path is opened for writing; 1 if opening keeps the existing content
                   (``a``, ``r+``)
H      digest      the file's digest and size before it was changed or removed:
                   ``<sha256>:<size>``
L      reason      like H, but the file was not hashed: ``large`` or ``unreadable``
D                  the file at the path is removed
M                  the file is moved; the new path and a zero byte follow
B      count       at least this many opened files were not noted; the note has no path
====== =========== =====================================================================

`files.record_files` deletes the log files after it has turned the notes into records.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from time import time_ns
from typing import Final, NamedTuple

from provml.base import store_files
from provml.capture.files.ignore_rules import OVERRIDABLE, IgnoreRules
from provml.errors import StoreError
from provml.journal import layout
from provml.journal.safe_open import avoid_std_fds

ACCESS_LOG_SUFFIX: Final = ".opened"
_FIRST_FILE_BYTES: Final = 64 * 2**10
MAX_LOG_BYTES: Final = 2**20
_MAX_LEFT_OUT: Final = 1_000_000

LeftOut = dict[str, str]
"""For each path that the ignore rules leave out, the reason why it is left out."""


class NoteKind:
    """The letter at the start of each note, which says what happened; see the module docstring."""

    RULES: Final = "F"
    WORKING_FOLDER: Final = "C"
    READ: Final = "R"
    EXECUTE: Final = "X"
    WRITE: Final = "W"
    DIGEST: Final = "H"
    NO_DIGEST: Final = "L"
    REMOVE: Final = "D"
    MOVE: Final = "M"
    NOT_NOTED: Final = "B"


_NOTE_KINDS: Final = frozenset(
    kind for name, kind in vars(NoteKind).items() if not name.startswith("_")
)
_KINDS_WITH_FIELD: Final = frozenset(
    {NoteKind.WRITE, NoteKind.DIGEST, NoteKind.NO_DIGEST, NoteKind.NOT_NOTED}
)


class AccessNote(NamedTuple):
    """A note that a process opened, changed, moved or removed a file.

    Attributes:
        time_ns: the time, in nanoseconds since the epoch.
        kind: one of the letters in `NoteKind`.
        field: the note's field; empty for kinds that have no field. If a file was moved from an
            ignored path, `read_access_log` sets the field to ``ignored``.
        path: the path of the file.
        target: the new path if the file was moved, otherwise empty.
    """

    time_ns: int
    kind: str
    field: str
    path: str
    target: str = ""


class AccessLog:
    """Writes the notes of one process. Thread-safe and reentrant."""

    def __init__(
        self,
        run_folder: str,
        command: str,
        first_notes: Callable[[], Iterable[tuple[str, str]]],
        suffix: str = ACCESS_LOG_SUFFIX,
    ) -> None:
        """Prepare the log. Writing the first note creates the first file.

        Args:
            run_folder: the run's folder.
            command: the value of ``PROVML_COMMAND``. The name of each file starts with this value.
            first_notes: a function that returns the notes to write at the start of every file, each
                as its kind and text.
            suffix: the suffix of the file names.
        """
        self._suffix = suffix
        self._root = store_files.store_root(run_folder)
        self._folder = Path(run_folder, layout.JOURNAL_FOLDER)
        self._command = command
        self._first_notes = first_notes
        self.restart()

    def restart(self) -> None:
        """Continue in a new file, because a forked child must not write to its parent's file."""
        self._name = f"{self._command}{time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}"
        self._count = 0
        # `mmap.write` is one C call, so no other thread runs between its copy and its seek
        self.write: Callable[[bytes], object] = _refuse
        """A function that writes an encoded note. The function raises ValueError if the file is
        full; in that case, call `add` instead."""

    def add(self, kind: str, rest: str, at_ns: int | None = None) -> None:
        """Write a note. Create a new file if the current one is full.

        Args:
            kind: one of the letters in `NoteKind`.
            rest: the path. If this kind has a field, the field and a space precede the path.
            at_ns: the time of the access, in nanoseconds since the epoch; the default is now.

        Raises:
            OSError: the current file is full and a new file can't be created, for example because
                the disk is full.
        """
        note = _encode_note(kind, rest, at_ns)
        try:
            self.write(note)
        except ValueError:
            write = self._open_next_file()
            for first in self._first_notes():
                write(_encode_note(*first))
            write(note)
            self.write = write

    def _open_next_file(self) -> Callable[[bytes], object]:
        """Create the next file; return a function that writes to it."""
        self._count += 1
        path = self._folder / f"{self._name}.{self._count:05d}{self._suffix}"
        size = _FIRST_FILE_BYTES if self._count == 1 else MAX_LOG_BYTES
        fd = store_files.open_file(self._root, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, size)
            else:
                os.pwrite(fd, bytes(size), 0)
            with avoid_std_fds():
                return mmap.mmap(fd, size).write
        except OSError:
            store_files.remove_file(self._root, path)
            raise
        finally:
            os.close(fd)


def _encode_note(kind: str, rest: str, at_ns: int | None = None) -> bytes:
    own_ns = time_ns() if at_ns is None else at_ns
    return f"{kind}{own_ns} {rest}\0".encode("utf-8", "surrogateescape")


def _refuse(content: bytes) -> object:
    """Raise ValueError, as if the current file were full, so that `add` creates the first file."""
    raise ValueError


def list_access_logs(
    run_folder: Path, command: str = "", suffix: str = ACCESS_LOG_SUFFIX
) -> list[Path]:
    """List the paths of the access logs in a run's folder, sorted by name.

    Args:
        run_folder: the run's folder.
        command: list only the logs of processes with this value of ``PROVML_COMMAND``. The default
            lists the logs of all processes.
        suffix: the suffix of the file names.
    """
    folder = run_folder / layout.JOURNAL_FOLDER
    try:
        entries = store_files.list_folder(store_files.store_root(run_folder), folder)
    except OSError:
        return []
    names = (entry.name for entry in entries if entry.is_file)
    return [folder / name for name in names if name.startswith(command) and name.endswith(suffix)]


def read_process_id(path: Path) -> int:
    """Return the id of the process that wrote an access log.

    Raises:
        ValueError: the file's name does not contain a process id.
    """
    return int(path.name.partition(".")[0].rsplit("-", 2)[1])


def read_access_log(
    path: Path, named: Container[str] = (), left_out: LeftOut | None = None
) -> Iterator[AccessNote]:
    """Yield the notes in an access log, except damaged notes and notes about ignored paths.

    Args:
        path: the access log.
        named: the paths that the command line names. The reasons in `ignore_rules.OVERRIDABLE` do
            not apply to these paths.
        left_out: a dict to which this function adds each ignored path, with the reason.

    Raises:
        OSError: the file can't be read.
    """
    left_out = {} if left_out is None else left_out
    root = store_files.store_root(path.parent.parent)
    if store_files.read_status(root, path).st_size > MAX_LOG_BYTES:
        return
    rules: IgnoreRules | None = None
    folder = "/"
    content = store_files.read_file(root, path, MAX_LOG_BYTES)
    parts = iter(content.rstrip(b"\0").split(b"\0"))
    for part in parts:
        note = _parse_note(part.decode("utf-8", "surrogateescape"))
        if note is None:
            continue
        kind, text = note.kind, note.path
        if kind == NoteKind.RULES:
            rules = _parse_rules(text)
        elif kind == NoteKind.WORKING_FOLDER:
            folder = text
        elif kind in (NoteKind.READ, NoteKind.EXECUTE):
            whole = os.path.normpath(os.path.join(folder, text))
            if rules is not None and not _leaves_out(rules, whole, False, named, left_out):
                yield note._replace(path=whole)
        elif kind == NoteKind.WRITE:
            if rules is None or not text.startswith("/"):
                continue
            if not _leaves_out(rules, text, True, named, left_out):
                yield note
        elif kind == NoteKind.MOVE:
            target = next(parts, b"").decode("utf-8", "surrogateescape")
            if target.startswith("/"):
                is_ignored = rules is None or rules.ignores(text)
                yield note._replace(target=target, field="ignored" if is_ignored else "")
        elif kind == NoteKind.NOT_NOTED or text.startswith("/"):
            yield note


def _leaves_out(
    rules: IgnoreRules, path: str, writing: bool, named: Container[str], left_out: LeftOut
) -> bool:
    """Return whether the rules leave a path out. If so, add the path to ``left_out``."""
    if not rules.ignores(path, writing):
        return False
    if path in left_out:
        return True
    reason = rules.find_reason(path, writing)
    if reason is None or (reason in OVERRIDABLE and path in named):
        return False
    if len(left_out) < _MAX_LEFT_OUT:
        left_out[path] = reason
    return True


def _parse_note(text: str) -> AccessNote | None:
    kind = text[:1]
    if kind not in _NOTE_KINDS:
        return None
    time_text, _, rest = text[1:].partition(" ")
    field = ""
    if kind in _KINDS_WITH_FIELD:
        field, _, rest = rest.partition(" ")
    if not time_text.isdecimal() or len(time_text) > 19:
        return None
    return AccessNote(int(time_text), kind, field, rest)


def _parse_rules(text: str) -> IgnoreRules | None:
    try:
        return IgnoreRules.from_text(text)
    except (ValueError, TypeError, RecursionError):
        return None


def read_rules(path: Path) -> IgnoreRules | None:
    """Return the ignore rules in the first note of a log; None if that note can't be read."""
    root = store_files.store_root(path.parent.parent)
    try:
        content = store_files.read_file(root, path, MAX_LOG_BYTES)
    except (OSError, StoreError):
        return None
    note = _parse_note(content.partition(b"\0")[0].decode("utf-8", "surrogateescape"))
    return None if note is None or note.kind != NoteKind.RULES else _parse_rules(note.path)
