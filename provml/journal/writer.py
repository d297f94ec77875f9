"""One process's pair of journal files: declares series, takes records, counts what it loses.

Trouble of the environment ends here: it warns once, counts, and goes on. Misuse has been refused
before a record arrives. Imports `samples`, `events`, `layout`, `process`, `errors`.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

from provml.errors import ProvMLWarning, RunClosedError
from provml.journal import layout, process
from provml.journal.event_files import EventsFile
from provml.journal.layout import Record as Record
from provml.journal.record_building import build_event
from provml.journal.sample_files import NO_SLOTS, SampleFile, Slot


class ExtraFields(NamedTuple):
    """What else a series says of its samples.

    Attributes:
        of: kind and name of the thing that they are of: ``("model", "digits")``.
        role: ``row``: recorded by a group; ``summary``: by a group, of stored values; ``stored``:
            such a value.
    """

    of: tuple[str, str] | None = None
    role: str | None = None


SeriesKey = (
    tuple[str, str, tuple[str, ...] | None, str | None, str]
    | tuple[str, str, tuple[str, ...] | None, str | None, str, int | ExtraFields]
)
"""kind, name, context path, unit, storage; and the number of the record that says of what, or
what else is told"""

Sample = tuple[SeriesKey, int, int | None, int | None, Any, list[Slot] | None]
"""series, time, step, epoch, value, where to say in which slot it stands"""

Position = tuple[tuple[str, ...] | None, int | None, int | None]
"""context path, step, epoch"""

_RETRY_NS = 1_000_000_000
_SYNC_JOIN_S = 0.2


class JournalWriter:
    """Writes one pair of files in a run's journal folder; safe to call from any thread."""

    def __init__(self, run_folder: Path, role: str, facts: Record, sync_interval_s: float) -> None:
        """Make the files.

        Args:
            run_folder: the run's folder; its journal folder is made where it is not there.
            role: ``owner`` (its end is the run's end) or ``helper`` (a forked child, a process
                that was handed the run).
            facts: what else the ``writer`` line says.
            sync_interval_s: seconds between two fdatasync calls; 0 for none before the end.

        Raises:
            OSError: the files can't be made, or the disk has no room for the first segment.
        """
        created_ns = time.time_ns()
        self._lock = threading.RLock()
        self._folder = run_folder / layout.JOURNAL_FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{created_ns:020d}-{os.getpid()}-{os.urandom(4).hex()}"
        stem = str(self._folder / self.name)
        # first the line that says who writes: a samples file is never without it
        self._events = EventsFile(stem + layout.EVENTS_SUFFIX)
        try:
            self._events.append(
                {
                    "record": "writer",
                    "format": layout.FORMAT_VERSION,
                    "time": created_ns,
                    "role": role,
                    **process.describe_process(),
                    **facts,
                }
            )
            self._samples = SampleFile(stem + layout.SAMPLES_SUFFIX, created_ns)
        except OSError:
            self._events.close()
            os.unlink(self._events.path)
            raise
        self._series: dict[SeriesKey, int] = {}
        self._metrics: dict[int, tuple[str, ...] | None] = {}
        self._under_way: Position | None = None
        self._last_look = (0, 0)
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
        """Start the thread that has the kernel write to the disk, if there is to be one."""
        with self._lock:  # not the lock of syncing: the thread before may still wait for the disk
            if not self._sync_interval_s or self.closed or self._sync_thread is not None:
                return
            self._stop = threading.Event()
            thread = threading.Thread(
                target=self._sync_until, args=(self._stop,), name="provml-sync", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the system allows no more threads
                self._warn(OSError(f"{error}: after a power loss more than usual may be missing"))
            else:
                self._sync_thread = thread

    def stop_syncing(self) -> None:
        """Let the thread end; waits for it, but not long where it waits for the disk.

        Called before a fork: a child of a process with threads may meet their locks for ever.
        """
        thread, self._sync_thread = self._sync_thread, None
        if thread is not None:
            self._stop.set()
            thread.join(_SYNC_JOIN_S)

    @property
    def sample_file(self) -> SampleFile:
        """What holds the slots that the hot path packs its records into."""
        return self._samples

    @property
    def dropped(self) -> tuple[int, int]:
        """How many samples and events were lost to trouble of the environment."""
        return self._dropped[0], self._dropped[1]

    def find_number(self, key: SeriesKey) -> int | None:
        """The number of a series that has a sample; None: it could not be declared."""
        return self._series.get(key)

    def last_position(self) -> Position | None:
        """Context, step and epoch of the metric that was logged last; None before the first.

        Read from the records: logging does nothing for it. Costs some ten microseconds, and one
        for each record since the last call that is of no metric.
        """
        with self._lock:
            if self.closed:
                return self._under_way
            begins = self._samples.segment_start
            seen = self._last_look[1] if self._last_look[0] == begins else 0
            end, records = self._samples.read_latest(seen)
            self._last_look = (begins, end)
            for series, step, epoch in records:
                if series in self._metrics:
                    self._under_way = (
                        self._metrics[series],
                        None if step == layout.NO_STEP else step,
                        None if epoch == layout.NO_EPOCH else epoch,
                    )
                    break
            return self._under_way

    def sample(
        self,
        key: SeriesKey,
        time_ns: int,
        step: int | None,
        epoch: int | None,
        value: Any,
        slots: list[Slot] | None = None,
    ) -> None:
        """Write one sample, by the careful way: grows the file, counts what can't be kept.

        For the storage ``text`` the value is one that `values.encode` gave. What `slots` is given,
        `samples.fill_in` takes. Raises RunClosedError where another thread has closed the files
        meanwhile.
        """
        sample: Sample = (key, time_ns, step, epoch, value, slots)
        self._write(sample)

    def append(self, record: Record) -> None:
        """Write one record of the events file; where that fails, count it.

        Raises RunClosedError where another thread has closed the files meanwhile.
        """
        self._write(record)

    def _write(self, item: Sample | Record) -> None:
        """Write one thing at a time, also where a signal handler interrupts the writing to log.

        The handler runs on the thread that it interrupts and can't wait: what it logs follows what
        was under way.
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
        if self._deferred:  # by a signal between the last look and the end of being busy
            self._write(self._deferred.popleft())

    def _write_now(self, item: Sample | Record) -> None:
        if isinstance(item, dict):
            self._append_or_drop(item)
        else:
            self._sample(*item)

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
        """The number of a series, declared on its first use; None: it could not be written."""
        number = self._series.get(key)
        if number is not None:
            return number
        kind, name, context, unit, storage = key[:5]
        number = len(self._series) + 1
        record: Record = {
            "record": "series",
            "series": number,
            "kind": kind,
            "name": name,
            "context": list(context) if context is not None else None,
            "storage": storage,
        }
        if unit is not None:
            record["unit"] = unit
        if len(key) == 6:
            record |= _extra_fields(key[5])
        if self._append(record) is None:
            return None
        self._series[key] = number
        if kind == "metric":
            self._metrics[number] = context
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
                return buffer, slot
            except struct.error:
                if not self._grow():
                    self._drop(samples=1)
                    return None

    def _grow(self) -> bool:
        """Get room for more samples; after a failure not tried again for a second."""
        now = time.monotonic_ns()
        if now < self._retry_after_ns:
            return False
        try:
            self._samples.grow()
        except OSError as error:
            self._retry_after_ns = now + _RETRY_NS
            self._warn(error)
            return False
        return True

    def _check_open(self) -> None:
        # by now the descriptors may be those of other files
        if self.closed:
            raise RunClosedError(
                f"the run ended while this call was under way ({self._folder}): "
                "end it when all threads have logged what they have to log"
            )

    def _append_or_drop(self, record: Record) -> None:
        if self._append(record) is None:
            self._drop(events=1)

    def _append(self, record: Record) -> int | None:
        try:
            return self._events.append(record)
        except OSError as error:
            self._warn(error)
            return None

    def add_dropped(self, samples: int, events: int) -> None:
        """Count what was lost before these files could be opened."""
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
            f"recording met trouble: {error} ({self._folder}); "
            "the run goes on, what is lost is counted"
        )

    def _sync_until(self, stop: threading.Event) -> None:
        while not stop.wait(self._sync_interval_s):
            self.sync()

    def sync(self) -> None:
        """Have the kernel write to the disk what was recorded so far."""
        # under a lock of its own: fdatasync may take long, and only close() is to wait for it
        with self._sync_lock:
            if self._released:
                return
            try:
                for fd in (self._samples.fd, self._events.fd):
                    os.fdatasync(fd)
                    os.utime(fd)  # on another host, a reader knows by this that the writer lives
            except OSError as error:
                self._warn(error)

    def close(self, record: Record | None, status: str) -> None:
        """Write the last record, cut the samples file to what it holds, sync, let go.

        Where the folder was removed meanwhile, it is made again from the open files.
        """
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._stop.set()
            while self._deferred:  # a signal handler that interrupted a write ends the run
                item = self._deferred.popleft()
                if isinstance(item, dict):
                    self._append_or_drop(item)
                else:
                    self._drop(samples=1)
            try:
                self._samples.cut()
            except OSError as error:
                self._warn(error)
            paths = (self._samples.path, self._events.path)
            removed = [path for path in paths if not os.path.exists(path)]
            if removed:
                self._note_removed(removed[0])
            if record is not None:
                self._append_or_drop({**record, "slots": self._samples.slot_count})
            self._samples.mark_ended(time.time_ns(), status)
            self.sync()
            self._restore_removed()
            with self._sync_lock:
                self._released = True
                self._samples.close()
                self._events.close()

    def _note_removed(self, path: str) -> None:
        self._warn(OSError(f"{path} was removed while the run went on"))
        self._append_or_drop(
            build_event(
                "journal removed during the run",
                {"restored": "journal", "lost": "copies under artifacts"},
            )
        )

    def _restore_removed(self) -> None:
        for path, fd in (
            (self._samples.path, self._samples.fd),
            (self._events.path, self._events.fd),
        ):
            if os.path.exists(path):
                continue
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "xb") as copy:
                    offset = 0
                    while block := os.pread(fd, 2**20, offset):
                        copy.write(block)
                        offset += len(block)
            except OSError as error:
                self._warn(error)

    def forget(self) -> None:
        """Drop the files in a forked child, whose parent goes on writing them."""
        self._lock = threading.RLock()  # another thread may have held it at the fork
        self._deferred.clear()
        self.closed = True
        self._samples.slots = NO_SLOTS


class AbsentWriter:
    """Stands in where a child process can't open files of its own: counts all that it is given.

    A process that starts a run is told of such trouble by an exception; to a child, whose
    training is under way, it is trouble of the environment.
    """

    closed = False

    def __init__(self, error: OSError) -> None:
        self._lock = threading.Lock()
        self._dropped = [0, 0]
        self._retry_after_ns = time.monotonic_ns() + _RETRY_NS
        warn_without_raising(
            f"recording met trouble: {error}; the run goes on, what is lost is counted"
        )

    @property
    def dropped(self) -> tuple[int, int]:
        """How many samples and events were lost."""
        return self._dropped[0], self._dropped[1]

    def is_due(self) -> bool:
        """Whether opening the files is worth another try; once a second."""
        now = time.monotonic_ns()
        if now < self._retry_after_ns:
            return False
        self._retry_after_ns = now + _RETRY_NS
        return True

    def start_syncing(self) -> None:
        """There is nothing to sync."""

    def stop_syncing(self) -> None:
        """There is no thread."""

    def find_number(self, key: SeriesKey) -> None:
        """No series has a number."""

    def last_position(self) -> None:
        """Nothing is written."""

    def sample(
        self,
        key: SeriesKey,
        time_ns: int,
        step: int | None,
        epoch: int | None,
        value: Any,
        slots: list[Slot] | None = None,
    ) -> None:
        """Count a lost sample."""
        with self._lock:
            self._dropped[0] += 1

    def append(self, record: Record) -> None:
        """Count a lost event."""
        with self._lock:
            self._dropped[1] += 1

    def close(self, record: Record | None, status: str) -> None:
        """There is nothing to close."""

    def forget(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.Lock()
        self._dropped = [0, 0]


def _extra_fields(extra: int | ExtraFields) -> Record:
    if isinstance(extra, int):
        return {"target": {"record": extra}}
    record: Record = {}
    if extra.of is not None:
        record["target"] = {"kind": extra.of[0], "name": extra.of[1]}
    if extra.role is not None:
        record["role"] = extra.role
    return record


def warn_without_raising(message: str) -> None:
    """Issue a ProvMLWarning that never becomes an exception, not even under ``-W error``."""
    try:
        # of no line: where the trouble shows is not where it comes from
        warnings.warn_explicit(message, ProvMLWarning, "provml", 1, registry={})
    except ProvMLWarning:
        pass
