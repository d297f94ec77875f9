"""Reads how the scripts in a run ended, from what they recorded themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from provml.journal import layout
from provml.journal.files import list_writer_files
from provml.recording.joined_run import RUN_FINISHED, SOURCE


def read_script_ends(run_folder: Path) -> list[dict[str, Any]]:
    """Return how each script that joined the run by `start_run` ended: status, reason, exception.

    Reads all events of the run once.
    """
    found: list[dict[str, Any]] = []
    for files in list_writer_files(run_folder):
        try:
            with open(files.events_path, "rb") as file:
                found += _find_ends(file)
        except OSError:
            continue
    return found


def _find_ends(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield the ends that one process recorded."""
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
