"""The threads that read in the background while a run goes on, one a collector.

Each collector has its own: one that raises is tried again later and later, one that hangs is left
behind, and the others go on. Trouble is an event of the run, told once. Imports `readings`,
`thresholds`, `journal`, `errors`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from provml.collect.readings import (
    Collector,
    Table,
    UnavailableError,
    check_collector,
    flat,
    is_number,
    unit_of,
)
from provml.collect.thresholds import find_alerts
from provml.errors import RunClosedError
from provml.journal.values import encode

SAMPLING: Final = "sampling"
"""The kind of series whose samples are readings taken: their time, their value its start."""

Place = tuple[tuple[str, ...] | None, int | None, int | None]
"""context path, step, epoch"""

_NOWHERE: Final[Place] = (None, None, None)
_JOIN_S: Final = 0.5
_FORK_JOIN_S: Final = 0.2
_LONGEST_BACKOFF: Final = 64
_MOST_COST: Final = 0.05
_COSTLY_READINGS: Final = 3
_MAX_INT64: Final = 2**63
_SUMMED_UP: Final = ("%", "J")
"""What of the readings is summed up at the end, by units: shares, and energy."""
_ENERGY: Final = "_joules"
_PARTS: Final = ("cpu_per_core",)
"""Shares of which there is one for the whole."""


class ReadingSink(Protocol):
    """What of a journal's writer is needed."""

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""

    @property
    def dropped(self) -> tuple[int, int]:
        """Samples and events that were lost."""

    def sample(
        self,
        key: tuple[str, str, tuple[str, ...] | None, str | None, str],
        time_ns: int,
        step: int | None,
        epoch: int | None,
        value: Any,
    ) -> None:
        """Write a sample."""

    def append(self, record: dict[str, Any]) -> None:
        """Write a record."""

    def under_way(self) -> Place | None:
        """Context, step and epoch of what was logged last."""


class Readings:
    """Writes what one collector reads into a journal; used by one thread at a time."""

    def __init__(self, name: str, journal: ReadingSink) -> None:
        self.name = name
        self._journal = journal
        self._last_ns = 0
        self._given: set[tuple[int, Place]] = set()
        self._constants: dict[str, object] = {}
        self._told: set[str] = set()
        self.alerts: dict[str, tuple[str, float]] = {}
        self.alert_count = 0
        self.critical_alerts = 0
        self.highest: dict[str, float] = {}
        self._extents: dict[str, tuple[int, float, float]] = {}

    def describe(self, collector: Collector, interval_s: float | None) -> None:
        """Record once how it reads, and the devices that it found."""
        settings: dict[str, Any] = {"interval_s": interval_s}
        if getattr(collector, "thresholds", None):
            settings["thresholds"] = dict(collector.thresholds)  # type: ignore[attr-defined]
        settings |= getattr(collector, "settings", {})
        self._journal.append(
            {
                "record": "collector",
                "time": time.time_ns(),
                "name": self.name,
                "settings": encode(settings),
            }
        )
        for device in getattr(collector, "devices", ()):
            facts = {key: value for key, value in device.items() if key != "name"}
            record = {"record": "device", "time": time.time_ns(), "name": str(device["name"])}
            self._journal.append(record | {"facts": encode(facts)})

    def write(
        self,
        collector: Collector,
        reading: Mapping[str, Any],
        start_ns: int,
        time_ns: int | None,
        place: Place,
    ) -> int:
        """Record a reading that covers the time since the start; the time it was recorded with.

        Args:
            time_ns: as the user gave it; None is now.
        """
        known = False
        if time_ns is None:  # two readings of one time would be one
            time_ns = self._last_ns = max(time.time_ns(), self._last_ns + 1)
        else:
            known = (time_ns, place) in self._given
            self._given.add((time_ns, place))
        context, step, epoch = place
        journal, name = self._journal, self.name
        lost = journal.dropped
        if not known:
            taken = (SAMPLING, name, context, None, "i64")
            journal.sample(taken, time_ns, step, epoch, min(start_ns, time_ns))
        if journal.dropped != lost:
            return time_ns  # no activity to have taken it: values without one would be left
        units: Mapping[str, str] = getattr(collector, "units", {})
        constants = getattr(collector, "constants", ())
        unrecorded = getattr(collector, "unrecorded", ())
        values: dict[str, Any] = {}
        for key, value in flat({k: v for k, v in reading.items() if k not in unrecorded}):
            values[key] = value
            if key.rpartition(".")[2] in constants:
                if self._constants.get(key) == value:
                    continue
                self._constants[key] = value
            unit = unit_of(key, units)
            storage, stored = _stored(value)
            journal.sample((name, key, context, unit, storage), time_ns, step, epoch, stored)
            if unit in _SUMMED_UP and storage != "text" and not key.startswith(_PARTS):
                count, total, most = self._extents.get(key, (0, 0, stored))
                self._extents[key] = count + 1, total + stored, max(most, stored)
        self._alert(collector, values, time_ns, place)
        self.tell_missing(collector)
        return time_ns

    def summary(self) -> dict[str, float]:
        """Mean and maximum of what is a share, the sum of what is energy, by dotted names."""
        found: dict[str, float] = {}
        for key, (count, total, most) in self._extents.items():
            own = self.name == "system" or key.startswith(f"{self.name}.")
            name = key if own else f"{self.name}.{key}"
            if key.endswith(_ENERGY):
                found[f"{name}.sum"] = total
            else:
                found |= {f"{name}.mean": total / count, f"{name}.max": most}
        return found

    def _alert(
        self, collector: Collector, values: dict[str, Any], time_ns: int, place: Place
    ) -> None:
        """Record an alert where a value goes above its threshold, or its severity changes."""
        thresholds: Mapping[str, float] = getattr(collector, "thresholds", {})
        raised: dict[str, tuple[str, float]] = {}
        for alert in find_alerts(values, thresholds, time_ns / 1e9):
            metric, severity = alert["metric"], alert["severity"]
            raised[metric] = (severity, alert["value"])
            self.alert_count += 1
            self.critical_alerts += severity == "critical"
            self.highest[metric] = max(alert["value"], self.highest.get(metric, alert["value"]))
            if self.alerts.get(metric, ("",))[0] != severity:
                self._journal.append(
                    {
                        "record": "alert",
                        "time": time_ns,
                        "name": metric,
                        "collector": self.name,
                        "value": encode(alert["value"]),
                        "threshold": encode(alert["threshold"]),
                        "severity": severity,
                        "context": None if place[0] is None else list(place[0]),
                        "step": place[1],
                        "epoch": place[2],
                    }
                )
        self.alerts = raised

    def tell_missing(self, collector: Collector) -> None:
        """Record once of each key why it can't be read."""
        missing: Mapping[str, str] = getattr(collector, "missing", {})
        new = {key: str(why)[:500] for key, why in missing.items() if key not in self._told}
        if new:
            self._told |= set(new)
            self.tell("collector degraded", {"missing": new})

    def tell_once(self, what: str, metadata: dict[str, Any]) -> None:
        """Record an event of the collector that is not to be told again."""
        if what not in self._told:
            self._told.add(what)
            self.tell(what, metadata)

    def tell(self, what: str, metadata: dict[str, Any]) -> None:
        """Record an event of the collector."""
        self._journal.append(
            {
                "record": "event",
                "time": time.time_ns(),
                "name": what,
                "source": "provml",
                "metadata": encode({"collector": self.name} | metadata),
                "context": None,
                "step": None,
                "epoch": None,
            }
        )


