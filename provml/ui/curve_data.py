"""Answers requests for curves: the samples of series, thinned to the pixels of a chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provml.charts.pixel_curves import (
    SCALES,
    Part,
    PixelCurve,
    ReadBudget,
    Scale,
    find_extent,
    read_pixel_curve,
)
from provml.charts.run_samples import RunSamples, refresh_all
from provml.charts.thinning import PixelGrid
from provml.errors import InvalidArgumentError, SeriesNotFoundError
from provml.journal import layout
from provml.journal.sample_reading import to_int64
from provml.journal.values import to_logged_value
from provml.model.series import SAMPLING, SeriesIdentity, text_values
from provml.ui.answers import json_value
from provml.ui.browsed_store import BrowsedStore
from provml.ui.curve_events import place_events
from provml.ui.curve_samples import find_samples
from provml.ui.queries import Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

_DEFAULT_POINTS: Final = 1_000
_MOST_POINTS: Final = 4_000
_MOST_RUNS: Final = 200
_MOST_SERIES: Final = 200
_MOST_CURVES: Final = 2_000
_MOST_READS: Final = 10_000
_MOST_PIXELS: Final = 400_000
_FEWEST_PIXELS: Final = 100
_MOST_MARKS: Final = 200
_MOST_NAMED: Final = 12
_BUDGET_RECORDS: Final = 2**24
_KINDS: Final = ("metric", "reading", "all")

_Key = tuple[str, tuple[str, ...] | None, str, tuple[str, str] | None]
"""The fields that curves share if they differ only in rank: kind, context, name and target."""


def answer_curves(store: BrowsedStore, query: Query) -> Mapping[str, Any]:
    """Return curves of runs, thinned to the pixels of a chart.

    Each pixel keeps its first, last, lowest and highest sample and its gaps. If the request limits
    the range, the curve continues to the next sample on each side of the range. The first request
    for a run reads all samples of the run. Later requests read summaries, and only the samples at
    the edges of pixels.

    Args:
        store: the store.
        query: ``run`` (repeated), ``series`` (repeated), ``kind``, ``axis``, ``from``, ``to``,
            ``points`` and ``ranks``.

    Raises:
        RunNotFoundError: the store does not contain one of the runs.
        SeriesNotFoundError: no run has a series of the given name and kind.
        InvalidArgumentError: a parameter is missing or invalid.
    """
    request = _CurveRequest.read(query)
    samples = find_samples(store)
    folders = [(key, store.run_folder(key)) for key in request.runs]
    with samples.use(folders) as runs:
        try:
            return _Answer(request, runs).build()
        except OSError:  # the cache was deleted, or a run was removed
            for run in runs.values():
                run.close()
            refresh_all(list(runs.values()))
            return _Answer(request, runs).build()


@dataclass(frozen=True, slots=True)
class _CurveRequest:
    """The parameters of a request for curves."""

    runs: list[str]
    series: list[str]
    kind: str
    axis: str
    start: float | None
    end: float | None
    points: int
    each_rank: bool

    @classmethod
    def read(cls, query: Query) -> _CurveRequest:
        query.required("run")
        runs = list(dict.fromkeys(query.every("run")))
        series = list(dict.fromkeys(query.every("series")))
        for what, values, most in (("runs", runs, _MOST_RUNS), ("series", series, _MOST_SERIES)):
            if len(values) > most:
                raise InvalidArgumentError(
                    f"the request names {len(values):,} {what}: use at most {most}"
                )
        start, end = query.number("from"), query.number("to")
        if start is not None and end is not None and start > end:
            raise InvalidArgumentError(f"from is {start:g}, which is greater than to, {end:g}")
        return cls(
            runs=runs,
            series=series,
            kind=query.choice("kind", _KINDS, "metric"),
            axis=query.choice("axis", SCALES, "step"),
            start=start,
            end=end,
            points=max(1, query.count("points", _DEFAULT_POINTS, _MOST_POINTS)),
            each_rank=query.choice("ranks", ("band", "each"), "band") == "each",
        )

    def takes(self, identity: SeriesIdentity) -> bool:
        """Return whether the request includes a series."""
        kind, _, name, _, _ = identity
        if kind == SAMPLING or (self.series and name not in self.series):
            return False
        # FLOPs are counted by the run itself, so they belong to the metrics
        is_metric = kind in ("metric", "flops", "cumulative-flops")
        return self.kind == "all" or is_metric == (self.kind == "metric")


class _Answer:
    """Builds the answer to a request."""

    def __init__(self, request: _CurveRequest, runs: dict[str, RunSamples]) -> None:
        self._request = request
        self._runs = runs
        self._notes: list[str] = []
        self._notes += [
            f"run {key} can't be read: {run.problem}" for key, run in runs.items() if run.problem
        ]
        self._scales = {
            key: Scale(request.axis, run.state.started_ns if run.state else 0)
            for key, run in runs.items()
        }
        self._found = {key: self._group_series(run) for key, run in runs.items()}
        self._check_names()
        self._limit_curves()
        curves = sum(len(ranks) for own in self._found.values() for ranks in own.values())
        self._most_pixels = max(_FEWEST_PIXELS, _MOST_PIXELS // max(1, curves))
        self._grids: dict[tuple[str, str], PixelGrid] = {}
        self._budget = ReadBudget(_BUDGET_RECORDS)

    def build(self) -> dict[str, Any]:
        """Return the answer as JSON data."""
        answered = [self._build_run(key, run) for key, run in self._runs.items()]
        events = [
            {"run": key, **event}
            for key, run in self._runs.items()
            for event in place_events(run, self._scales[key], self._notes)
        ]
        return {
            "axis": self._request.axis,
            "runs": answered,
            "events": events,
            "notes": self._notes,
        }

    def _group_series(self, run: RunSamples) -> dict[_Key, dict[int | None, list[Part]]]:
        """Return the requested series of a run: for each series, a dict from rank to parts."""
        found: dict[_Key, dict[int | None, list[Part]]] = {}
        for writer in run.writers:
            for series in writer.series:
                if not self._request.takes(series.identity):
                    continue
                kind, context, name, rank, of = series.identity
                ranks = found.setdefault((kind, context, name, of), {})
                ranks.setdefault(rank, []).append((writer, series))
        return found

    def _check_names(self) -> None:
        present = {key[2] for own in self._found.values() for key in own}
        for name in self._request.series:
            if name not in present:
                raise SeriesNotFoundError(self._describe_missing(name))

    def _describe_missing(self, name: str) -> str:
        known = dict.fromkeys(
            series.identity[2]
            for run in self._runs.values()
            for writer in run.writers
            for series in writer.series
            if series.identity[0] != SAMPLING
        )
        named = ", ".join(map(repr, list(known)[:_MOST_NAMED])) or "none"
        more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
        what = {"metric": "metric", "reading": "reading", "all": "series"}[self._request.kind]
        return f"no run has a {what} {name!r}; the runs have: {named}{more}"

    def _limit_curves(self) -> None:
        """Leave out series beyond the limits, and add a note about this to the answer."""
        names = list(dict.fromkeys(key[2] for own in self._found.values() for key in own))
        if len(names) > _MOST_SERIES:
            shown = set(names[:_MOST_SERIES])
            self._notes.append(
                f"only the first {_MOST_SERIES} of {len(names):,} series are included: ask for the "
                "others by name, or look at the run with provml ui"
            )
            for run, own in self._found.items():
                self._found[run] = {key: ranks for key, ranks in own.items() if key[2] in shown}
        total, left, left_reads = 0, _MOST_CURVES, _MOST_READS
        for run, own in self._found.items():
            taken: dict[_Key, dict[int | None, list[Part]]] = {}
            for key, ranks in own.items():
                lines = len(ranks) if self._request.each_rank else 1
                total += lines
                left, left_reads = left - lines, left_reads - len(ranks)
                if left >= 0 and left_reads >= 0:
                    taken[key] = ranks
            self._found[run] = taken
        if left < 0 or left_reads < 0:
            count = sum(
                len(ranks) if self._request.each_rank else 1
                for own in self._found.values()
                for ranks in own.values()
            )
            self._notes.append(
                f"the first {count:,} of {total:,} curves are shown: choose fewer runs or series"
            )

    def _find_grid(self, key: _Key) -> PixelGrid:
        """Return the pixels of a series' chart. Series of the same kind and name share a chart."""
        kind, _, name, _ = key
        grid = self._grids.get((kind, name))
        if grid is None:
            grid = self._grids[kind, name] = self._build_grid(kind, name)
        return grid

    def _build_grid(self, kind: str, name: str) -> PixelGrid:
        request = self._request
        start, end = request.start, request.end
        if start is None or end is None:
            extents = [
                find_extent((part for parts in ranks.values() for part in parts), scale)
                for run, own in self._found.items()
                for key, ranks in own.items()
                if (key[0], key[2]) == (kind, name)
                for scale in (self._scales[run],)
            ]
            known = [extent for extent in extents if extent is not None]
            low = min((extent[0] for extent in known), default=0.0)
            high = max((extent[1] for extent in known), default=0.0)
            start = low if start is None else start
            end = max(start, high) if end is None else end
            start = min(start, end)
        return PixelGrid(start, end, min(request.points, self._most_pixels))

    def _build_run(self, key: str, run: RunSamples) -> dict[str, Any]:
        built: list[dict[str, Any]] = []
        for own, ranks in self._found[key].items():
            grid, scale = self._find_grid(own), self._scales[key]
            curves = {
                rank: read_pixel_curve(parts, scale, grid, self._budget)
                for rank, parts in ranks.items()
            }
            for rank, curve in curves.items():
                self._note_problems(own, rank, curve)
            if len(curves) > 1 and not self._request.each_rank:
                every = [part for parts in ranks.values() for part in parts]
                built.append(_build_band(own, every, curves, grid))
            else:
                built += [
                    _build_entry(own, rank, ranks[rank], curve) for rank, curve in curves.items()
                ]
        state = run.state
        return {
            "key": key,
            "status": state.status if state else "unreadable",
            "started_ns": str(state.started_ns if state else 0),
            "series": built,
        }

    def _note_problems(self, key: _Key, rank: int | None, curve: PixelCurve) -> None:
        name = key[2] if rank is None else f"{key[2]}, rank {rank}"
        if curve.is_scattered:
            note = (
                f"the {self._request.axis} of {name!r} goes back so often that its samples are "
                f"drawn in the order of the {self._request.axis}"
            )
            if note not in self._notes:
                self._notes.append(note)


