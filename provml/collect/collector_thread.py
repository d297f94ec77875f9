"""Runs a collector in a separate thread: creates the collector, reads it regularly and closes it.

If a collector raises an exception, the thread tries again after longer and longer pauses. If a
collector hangs, provml abandons this collector, and the other collectors continue. The run records
each problem as an event. Imports only `reading_writer`, `readings` and `errors` from provml.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from provml.collect.reading_writer import ReadingSink, ReadingWriter
from provml.collect.readings import Collector, UnavailableError, is_number
from provml.errors import RunClosedError

if TYPE_CHECKING:
    from provml.journal.series_keys import Position

NO_POSITION: Final[Position] = (None, None, None)

_MAX_BACKOFF: Final = 64
_MAX_COST: Final = 0.05
_COSTLY_READINGS: Final = 3


class CollectorPlan(NamedTuple):
    """A plan for creating a collector later, in the thread that reads the collector.

    Creating a collector can be slow, because it can import libraries and start a driver.

    Attributes:
        name: the collector's name.
        make: a function that creates the collector.
        delay_s: the number of seconds to wait before creating the collector, and again before its
            first reading. A run that ends earlier has no readings from this collector.
    """

    name: str
    make: Callable[[], Collector]
    delay_s: float = 0.0


class CollectorThread:
    """A thread that reads one collector: at the start, at regular intervals, and at the end."""

    def __init__(
        self, plan: CollectorPlan, interval_s: float, journal: ReadingSink | None, start_ns: int
    ) -> None:
        """Create the thread without starting it.

        Args:
            plan: how to create the collector.
            interval_s: seconds between readings, unless the collector sets its own interval.
            journal: the writer that receives the readings; None if no readings are recorded.
            start_ns: the start of the period that the first reading covers, in nanoseconds since
                the Unix epoch.
        """
        self.name = plan.name
        self.interval_s = interval_s
        self.readings = None if journal is None else ReadingWriter(plan.name, journal)
        self._plan = plan
        self._collector: Collector | None = None
        self._journal = journal
        self._start_ns = start_ns
        self._next_due: float | None = None
        self._failures = 0
        self._costly_readings = 0
        self._unavailable = False
        self._hung = False
        self._reads_last = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start or continue taking readings, unless the collector is unavailable."""
        with self._lock:
            self._stop.clear()
            if self._unavailable or self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name=f"provml-{self.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system allows no more threads, or Python is shutting down
                return
            self._thread = thread

    def ask_to_stop(self, last: bool) -> None:
        """Ask the thread to stop. If ``last`` is true, the thread first takes a final reading."""
        self._reads_last = last
        self._stop.set()

    def wait(self, deadline: float) -> None:
        """Wait for the thread to end, but not beyond a ``time.monotonic()`` deadline.

        Returns at once if an earlier wait already reached its deadline.
        """
        thread = self._thread
        if thread is None or self._hung:
            return
        thread.join(max(0.0, deadline - time.monotonic()))
        self._hung = thread.is_alive()

    def _run(self) -> None:
        try:
            collector = self._collector or self._make_collector()
            if collector is not None:
                self._read_until_stopped(collector)
        except RunClosedError:
            pass  # the collector hung, and the run ended without waiting for it
        finally:
            self._thread = None

    def _read_until_stopped(self, collector: Collector) -> None:
        now = time.monotonic()
        if self._next_due is None:  # a CPU share is measured over a period, so wait before reading
            self._next_due = now + self._plan.delay_s
        while True:
            if now >= self._next_due:
                self._take_reading(collector)
                now = time.monotonic()
                self._next_due = find_next_due(
                    self._next_due, self.interval_s * self._backoff(), now
                )
            if self._stop.wait(self._next_due - now) and self._must_stop():
                break
            now = time.monotonic()
        if self._reads_last:
            self._take_reading(collector)
            close = getattr(collector, "close", None)
            if callable(close):
                self._call_safely(close)

    def _must_stop(self) -> bool:
        """Return True if the thread must stop. After a fork, `start` cancels the request."""
        with self._lock:
            if self._stop.is_set():
                self._thread = None
                return True
            return False

    def _backoff(self) -> int:
        return int(min(2**self._failures, _MAX_BACKOFF))

    def _make_collector(self) -> Collector | None:
        """Create and initialise the collector; return None if this fails or the run is ending."""
        if self._stop.wait(self._plan.delay_s) and self._must_stop():
            return None
        try:
            collector = self._plan.make()
            initialize = getattr(collector, "initialize", None)
            if callable(initialize):
                initialize()
        except UnavailableError as error:
            self._unavailable = True
            if not error.expected and self.readings is not None:
                self.readings.write_event("collector unavailable", {"reason": str(error)})
            return None
        except Exception as error:  # third-party code can raise any exception
            self._unavailable = True
            if self.readings is not None:
                self.readings.write_event("collector unavailable", {"reason": _format_error(error)})
            return None
        interval_s = getattr(collector, "collect_interval", None)
        if is_number(interval_s) and interval_s > 0:
            self.interval_s = float(interval_s)
        if self.readings is not None:
            self.readings.describe(collector, self.interval_s)
        self._collector = collector
        return collector

    def _take_reading(self, collector: Collector) -> None:
        position = NO_POSITION
        if self._journal is not None:
            position = self._journal.last_position() or NO_POSITION
        cpu_ns = time.thread_time_ns()
        done = self._call_safely(lambda: self._read(collector, position))
        self._hung = False
        if not done:
            return
        cost = (time.thread_time_ns() - cpu_ns) / 1e9 / self.interval_s
        self._costly_readings = self._costly_readings + 1 if cost > _MAX_COST else 0
        if self._costly_readings == _COSTLY_READINGS:
            self._slow_down(cost)

    def _read(self, collector: Collector, position: Position) -> None:
        reading = collector.collect()
        if not reading:
            return
        if self.readings is not None and self._journal is not None and not self._journal.closed:
            self._start_ns = self.readings.write(collector, reading, self._start_ns, None, position)

    def _call_safely(self, call: Callable[[], object]) -> bool:
        """Call a function; return True if it succeeds.

        If the function fails several times in a row, records only the first failure.
        """
        try:
            call()
        except RunClosedError:
            raise
        except Exception as error:  # third-party code can raise any exception
            self._failures += 1
            if self._failures == 1 and self.readings is not None:
                self.readings.write_event("collector failed", {"error": _format_error(error)})
            return False
        if self._failures and self.readings is not None:
            self.readings.write_event("collector recovered", {"failures": self._failures})
        self._failures = 0
        return True

    def _slow_down(self, cost: float) -> None:
        """Lengthen the reading interval, because the readings use more than 5 % of a CPU."""
        self.interval_s *= max(2.0, cost / _MAX_COST)
        self._costly_readings = 0
        if self.readings is not None:
            self.readings.write_event(
                "collector slowed down",
                {"overhead_percent": round(100 * cost, 1), "interval_s": self.interval_s},
            )


def find_next_due(due: float, interval_s: float, now: float) -> float:
    """Return the time of the next reading: a whole number of intervals after the last due time.

    Skips readings that were missed because the machine was suspended or a reading took too long.

    Args:
        due: the time at which the last reading was due.
        interval_s: seconds between readings.
        now: the current time.
    """
    missed = max(0.0, now - due) // interval_s
    return due + (missed + 1) * interval_s


def _format_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500].encode("utf-8", "backslashreplace").decode()