def _stored(value: Any) -> tuple[str, Any]:
    if isinstance(value, float):
        return "f64", value
    if isinstance(value, int) and -_MAX_INT64 <= value < _MAX_INT64:
        return "i64", value
    return "text", encode(list(value) if isinstance(value, Table) else value)


class Planned(NamedTuple):
    """A collector that is to read, not made yet: making it may take imports and a driver.

    Attributes:
        settle_s: how long after the start it is made, and after that its first reading comes; a
            run that is over before it is made has none of it.
    """

    name: str
    make: Callable[[], Collector]
    settle_s: float = 0.0


class Loop:
    """One collector's thread: reads at once, then at its interval, and once more at the end."""

    def __init__(
        self, planned: Planned, interval_s: float, journal: ReadingSink | None, start_ns: int
    ) -> None:
        """Args: journal is None where readings are for the collector alone."""
        self.name = planned.name
        self.interval_s = interval_s
        self.readings = None if journal is None else Readings(planned.name, journal)
        self._planned = planned
        self._collector: Collector | None = None
        self._journal = journal
        self._start_ns = start_ns
        self._due: float | None = None
        self._failures = 0
        self._costly = 0
        self._over = False
        self._hung = False
        self._last = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, or have it go on; not where the collector has nothing to read."""
        with self._lock:
            self._stop.clear()
            if self._over or self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name=f"provml-{self.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system allows no more threads, or the interpreter is ending
                return
            self._thread = thread

    def ask_to_stop(self, last: bool) -> None:
        """Have the thread end, after one more reading where it is the last."""
        self._last = last
        self._stop.set()

    def wait(self, deadline: float) -> None:
        """Wait for the thread's end, until a time of the monotonic clock; not again if it hangs."""
        thread = self._thread
        if thread is None or self._hung:
            return
        thread.join(max(0.0, deadline - time.monotonic()))
        self._hung = thread.is_alive()

    def _run(self) -> None:
        try:
            collector = self._collector or self._made()
            if collector is not None:
                self._read_until_stopped(collector)
        except RunClosedError:
            pass  # it hung, and the run ended without it
        finally:
            self._thread = None

    def _read_until_stopped(self, collector: Collector) -> None:
        now = time.monotonic()
        if self._due is None:  # what is a share of the time has to have some
            self._due = now + self._planned.settle_s
        while True:
            if now >= self._due:
                self._take(collector)
                now = time.monotonic()
                self._due = next_due(self._due, self.interval_s * self._backoff(), now)
            if self._stop.wait(self._due - now) and self._is_over():
                break
            now = time.monotonic()
        if self._last:
            self._take(collector)
            close = getattr(collector, "close", None)
            if callable(close):
                self._guarded(close)

    def _is_over(self) -> bool:
        """Whether it is still to stop: after a fork it may be to go on."""
        with self._lock:
            if self._stop.is_set():
                self._thread = None
                return True
            return False

    def _backoff(self) -> int:
        return int(min(2**self._failures, _LONGEST_BACKOFF))

    def _made(self) -> Collector | None:
        """The collector, ready to read; None where there is nothing to read, or no time to."""
        if self._stop.wait(self._planned.settle_s) and self._is_over():
            return None
        try:
            collector = self._planned.make()
            initialize = getattr(collector, "initialize", None)
            if callable(initialize):
                initialize()
        except UnavailableError as error:
            self._over = True
            if not error.expected and self.readings is not None:
                self.readings.tell("collector unavailable", {"reason": str(error)})
            return None
        except Exception as error:  # third parties' code may raise anything
            self._over = True
            if self.readings is not None:
                self.readings.tell("collector unavailable", {"reason": _described(error)})
            return None
        own = getattr(collector, "collect_interval", None)
        if is_number(own) and own > 0:
            self.interval_s = float(own)
        if self.readings is not None:
            self.readings.describe(collector, self.interval_s)
        self._collector = collector
        return collector

    def _take(self, collector: Collector) -> None:
        place = _NOWHERE
        if self._journal is not None:
            place = self._journal.under_way() or _NOWHERE
        cpu_ns = time.thread_time_ns()
        done = self._guarded(lambda: self._read(collector, place))
        self._hung = False
        if not done:
            return
        cost = (time.thread_time_ns() - cpu_ns) / 1e9 / self.interval_s
        self._costly = self._costly + 1 if cost > _MOST_COST else 0
        if self._costly == _COSTLY_READINGS:
            self._slow_down(cost)

    def _read(self, collector: Collector, place: Place) -> None:
        reading = collector.collect()
        if not reading:
            return
        if self.readings is not None and self._journal is not None and not self._journal.closed:
            self._start_ns = self.readings.write(collector, reading, self._start_ns, None, place)

    def _guarded(self, call: Callable[[], object]) -> bool:
        """Whether it did not raise; the first of several failures in a row is told."""
        try:
            call()
        except RunClosedError:
            raise
        except Exception as error:  # third parties' code may raise anything
            self._failures += 1
            if self._failures == 1 and self.readings is not None:
                self.readings.tell("collector failed", {"error": _described(error)})
            return False
        if self._failures and self.readings is not None:
            self.readings.tell("collector recovered", {"failures": self._failures})
        self._failures = 0
        return True

    def _slow_down(self, cost: float) -> None:
        """Read less often where readings take more than a twentieth of a CPU."""
        self.interval_s *= max(2.0, cost / _MOST_COST)
        self._costly = 0
        if self.readings is not None:
            self.readings.tell(
                "collector slowed down",
                {"overhead_percent": round(100 * cost, 1), "interval_s": self.interval_s},
            )


