"""The recording process's side of a run: its journal files, through forks and hand-overs.

Imports `folder`, `journal` writers.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provml.errors import RunClosedError, StoreError
from provml.folder import RunFolder
from provml.journal.writer import AbsentWriter, JournalWriter, Record

if TYPE_CHECKING:
    from provml.collect.sampler import Planned, Sampler


class Recorder:
    """What `Run` stands on: the writer of this process, opened when and where it is needed."""

    def __init__(
        self, folder: RunFolder, writer: JournalWriter, formats: tuple[str, ...], owner: bool
    ) -> None:
        """Not for users: `provml.start_run` makes runs."""
        self.id: str = folder.id
        self.experiment: str = folder.experiment
        self.path: Path = folder.path
        self._folder = folder
        self._formats = formats
        self._owner = owner
        self._lock = threading.RLock()
        self._adopt(writer)
        self._closed = False
        self._sampler: Sampler | None = None
        self._execution_started_ns: int = time.time_ns()

    def _adopt(self, writer: JournalWriter) -> None:
        self._writer: JournalWriter | AbsentWriter = writer
        self._samples = writer.sample_file
        self._pid = os.getpid()
        # what identifies a call's series, with the class of the value -> its number, its packer
        self._fast: dict[tuple[object, ...], tuple[int, Any]] = {}

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self._closed

    @property
    def dropped(self) -> tuple[int, int]:
        """Samples and events lost so far to trouble of the environment (a full disk)."""
        return self._writer.dropped

    def _before_fork(self) -> None:
        if self._sampler is not None:
            self._sampler.pause()
        self._writer.stop_syncing()

    def _after_fork_in_parent(self) -> None:
        self._writer.start_syncing()
        if self._sampler is not None:
            self._sampler.resume()

    def _after_fork_in_child(self) -> None:
        # what the parent goes on using is let go; the first verb opens files of our own
        self._lock = threading.RLock()
        if self._sampler is not None:
            self._sampler.forget()
            self._sampler = None
        self._owner = False
        self._fast = {}
        self._writer.forget()

    def _start_sampling(self, interval_s: float, collectors: list[Planned]) -> None:
        from provml.collect.sampler import Sampler

        with self._lock:
            self._sampler = Sampler(self._writer, interval_s, collectors)
            self._sampler.start()

    def _own_sampler(self) -> Sampler:
        """What reads the machine for this process, made where there is none yet."""
        writer = self._open_writer()
        with self._lock:
            if self._sampler is None:
                from provml.collect.sampler import Sampler

                self._sampler = Sampler(writer, self._folder.settings.sample_interval_s, ())
                self._sampler.start()
            return self._sampler

    def _open_writer(self) -> JournalWriter | AbsentWriter:
        """The writer of this process, opened on the first call in a forked child."""
        if not self._closed and self._pid == os.getpid():
            return self._writer
        with self._lock:  # end_run says under it that the run is closed
            if self._closed:
                raise RunClosedError(
                    f"run {self.id} has ended: nothing more can be logged; "
                    "start_run(..., run_id=..., resume=True) goes on with it"
                )
            if self._pid != os.getpid():
                self._open_own_files()
            return self._writer

    def _open_own_files(self) -> None:
        absent = self._writer if isinstance(self._writer, AbsentWriter) else None
        if absent is not None and not absent.is_due():
            return
        try:
            writer = self._folder.open_writer("helper")
        except StoreError as error:
            self._writer = absent or AbsentWriter(error)
            return
        if absent is not None:
            writer.add_dropped(*absent.dropped)
        self._adopt(writer)

    def _append(self, record: Record) -> None:
        self._open_writer().append(record)

    def _append_all(self, records: list[Record]) -> None:
        writer = self._open_writer()
        for record in records:
            writer.append(record)
