"""Reconstructs the accesses to each file from the notes of all processes.

Imports only `access_log` and `collect.content` from provml.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from provml.capture.files.access_log import AccessNote, NoteKind
from provml.collect.content import Facts

OVERWRITTEN: Final = "it was overwritten before it was hashed: it is larger than 64 MiB"
REMOVED: Final = "it was moved or removed before it was hashed"

_SCRIPT_SUFFIXES: Final = (".sh", ".bash", ".zsh", ".ksh")
_WHY_NOT_HASHED: Final = {"large": OVERWRITTEN, "unreadable": "it could not be read to be hashed"}


@dataclass(slots=True)
class Access:
    """The first read or the first write of a file.

    Attributes:
        path: the path that the process used to open the file.
        time_ns: the time of the access, in nanoseconds since the epoch.
        keeps: whether the file was opened for writing in a mode that keeps the existing content.
        facts: the file's digest and size, or the reason why there is no digest; empty until known.
        is_program: whether the file was executed.
    """

    path: str
    time_ns: int
    keeps: bool = False
    facts: Facts = field(default_factory=dict)
    is_program: bool = False


@dataclass(slots=True)
class FileAccess:
    """The first read and the first write of one file.

    Attributes:
        use: the first read; None if the file was not read before it was written.
        writing: the first write; None if the file was not written.
        source: the old path, if the file was moved to its new path before any process opened it;
            otherwise None.
    """

    use: Access | None = None
    writing: Access | None = None
    source: Access | None = None


class AccessHistory:
    """The accesses to each file, reconstructed from the notes of all processes.

    Attributes:
        files: the accesses to each file, by the file's real path.
        ended: the first reads of files that were later moved or removed.
        removed: the number of files that were written and then removed.
    """

    def __init__(self) -> None:
        self.files: dict[str, FileAccess] = defaultdict(FileAccess)
        self.ended: list[Access] = []
        self.removed = 0
        self._folders: dict[str, str] = {}
        self._handlers: dict[str, Callable[[AccessNote], None]] = {
            NoteKind.READ: self._on_read,
            NoteKind.EXECUTE: self._on_read,
            NoteKind.DIGEST: self._on_digest,
            NoteKind.NO_DIGEST: self._on_no_digest,
            NoteKind.WRITE: self._on_write,
            NoteKind.REMOVE: self._on_remove,
            NoteKind.MOVE: self._on_move,
        }

    def follow(self, notes: Iterable[AccessNote]) -> None:
        """Add the accesses that the notes describe. The notes must be sorted by time."""
        for note in notes:
            self._handlers[note.kind](note)

    def _find_access(self, path: str) -> FileAccess:
        """Return the accesses to the file at a path. A link and its target share an entry."""
        return self.files[self._resolve(path)]

    def _resolve(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        real = f"{self._folders[folder].rstrip('/')}/{name}"
        return os.path.realpath(real) if os.path.islink(real) else real

    def _on_read(self, note: AccessNote) -> None:
        file = self._find_access(note.path)
        if file.use is None and file.writing is None:
            is_program = note.kind == NoteKind.EXECUTE or note.path.endswith(_SCRIPT_SUFFIXES)
            file.use = Access(note.path, note.time_ns, is_program=is_program)

    def _on_digest(self, note: AccessNote) -> None:
        use = self._find_access(note.path).use
        if use is not None and not use.facts:
            sha256, _, size = note.field.partition(":")
            use.facts = {"sha256": sha256, "size": int(size)}

    def _on_no_digest(self, note: AccessNote) -> None:
        use = self._find_access(note.path).use
        if use is not None and not use.facts:
            use.facts = {"unread": _WHY_NOT_HASHED.get(note.field, note.field)}

    def _on_write(self, note: AccessNote) -> None:
        file = self._find_access(note.path)
        if file.writing is None:
            file.writing = Access(note.path, note.time_ns, note.field == "1")
        elif note.field == "0":
            file.writing.keeps = False

    def _on_remove(self, note: AccessNote) -> None:
        file = self.files.pop(self._resolve(note.path), None)
        if file is None:
            return
        if file.writing is not None:
            self.removed += 1
        self._close_use(file, REMOVED)

    def _on_move(self, note: AccessNote) -> None:
        old, new = self._resolve(note.path), self._resolve(note.target)
        within = [path for path in self.files if path.startswith(f"{old}/")]
        if within:
            self._folders.clear()
            for path in within:
                moved = self.files.pop(path)
                if moved.writing is not None:
                    moved.writing.path = note.target + path[len(old) :]
                self.files[new + path[len(old) :]] = moved
            return
        gone = self.files.pop(old, None)
        if gone is not None:
            self._close_use(gone, REMOVED)
        file = self.files[new]
        if file.writing is None:
            file.writing = Access(note.target, note.time_ns, False)
        if gone is None and not note.field:
            file.source = Access(note.path, note.time_ns)

    def _close_use(self, file: FileAccess, reason: str) -> None:
        """If a file was read before it was moved or removed, add the first read to `ended`."""
        if file.use is not None:
            file.use.facts = file.use.facts or {"unread": reason}
            self.ended.append(file.use)
