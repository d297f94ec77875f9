"""What the notes of a run's processes come to: files used and files generated, hashed.

- A file that was first read is used: its digest is that of what was read. It was taken before the
  file was overwritten, moved or removed, else it is taken here; where the file was changed
  meanwhile by what is not watched, it has no digest.
- A file that was written and is there is generated, with what is in it now, at the time of its last
  change. What was written and removed again is left out and counted. What was opened to be written
  but kept and is unchanged is used alone.
- What one process wrote is not used where another, or the same, reads it.
- Of a folder with more than `MOST_IN_FOLDER` such files, these are one entity: a folder, its digest
  that of their manifest, which is kept with the run; so it is with folders in a folder.
- What the script logged itself, by its path, is not recorded again.

Imports `log`, `content`, `source`, `run`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from provml.base.text import printable_path
from provml.capture.files.access_log import Note, log_files, read_log
from provml.collect.content import Facts, digest_manifest, write_captured
from provml.collect.hashing import CHANGED_WHILE_HASHED, DIGEST_PENDING
from provml.collect.source import is_secret_file
from provml.journal.files import list_writer_files
from provml.recording.joined_run import SOURCE
from provml.recording.run import Run

CAPTURED: Final = "files captured"
"""The event that says how much was found, and what was left out."""
MOST_IN_FOLDER: Final = 100
MOST_ENTITIES: Final = 300
"""Of either kind; where there are more, folders stand for fewer files."""
SECRET: Final = "its name says that it holds secrets"
OVERWRITTEN: Final = "it was overwritten before it was hashed: it is larger than 64 MiB"
REMOVED: Final = "it was moved or removed before it was hashed"
CHANGED_SINCE: Final = "it changed after it was opened, before it was hashed"

_REASONS: Final = {"large": OVERWRITTEN, "unreadable": "it could not be read to be hashed"}
_BLOCK: Final = 2**20
_CLOCK_NS: Final = 50_000_000
"""File systems take their times from a clock that may be so late."""
_MOST_THREADS: Final = 4


@dataclass(slots=True)
class _Access:
    """A file that was read, or written.

    Attributes:
        keeps: it was opened to be written, and what was in it stayed.
    """

    path: str
    time_ns: int
    keeps: bool = False
    facts: Facts = field(default_factory=dict)


@dataclass(slots=True)
class _File:
    """What stands under one path."""

    use: _Access | None = None
    making: _Access | None = None


class _Story:
    """The notes of all processes in the order of their times."""

    def __init__(self) -> None:
        self.files: dict[str, _File] = defaultdict(_File)
        self.ended: list[_Access] = []
        self.removed = 0
        self._folders: dict[str, str] = {}

    def take(self, notes: Iterable[Note]) -> None:
        """Go through the notes once."""
        for note in notes:
            on_note: Callable[[Note], None] = getattr(self, f"_on_{note.kind}")
            on_note(note)

    def _file(self, path: str) -> _File:
        """By the real folder: two ways to a file are one."""
        return self.files[self._real(path)]

    def _real(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        real = f"{self._folders[folder].rstrip('/')}/{name}"
        return os.path.realpath(real) if os.path.islink(real) else real

    def _on_R(self, note: Note) -> None:  # noqa: N802 - by the note's kind, and those below
        file = self._file(note.path)
        if file.use is None and file.making is None:
            file.use = _Access(note.path, note.time_ns)

    def _on_H(self, note: Note) -> None:  # noqa: N802
        use = self._file(note.path).use
        if use is not None and not use.facts:
            sha256, _, size = note.field.partition(":")
            use.facts = {"sha256": sha256, "size": int(size)}

    def _on_L(self, note: Note) -> None:  # noqa: N802
        use = self._file(note.path).use
        if use is not None and not use.facts:
            use.facts = {"unread": _REASONS.get(note.field, note.field)}

    def _on_W(self, note: Note) -> None:  # noqa: N802
        file = self._file(note.path)
        if file.making is None:
            file.making = _Access(note.path, note.time_ns, note.field == "1")
        elif note.field == "0":
            file.making.keeps = False

    def _on_D(self, note: Note) -> None:  # noqa: N802
        file = self.files.pop(self._real(note.path), None)
        if file is None:
            return
        if file.making is not None:
            self.removed += 1
        self._end(file, REMOVED)

    def _on_M(self, note: Note) -> None:  # noqa: N802
        old, new = self._real(note.path), self._real(note.target)
        within = [path for path in self.files if path.startswith(f"{old}/")]
        if within:
            self._folders.clear()
            for path in within:
                moved = self.files.pop(path)
                if moved.making is not None:
                    moved.making.path = note.target + path[len(old) :]
                self.files[new + path[len(old) :]] = moved
            return
        gone = self.files.pop(old, None)
        if gone is not None:
            self._end(gone, REMOVED)
        file = self.files[new]
        if file.making is None:
            file.making = _Access(note.target, note.time_ns, False)

    def _end(self, file: _File, reason: str) -> None:
        """Note a use whose file is no more where it was."""
        if file.use is not None:
            file.use.facts = file.use.facts or {"unread": reason}
            self.ended.append(file.use)


def record_accesses(run: Run, command: str, wait_s: float | None, until_ns: int | None) -> None:
    """As `provml.capture.files.complete`."""
    paths = log_files(run.path, command)
    if not paths:
        return
    story = _Story()
    notes, beyond = _read(paths)
    story.take(notes)
    until = time.monotonic() + (run._folder.settings.hash_wait_s if wait_s is None else wait_s)
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    findings = _Findings(_Logged(run), until, until_ns)
    with ThreadPoolExecutor(threads, "provml-files") as pool:  # hashing leaves others the GIL
        for _ in pool.map(findings.settle, story.files.items()):
            pass
    findings.uses += [use for use in story.ended if not findings.is_logged(use)]
    for use in findings.uses:
        if is_secret_file(use.path):  # also where it was hashed before it was overwritten
            use.facts = {"unread": SECRET}
    counts = {
        "used": len(findings.uses),
        "generated": len(findings.makings),
        "removed again": story.removed + findings.removed,
        "not there at the end": findings.gone,
        "beyond the most": beyond,
        "without digest": sum("sha256" not in f.facts for f in findings.all()),
    }
    metadata = {name: count for name, count in counts.items() if count}
    records = [
        *_records(run, "dataset", findings.uses),
        *_records(run, "artifact", findings.makings),
    ]
    run._append_all(
        sorted(records, key=lambda record: record["time"])
    )  # what was read first counts
    run.log_event(CAPTURED, source=SOURCE, metadata=metadata)
    for path in paths:
        path.unlink(missing_ok=True)


def _read(paths: list[Path]) -> tuple[list[Note], int]:
    """The notes of all processes by time, and how many files were not noted."""
    notes: list[Note] = []
    beyond: dict[str, int] = {}
    for path in paths:
        process = path.name.partition(".")[0]
        try:
            for note in read_log(path):
                if note.kind != "B":
                    notes.append(note)
                elif note.field.isdecimal():  # said again at each power of two
                    beyond[process] = max(beyond.get(process, 0), int(note.field))
        except OSError:
            continue
    notes.sort(key=lambda note: note.time_ns)
    return notes, sum(beyond.values())


class _Logged:
    """What the run's records name by path."""

    def __init__(self, run: Run) -> None:
        self.used: set[str] = set()
        self.made: set[str] = set()
        self.digests: set[tuple[str, str]] = set()
        self.folders: set[str] = set()
        for files in list_writer_files(run.path):
            for _, record in files.records():
                content = record.get("content")
                if isinstance(content, dict) and isinstance(content.get("path"), str):
                    self._take(record, content["path"], content)

    def _take(self, record: Facts, path: str, content: Facts) -> None:
        if record["record"] == "dataset":
            self.used.add(path)
        elif record["record"] in ("artifact", "model"):
            self.made.add(path)
            self.digests.add((path, str(content.get("sha256"))))
        else:
            return
        if content.get("kind") == "folder" and "captured" not in (record.get("metadata") or {}):
            self.folders.add(path)

    def has_folder(self, path: str) -> bool:
        """Whether a folder around the file was logged."""
        return bool(self.folders) and any(path.startswith(f"{f}/") for f in self.folders)


