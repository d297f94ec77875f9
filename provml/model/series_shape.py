"""The shape of a series: a coarse curve, for a small picture beside a run's name.

Imports nothing else from provml; imports numpy only when needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from provml.model.series import RunSeries

MOST_POINTS: Final = 40
_PARTS: Final = 2 * MOST_POINTS
_FEWEST_SAMPLES: Final = 2
_TELLING_WORDS: Final = (
    "loss",
    "accuracy",
    "acc",
    "reward",
    "return",
    "perplexity",
    "ppl",
    "f1",
    "auc",
    "error",
    "bleu",
)
"""Words in the names of the metrics that people look at first, most important first."""
_JUDGING_CONTEXTS: Final = ("validation", "evaluation", "test")
_ENOUGH_POINTS: Final = 10
_WORD: Final = re.compile(r"[a-z0-9]+")


class SeriesShape:
    """A coarse curve: the means of up to 40 consecutive parts of a series, all of the same length.

    NaN, infinities and values that are not numbers are left out. Memory does not grow with the
    series: if there are too many parts, each pair of neighbouring parts is joined.
    """

    __slots__ = ("_counts", "_place", "_sums", "_width")

    def __init__(self) -> None:
        self._sums = [0.0] * _PARTS
        self._counts = [0] * _PARTS
        self._place = 0
        self._width = 1

    def add(self, values: Any) -> None:
        """Add the next values of the series, as a numpy array or a list."""
        if isinstance(values, list):
            for value in values:
                self.add_number(value if isinstance(value, int | float) else math.nan)
            return
        import numpy as np

        self._make_room(len(values))
        numbers = values.astype(np.float64)
        parts = (self._place + np.arange(len(values))) // self._width
        self._place += len(values)
        finite = np.isfinite(numbers)
        if not finite.all():
            numbers, parts = numbers[finite], parts[finite]
        sums = np.bincount(parts, numbers, _PARTS).tolist()
        counts = np.bincount(parts, minlength=_PARTS).tolist()
        for part in range(int(parts[0]) if len(parts) else 0, _PARTS):
            self._sums[part] += sums[part]
            self._counts[part] += counts[part]

    def add_number(self, value: float) -> None:
        """Add one value. For a few values, this is cheaper than `add`."""
        self._make_room(1)
        part = self._place // self._width
        self._place += 1
        try:
            number = float(value)
        except OverflowError:
            return
        if math.isfinite(number):
            self._sums[part] += number
            self._counts[part] += 1

    def points(self) -> list[float | None]:
        """Return the mean of each part; None for a part without numbers."""
        sums, counts, used = self._sums, self._counts, -(-self._place // self._width)
        if used > MOST_POINTS:
            sums, counts, used = _join_pairs(sums), _join_pairs(counts), -(-used // 2)
        return [
            sums[part] / counts[part] if counts[part] and math.isfinite(sums[part]) else None
            for part in range(used)
        ]

    def _make_room(self, count: int) -> None:
        while self._place + count > self._width * _PARTS:
            self._sums = [*_join_pairs(self._sums), *[0.0] * MOST_POINTS]
            self._counts = [*_join_pairs(self._counts), *[0] * MOST_POINTS]
            self._width *= 2


def _join_pairs(numbers: list[Any]) -> list[Any]:
    return [one + other for one, other in zip(numbers[::2], numbers[1::2], strict=True)]


def find_telling_series(table: Iterable[RunSeries]) -> RunSeries | None:
    """Return the metric that tells most about how a run went; None if no metric has a curve.

    A loss is preferred to an accuracy, and so on, in the order of `_TELLING_WORDS`. Metrics whose
    names contain none of these words come last. If a metric has several contexts, a validation or
    test context with enough samples is preferred.
    """
    found = [series for series in table if _has_curve(series)]
    return min(found, key=_rank_series, default=None)


def _has_curve(series: RunSeries) -> bool:
    return series.kind == "metric" and series.shape is not None and series.count >= _FEWEST_SAMPLES


def _rank_series(series: RunSeries) -> tuple[Any, ...]:
    words = _WORD.findall(series.name.lower())
    known = (place for place, word in enumerate(_TELLING_WORDS) if word in words)
    judging = series.context is not None and series.context[0] in _JUDGING_CONTEXTS
    return (
        next(known, len(_TELLING_WORDS)),
        series.minimum is None,
        not (judging and series.count >= _ENOUGH_POINTS),
        series.of is not None,
        -1 if series.rank is None else series.rank,
        -series.count,
        series.index,
    )
