"""Reads the copies that a run kept of files and of its command's output.

Imports only `base`, `errors` and `journal.layout` from provml.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, Final

from provml.base.store_files import is_file, list_folder, open_to_read, store_root
from provml.base.text import printable
from provml.errors import StoreError
from provml.journal import layout

OUTPUT_NAMES: Final = ("stderr", "output", "stdout")
"""The artifacts that hold a command's output. After a failure, the first is the most useful."""

_TAIL_BYTES: Final = 16 * 1024


def copy_path(run_folder: Path, facts: dict[str, Any]) -> Path | None:
    """Return the path of the copy that a record describes, or None if the run kept no copy.

    Args:
        run_folder: the run's folder.
        facts: the record's description of the content. Its field ``copy`` is the path of the copy,
            relative to the run's folder.
    """
    copy = facts.get("copy")
    if not isinstance(copy, str):
        return None
    own = Path(os.path.abspath(run_folder))
    path = Path(os.path.normpath(own / copy))
    return path if path.is_relative_to(own) and path != own else None


def open_copy(run_folder: Path, path: Path) -> BinaryIO:
    """Open a copy for reading bytes.

    Raises OSError or StoreError if the copy is missing, a link, or not a regular file.
    """
    return open_to_read(store_root(run_folder), path)


def read_last_lines(run_folder: Path, path: Path, most: int) -> list[str]:
    """Return the last lines of a copy that are not blank, in a form that is safe to print.

    Returns an empty list if the copy can't be read. If a progress bar overwrote a line several
    times, only the last state of the line is returned. Costs one read of 16 KiB.

    Args:
        most: the maximum number of lines.
    """
    try:
        with open_copy(run_folder, path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            content = file.read(_TAIL_BYTES)
    except (OSError, StoreError, ValueError):
        return []
    if size > len(content):
        content = content.partition(b"\n")[2] or content  # the first line may be incomplete
    lines = [_visible_line(line) for line in content.split(b"\n")]
    return [line for line in lines if line.strip()][-most:]


def _visible_line(line: bytes) -> str:
    """Return the part of a line that stays visible: the text after the last carriage return."""
    shown = line.rstrip(b"\r").rpartition(b"\r")[2]
    return printable_line(shown.decode("utf-8", "replace"))


def printable_line(line: str) -> str:
    """Escape the control characters in a line, except for tabs, which become spaces."""
    return printable(line.expandtabs())


def find_unfinished_logs(run_folder: Path) -> list[tuple[str, list[Path]]]:
    """Return the name and the files of each unfinished log of printed output.

    These are the logs of a command that is still running, or whose ``provml run`` was killed. If a
    log has two files, the second is a ring buffer that contains the end of the output.
    """
    root, artifacts = store_root(run_folder), run_folder / layout.ARTIFACTS_FOLDER
    try:
        entries = list_folder(root, artifacts)
    except OSError:
        return []
    found = []
    for entry in entries:
        name, *suffixes = entry.name.rsplit("-", 2)
        if entry.is_folder and len(suffixes) == 2:
            files = (artifacts / entry.name / name, artifacts / entry.name / f"{name}.end")
            there = [file for file in files if is_file(root, file)]
            if there:
                found.append((name, there))
    return found