def next_due(due: float, interval_s: float, now: float) -> float:
    """When to read next: on the grid of the interval, so that it does not drift.

    What was missed, while the machine slept or a reading took long, is not made up for.
    """
    missed = max(0.0, now - due) // interval_s
    return due + (missed + 1) * interval_s


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500].encode("utf-8", "backslashreplace").decode()


class Sampler:
    """A run's collectors and their threads."""

    def __init__(
        self,
        journal: ReadingSink,
        interval_s: float,
        collectors: Iterable[Planned],
        open_snapshot: Callable[[], Collector],
    ) -> None:
        """`open_snapshot` opens the collector of `snapshot`, at its first use."""
        self._journal = journal
        self._open_snapshot = open_snapshot
        self._interval_s = interval_s
        self._start_ns = time.time_ns()
        self._lock = threading.RLock()
        self._loops = [self._loop(planned) for planned in collectors]
        self._ended = False
        self._snapshots: tuple[Collector, Readings] | None = None
        self._snapshot_lock = threading.Lock()
        self._snapshot_ns = self._start_ns
        self._pending: list[threading.Thread] = []

    def _loop(self, planned: Planned) -> Loop:
        return Loop(planned, self._interval_s or 5.0, self._journal, self._start_ns)

    def start(self) -> None:
        """Start reading."""
        with self._lock:
            if self._ended:
                return
            for loop in self._loops:
                loop.start()
            _active.append(self)

    def add(self, collector: Collector) -> Callable[[], None]:
        """Read by one more collector, in the place of one of its name; what ends that."""
        with self._lock:
            loop = self._loop(Planned(str(collector.name), lambda: collector))
            same = [one for one in self._loops if one.name == loop.name]
            self._halt(same, last=False)
            self._loops = [one for one in self._loops if one not in same] + [loop]
            loop.start()

        def stop() -> None:
            with self._lock:
                if self._ended or loop not in self._loops:
                    return
                self._halt([loop], last=True)
                self._loops.remove(loop)
                self._loops += same
                for one in same:
                    one.start()

        return stop

    def snapshot(self, place: Place, time_ns: int | None, synchronous: bool) -> None:
        """Read now, beside the rhythm; what is covered is the time since the snapshot before.

        Args:
            time_ns: the time to record; None is now.
            synchronous: False reads in a thread of its own.
        """
        if synchronous:
            self._snapshot(place, time_ns)
            return
        own_ns = time.time_ns() if time_ns is None else time_ns
        thread = threading.Thread(
            target=self._snapshot_late, args=(place, own_ns), name="provml-snapshot", daemon=True
        )
        with self._lock:
            self._pending = [one for one in self._pending if one.is_alive()]
            try:
                thread.start()
            except RuntimeError:  # no more threads are allowed
                self._snapshot(place, time_ns)
            else:
                self._pending.append(thread)

    def _snapshot_late(self, place: Place, time_ns: int) -> None:
        try:
            self._snapshot(place, time_ns)
        except RunClosedError:
            pass  # it took longer than the run's end waits

    def _snapshot(self, place: Place, time_ns: int | None) -> None:
        with self._snapshot_lock:
            if self._snapshots is None:
                opened = self._open_snapshot()
                self._snapshots = (opened, Readings(str(opened.name), self._journal))
            collector, readings = self._snapshots
            try:
                reading = collector.collect()
            except UnavailableError as error:
                readings.tell_once("collector unavailable", {"reason": str(error)})
                return
            self._snapshot_ns = readings.write(
                collector, reading, self._snapshot_ns, time_ns, place
            )

    def stop(self) -> dict[str, Any]:
        """Take a last reading of each, and end the threads; one that hangs is left behind.

        What was read comes to: of each share its mean and maximum, of energy the sum, and how many
        alerts there were, where there were some.
        """
        with self._lock:
            if self._ended:
                return {}
            self._ended = True
            self._forget_active()
            self._halt(self._loops, last=True)
            deadline = time.monotonic() + _JOIN_S
            for thread in self._pending:
                thread.join(max(0.0, deadline - time.monotonic()))
            return self._summary() | self._alerts()

    def _halt(self, loops: list[Loop], last: bool, patience_s: float = _JOIN_S) -> None:
        for loop in loops:
            loop.ask_to_stop(last)
        deadline = time.monotonic() + patience_s
        for loop in loops:
            loop.wait(deadline)

    def _summary(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for loop in self._loops:
            if loop.readings is not None:
                found |= loop.readings.summary()
        return found

    def _alerts(self) -> dict[str, Any]:
        found = [loop.readings for loop in self._loops if loop.readings is not None]
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
        """End the threads before a fork, without a last reading."""
        with self._lock:
            self._halt(self._loops, last=False, patience_s=_FORK_JOIN_S)

    def resume(self) -> None:
        """Start them again: they go on in their rhythm."""
        with self._lock:
            if not self._ended:
                for loop in self._loops:
                    loop.start()

    def forget(self) -> None:
        """In a forked child, which has no such threads and is to have none."""
        self._lock = threading.RLock()
        self._ended = True
        self._forget_active()

    def _forget_active(self) -> None:
        if self in _active:
            _active.remove(self)


_active: list[Sampler] = []
"""Those of the runs under way in this process."""


def read_in_background(collector: Collector) -> Callable[[], None]:
    """Read into the run that was started last, or, without one, for the collector alone.

    Raises InvalidArgumentError where it is no collector.
    """
    check_collector(collector)
    if _active:
        return _active[-1].add(collector)
    loop = Loop(Planned(str(collector.name), lambda: collector), 5.0, None, time.time_ns())
    loop.start()

    def stop() -> None:
        loop.ask_to_stop(last=True)
        loop.wait(time.monotonic() + _JOIN_S)

    return stop
