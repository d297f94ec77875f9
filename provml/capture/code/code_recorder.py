"""Copies and records the code and configuration files that a command's processes used.

Each process writes a note about every file that it uses, with the file's digest. A file is copied
only if it still has this digest. So a copy always has the content that the process used.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from provml.base import store_files
from provml.capture.code.code_notes import CodeNote, list_code_notes, read_code_notes
from provml.collect.code_files import (
    MAX_FILE_BYTES,
    OPENED,
    CodeFile,
    CodeFolder,
    ProjectFiles,
    find_copy_path,
    mask_copy,
    read_code_file,
)
from provml.collect.used_code import (
    BEYOND_LIMIT,
    MAX_FILES,
    MAX_FILES_PER_FOLDER,
    has_changed,
    read_named_files,
)
from provml.recording.code_log import (
    BEYOND_COPIES,
    CODE_LEFT_OUT,
    MAX_COPIED_BYTES,
    NOT_COPIED,
    build_code_record,
)
from provml.recording.joined_run import SOURCE
from provml.recording.run import Run

CHANGED: Final = "it changed before it was copied"

_FIRST_WAIT_S: Final = 0.25
_LONGEST_WAIT_S: Final = 5.0


class CodeRecorder:
    """Copies the files named in the notes of a command's processes, and records them at the end."""

    def __init__(
        self, run: Run, command: str, script: str | None, arguments: Sequence[str] = ()
    ) -> None:
        """Prepare the recording. Call `start` to copy files in the background.

        Args:
            run: the run, which this process must have opened.
            command: read only the notes of processes with this value of ``PROVML_COMMAND``; if
                empty, read all notes.
            script: the path of the script; None if it is unknown.
            arguments: the arguments of the script. Files named in the arguments count as used.
        """
        self._run = run
        self._command = command
        self._project = ProjectFiles(script, run.path)
        self._arguments = arguments
        self._named: dict[str, CodeFile] = {}
        self._records: dict[tuple[str, object], dict[str, Any]] = {}
        self._read: Counter[Path] = Counter()
        self._left_out: dict[Path, dict[str, int]] = {}
        self._opened: dict[str, set[str]] = {}
        self._copied_bytes = 0
        self._uncopied: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def read_named(self) -> None:
        """Read the files that are named in the arguments. Call this before the command starts.

        The command may overwrite such a file. In that case, the file does not count as code.
        """
        for file in read_named_files(self._project, self._arguments):
            self._named[file.path] = file

    def start(self) -> None:
        """Start copying files in a background thread.

        The thread copies each file soon after a process has used it, so that few files change
        before they are copied.
        """
        self._thread = threading.Thread(target=self._follow, name="provml-code", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Record all files and the number of files left out, and remove the notes."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._poll()
        with CodeFolder(self._run.path) as folder:
            for file in self._named.values():
                if not has_changed(file):  # otherwise, the command wrote the file
                    self._keep(file, folder)
        records = [record for key, record in self._records.items() if not self._is_data(key)]
        self._run._append_all(sorted(records, key=lambda record: record["time"]))
        counts: Counter[str] = Counter(self._uncopied)
        for of_process in self._left_out.values():
            counts.update(of_process)
        if counts:
            self._run.log_event(CODE_LEFT_OUT, source=SOURCE, metadata=dict(counts))
        for path in list_code_notes(self._run.path, self._command):
            store_files.remove_file(store_files.store_root(self._run.path), path)

    def _follow(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stop.wait(wait_s):
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            self._poll()

    def _poll(self) -> None:
        """Copy the files that are named in new notes."""
        with CodeFolder(self._run.path) as folder:
            for path in list_code_notes(self._run.path, self._command):
                try:
                    notes = list(read_code_notes(path))
                except OSError:
                    continue
                for note in notes[self._read[path] :]:
                    if isinstance(note, dict):
                        self._left_out[path] = note  # the last note has the latest numbers
                    else:
                        self._take(note, folder)
                self._read[path] = len(notes)

    def _take(self, note: CodeNote, folder: CodeFolder) -> None:
        file = note.file
        if file.found_by == OPENED:
            self._opened.setdefault(os.path.dirname(file.path), set()).add(file.path)
        named = self._named.pop(file.path, None)
        if named is not None and _key(named) == _key(file):
            self._keep(named, folder)
        if _key(file) in self._records:
            return
        if len(self._records) >= MAX_FILES:
            self._uncopied[BEYOND_LIMIT] += 1
            return
        now = read_code_file(file.path, file.role, file.found_by, file.time_ns)
        if now is not None and now.content is not None and _is_as_noted(now, note):
            file = file._replace(content=now.content)
        self._keep(file, folder)

    def _keep(self, file: CodeFile, folder: CodeFolder) -> None:
        """Copy a file, and build its record."""
        size = len(file.content or b"")
        if self._copied_bytes + size > MAX_COPIED_BYTES:
            self._uncopied[BEYOND_COPIES] += 1
            file = file._replace(content=None)
        else:
            self._copied_bytes += size
        record = build_code_record(self._project.name_file(file.path), file, folder)
        if file.content is None and "sha256" in file.facts:
            self._find_copy(file, record["content"], folder)
        self._records[_key(file)] = record

    def _find_copy(self, file: CodeFile, content: dict[str, Any], folder: CodeFolder) -> None:
        """Look for an existing copy of a file that can't be copied now.

        An earlier attempt of the run may have made the copy. If there is no copy, count the file,
        with the reason why it was not copied.
        """
        copy = find_copy_path(file.path, file.facts["sha256"])
        if folder.has_copy(copy):
            content["copy"] = copy
        elif file.facts.get("size", 0) > MAX_FILE_BYTES:
            self._uncopied[NOT_COPIED] += 1
        else:
            self._uncopied[CHANGED] += 1

    def _is_data(self, key: tuple[str, object]) -> bool:
        """Return whether a file counts as data, because many files in its folder were opened."""
        is_opened = self._records[key]["found_by"] == OPENED
        folder = os.path.dirname(key[0])
        return is_opened and len(self._opened.get(folder, ())) > MAX_FILES_PER_FOLDER


def _key(file: CodeFile) -> tuple[str, object]:
    return file.path, file.facts.get("sha256") or file.facts.get("unread")


def _is_as_noted(now: CodeFile, note: CodeNote) -> bool:
    """Return whether a file still has the digest in its note."""
    noted = note.file.facts.get("sha256")
    if noted is not None:
        return bool(now.facts.get("sha256") == noted)
    return note.copy_sha256 is not None and mask_copy(now)[1] == note.copy_sha256
