"""What tells whether a run changed since it was loaded, without reading it.

The files' names, sizes and times tell it of a run that ended. Samples are written into mapped,
preallocated files, whose size and time stay: of a run whose files were not closed, the end of what
is written is looked at, too. Imports `journal`.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import Any, Final

from provml.journal import layout
from provml.journal.reader import Journal

_BLOCK: Final = 2**20
_TAIL: Final = 4096

Stamps = list[list[Any]]
"""Name, size and time of each file of a journal."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A run's state as far as it can be told cheaply.

    Attributes:
        stamps: the files' names, sizes and times, nanoseconds since the epoch.
        status: how the run stood.
        tails: of each samples file that was not closed, where its records end, and a checksum.
        final: whether nothing can change but the stamps.
    """

    stamps: Stamps
    status: str
    tails: Stamps
    final: bool


def stamps(journal: Journal) -> Stamps:
    """The journal's files as they stand; costs a ``stat`` each."""
    paths = [journal.folder / layout.RUN_FILE]
    for files in journal.writers:
        paths += [files.events_path, files.samples_path]
    found: Stamps = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.append([path.name, status.st_size, status.st_mtime_ns])
    return found


def fingerprint(journal: Journal) -> Fingerprint:
    """A run's fingerprint; reads the unused ends of files that were not closed.

    Raises JournalError for a journal of a newer version.
    """
    before = stamps(journal)  # a change after this is a change
    state = journal.state()
    tails: Stamps = []
    for files in journal.writers:
        if files.header().status is None and files.samples_path.exists():
            tails.append([files.name, *_tail(os.fspath(files.samples_path))])
    final = state.status in layout.END_STATUSES and not tails
    return Fingerprint(before, state.status, tails, final)


def _tail(path: str) -> tuple[int, int]:
    """Where the last byte lies that is not zero; the checksum of the header and what ends there."""
    with open(path, "rb") as file:
        header = zlib.crc32(file.read(layout.HEADER_SIZE))
        end = os.fstat(file.fileno()).st_size
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            block = file.read(end - start).rstrip(b"\0")
            if block:
                end = start + len(block)
                file.seek(max(0, end - _TAIL))
                return end, zlib.crc32(file.read(min(end, _TAIL)), header)
            end = start
    return 0, header
