"""What a killed `provml run` left: notes of files, and what was printed; recorded afterwards.

Without it both lie in the run's folder and in no document. Imports `files`, `kept`, `joining`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from provml.base.settings import read_settings
from provml.capture.command.bounded_log import find_leftover_logs
from provml.capture.files import complete
from provml.capture.files.access_log import log_files, process_name
from provml.collect.content import describe_path
from provml.journal import layout
from provml.journal.reader import Journal
from provml.journal.recovery import lock_exclusively
from provml.recording.joined_run import join_run
from provml.recording.run import Run

_RING: Final = "the last of it, going round: what stands first may have come last"


def record_leftovers(run_folder: Path) -> list[str]:
    """Record what is left of a run that crashed; a line for people for each thing. Twice, or
    two at a time, is once.

    Costs a pass over the files that the run's processes opened. Where one of these lives, all is
    left for a later call. A file that was changed since the run's end has no digest.

    Raises StoreError, OSError: it can't be recorded; a later call goes on.
    """
    with lock_exclusively(run_folder / layout.JOURNAL_FOLDER):
        return _record_left(run_folder)


def _record_left(run_folder: Path) -> list[str]:
    notes, streams = log_files(run_folder), find_leftover_logs(run_folder)
    if not (notes or streams) or any(map(_lives, notes)):
        return []
    ended_ns = Journal(run_folder).state().ended_ns
    settings = read_settings()._replace(joined_run=str(run_folder))
    run = join_run(settings, Run)
    told = []
    try:
        for name, files in streams:
            for file in files:
                _record(run, file)
            files[0].parent.rmdir()
            told.append(f"{name}: recorded what was printed")
        if notes:
            complete(run, until_ns=ended_ns)
            told.append(f"files: recorded what {len(notes):,} notes of processes say")
    finally:
        run.end_run()
    return told


def _lives(notes: Path) -> bool:
    try:
        os.kill(process_name(notes), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _record(run: Run, file: Path) -> None:
    """Record a file of what was printed; its place is the copy's, so it goes away."""
    record: dict[str, Any] = {"record": "artifact", "name": file.name, "context": None}
    if file.suffix == ".end":
        record["metadata"] = {"order": _RING}
    content = describe_path(str(file), run.path, True)
    content.pop("path", None)
    run._append({**record, "step": None, "epoch": None, "time": time.time_ns(), "content": content})
    file.unlink()
