"""Writes one process's pair of journal files: series, samples and all other records.

If the environment causes a problem (a full disk, a removed folder), the writer warns once, counts
the lost records, and continues. The writer does not check arguments: callers must reject misuse.
Imports only `journal`, `base.notices`, `base.store_files` and `errors` from provml.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provml.base import store_files
from provml.base.notices import warn_without_raising
from provml.errors import RunClosedError
from provml.journal import checksums, closing, layout, process
from provml.journal.absent_writer import RETRY_NS
from provml.journal.block_sealing import BlockSealer, SealedBlocks, build_checksum_lines
from provml.journal.event_files import EventsFile
from provml.journal.last_position import LastPosition
from provml.journal.layout import Record
from provml.journal.sample_files import NO_SLOTS, SampleFile, Slot
from provml.journal.series_keys import (
    EPOCH_METRIC,
    Position,
    Sample,
    SeriesKey,
    build_series_record,
)
from provml.journal.values import PartialEpoch

_MOST_LOOKED_AT = 10_000
"""The maximum number of records to search for the last metric before the samples file grows."""
_SYNC_JOIN_S = 0.2


class JournalWriter:
    """Writes one pair of files in a run's journal folder. Thread-safe."""

    def __init__(
        self,
        run_folder: Path,
        role: str,
        facts: Record,
        sync_interval_s: float,
        mask: Callable[[Record], Record] | None = None,
    ) -> None:
        """Create the samples file and the events file.

        Args:
            run_folder: the run's folder; its journal folder is created if it does not exist.
            role: ``owner`` if this process is the one that ends the run; ``helper`` if this process
                is a forked child or has joined the run.
            facts: additional fields for the ``writer`` line.
            sync_interval_s: the number of seconds between two fdatasync calls; 0 to sync only at
                the end.
            mask: a function that masks the secrets in a record before it is written; None to write
                records unchanged.

        Raises:
            OSError: a file can't be created, or the disk has no room for the first samples.
        """
        created_ns = time.time_ns()
        self._lock = threading.RLock()
        self._run_folder = run_folder
        self._role = role
        self._mask = mask
        self._folder = run_folder / layout.JOURNAL_FOLDER
        self._root = store_files.store_root(run_folder)
        store_files.make_folder(self._root, self._folder)
        self.name = f"{created_ns:020d}-{os.getpid()}-{os.urandom(4).hex()}"
        # create the events file first, so that every samples file has a writer line
        events_path = self._folder / (self.name + layout.EVENTS_SUFFIX)
        samples_path = self._folder / (self.name + layout.SAMPLES_SUFFIX)
        self._events = EventsFile(
            self._root,
            events_path,
            {
                "record": "writer",
                "format": layout.FORMAT_VERSION,
                "time": created_ns,
                "role": role,
                **process.describe_process(),
                **facts,
                **closing.describe_run_file(run_folder),
            },
        )
        try:
            self._samples = SampleFile(self._root, samples_path, created_ns)
        except OSError:
            self._events.close()
            store_files.remove_file(self._root, events_path)
            raise
        self._sealer = BlockSealer()
        self._sealing = threading.Lock()
        self._series: dict[SeriesKey, int] = {}
        self._last_position = LastPosition()
        self._last_epoch: tuple[tuple[str, ...] | None, int | None, float] | None = None
        self._dropped = [0, 0]
        self._retry_after_ns = 0
        self._warned = False
        self.closed = False
        self._released = False
        self._busy = False
        self._deferred: deque[Sample | Record] = deque()
        self._sync_lock = threading.RLock()
        self._sync_interval_s = sync_interval_s
        self._sync_thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.start_syncing()

    def start_syncing(self) -> None:
        """Start the thread that syncs the files to disk, unless it already runs or is not needed.

        The thread is not needed if syncing is off or the files are closed.
        """
        with self._lock:  # not the sync lock, which an earlier thread may hold during fdatasync
            if not self._sync_interval_s or self.closed or self._sync_thread is not None:
                return
            self._stop = threading.Event()
            thread = threading.Thread(
                target=self._sync_until, args=(self._stop,), name="provml-sync", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the system allows no more threads
                self._warn(OSError(f"{error}, so a power loss may cost more data than usual"))
            else:
                self._sync_thread = thread

    def stop_syncing(self) -> None:
        """Stop the sync thread. If the thread is writing to disk, wait at most 0.2 s.

        Call this before a fork. Otherwise the child would inherit any lock that the thread holds,
        and nothing would ever release that lock.
        """
        thread, self._sync_thread = self._sync_thread, None
        if thread is not None:
            self._stop.set()
            thread.join(_SYNC_JOIN_S)

    @property
    def sample_file(self) -> SampleFile:
        """The samples file. `Run.log_metric` packs records straight into its slots."""
        return self._samples

    @property
    def dropped(self) -> tuple[int, int]:
        """The numbers of samples and events lost because of a full disk or a similar problem."""
        return self._dropped[0], self._dropped[1]

    def find_number(self, key: SeriesKey) -> int | None:
        """Return the number of the series with this key; None if it is not declared yet."""
        return self._series.get(key)

    def last_position(self) -> Position | None:
        """Return the context, step and epoch of the last metric; None before the first metric.

        Reads them from the samples file, so logging does no extra work. Costs about ten
        microseconds, plus a little for each sample that was written after the last metric.
        """
        with self._lock:
            if not self.closed:
                self._last_position.update(self._samples)
            return self._last_position.value

    def sample(
        self,
        key: SeriesKey,
        time_ns: int,
        step: int | None,
        epoch: int | None,
        value: Any,
        slots: list[Slot] | None = None,
    ) -> None:
        """Write one sample, or count the sample as lost if it can't be written. May grow the file.

        For the storage ``text``, the value must come from `values.encode`. Appends the sample's
        slot to ``slots``, so that `sample_files.fill_in` can complete the sample later.

        Raises RunClosedError if another thread has closed the files.
        """
        sample: Sample = (key, time_ns, step, epoch, value, slots)
        self._write(sample)

    def append(self, record: Record) -> None:
        """Write one record to the events file; if that fails, count the record as lost.

        Raises RunClosedError if another thread has closed the files.
        """
        self._write(record)

    def _write(self, item: Sample | Record) -> None:
        """Write a sample or record. If this call interrupts another write, queue the item instead.

        A signal handler that logs something interrupts a write on its own thread, so the handler
        can't wait for that write. Queued items are written when the interrupted write is complete.
        """
        with self._lock:
            if self._busy:
                self._deferred.append(item)
                return
            self._check_open()
            self._busy = True
            try:
                self._write_now(item)
                while self._deferred:
                    self._write_now(self._deferred.popleft())
            finally:
                self._busy = False
        if self._deferred:  # a signal arrived after the loop and before ``_busy`` was reset
            self._write(self._deferred.popleft())

    def _write_now(self, item: Sample | Record) -> None:
        if isinstance(item, dict):
            self._append_or_drop(item)
            epoch = item.get("epoch")
            if epoch.__class__ is PartialEpoch:
                context = item.get("context")
                path = None if context is None else tuple(context)
                self._sample_epoch(path, item["time"], item.get("step"), epoch)
            return
        self._sample(*item)
        key, time_ns, step, epoch, *_ = item
        if epoch.__class__ is PartialEpoch and key[1] != EPOCH_METRIC:
            self._sample_epoch(key[2], time_ns, step, epoch)

    def _sample_epoch(
        self, path: tuple[str, ...] | None, time_ns: int, step: int | None, epoch: Any
    ) -> None:
        """Record the exact fractional epoch as a metric, unless it was recorded just before.

        Records the same fractional epoch again if the step or the context has changed.
        """
        known = (path, step, epoch.exact)
        if known != self._last_epoch:
            self._last_epoch = known
            key: SeriesKey = ("metric", EPOCH_METRIC, path, None, "f64")
            self._sample(key, time_ns, step, epoch, epoch.exact, None)

    def _sample(
        self,
        key: SeriesKey,
        time_ns: int,
        step: int | None,
        epoch: int | None,
        value: Any,
        slots: list[Slot] | None,
    ) -> None:
        number = self._declare(key)
        if number is None:
            self._drop(samples=1)
            return
        storage = key[4]
        if storage == "text":
            line: Record = {"record": "sample", "series": number, "time": time_ns}
            line |= {"step": step, "epoch": epoch, "value": value}
            offset = self._append(line)
            if offset is None:
                self._drop(samples=1)
                return
            value = offset
        slot = self._pack(storage, number, time_ns, step, epoch, value)
        if slots is not None and slot is not None:
            slots.append(slot)

    def _declare(self, key: SeriesKey) -> int | None:
        """Return a series' number, declaring a new series first; None if that fails."""
        number = self._series.get(key)
        if number is not None:
            return number
        number = len(self._series) + 1
        record = build_series_record(key, number)
        if record.get("role") == "row":
            self._sealer.late_series.add(number)
        if self._append(record) is None:
            return None
        self._series[key] = number
        if key[0] == "metric":
            self._last_position.add_metric(number, key[2])
        return number

    def _pack(
        self,
        storage: str,
        number: int,
        time_ns: int,
        step: int | None,
        epoch: int | None,
        value: Any,
    ) -> Slot | None:
        while True:
            buffer, reserve = self._samples.slots
            slot = reserve()
            try:
                layout.STORAGES[storage].pack_into(
                    buffer,
                    slot,
                    time_ns,
                    layout.NO_STEP if step is None else step,
                    value,
                    layout.NO_EPOCH if epoch is None else epoch,
                    number,
                )
                block = self._samples.find_block(slot)
                return Slot(buffer, slot, block, self._sealer.refilled)
            except struct.error:
                if not self._grow():
                    self._drop(samples=1)
                    return None

    def _grow(self) -> bool:
        """Make room for more samples, and return whether that succeeded.

        After a failure, does not try again for one second.
        """
        now = time.monotonic_ns()
        if now < self._retry_after_ns:
            return False
        # search this segment now, because later searches skip it
        self._last_position.update(self._samples, _MOST_LOOKED_AT)
        try:
            self._samples.grow()
        except OSError as error:
            self._retry_after_ns = now + RETRY_NS
            self._warn(error)
            return False
        return True

    def _check_open(self) -> None:
        # after `close`, the descriptors may already belong to other files
        if self.closed:
            raise RunClosedError(
                f"another thread ended the run during this call ({self._folder}): "
                "end the run after all threads have finished logging"
            )

    def _append_or_drop(self, record: Record) -> None:
        if self._append(record) is None:
            self._drop(events=1)

    def _append(self, record: Record) -> int | None:
        try:
            return self._events.append(record if self._mask is None else self._mask(record))
        except OSError as error:
            self._warn(error)
            return None

    def add_dropped(self, samples: int, events: int) -> None:
        """Count samples and events that were lost before these files could be opened."""
        with self._lock:
            self._drop(samples, events)

    def _drop(self, samples: int = 0, events: int = 0) -> None:
        self._dropped[0] += samples
        self._dropped[1] += events
        if not self._released:
            self._samples.add_dropped(samples, events)

    def _warn(self, error: OSError) -> None:
        if self._warned:
            return
        self._warned = True
        warn_without_raising(
            f"there was a problem while recording: {error} ({self._folder}); "
            "the run continues, and losses are counted"
        )

    def _sync_until(self, stop: threading.Event) -> None:
        while not stop.wait(self._sync_interval_s):
            self._write_checksums(stop)
            self._sync_files()

    def sync(self) -> None:
        """Write the checksums of the complete blocks of samples, and sync the files to disk."""
        self._write_checksums(threading.Event())
        self._sync_files()

    def _write_checksums(self, stop: threading.Event) -> None:
        """Write the checksums of the blocks that are complete by now.

        Stops early if ``stop`` is set. Does nothing if another thread is doing the same.
        """
        if not self._sealing.acquire(blocking=False):
            return
        try:
            # no lock: if `close` closes the file in the meantime, the result is discarded
            found = self._sealer.seal_complete(self._samples.fd, stop)
            with self._lock:
                if not self.closed:
                    self._append_checksums(found)
                    self._sealer.record_pass(found)
        except OSError as error:
            if not self.closed:
                self._warn(error)
        finally:
            self._sealing.release()

    def _append_checksums(self, found: SealedBlocks) -> None:
        for line in build_checksum_lines(found, self._sealer.late_series):
            self._events.append(line)

    def _sync_files(self) -> None:
        """Wait until everything recorded so far is on the disk."""
        # fdatasync can take long, so it has its own lock: calls that record something never wait
        with self._sync_lock:
            if self._released:
                return
            try:
                for fd in (self._samples.fd, self._events.fd):
                    os.fdatasync(fd)
                    os.utime(fd)  # tells readers on other hosts that the writer is alive
            except OSError as error:
                self._warn(error)

    def close(self, record: Record | None, status: str) -> None:
        """Write the last record, truncate the samples file, and sync and close both files.

        If the folder was removed during the run, restore the files from their open descriptors.
        """
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._stop.set()
            while self._deferred:  # a signal handler interrupted a write and ended the run
                item = self._deferred.popleft()
                if isinstance(item, dict):
                    self._append_or_drop(item)
                else:
                    self._drop(samples=1)
            try:
                self._samples.cut()
            except OSError as error:
                self._warn(error)
            paths = [path for path, _ in self._list_files()]
            removed = [path for path in paths if closing.is_removed(self._root, path)]
            if removed:
                self._note_removed(removed[0])
            self._write_last_checksums()
            closed = self._build_closed_record()
            if record is not None:
                self._append_or_drop({**record, "slots": self._samples.slot_count})
            self._samples.mark_ended(time.time_ns(), status)
            self._append_closed(closed)
            self._sync_files()
            for path, fd in self._list_files():
                try:
                    closing.restore_file(self._root, path, fd)
                except OSError as error:
                    self._warn(error)
            with self._sync_lock:
                self._released = True
                self._samples.close()
                self._events.close()

    def _write_last_checksums(self) -> None:
        """Write the checksums of all blocks whose checksums are missing or outdated."""
        try:
            self._append_checksums(
                self._sealer.seal_rest(self._samples.fd, self._samples.slot_count)
            )
        except OSError as error:
            self._warn(error)

    def _list_files(self) -> list[tuple[Path, int]]:
        """Return the path and the descriptor of both files."""
        return [(file.path, file.fd) for file in (self._samples, self._events)]

    def _build_closed_record(self) -> Record:
        """Return the record that ends the events file, without the header's checksum."""
        size = layout.HEADER_SIZE + self._samples.slot_count * layout.RECORD_SIZE
        others = (
            closing.name_other_writers(self._folder, self.name) if self._role == "owner" else {}
        )
        run_file = closing.describe_run_file(self._run_folder)
        return {"record": "closed", "size": size, **run_file, **others}

    def _append_closed(self, closed: Record) -> None:
        header = self._samples.read_header()[: layout.HEADER_CHECKSUM_OFFSET]
        try:
            self._events.append({**closed, "header": checksums.format_checksum(header)})
        except OSError as error:
            self._warn(error)

    def _note_removed(self, path: Path) -> None:
        self._warn(OSError(f"{path} was removed during the run"))
        self._append_or_drop(closing.build_removal_event())

    def forget(self) -> None:
        """Make a forked child stop using the files, which the parent continues to write."""
        self._lock = threading.RLock()  # another thread may have held the old lock at the fork
        self._deferred.clear()
        self.closed = True
        self._samples.slots = NO_SLOTS
        self._events.close()  # otherwise the child would hold the parent's lock