class _Findings:
    """The files of a story as they are now."""

    def __init__(self, logged: _Logged, until: float, until_ns: int | None) -> None:
        self._logged = logged
        self._until = until
        self._until_ns = until_ns
        self.uses: list[_Access] = []
        self.makings: list[_Access] = []
        self.removed = 0
        self.gone = 0

    def all(self) -> Iterator[_Access]:
        """What was read and what was written."""
        yield from self.uses
        yield from self.makings

    def is_logged(self, use: _Access) -> bool:
        """Whether the script itself recorded what it read."""
        path, logged = printable_path(use.path), self._logged
        return path in logged.used or path in logged.made or logged.has_folder(path)

    def settle(self, item: tuple[str, _File]) -> None:
        """Find out about one file; from several threads, of which each appends."""
        real, file = item
        use, making = file.use, file.making
        try:
            status = os.stat(real)
        except (OSError, ValueError):
            self.removed += making is not None
            if use is not None and use.facts:
                self.uses.append(use)
            else:
                self.gone += use is not None
            return
        if not stat.S_ISREG(status.st_mode):
            return
        changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
        if making is not None and making.keeps and changed_ns < making.time_ns - _CLOCK_NS:
            making = None
        if use is not None and not self.is_logged(use):
            if not use.facts:
                is_as_read = making is None and changed_ns <= use.time_ns
                use.facts = _hashed(real, self._until) if is_as_read else {"unread": CHANGED_SINCE}
            use.facts |= _other(real, use.path)
            self.uses.append(use)
        if making is not None:
            self._settle_making(real, making, status, use)

    def _settle_making(
        self, real: str, making: _Access, status: os.stat_result, use: _Access | None
    ) -> None:
        path = printable_path(making.path)
        if is_secret_file(making.path):
            making.facts = {"unread": SECRET}
        elif self._until_ns is not None and status.st_mtime_ns > self._until_ns:
            making.facts = {"unread": CHANGED_SINCE}
        else:
            making.facts = _hashed(real, self._until)
        sha256 = making.facts.get("sha256")
        if making.keeps and use is not None and sha256 and use.facts.get("sha256") == sha256:
            return  # opened to be written, and left as it was
        if (path, sha256) in self._logged.digests or self._logged.has_folder(path):
            return
        making.facts |= _other(real, making.path)
        latest = self._until_ns or time.time_ns()
        making.time_ns = max(making.time_ns, min(status.st_mtime_ns, latest))
        self.makings.append(making)


