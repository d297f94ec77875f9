"""Reads the trace that a killed ``provml run`` left in a run's folder.

The trace is the output of strace about the command. The folder also contains the notes that the
killed process wrote while it read the trace. Reading the whole trace again does no harm, because a
file is recorded only once, even if several notes mention it.
"""

from __future__ import annotations

import os
from pathlib import Path

from provml.base import store_files
from provml.capture.files.access_log import AccessLog, NoteKind, list_access_logs, read_rules
from provml.capture.files.ignore_rules import IgnoreRules
from provml.capture.files.open_files import find_processes_with_inode
from provml.capture.files.trace_follower import TRACE_SUFFIX, AccessTracker
from provml.capture.files.trace_lines import TraceReader
from provml.journal import layout

_READ_BYTES = 2**20


def list_traces(run_folder: Path) -> list[Path]:
    """List the paths of the traces in a run's folder."""
    folder = run_folder / layout.JOURNAL_FOLDER
    try:
        entries = store_files.list_folder(store_files.store_root(run_folder), folder)
    except OSError:
        return []
    return [folder / e.name for e in entries if e.is_file and e.name.endswith(TRACE_SUFFIX)]


def is_still_traced(run_folder: Path, trace: Path) -> bool:
    """Return whether a process of this user still has a trace open.

    If so, strace may still write to the trace. Checks the open files of all processes of the user,
    which takes several milliseconds.
    """
    try:
        status = store_files.read_status(store_files.store_root(run_folder), trace)
    except OSError:
        return False
    return bool(find_processes_with_inode(status.st_dev, status.st_ino))


def note_rest_of_trace(run_folder: Path, trace: Path) -> int:
    """Write notes about all files in a trace to a new access log. Existing notes are kept.

    Returns the time at which the last process of the command ended, in nanoseconds since the epoch;
    0 if the trace does not contain that time.

    Raises OSError if the trace can't be read.
    """
    root = store_files.store_root(run_folder)
    rules, folder = _find_rules(run_folder, trace)
    command = trace.name[: trace.name.index("-") + 1]
    log = AccessLog(
        str(run_folder),
        command,
        lambda: ((NoteKind.RULES, rules.text()), (NoteKind.WORKING_FOLDER, folder)),
    )
    reader = TraceReader(folder)
    tracker = AccessTracker(log, rules, {}, live=False)
    with store_files.open_to_read(root, trace) as file:
        while block := file.read(_READ_BYTES):
            for call in reader.feed(block.replace(b"\0", b"")):
                tracker.follow(call)
        for call in reader.finish():
            tracker.follow(call)
    tracker.close()
    return reader.last_ns


def _find_rules(run_folder: Path, trace: Path) -> tuple[IgnoreRules, str]:
    """Return the ignore rules and the working folder of the killed command.

    If the command's notes contain no rules, returns the rules and folder of this process.
    """
    command = trace.name[: trace.name.index("-") + 1]
    for path in list_access_logs(run_folder, command):
        found = read_rules(path)
        if found is not None:
            return found, found.folder.rstrip("/") or "/"
    folder = os.getcwd()
    return IgnoreRules.for_this_process(str(run_folder), folder), folder
