"""How the scripts that joined a run ended, by what they recorded themselves.

Imports `joining`, `journal`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from provml.journal import layout
from provml.journal.files import list_writer_files
from provml.recording.joined_run import RUN_FINISHED, SOURCE


def read_script_ends(run_folder: Path) -> list[dict[str, Any]]:
    """How each `start_run` in a run that is not its own ended: status, reason, exception.

    Costs a pass over the lines that the run's processes wrote.
    """
    found: list[dict[str, Any]] = []
    for files in list_writer_files(run_folder):
        try:
            with open(files.events_path, "rb") as file:
                found += _endings(file)
        except OSError:
            continue
    return found


def _endings(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Those of one process."""
    name = f'"{RUN_FINISHED}"'.encode()
    while line := file.readline(layout.MAX_EVENT_LINE_BYTES + 1):
        if name not in line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if not isinstance(record, dict) or record.get("source") != SOURCE:
            continue
        metadata = record.get("metadata")
        if record.get("name") != RUN_FINISHED or not isinstance(metadata, dict):
            continue
        if metadata.get("status") in layout.END_STATUSES:
            yield metadata
