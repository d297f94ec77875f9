"""Turns the notes of a run's processes into records of the files that the run used and generated.

- A file that was read before it was written counts as used. Its record has the digest of the
  content that was read. If the file was overwritten, moved or removed, that digest is in the notes;
  otherwise this module computes the digest. If another program has changed the file in the
  meantime, the record has no digest.
- A file that was written and still exists counts as generated. Its record describes the current
  content, and has the time of the last change.
- A file that was written and then removed is only counted.
- A file that was opened for writing but not changed does not count as generated.
- A file that a process of the run wrote does not count as used if it is read later.
- If more than `MAX_FILES_PER_FOLDER` files in a folder must be recorded, one record of the folder
  represents all these files. The run keeps a manifest, which lists the files with their digests,
  and the folder's digest is that of the manifest. The same rule merges folders into their parent
  folder.
- A file that the script itself has logged under the same path is not recorded again.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, Final

from provml.base import store_files
from provml.base.file_events import FILES_CAPTURED as CAPTURED
from provml.base.file_events import FILES_LEFT_OUT
from provml.base.text import printable_path
from provml.capture.files.access_history import OVERWRITTEN as OVERWRITTEN
from provml.capture.files.access_history import Access, AccessHistory, FileAccess
from provml.capture.files.access_log import (
    AccessNote,
    LeftOut,
    NoteKind,
    list_access_logs,
    read_access_log,
)
from provml.capture.files.hashing_limits import HashingLimits
from provml.collect.content import Facts, digest_manifest, manifest_line, write_manifest
from provml.collect.hashing import DIGEST_PENDING
from provml.collect.secrets import is_secret_file
from provml.collect.user_files import CHANGED_WHILE_HASHED, open_user_file
from provml.journal.journal_folder import list_writer_files
from provml.recording.joined_run import SOURCE
from provml.recording.run import Run

PROGRAM: Final = "program"
"""The role of an input if the input is a program or shell script that the command executed."""
MAX_FILES_PER_FOLDER: Final = 100
MAX_MOVED_FOLDERS: Final = 10_000
"""The maximum number of folders to examine in a moved folder, and of files in each of them."""
MAX_ENTITIES: Final = 300
"""The number of records to aim for, separately for the files used and the files generated. If there
would be more records, the limit of files per folder is lowered in steps, down to one."""
SECRET: Final = "its name says that it holds secrets"
CHANGED_SINCE: Final = "it changed after it was opened, before it was hashed"

_DIGEST_BLOCK_BYTES: Final = 2**20
_CLOCK_LAG_NS: Final = 50_000_000
"""The maximum time by which a file system's timestamps may lag behind the clock."""
_MAX_THREADS: Final = 4


def record_accesses(
    run: Run,
    command: str,
    wait_s: float | None,
    until_ns: int | None,
    named: Container[str] = (),
) -> None:
    """Record the files named in a run's notes; see `provml.capture.files.record_files`."""
    paths = list_access_logs(run.path, command)
    if not paths:
        return
    history = AccessHistory()
    left_out: LeftOut = {}
    notes, beyond = _read_all_notes(paths, named, left_out)
    history.follow(notes)
    until = time.monotonic() + (run._folder.settings.hash_wait_s if wait_s is None else wait_s)
    started_ns = min((note.time_ns for note in notes), default=0)
    root = store_files.store_root(run.path)
    limits = None if until_ns is None else HashingLimits(root, paths)
    findings = _FileFindings(_LoggedPaths(run), until, started_ns, until_ns, limits)
    _settle_files(findings, history)
    findings.uses += [use for use in history.ended if not findings.is_logged(use)]
    for use in findings.uses:
        if is_secret_file(use.path):  # don't record a digest from the notes
            use.facts = {"unread": SECRET}
    counts = {
        "used": len(findings.uses),
        "generated": len(findings.writings),
        "removed again": history.removed + findings.removed,
        "not there at the end": findings.gone,
        "beyond the most": beyond,
        "without digest": sum("sha256" not in f.facts for f in findings.all()),
    }
    metadata = {name: count for name, count in counts.items() if count}
    records = [
        *_build_records(run, "dataset", [use for use in findings.uses if not use.is_program]),
        *_build_records(run, "input", [use for use in findings.uses if use.is_program]),
        *_build_records(run, "artifact", findings.writings),
    ]
    # sort by time: of several files with the same name, the file used first must come first
    run._append_all(sorted(records, key=lambda record: record["time"]))
    run.log_event(CAPTURED, source=SOURCE, metadata=metadata)
    if left_out:
        reasons = dict(sorted(Counter(left_out.values()).items()))
        run.log_event(FILES_LEFT_OUT, source=SOURCE, metadata=reasons)
    for path in paths:
        store_files.remove_file(store_files.store_root(run.path), path)


