"""Finds the files of a run's writers in the run's journal folder.

Imports only `files`, `layout` and `base.store_files` from provml.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provml.base.store_files import OpenFolder, store_root
from provml.journal import layout
from provml.journal.files import IRREGULAR_FILES, WriterFiles


def list_writer_files(run_folder: Path) -> list[WriterFiles]:
    """Return the files of every writer of a run, ordered by start time.

    Returns an empty list if the journal folder can't be read, for example because it is a link.
    """
    try:
        with open_writer_files(run_folder) as writers:
            return writers
    except OSError:
        return []


@contextmanager
def open_writer_files(run_folder: Path) -> Iterator[list[WriterFiles]]:
    """Provide the files of a run's writers, ordered by start time, and keep their folder open.

    Opening one of the files is cheaper inside the ``with`` block than after it.

    Raises:
        FileNotFoundError: the run has no journal folder.
        StoreError: the journal folder, the run's folder or the experiment's folder is a link; or no
            journal file is a regular file.
        OSError: the journal folder can't be read for another reason.
    """
    folder = Path(os.path.abspath(run_folder), layout.JOURNAL_FOLDER)
    with hold_writers_in(OpenFolder(store_root(run_folder), folder)) as writers:
        yield writers


@contextmanager
def hold_writers_in(folder: OpenFolder) -> Iterator[list[WriterFiles]]:
    """Provide the files of every writer in an open journal folder; close the folder at the end."""
    with folder:
        writers = list_writers_in(folder)
        for files in writers:
            files.hold_folder(folder)
        try:
            yield writers
        finally:
            for files in writers:
                files.hold_folder(None)


def list_writers_in(folder: OpenFolder) -> list[WriterFiles]:
    """Return the files of every writer in a run's open journal folder, ordered by start time.

    A journal file that is a link or a special file counts as damage. Raises StoreError if
    no journal file is a regular file.
    """
    found: dict[str, Counter[str]] = {}
    irregular: str | None = None
    regular = 0
    for entry in folder.list():
        for suffix, damage in IRREGULAR_FILES.items():
            if entry.name.endswith(suffix):
                of_writer = found.setdefault(entry.name.removesuffix(suffix), Counter())
                regular += entry.is_file
                if not entry.is_file:
                    of_writer[damage] = 1
                    irregular = entry.name
    if irregular is not None and not regular:
        folder.open_to_read(irregular).close()  # raises StoreError, which says what the entry is
    return [
        WriterFiles(folder.path, name, index, damage)
        for index, (name, damage) in enumerate(sorted(found.items()))
    ]