def _build_entry(
    key: _Key, rank: int | None, parts: Sequence[Part], curve: PixelCurve
) -> dict[str, Any]:
    return {
        **_describe(key, rank, parts),
        "count": curve.count,
        "in_range": curve.in_range,
        "thinned": curve.is_thinned,
        "unplaced": curve.unplaced,
        "x": curve.x.tolist(),
        "y": _list_values(curve.y),
        "marks": _list_marks(curve.marks),
        "marks_count": curve.mark_count,
        "last": _describe_last(parts),
        "band": None,
    }


def _build_band(
    key: _Key, parts: Sequence[Part], curves: Mapping[int | None, PixelCurve], grid: PixelGrid
) -> dict[str, Any]:
    """Join the curves of several ranks to the lowest, mean and highest value of each pixel.

    The mean is the mean of the ranks' means, so that each rank counts equally.
    """
    import numpy as np

    low = np.full(grid.pixels, np.inf)
    high = np.full(grid.pixels, -np.inf)
    place = np.full(grid.pixels, np.inf)
    means = np.zeros(grid.pixels)
    ranks = np.zeros(grid.pixels)
    odd: list[tuple[float, float]] = []
    for curve in curves.values():
        pixels = grid.find_pixels(curve.x)
        own = (pixels >= 0) & (pixels < grid.pixels) & np.isfinite(curve.y)
        np.minimum.at(low, pixels[own], curve.y[own])
        np.maximum.at(high, pixels[own], curve.y[own])
        np.minimum.at(place, pixels[own], curve.x[own])
        with np.errstate(over="ignore", invalid="ignore"):
            has = curve.numbers > 0
            means[has] += curve.sums[has] / curve.numbers[has]
        ranks += has
        odd += curve.marks
    shown = np.isfinite(place)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (means / ranks)[shown]
    mean = np.where(np.isfinite(mean), mean, np.nan)
    x = place[shown].tolist()
    middle = _list_values(mean)
    every = list(curves.values())
    return {
        **_describe(key, None, parts),
        "count": sum(curve.count for curve in every),
        "in_range": sum(curve.in_range for curve in every),
        "thinned": any(curve.is_thinned for curve in every),
        "unplaced": sum(curve.unplaced for curve in every),
        "x": x,
        "y": middle,
        "marks": _list_marks(sorted(odd, key=lambda mark: mark[0])),
        "marks_count": sum(curve.mark_count for curve in every),
        "last": _describe_last(parts),
        "band": {
            "x": x,
            "low": low[shown].tolist(),
            "mean": middle,
            "high": high[shown].tolist(),
            "ranks": len(curves),
        },
    }


