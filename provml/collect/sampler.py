"""Takes the readings of a run's collectors: in the background, on demand, and across forks.

Imports only `collector_thread`, `reading_writer`, `readings` and `errors` from provml.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from provml.collect.collector_thread import CollectorPlan, CollectorThread
from provml.collect.reading_writer import ReadingSink, ReadingWriter
from provml.collect.readings import Collector, UnavailableError, check_collector
from provml.errors import RunClosedError

if TYPE_CHECKING:
    from provml.journal.series_keys import Position

_SAMPLER_JOIN_S: Final = 0.5
_FORK_JOIN_S: Final = 0.2
_DEFAULT_INTERVAL_S: Final = 5.0


class Sampler:
    """The collectors of a run, and the threads that read them."""

    def __init__(
        self,
        journal: ReadingSink,
        interval_s: float,
        collectors: Iterable[CollectorPlan],
        open_snapshot: Callable[[], Collector],
    ) -> None:
        """Create the sampler without starting a thread.

        Args:
            journal: the writer that receives the readings.
            interval_s: the number of seconds between readings; 0 means the default of 5 s.
            collectors: the collectors to read in the background.
            open_snapshot: a function that creates the collector for `snapshot` on first use.
        """
        self._journal = journal
        self._open_snapshot = open_snapshot
        self._interval_s = interval_s
        self._start_ns = time.time_ns()
        self._lock = threading.RLock()
        self._threads = [self._make_thread(plan) for plan in collectors]
        self._ended = False
        self._snapshot_source: tuple[Collector, ReadingWriter] | None = None
        self._snapshot_lock = threading.Lock()
        self._snapshot_ns = self._start_ns
        self._snapshot_threads: list[threading.Thread] = []

    def _make_thread(self, plan: CollectorPlan) -> CollectorThread:
        return CollectorThread(
            plan, self._interval_s or _DEFAULT_INTERVAL_S, self._journal, self._start_ns
        )

    def start(self) -> None:
        """Start the threads of all collectors."""
        with self._lock:
            if self._ended:
                return
            for thread in self._threads:
                thread.start()
            _active_samplers.append(self)

    def add(self, collector: Collector) -> Callable[[], None]:
        """Add a collector, and return a function that removes it again.

        Until it is removed, the new collector replaces any collector with the same name.
        """
        with self._lock:
            thread = self._make_thread(CollectorPlan(str(collector.name), lambda: collector))
            replaced = [one for one in self._threads if one.name == thread.name]
            self._stop_threads(replaced, last=False)
            self._threads = [one for one in self._threads if one not in replaced] + [thread]
            thread.start()

        def stop() -> None:
            with self._lock:
                if self._ended or thread not in self._threads:
                    return
                self._stop_threads([thread], last=True)
                self._threads.remove(thread)
                self._threads += replaced
                for one in replaced:
                    one.start()

        return stop

    def snapshot(self, position: Position, time_ns: int | None, synchronous: bool) -> None:
        """Take one reading now. The reading covers the time since the last snapshot.

        Args:
            position: the context, step and epoch to record the reading under.
            time_ns: the time to record, in nanoseconds since the Unix epoch; None means now.
            synchronous: True takes the reading in this thread; False takes the reading in a
                separate thread.
        """
        if synchronous:
            self._take_snapshot(position, time_ns)
            return
        own_ns = time.time_ns() if time_ns is None else time_ns
        thread = threading.Thread(
            target=self._take_snapshot_late,
            args=(position, own_ns),
            name="provml-snapshot",
            daemon=True,
        )
        with self._lock:
            self._snapshot_threads = [one for one in self._snapshot_threads if one.is_alive()]
            try:
                thread.start()
            except RuntimeError:  # the system allows no more threads
                self._take_snapshot(position, time_ns)
            else:
                self._snapshot_threads.append(thread)

    def _take_snapshot_late(self, position: Position, time_ns: int) -> None:
        try:
            self._take_snapshot(position, time_ns)
        except RunClosedError:
            pass  # the run ended before the snapshot was taken

    def _take_snapshot(self, position: Position, time_ns: int | None) -> None:
        with self._snapshot_lock:
            if self._snapshot_source is None:
                opened = self._open_snapshot()
                self._snapshot_source = (opened, ReadingWriter(str(opened.name), self._journal))
            collector, readings = self._snapshot_source
            try:
                reading = collector.collect()
            except UnavailableError as error:
                readings.write_event_once("collector unavailable", {"reason": str(error)})
                return
            self._snapshot_ns = readings.write(
                collector, reading, self._snapshot_ns, time_ns, position
            )

    def stop(self) -> dict[str, Any]:
        """Take a last reading from each collector, stop the threads, and abandon threads that hang.

        Returns a summary of all readings: the mean and maximum of each percentage, and the sum of
        each energy value. If there were alerts, the summary also contains the number of alerts, and
        the highest value of each metric that raised an alert.
        """
        with self._lock:
            if self._ended:
                return {}
            self._ended = True
            self._forget_active()
            self._stop_threads(self._threads, last=True)
            deadline = time.monotonic() + _SAMPLER_JOIN_S
            for thread in self._snapshot_threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            return self._summarize() | self._summarize_alerts()

    def _stop_threads(
        self, threads: list[CollectorThread], last: bool, patience_s: float = _SAMPLER_JOIN_S
    ) -> None:
        for thread in threads:
            thread.ask_to_stop(last)
        deadline = time.monotonic() + patience_s
        for thread in threads:
            thread.wait(deadline)

    def _summarize(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for thread in self._threads:
            if thread.readings is not None:
                found |= thread.readings.summary()
        return found

    def _summarize_alerts(self) -> dict[str, Any]:
        found = [thread.readings for thread in self._threads if thread.readings is not None]
        count = sum(one.alert_count for one in found)
        if not count:
            return {}
        summary: dict[str, Any] = {"alert_count": count}
        summary["critical_alerts"] = sum(one.critical_alerts for one in found)
        for one in found:
            for metric, value in one.highest.items():
                summary[f"max_alert.{metric}"] = value
        return summary

    def pause(self) -> None:
        """Stop the threads before a fork, without a last reading."""
        with self._lock:
            self._stop_threads(self._threads, last=False, patience_s=_FORK_JOIN_S)

    def resume(self) -> None:
        """Continue the readings after `pause`, on their original schedule."""
        with self._lock:
            if not self._ended:
                for thread in self._threads:
                    thread.start()

    def forget(self) -> None:
        """Disable the sampler in a forked child, where its threads no longer exist."""
        self._lock = threading.RLock()
        self._ended = True
        self._forget_active()

    def _forget_active(self) -> None:
        if self in _active_samplers:
            _active_samplers.remove(self)


_active_samplers: list[Sampler] = []
"""The samplers of the runs that this process is recording, in the order of their start."""


def read_in_background(collector: Collector) -> Callable[[], None]:
    """Start reading a collector in the background; return a function that stops the readings.

    The run that started last records the readings. If no run is active, the readings are not
    recorded. Raises InvalidArgumentError if the object is not a collector.
    """
    check_collector(collector)
    if _active_samplers:
        return _active_samplers[-1].add(collector)
    thread = CollectorThread(
        CollectorPlan(str(collector.name), lambda: collector),
        _DEFAULT_INTERVAL_S,
        None,
        time.time_ns(),
    )
    thread.start()

    def stop() -> None:
        thread.ask_to_stop(last=True)
        thread.wait(time.monotonic() + _SAMPLER_JOIN_S)

    return stop