def _other(real: str, path: str) -> Facts:
    """Where a link leads."""
    return {"resolved": printable_path(real)} if os.path.islink(path) else {}


def _hashed(path: str, until: float) -> Facts:
    """Digest, size and time of change of a file, or why it has no digest."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            while block := file.read(_BLOCK):
                digest.update(block)
                if time.monotonic() > until:
                    return {"unread": DIGEST_PENDING, "size": before.st_size}
            after = os.fstat(file.fileno())
    except OSError as error:
        return {"unread": str(error)}
    facts: Facts = {"size": after.st_size, "modified": after.st_mtime_ns}
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        return facts | {"unread": CHANGED_WHILE_HASHED}
    return facts | {"sha256": digest.hexdigest()}


def _records(run: Run, kind: str, files: list[_Access]) -> Iterator[Facts]:
    """The records of what was read, or written: one a file, or a folder of many."""
    by_owner: dict[str, list[_Access]] = defaultdict(list)
    owners = _owners({file.path for file in files})
    for file in files:
        by_owner[owners[file.path]].append(file)
    for owner, members in by_owner.items():
        if owner == members[0].path:
            yield from (_file_record(kind, file) for file in members)
        else:
            yield _folder_record(run, kind, owner, members)


def _file_record(kind: str, file: _Access) -> Facts:
    facts = {"kind": "file", "path": printable_path(file.path)} | file.facts
    metadata: Facts = {"captured": True}
    if "resolved" in facts:
        metadata["resolved"] = facts.pop("resolved")
    return _made_record(kind, file.path, file.time_ns, facts, metadata)


def _folder_record(run: Run, kind: str, folder: str, members: list[_Access]) -> Facts:
    start = len(folder.rstrip("/")) + 1
    lines = sorted(
        (os.fsencode(file.path[start:]), str(file.facts["sha256"]))
        for file in members
        if "sha256" in file.facts
    )
    facts: Facts = {"kind": "folder", "path": printable_path(folder), "files": len(members)}
    facts["size"] = sum(file.facts.get("size", 0) for file in members)
    if len(lines) == len(members):
        facts["sha256"] = digest_manifest(lines)
    else:
        facts["unread"] = f"{len(members) - len(lines)} of its files have no digest"
    manifest = b"".join(sha256.encode() + b"  " + name + b"\n" for name, sha256 in lines)
    metadata: Facts = {"captured": True}
    try:
        metadata["manifest"] = write_captured(run.path, "files.sha256", manifest)["copy"]
    except OSError as error:
        metadata["manifest"] = str(error)
    times = [file.time_ns for file in members]
    time_ns = min(times) if kind == "dataset" else max(times)
    return _made_record(kind, folder, time_ns, facts, metadata)


def _made_record(kind: str, path: str, time_ns: int, content: Facts, metadata: Facts) -> Facts:
    here = os.getcwd().rstrip("/") + "/"
    name = path[len(here) :] if path.startswith(here) else path
    record: dict[str, Any] = {"record": kind, "time": time_ns, "name": printable_path(name or ".")}
    return record | {"context": None, "content": content, "metadata": metadata}


def _owners(paths: set[str]) -> dict[str, str]:
    """What stands for each file: itself, or a folder that has too many of them."""
    owners = {path: path for path in paths}
    for most in (MOST_IN_FOLDER, 30, 10, 3, 1):
        while True:
            held = Counter(os.path.dirname(owner) for owner in set(owners.values()))
            full = {folder for folder, count in held.items() if count > most and folder != "/"}
            if not full:
                break
            for path, owner in owners.items():
                folder = os.path.dirname(owner)
                if folder in full:
                    owners[path] = folder
        if len(set(owners.values())) <= MOST_ENTITIES:
            break
    return owners
