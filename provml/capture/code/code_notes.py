"""Writes and reads the notes about the code and configuration files that one process uses.

The notes are in log files like those of `files.access_log`, but with the suffix ``.sources``. A
note about a file is a JSON object with the file's path, role and digest; see `CodeNote`. Other
notes contain the number of files that were left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from provml.base import store_files
from provml.base.text import is_unicode
from provml.capture.files.access_log import MAX_LOG_BYTES, AccessLog, list_access_logs
from provml.capture.outer_run import note_missed
from provml.capture.state import STATE
from provml.collect.code_files import CONFIGURATION, SOURCE_CODE, CodeFile, ProjectFiles, mask_copy
from provml.collect.code_watch import WATCH, UsedFile
from provml.collect.source import find_script
from provml.collect.used_code import UsedCode
from provml.journal import layout

CODE_NOTES_SUFFIX: Final = ".sources"
_FILE: Final = "S"
_LEFT_OUT: Final = "L"
_MAX_NOTES: Final = 5000


class CodeNote(NamedTuple):
    """A note that a process used a code or configuration file.

    Attributes:
        file: the file, without its content.
        copy_sha256: if the file's own digest must stay secret, the digest of the copy in which the
            secrets are masked; otherwise None.
    """

    file: CodeFile
    copy_sha256: str | None


class _CodeNotes:
    """Writes the notes about the code that this process uses."""

    def __init__(self) -> None:
        self._log: AccessLog | None = None
        self._used: UsedCode | None = None
        self._run_folder = ""
        self._has_script = False

    def start(self, run_folder: str, command: str) -> None:
        """Start writing notes about the files that this process uses.

        The first note creates the log file.
        """
        if self._log is None:
            self._log = AccessLog(run_folder, command, lambda: (), CODE_NOTES_SUFFIX)
            self._run_folder = run_folder
            self._used = UsedCode(ProjectFiles(None, run_folder), self._write)
            WATCH.install()
            WATCH.listener = self._take
            self._used.start(())

    def after_fork_in_child(self) -> None:
        """Continue in a new log file, because this process is a forked child."""
        if self._log is not None:
            self._log.restart()

    def _take(self, file: UsedFile) -> None:
        used = self._used
        if used is None:
            return
        try:
            if not self._has_script:  # unknown until Python starts the script
                script = find_script()
                if script is not None:
                    self._has_script = True
                    used.project = ProjectFiles(script, self._run_folder)
            before = used.left_out.total()
            used.take(file)
            if used.left_out.total() != before and self._log is not None:
                self._log.add(_LEFT_OUT, json.dumps(used.left_out))
        except Exception as error:
            note_missed("code", error)

    def _write(self, file: CodeFile) -> None:
        if self._log is None:
            return
        content = {"path": file.path, "role": file.role, "found_by": file.found_by}
        facts = dict(file.facts)
        if file.content is not None and "sha256" not in facts:
            facts["copy_sha256"] = mask_copy(file)[1]
        self._log.add(_FILE, json.dumps(content | {"time": file.time_ns, "facts": facts}))


def start_notes(run_folder: str, command: str) -> None:
    """Start writing notes about the code and configuration that this process uses. Idempotent."""
    STATE.part(_CodeNotes).start(run_folder, command)


def list_code_notes(run_folder: Path, command: str = "") -> list[Path]:
    """List the files that contain code notes in a run's folder; see `list_access_logs`."""
    return list_access_logs(run_folder, command, CODE_NOTES_SUFFIX)


def read_code_notes(path: Path) -> Iterator[CodeNote | dict[str, int]]:
    """Yield the notes in one of the files that `list_code_notes` lists.

    A note about files that were left out is a dict: it maps each reason to the number of files left
    out for this reason. Damaged notes are skipped. Raises OSError if the file can't be read.
    """
    root = store_files.store_root(path.parent.parent)
    content = store_files.read_file(root, path, MAX_LOG_BYTES)
    for part in content.rstrip(b"\0").split(b"\0")[:_MAX_NOTES]:
        kind, text = part[:1], part.partition(b" ")[2]
        try:
            fields = json.loads(text)
            if kind == _FILE.encode():
                yield _parse_note(fields)
            elif kind == _LEFT_OUT.encode():
                yield {str(reason): int(count) for reason, count in fields.items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue


def _parse_note(fields: dict[str, Any]) -> CodeNote:
    """Create a note from the fields of its JSON object.

    Raises ValueError, TypeError or KeyError if a field is missing or invalid.
    """
    path, role, found_by = (fields[key] for key in ("path", "role", "found_by"))
    facts, time_ns = fields["facts"], fields["time"]
    os.fsencode(path)
    is_known = role in (SOURCE_CODE, CONFIGURATION) and is_unicode(found_by)
    if path[:1] != "/" or "\0" in path or not is_known:
        raise ValueError(
            f"invalid code note for {path!r:.80}: check its path, role ({role!r:.40}) and finder "
            f"({found_by!r:.40})"
        )
    known: dict[str, Any] = {}
    for key, kind in (("sha256", str), ("size", int), ("modified", int), ("unread", str)):
        if isinstance(facts.get(key), kind):
            known[key] = facts[key]
    if not isinstance(time_ns, int) or not 0 < time_ns <= layout.MAX_INT64:
        raise ValueError(f"the time of a code note must be in nanoseconds, not {time_ns!r:.80}")
    copy = facts.get("copy_sha256")
    file = CodeFile(path, role, found_by[:40], time_ns, known, None)
    return CodeNote(file, copy if isinstance(copy, str) else None)