def _settle_files(findings: _FileFindings, history: AccessHistory) -> None:
    """Examine and hash the files, in several threads. Hashing releases the GIL."""
    if not history.files:
        return
    from concurrent.futures import ThreadPoolExecutor

    threads = min(_MAX_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, "provml-files") as pool:
        for _ in pool.map(findings.settle, history.files.items()):
            pass


def _read_all_notes(
    paths: list[Path], named: Container[str], left_out: LeftOut
) -> tuple[list[AccessNote], int]:
    """Return the notes of all processes, sorted by time, and the number of files not noted.

    For the arguments ``named`` and ``left_out``, see `read_access_log`.
    """
    notes: list[AccessNote] = []
    beyond: dict[str, int] = {}
    for path in paths:
        process = path.name.partition(".")[0]
        try:
            for note in read_access_log(path, named, left_out):
                if note.kind != NoteKind.NOT_NOTED:
                    notes.append(note)
                elif note.field.isdecimal():
                    # a process repeats this note with growing counts, so only the largest matters
                    beyond[process] = max(beyond.get(process, 0), int(note.field))
        except OSError:
            continue
    notes.sort(key=lambda note: note.time_ns)
    return notes, sum(beyond.values())


class _LoggedPaths:
    """The paths of the files and folders that the run has already recorded.

    Attributes:
        used: the paths of datasets, other inputs, code and configuration.
        made: the paths of artifacts and models.
        digests: the path and SHA-256 of each artifact and model.
        folders: the paths of folders that the script has logged.
    """

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
        if record["record"] in ("dataset", "input", "code"):
            self.used.add(path)
        elif record["record"] in ("artifact", "model"):
            self.made.add(path)
            self.digests.add((path, str(content.get("sha256"))))
        else:
            return
        if content.get("kind") == "folder" and "captured" not in (record.get("metadata") or {}):
            self.folders.add(path)

    def has_folder(self, path: str) -> bool:
        """Return whether the script has logged a folder that contains this path."""
        return bool(self.folders) and any(path.startswith(f"{f}/") for f in self.folders)


class _FileFindings:
    """The files to record, collected by examining the current state of each file.

    Attributes:
        uses: the files that count as used.
        writings: the files that count as generated.
        removed: the number of files that were written but no longer exist.
        gone: the number of files that were read, no longer exist and have no digest.
    """

    def __init__(
        self,
        logged: _LoggedPaths,
        until: float,
        started_ns: int,
        until_ns: int | None,
        limits: HashingLimits | None,
    ) -> None:
        self._logged = logged
        self._until = until
        self._started_ns = started_ns
        self._until_ns = until_ns
        self._limits = limits
        self.uses: list[Access] = []
        self.writings: list[Access] = []
        self.removed = 0
        self.gone = 0

    def all(self) -> Iterator[Access]:
        """Yield the files used and the files generated."""
        yield from self.uses
        yield from self.writings

    def is_logged(self, use: Access) -> bool:
        """Return whether the script itself has logged a file or a folder that contains the file."""
        path, logged = printable_path(use.path), self._logged
        return path in logged.used or path in logged.made or logged.has_folder(path)

    def settle(self, item: tuple[str, FileAccess]) -> None:
        """Examine and hash one file, and add it to the files to record. Thread-safe."""
        real, file = item
        use, writing = file.use, file.writing
        try:
            status = os.stat(real)
        except (OSError, ValueError):
            self.removed += writing is not None
            if use is not None and use.facts:
                self.uses.append(use)
            else:
                self.gone += use is not None
            return
        if stat.S_ISDIR(status.st_mode) and file.source is not None:
            self._settle_folder(real, file)
            return
        if not stat.S_ISREG(status.st_mode):
            return
        changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
        if writing is not None and writing.keeps and changed_ns < writing.time_ns - _CLOCK_LAG_NS:
            writing = None
        if use is not None and not self.is_logged(use):
            if not use.facts:
                is_as_read = writing is None and changed_ns <= use.time_ns
                use.facts = self._hash(real, status) if is_as_read else {"unread": CHANGED_SINCE}
            use.facts |= _describe_link(real, use.path)
            self.uses.append(use)
        if writing is not None:
            self._settle_writing(real, writing, status, use)
            if file.source is not None and use is None:
                self._settle_source(file.source, writing, status)

    def _hash(self, real: str, status: os.stat_result) -> Facts:
        """Return a file's digest, or the reason why there is none; see `_hash_file`."""
        reason = None if self._limits is None else self._limits.find_reason(status)
        # check the real path too, because the script may have used a link with another name
        if reason is None and is_secret_file(real):
            reason = SECRET
        return _hash_file(real, self._until) if reason is None else {"unread": reason}

    def _settle_folder(self, real: str, folder: FileAccess) -> None:
        """Examine the files in a folder that was moved before any of its files was opened."""
        writing, source = folder.writing, folder.source
        if writing is None or source is None:
            return
        for number, (parent, _, names) in enumerate(os.walk(real)):
            if number >= MAX_MOVED_FOLDERS:
                return
            for name in names[:MAX_MOVED_FOLDERS]:
                own = os.path.join(parent, name)
                inner = own[len(real) :]
                made = Access(writing.path + inner, writing.time_ns)
                moved = Access(source.path + inner, source.time_ns)
                self.settle((own, FileAccess(writing=made, source=moved)))

    def _settle_source(self, source: Access, writing: Access, status: os.stat_result) -> None:
        """Count the old path of a moved file as used, with the digest of the file at the new path.

        Do nothing if the file was changed after the run had started.
        """
        if status.st_mtime_ns < self._started_ns and not self.is_logged(source):
            source.facts = dict(writing.facts)
            self.uses.append(source)

    def _settle_writing(
        self, real: str, writing: Access, status: os.stat_result, use: Access | None
    ) -> None:
        path = printable_path(writing.path)
        if is_secret_file(writing.path):
            writing.facts = {"unread": SECRET}
        elif self._until_ns is not None and status.st_mtime_ns > self._until_ns:
            writing.facts = {"unread": CHANGED_SINCE}
        else:
            writing.facts = self._hash(real, status)
        sha256 = writing.facts.get("sha256")
        if writing.keeps and use is not None and sha256 and use.facts.get("sha256") == sha256:
            return  # the file was opened for writing but not changed
        if (path, sha256) in self._logged.digests or self._logged.has_folder(path):
            return
        writing.facts |= _describe_link(real, writing.path)
        latest = self._until_ns or time.time_ns()
        writing.time_ns = max(writing.time_ns, min(status.st_mtime_ns, latest))
        self.writings.append(writing)


