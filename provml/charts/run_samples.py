"""Keeps summaries of a run's samples up to date while the run is recorded.

Imports only `journal`, `model` and other modules of `charts` from provml; imports numpy only when
needed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from provml.charts.stretch_cache import LEAST_BYTES, Stamp, load_summaries, save_summaries
from provml.charts.writer_samples import WriterSamples
from provml.errors import JournalError, RunNotFoundError, StoreError
from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.follower import RunFollower
from provml.journal.reader import Journal, is_run_folder, read_journal_stamp
from provml.journal.status import RunState, read_run_state

_CHUNK_RECORDS: Final = 2**17
_THREADS: Final = 2


class RunSamples:
    """The summaries of all samples of a run.

    Hold `lock` while you use the summaries.

    Attributes:
        folder: the run's folder.
        lock: the lock for these summaries.
        writers: the summaries of each writer's samples, ordered by start time.
        state: the run's state at the last refresh; None if the run can't be read.
        problem: why the run can't be read; None if the run can be read.
        kept_answers: results that callers have derived from the run, by name. They are kept as long
            as this object exists.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare to read a run. Reads nothing yet."""
        self.folder = folder
        self.lock = threading.RLock()
        self.writers: list[WriterSamples] = []
        self.state: RunState | None = None
        self.problem: str | None = None
        self.kept_answers: dict[str, Any] = {}
        self._follower: RunFollower | None = None
        self._stamp: object = None

    def refresh(self) -> None:
        """Bring the summaries up to date.

        If the run is being recorded, reads only the new samples. When the run has ended, reads all
        samples again and compares them with their checksums. Costs about 80 ms for a million
        samples.

        Raises RunNotFoundError if the folder no longer contains a run.
        """
        stamp = read_journal_stamp(self.folder)
        if self._follower is None and stamp is not None and stamp == self._stamp:
            return
        if not is_run_folder(self.folder):
            self.close()
            raise RunNotFoundError(f"run {self.folder.name!r} not found: it was removed")
        try:
            self._read(stamp)
            self.problem = None
        except (JournalError, StoreError) as error:
            self.close()
            self.state, self.problem = None, str(error)

    def _read(self, stamp: Stamp | None) -> None:
        self.state = read_run_state(self.folder)
        if self.state.status == "running":
            names = {name for name, _, _ in stamp or ()}
            if any(writer.files.events_path.name not in names for writer in self.writers):
                self.close()  # another run has taken the place of the one that was followed
            self._follow()
            return
        self.close()
        self.writers = [
            read_writer(files, [one for one in stamp or () if one[0].startswith(files.name)])
            for files in Journal(self.folder).writers
        ]
        self._stamp = stamp

    @property
    def memory_bytes(self) -> int:
        """The memory that the summaries take, in bytes."""
        return sum(writer.memory_bytes for writer in self.writers)

    def close(self) -> None:
        """Close all files, and forget the samples."""
        if self._follower is not None:
            self._follower.close()
        self._follower = None
        self.writers = []
        self._stamp = None

    def _follow(self) -> None:
        if self._follower is None:
            self.close()
            self._follower = RunFollower(self.folder)
        while found := self._follower.read_new():
            for content in found:
                own = self._find_writer(content.writer, content.rank)
                for series in content.series:
                    own.declare(series)
                if content.changed is not None and content.changed_slots is not None:
                    own.update(content.changed, content.changed_slots)
                if content.samples is not None and content.slots is not None:
                    own.add(content.samples.copy(), content.slots)
        self._follower.close()  # a page may show more runs than a process may keep open

    def _find_writer(self, name: str, rank: int | None) -> WriterSamples:
        for writer in self.writers:
            if writer.files.name == name:
                return writer
        made = WriterSamples(WriterFiles(self.folder / layout.JOURNAL_FOLDER, name, 0), rank)
        self.writers.append(made)
        self.writers.sort(key=lambda writer: writer.files.name)
        return made


def read_writer(files: WriterFiles, stamp: Stamp) -> WriterSamples:
    """Return the summaries of the samples of a writer that has ended.

    Leaves out damaged samples. For a long file, uses the summaries in the user's cache if there are
    any.
    """
    is_long = max((size for _, size, _ in stamp), default=0) >= LEAST_BYTES
    cached = load_summaries(files, stamp) if is_long else None
    if cached is not None:
        return cached
    made = _summarize(files)
    if is_long and save_summaries(made, stamp):
        return load_summaries(files, stamp) or made
    return made


def _summarize(files: WriterFiles) -> WriterSamples:
    import numpy as np

    rank = files.first_record().get("rank")
    made = WriterSamples(files, rank if isinstance(rank, int) else None)
    for series in files.series().values():
        made.declare(series)
    for part in files.parts(_CHUNK_RECORDS):
        made.add(part.chunk, np.arange(part.first, part.first + len(part.chunk)))
    return made


def refresh_all(runs: Sequence[RunSamples]) -> None:
    """Refresh several runs. Uses two threads, because other threads can run while numpy works."""
    if len(runs) < 2:
        for run in runs:
            run.refresh()
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="provml-curves") as threads:
        for _ in threads.map(RunSamples.refresh, runs):
            pass
