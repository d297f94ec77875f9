"""Finds out quickly whether a run has changed since it was loaded.

For a run that has ended, it is enough to compare the names, sizes and times of its files. For other
runs, this is not enough, because samples are written to memory-mapped, preallocated files, whose
size and time do not change when data is written. The end of the data in each open file is therefore
compared too.
Imports only `journal` from provml.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import Any, Final

from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.reader import Journal

_TAIL_BYTES: Final = 4096

Stamps = list[list[Any]]
"""The name, size and modification time of each file of a journal."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A summary of a run's state that is cheap to compute and compare.

    Attributes:
        stamps: the files' names, sizes, and modification times in nanoseconds since the epoch.
        status: the run's status.
        tails: for each samples file that is not closed, the file's name, the offset where its data
            ends, and a checksum of the header and the last samples.
        final: whether the run has ended. If it has, comparing the stamps is enough.
    """

    stamps: Stamps
    status: str
    tails: Stamps
    final: bool


def read_stamps(journal: Journal) -> Stamps:
    """Return the name, size and modification time of each file of a journal.

    Costs one ``stat`` call per file.
    """
    paths = [journal.folder / layout.RUN_FILE]
    for files in journal.writers:
        paths += [files.events_path, files.samples_path]
    found: Stamps = []
    for path in paths:
        try:
            status = os.lstat(path)
        except OSError:
            continue
        found.append([path.name, status.st_size, status.st_mtime_ns])
    return found


def take_fingerprint(journal: Journal) -> Fingerprint:
    """Compute a run's fingerprint.

    If a samples file is not closed, its unused space is read to find the end of the data. Raises
    JournalError if a newer version of provml wrote the journal.
    """
    before = read_stamps(journal)  # read first, so that later changes are noticed
    state = journal.state()
    tails: Stamps = []
    for files in journal.writers:
        if files.header().status is None:
            try:
                tails.append([files.name, *_read_tail(files)])
            except OSError:
                continue  # the file is missing, or is a link
    final = state.status in layout.END_STATUSES and not tails
    return Fingerprint(before, state.status, tails, final)


def _read_tail(files: WriterFiles) -> tuple[int, int]:
    """Return the offset where the samples end, and a checksum of the header and last samples."""
    end = files.find_samples_end()
    with files.open_samples() as file:
        header = zlib.crc32(file.read(layout.HEADER_SIZE))
        file.seek(max(0, end - _TAIL_BYTES))
        return end, zlib.crc32(file.read(min(end, _TAIL_BYTES)), header)