def _describe_link(real: str, path: str) -> Facts:
    """If ``path`` is a link, return its target, ``real``, as a fact; otherwise return no facts."""
    return {"resolved": printable_path(real)} if os.path.islink(path) else {}


def _hash_file(path: str, until: float) -> Facts:
    """Return a file's digest, size and modification time, or the reason why there is no digest.

    Args:
        path: the path of the file.
        until: the value of `time.monotonic` at which to give up.
    """
    digest = hashlib.sha256()
    try:
        with open_user_file(path) as file:
            before = os.fstat(file.fileno())
            while block := file.read(_DIGEST_BLOCK_BYTES):
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


def _build_records(run: Run, kind: str, files: list[Access]) -> Iterator[Facts]:
    """Yield the records of files used or generated: one for each file, or one for a whole folder.

    Args:
        run: the run that keeps the manifests.
        kind: ``dataset`` for files used, ``input`` for programs that were executed, ``artifact``
            for files generated.
        files: the files.
    """
    by_owner: dict[str, list[Access]] = defaultdict(list)
    owners = _choose_entities({file.path for file in files})
    for file in files:
        by_owner[owners[file.path]].append(file)
    for owner, members in by_owner.items():
        if owner == members[0].path:
            yield from (_build_file_record(kind, file) for file in members)
        else:
            yield _build_folder_record(run, kind, owner, members)


def _build_file_record(kind: str, file: Access) -> Facts:
    facts = {"kind": "file", "path": printable_path(file.path)} | file.facts
    metadata: Facts = {"captured": True}
    if "resolved" in facts:
        metadata["resolved"] = facts.pop("resolved")
    return _build_record(kind, file.path, file.time_ns, facts, metadata)


def _build_folder_record(run: Run, kind: str, folder: str, members: list[Access]) -> Facts:
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
    manifest = b"".join(manifest_line(sha256, name) for name, sha256 in lines)
    facts |= write_manifest(run.path, manifest)
    metadata: Facts = {"captured": True}
    times = [file.time_ns for file in members]
    time_ns = max(times) if kind == "artifact" else min(times)
    return _build_record(kind, folder, time_ns, facts, metadata)


def _build_record(kind: str, path: str, time_ns: int, content: Facts, metadata: Facts) -> Facts:
    here = os.getcwd().rstrip("/") + "/"
    name = path[len(here) :] if path.startswith(here) else path
    record: dict[str, Any] = {"record": kind, "time": time_ns, "name": printable_path(name or ".")}
    if kind == "input":
        record["role"] = PROGRAM
    return record | {"context": None, "content": content, "metadata": metadata}


def _choose_entities(paths: set[str]) -> dict[str, str]:
    """Map each path to the path to record: the same path, or the path of a folder above it."""
    owners = {path: path for path in paths}
    for most in (MAX_FILES_PER_FOLDER, 30, 10, 3, 1):
        while True:
            held = Counter(os.path.dirname(owner) for owner in set(owners.values()))
            full = {folder for folder, count in held.items() if count > most and folder != "/"}
            if not full:
                break
            for path, owner in owners.items():
                folder = os.path.dirname(owner)
                if folder in full:
                    owners[path] = folder
        if len(set(owners.values())) <= MAX_ENTITIES:
            break
    return owners
