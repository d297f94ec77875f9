"""Adds small plots of series, and ranges of steps, to the nodes of a picture.

Imports numpy only when needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provml.model.block_names import series_name
from provml.model.mapping import RunMapping
from provml.model.reading_names import find_reading_kinds, name_reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from provml.graph.build import Graph
    from provml.model.series import Block

POINTS: Final = 32
"""The maximum number of values in a sketch."""


def add_sketches(graph: Graph, mapping: RunMapping, points: int = POINTS) -> None:
    """Add sketches (small plots) of series, and ranges of steps, to the nodes of one run.

    Adds these attributes:

    - ``reading``, for a series of readings: the kind of the readings. The label then says what was
      measured.
    - ``sketch``, for a series: a tuple of at most ``points`` numbers. Each number is the mean of
      consecutive samples, or None if none of these samples is a finite number.
    - ``steps``, for a context or run: its first and last steps.
    - ``epochs``, for a context or run: the number of its epochs.

    Costs one pass over the samples, which takes about 50 ms for a million samples.
    """
    _name_readings(graph, mapping)
    courses: dict[str, _Course] = {}
    places: dict[str, _StepRange] = {}
    for series, context, block in mapping.sample_blocks():
        if series not in courses:
            courses[series] = _empty_course(block.series.count, points)
        courses[series].add(block)
        places.setdefault(context, _StepRange()).add(block)
    if not courses:
        return
    prefix = mapping.prefixes()["run"]
    for name, course in courses.items():
        node = graph.nodes.get(prefix + name.partition(":")[2])
        if node is not None:
            node["sketch"] = course.means()
    for name, place in places.items():
        node = graph.nodes.get(prefix + name.partition(":")[2])
        if node is not None:
            node |= place.facts()


def _name_readings(graph: Graph, mapping: RunMapping) -> None:
    readings, prefixes = find_reading_kinds(mapping.series.all), mapping.prefixes()
    for series in mapping.series.all:
        prefix, _, local = series_name(series).partition(":")
        node = graph.nodes.get(prefixes[prefix] + local) if series.kind in readings else None
        if node is not None:
            node |= {"reading": series.kind, "label": name_reading(series.kind, node["label"])}


@dataclass(slots=True)
class _Course:
    """Builds the sketch of a series from the sum and number of the samples at each point."""

    count: int
    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    seen: int = 0

    def add(self, block: Block) -> None:
        import numpy as np

        numbers = _float_column(block.values)
        places = np.arange(self.seen, self.seen + len(numbers))
        self.seen += len(numbers)
        points = len(self.sums)
        places = np.minimum(places * points // max(self.count, 1), points - 1)
        finite = np.isfinite(numbers)
        self.sums += np.bincount(places[finite], numbers[finite], points)
        self.counts += np.bincount(places[finite], minlength=points)

    def means(self) -> tuple[float | None, ...]:
        sums, counts = self.sums.tolist(), self.counts.tolist()
        means = [one / n if n else None for one, n in zip(sums, counts, strict=True)]
        return tuple(m if m is not None and abs(m) < float("inf") else None for m in means)


def _empty_course(count: int, points: int) -> _Course:
    import numpy as np

    size = max(1, min(count, points))
    return _Course(count, np.zeros(size), np.zeros(size, np.int64))


@dataclass(slots=True)
class _StepRange:
    """The range of the steps, and the set of the epochs, of the samples in a context."""

    first: int | None = None
    last: int | None = None
    epochs: set[int] | None = None

    def add(self, block: Block) -> None:
        import numpy as np

        if block.step is not None:
            first, last = int(block.step.min()), int(block.step.max())
            self.first = first if self.first is None else min(first, self.first)
            self.last = last if self.last is None else max(last, self.last)
        if block.epoch is not None:
            self.epochs = (self.epochs or set()) | set(np.unique(block.epoch).tolist())

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        if self.first is not None:
            facts["steps"] = (self.first, self.last)
        if self.epochs is not None:
            facts["epochs"] = len(self.epochs)
        return facts


def _float_column(values: Any) -> NDArray[np.float64]:
    """Convert values to floats. A value that is too large, or not a number, becomes NaN."""
    import numpy as np

    if not isinstance(values, list):
        return np.asarray(values, np.float64)
    return np.array([_finite_float(value) for value in values], np.float64)


def _finite_float(value: Any) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else float("nan")
    except OverflowError:
        return float("nan")
