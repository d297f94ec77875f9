"""Describes a run's other files, and restores removed files, when a writer closes its files.

Imports only `description`, `layout`, `record_building` and `base.store_files` from provml.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from provml.base import store_files
from provml.journal import layout
from provml.journal.description import find_description_checksum
from provml.journal.layout import Record
from provml.journal.record_building import build_event

_MAX_NAMED_WRITERS: Final = 256
_COPY_BYTES: Final = 2**20


def describe_run_file(run_folder: Path) -> Record:
    """Return a dict with the field ``run_file``, the checksum of ``run.json``.

    Returns an empty dict if the file can't be read.
    """
    checksum = find_description_checksum(run_folder)
    return {} if checksum is None else {"run_file": checksum}


def name_other_writers(journal_folder: Path, own_name: str) -> Record:
    """Return a dict with the field ``writers``, the names of the run's other writers.

    The names let a reader notice lost files. Returns an empty dict if there are no other writers
    or more than 256.
    """
    try:
        names = [
            name.removesuffix(layout.EVENTS_SUFFIX)
            for name in os.listdir(journal_folder)
            if name.endswith(layout.EVENTS_SUFFIX)
        ]
    except OSError:
        return {}
    others = sorted(name for name in names if name != own_name)
    return {"writers": others} if 0 < len(others) <= _MAX_NAMED_WRITERS else {}


def build_removal_event() -> Record:
    """Return the event that says that the journal's files were removed during the run."""
    return build_event(
        "journal removed during the run",
        {"restored": "journal", "lost": "copies under artifacts"},
    )


def is_removed(root: Path, path: Path) -> bool:
    """Return whether a file was removed. Returns False if the disk can't be read."""
    try:
        return not stat.S_ISREG(store_files.read_status(root, path).st_mode)
    except OSError as error:
        return error.errno != errno.EIO


def restore_file(root: Path, path: Path, fd: int) -> None:
    """If an open file was removed, write its content to its path again."""
    if not is_removed(root, path):
        return
    store_files.make_folder(root, path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(store_files.open_file(root, path, flags), "wb") as copy:
        offset = 0
        while block := os.pread(fd, _COPY_BYTES, offset):
            copy.write(block)
            offset += len(block)