def _describe(key: _Key, rank: int | None, parts: Iterable[Part]) -> dict[str, Any]:
    kind, context, name, of = key
    units = dict.fromkeys(unit for _, series in parts for unit in series.units)
    return {
        "name": name,
        "context": None if context is None else list(context),
        "rank": rank,
        "of": None if of is None else list(of),
        "unit": ", ".join(units) or None,
        "kind": kind,
    }


def _describe_last(parts: Iterable[Part]) -> dict[str, Any] | None:
    """Return the exact value, step and time of the last sample; None if there are no samples."""
    lasts = [(writer, series, series.last) for writer, series in parts if series.last is not None]
    if not lasts:
        return None
    writer, series, record = max(lasts, key=lambda found: int(found[2]["time"]))
    number = int(record["series"])
    declared = series.declared.get(number)
    storage = "f64" if declared is None else declared.storage
    value: Any = float(record["value"])
    if storage != "f64":
        value = int(to_int64(record.reshape(1))[0])
    if storage == "text":
        _, values = text_values(writer.files, number, [value])
        value = to_logged_value(values[0]) if values else None
    step = int(record["step"])
    return {
        "value": json_value(value),
        "step": None if step == layout.NO_STEP else json_value(step),
        "time_ns": str(int(record["time"])),
    }


def _list_values(values: Numbers) -> list[float | None]:
    """Return values as a list in which None stands for NaN."""
    import numpy as np

    listed: list[float | None] = values.tolist()
    for place in np.flatnonzero(np.isnan(values)).tolist():
        listed[place] = None
    return listed


def _list_marks(marks: Iterable[tuple[float, float]]) -> list[list[Any]]:
    listed = [[x, json_value(y)] for x, y in marks]
    return listed[:_MOST_MARKS]
