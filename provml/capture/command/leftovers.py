"""Records what a killed ``provml run`` left behind: notes about files and code, and printed output.

The notes and the printed output are in files in the run's folder. The run's documents do not
describe these files, code and output until this module has recorded them.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any, Final

from provml.base import store_files
from provml.base.settings import COMMAND_VARIABLE, read_settings
from provml.capture.code.code_notes import list_code_notes
from provml.capture.code.code_recorder import CodeRecorder
from provml.capture.files import record_files
from provml.capture.files.access_log import list_access_logs, read_process_id
from provml.capture.files.trace_recovery import (
    is_still_traced,
    list_traces,
    note_rest_of_trace,
)
from provml.collect.content import describe_path
from provml.journal import layout
from provml.journal.history import read_records
from provml.journal.kept_copies import find_unfinished_logs
from provml.journal.process import is_zombie, ran_here, read_start_time_ns
from provml.journal.reader import Journal
from provml.journal.recovery import lock_journal
from provml.recording.joined_run import join_run
from provml.recording.run import Run

_CLOCK_LAG_NS: Final = 50_000_000
"""The maximum difference between a file's modification time and the time of the same write in a
trace."""
_START_LAG_NS: Final = 2_000_000_000
"""The maximum error of the start time that `read_start_time_ns` returns."""
_MAX_ENVIRONMENT_BYTES: Final = 2**20
_RING_ORDER: Final = "a ring buffer: the first bytes in the file may be the last ones printed"


def record_leftovers(run_folder: Path) -> list[str]:
    """Record what a killed run left in its folder. Idempotent, and safe to call concurrently.

    Computes the digest of each file that the run's processes opened. Files that have changed since
    the run ended get no digest. If one of the processes is still running, this function records
    nothing, and must be called again later. The notes of a command that ran on another machine or
    in another container stay in the folder, because paths and process ids have another meaning
    here.

    Returns:
        Messages that say which printed output and which notes were recorded, and which notes stay
        in the folder.

    Raises:
        StoreError, OSError: some notes or output can't be recorded. Call this function again to
            record the rest.
    """
    with lock_journal(run_folder):
        return _record_all(run_folder)


def _record_all(run_folder: Path) -> list[str]:
    run_folder = Path(os.path.abspath(run_folder))
    root, artifacts = store_files.store_root(run_folder), run_folder / layout.ARTIFACTS_FOLDER
    notes = list_access_logs(run_folder)
    traces, code_notes = list_traces(run_folder), list_code_notes(run_folder)
    streams = find_unfinished_logs(run_folder) if store_files.is_folder(root, artifacts) else []
    messages = []
    if (notes or traces or code_notes) and not _ran_here(run_folder):
        messages.append(
            f"files: the notes of {max(len(notes), len(code_notes)):,} processes were not "
            "recorded, because the processes ran on another machine or in another container: "
            "run this command there"
        )
        notes = traces = code_notes = []
    every = [*notes, *traces, *code_notes]
    if not (every or streams) or any(map(_is_running, every)):
        return messages
    if any(is_still_traced(run_folder, trace) for trace in traces):
        return messages
    ended_ns = Journal(run_folder).state().ended_ns
    settings = read_settings()._replace(joined_run=str(run_folder))
    run = join_run(settings, Run)
    try:
        for name, files in streams:
            for file in files:
                _record_printed(run, file)
                store_files.remove_file(root, file)
            store_files.remove_empty_folder(root, files[0].parent)
            messages.append(f"{name}: recorded the printed output")
        for trace in traces:  # the command may have gone on after `provml run` was killed
            ended_ns = max(ended_ns or 0, note_rest_of_trace(run_folder, trace) + _CLOCK_LAG_NS)
        if code_notes:
            CodeRecorder(run, "", _find_script(run_folder)).finish()
            messages.append(f"code: recorded the notes of {len(code_notes):,} processes")
        if notes or traces:
            record_files(run, until_ns=ended_ns)
            messages.append(f"files: recorded the notes of {len(notes):,} processes")
            for trace in traces:
                store_files.remove_file(root, trace)
    finally:
        run.end_run()
    return messages


def _find_script(run_folder: Path) -> str | None:
    """Return the path of the script that the run recorded when it started, or None."""
    for record in read_records(Journal(run_folder), "start"):
        script = record.get("script")
        path = script.get("path") if isinstance(script, dict) else None
        if isinstance(path, str) and path[:1] == "/" and "\0" not in path:
            return path
    return None


def _ran_here(run_folder: Path) -> bool:
    owners = [
        writer
        for writer in (files.first_record() for files in Journal(run_folder).writers)
        if writer.get("role") == "owner"
    ]
    return bool(owners) and ran_here(owners[-1])


def _is_running(notes: Path) -> bool:
    """Return whether the process that wrote a file of notes is still running.

    A zombie, which is an ended process that its parent has not waited for, counts as ended.
    """
    try:
        pid = read_process_id(notes)
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return not is_zombie(pid) and not _is_other_process(pid, notes)


def _is_other_process(pid: int, notes: Path) -> bool:
    """Return whether a process is not the one that wrote a file of notes, but only has the same id.

    The system reuses the ids of ended processes. The process is another one if it started after the
    file of notes was begun, and does not belong to the command of the notes. The start time alone
    is not enough, because the clock may have been adjusted.
    """
    name = re.match(r"(.*?)(\d{20})-", notes.name, re.DOTALL)
    started_ns = read_start_time_ns(pid)
    if name is None or started_ns is None or started_ns <= int(name[2]) + _START_LAG_NS:
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read(_MAX_ENVIRONMENT_BYTES).split(b"\0")
    except OSError:
        return False
    return f"{COMMAND_VARIABLE}={name[1]}".encode() not in variables


def _record_printed(run: Run, file: Path) -> None:
    """Record a file of printed output as an artifact, with a copy in the run's folder."""
    record: dict[str, Any] = {"record": "artifact", "name": file.name, "context": None}
    if file.suffix == ".end":
        record["metadata"] = {"order": _RING_ORDER}
    content = describe_path(str(file), run.path, True)
    content.pop("path", None)
    run._append({**record, "step": None, "epoch": None, "time": time.time_ns(), "content": content})
