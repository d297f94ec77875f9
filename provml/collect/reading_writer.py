"""Writes a collector's readings into the journal, as samples, alerts, devices and events.

Imports only `readings`, `thresholds`, `journal.layout`, `journal.record_building` and
`journal.values` from provml.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from provml.collect.readings import Collector, ReadingTable, find_unit, flatten_reading
from provml.collect.thresholds import find_alerts
from provml.journal import layout
from provml.journal.record_building import build_event
from provml.journal.values import encode

if TYPE_CHECKING:
    from provml.journal.series_keys import Position

_SUMMARY_UNITS: Final = ("%", "J")
"""The units of the values that a run summarises at its end: percentages and energy."""
_ENERGY_SUFFIX: Final = "_joules"
_PER_CORE_KEYS: Final = ("cpu_per_core",)
"""Keys that the summary leaves out, because ``cpu_percent`` covers all cores."""


class ReadingSink(Protocol):
    """The part of a journal writer that a `ReadingWriter` uses."""

    @property
    def closed(self) -> bool:
        """True if the writer no longer accepts records."""

    @property
    def dropped(self) -> tuple[int, int]:
        """The numbers of samples and events that the writer has lost so far."""

    def sample(
        self,
        key: tuple[str, str, tuple[str, ...] | None, str | None, str],
        time_ns: int,
        step: int | None,
        epoch: int | None,
        value: Any,
    ) -> None:
        """Write a sample of the series that ``key`` identifies."""

    def append(self, record: dict[str, Any]) -> None:
        """Write a record to the events file."""

    def last_position(self) -> Position | None:
        """Return the context, step and epoch of the last metric; None before the first metric."""


class ReadingWriter:
    """Writes the readings of one collector into a journal. Use it from one thread at a time."""

    def __init__(self, name: str, journal: ReadingSink) -> None:
        self.name = name
        self._journal = journal
        self._last_ns = 0
        self._user_times: set[tuple[int, Position]] = set()
        self._constants: dict[str, object] = {}
        self._recorded_once: set[str] = set()
        self.alerts: dict[str, tuple[str, float]] = {}
        self.alert_count = 0
        self.critical_alerts = 0
        self.highest: dict[str, float] = {}
        self._totals: dict[str, tuple[int, float, float]] = {}

    def describe(self, collector: Collector, interval_s: float | None) -> None:
        """Record the collector's settings and the devices that the collector found."""
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
        position: Position,
    ) -> int:
        """Record a reading that covers the time since ``start_ns``; return the recorded time.

        Args:
            collector: the collector that took the reading.
            reading: the values of the reading.
            start_ns: the start of the time that the reading covers, in nanoseconds since the Unix
                epoch.
            time_ns: the time to record, in nanoseconds since the Unix epoch; None means now.
            position: the context, step and epoch to record the reading under.
        """
        is_taken = False
        if time_ns is None:  # each reading needs a different time
            time_ns = self._last_ns = max(time.time_ns(), self._last_ns + 1)
        else:
            is_taken = (time_ns, position) in self._user_times
            self._user_times.add((time_ns, position))
        context, step, epoch = position
        journal, name = self._journal, self.name
        lost = journal.dropped
        if not is_taken:
            taken = (layout.SAMPLING, name, context, None, "i64")
            journal.sample(taken, time_ns, step, epoch, min(start_ns, time_ns))
        if journal.dropped != lost:
            return time_ns  # the sample for the sampling activity was lost, so leave out its values
        units: Mapping[str, str] = getattr(collector, "units", {})
        constants = getattr(collector, "constants", ())
        unrecorded = getattr(collector, "unrecorded", ())
        values: dict[str, Any] = {}
        for key, value in flatten_reading(
            {k: v for k, v in reading.items() if k not in unrecorded}
        ):
            values[key] = value
            if key.rpartition(".")[2] in constants:
                if self._constants.get(key) == value:
                    continue
                self._constants[key] = value
            unit = find_unit(key, units)
            storage, stored = _choose_storage(value)
            journal.sample((name, key, context, unit, storage), time_ns, step, epoch, stored)
            if unit in _SUMMARY_UNITS and storage != "text" and not key.startswith(_PER_CORE_KEYS):
                count, total, most = self._totals.get(key, (0, 0, stored))
                self._totals[key] = count + 1, total + stored, max(most, stored)
        self._write_alerts(collector, values, time_ns, position)
        self.write_missing(collector)
        return time_ns

    def summary(self) -> dict[str, float]:
        """Return the mean and maximum of each percentage, and the sum of each energy value.

        The keys are dotted names, such as ``cpu_percent.mean``.
        """
        found: dict[str, float] = {}
        for key, (count, total, most) in self._totals.items():
            is_qualified = self.name == "system" or key.startswith(f"{self.name}.")
            name = key if is_qualified else f"{self.name}.{key}"
            if key.endswith(_ENERGY_SUFFIX):
                found[f"{name}.sum"] = total
            else:
                found |= {f"{name}.mean": total / count, f"{name}.max": most}
        return found

    def _write_alerts(
        self, collector: Collector, values: dict[str, Any], time_ns: int, position: Position
    ) -> None:
        """Record an alert if a value rises above its threshold, or if the severity changes."""
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
                        "context": None if position[0] is None else list(position[0]),
                        "step": position[1],
                        "epoch": position[2],
                    }
                )
        self.alerts = raised

    def write_missing(self, collector: Collector) -> None:
        """Record each key that the collector can't read, with the reason, but only once per key."""
        missing: Mapping[str, str] = getattr(collector, "missing", {})
        new = {
            key: str(why)[:500] for key, why in missing.items() if key not in self._recorded_once
        }
        if new:
            self._recorded_once |= set(new)
            self.write_event("collector degraded", {"missing": new})

    def write_event_once(self, name: str, metadata: dict[str, Any]) -> None:
        """Record an event about the collector, unless this event has already been recorded."""
        if name not in self._recorded_once:
            self._recorded_once.add(name)
            self.write_event(name, metadata)

    def write_event(self, name: str, metadata: dict[str, Any]) -> None:
        """Record an event about the collector."""
        record = build_event(name, encode({"collector": self.name} | metadata))
        self._journal.append(record | {"context": None, "step": None, "epoch": None})


def _choose_storage(value: Any) -> tuple[str, Any]:
    if isinstance(value, float):
        return "f64", value
    if isinstance(value, int) and -layout.MAX_INT64 - 1 <= value <= layout.MAX_INT64:
        return "i64", value
    return "text", encode(list(value) if isinstance(value, ReadingTable) else value)
