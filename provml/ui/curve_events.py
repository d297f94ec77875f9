"""Places a run's events and alerts on the horizontal axis of curves."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from provml.charts.pixel_curves import Part, Scale
from provml.charts.run_samples import RunSamples
from provml.charts.stretches import STRETCH
from provml.errors import ProvMLError
from provml.journal.history import find_events, read_records
from provml.journal.reader import Journal, read_events_stamp
from provml.model.recorded_values import decode_alerts

_MOST_EVENTS: Final = 500
_LONGEST_TEXT: Final = 300
_LEVELS: Final = ("critical", "error", "warning", "info")


class _Happening(NamedTuple):
    """An event or an alert."""

    time_ns: int
    name: str
    text: str
    level: str
    step: int | None
    epoch: int | None


def place_events(run: RunSamples, scale: Scale, notes: list[str]) -> list[dict[str, Any]]:
    """Return the events and alerts of a run with their positions on an axis.

    If an event has no step or epoch, its position is that of the last metric sample before the
    event. On these axes, an event before the first sample has no position, and is left out.

    Args:
        run: the run.
        scale: the axis.
        notes: receives a note if there are too many events to return all of them.
    """
    happened = _find_happenings(run)
    placed = list(zip(happened, _find_positions(run, scale, happened), strict=True))
    shown = [(one, x) for one, x in placed if x is not None]
    if len(shown) > _MOST_EVENTS:
        notes.append(
            f"{_MOST_EVENTS} of {len(shown):,} events of run {run.folder.name} are shown, the most "
            "severe first"
        )
        shown.sort(key=lambda found: _LEVELS.index(found[0].level))
        shown = sorted(shown[:_MOST_EVENTS], key=lambda found: found[0].time_ns)
    return [{"name": one.name, "x": x, "text": one.text, "level": one.level} for one, x in shown]


def _find_happenings(run: RunSamples) -> list[_Happening]:
    """Return the events and alerts of a run, sorted by time."""
    stamp = read_events_stamp(run.folder)
    kept = run.kept_answers.get("events")
    if kept is not None and kept[0] == stamp:
        found: list[_Happening] = kept[1]
        return found
    try:
        journal = Journal(run.folder)
        found = [*_read_events(journal), *_read_alerts(journal)]
    except ProvMLError:
        return []
    found.sort(key=lambda one: one.time_ns)
    run.kept_answers["events"] = stamp, found
    return found


def _read_events(journal: Journal) -> list[_Happening]:
    found = []
    for event in find_events(journal):
        facts = [f"{name}: {value}" for name, value in event.metadata.items()]
        if event.source is not None:
            facts.append(f"source: {event.source}")
        level = str(event.metadata.get("level", "info")).lower()
        level = level if level in _LEVELS else "info"
        text = _shorten(", ".join(facts))
        found.append(_Happening(event.time_ns, event.name, text, level, event.step, event.epoch))
    return found


def _read_alerts(journal: Journal) -> list[_Happening]:
    return [
        _Happening(
            alert.time_ns,
            alert.metric,
            _shorten(f"{alert.metric} is {alert.value:.6g}, above {alert.threshold:.6g}"),
            alert.severity if alert.severity in _LEVELS else "warning",
            alert.step,
            alert.epoch,
        )
        for alert in decode_alerts(read_records(journal, "alert"))
    ]


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _find_positions(
    run: RunSamples, scale: Scale, happened: list[_Happening]
) -> list[float | None]:
    if scale.missing is None:
        return [_convert(scale, one.time_ns) for one in happened]
    own = [one.step if scale.name == "step" else one.epoch for one in happened]
    positions: list[float | None] = [float(x) if isinstance(x, int) else None for x in own]
    lacking = [place for place, x in enumerate(own) if not isinstance(x, int)]
    if lacking:
        times = [happened[place].time_ns for place in lacking]
        for place, x in zip(lacking, _look_up(run, scale, times), strict=True):
            positions[place] = x
    return positions


def _convert(scale: Scale, time_ns: int) -> float:
    shift = scale.started_ns if scale.name == "time" else 0
    return (time_ns - shift) / 1e9


def _look_up(run: RunSamples, scale: Scale, times: list[int]) -> list[float | None]:
    """Return the position of the last metric sample at or before each time, or None."""
    import numpy as np

    parts = [(writer, series) for writer in run.writers for series in writer.series]
    metrics = [part for part in parts if part[1].identity[0] == "metric" and part[1].count]
    found: list[tuple[Any, Any]] = []
    for part in sorted(metrics, key=lambda part: -part[1].count):
        found.append(_sample_positions(part, scale, times))
        if len(found[-1][0]):
            break
    if not found or not len(found[-1][0]):
        return [None] * len(times)
    own_times, positions = found[-1]
    order = np.argsort(own_times, kind="stable")
    own_times, positions = own_times[order], positions[order]
    bounded = np.array([min(max(time, -(2**63)), 2**63 - 1) for time in times], np.int64)
    places = own_times.searchsorted(bounded, "right") - 1
    return [None if place < 0 else float(positions[place]) for place in places.tolist()]


def _sample_positions(part: Part, scale: Scale, times: list[int]) -> tuple[Any, Any]:
    """Return the times and positions of the samples near the given times."""
    import numpy as np

    writer, series = part
    tail = writer.read_tail(series)
    near_times, near = [tail["time"]], [tail[scale.column]]
    rows = series.read_rows(0, series.row_count)
    if len(rows):
        near_times.append(rows["time"].ravel())
        near.append(rows[scale.column].ravel())
        bounded = np.array([min(max(time, -(2**63)), 2**63 - 1) for time in times], np.int64)
        # the summaries show which stretch contains a time, and its samples show the position
        around = np.unique(rows["time"][:, 0].searchsorted(bounded, "right") - 1)
        around = around[around >= 0][:_MOST_EVENTS]
        for row in rows[around]:
            span = int(row["first_slot"]), int(row["last_slot"])
            if span[1] - span[0] < 256 * STRETCH:
                samples, _ = writer.read_slots(series, [span])
                near_times.append(samples["time"])
                near.append(samples[scale.column])
    joined_times, joined = np.concatenate(near_times), np.concatenate(near)
    placed = joined != scale.missing
    return joined_times[placed], joined[placed]
