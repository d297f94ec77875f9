"""Summarizes stretches of samples, so that a long series can be drawn without reading all of it.

A stretch is 128 consecutive samples of one series and one writer. Its summary holds the samples
that a thinned curve may need, and the range of the positions. A summary takes about 1.5 bytes for
each sample.

Imports only `journal` from provml; imports numpy only when needed.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from provml.journal import layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STRETCH: Final = 128
"""The number of samples in a stretch."""

POINTS: Final = 4
"""The number of points that a summary holds: the first, lowest, highest and last sample.

The points are in the order of recording. A sample that is both the first and the lowest occurs
twice.
"""

_AXES: Final = (("step", layout.NO_STEP), ("epoch", layout.NO_EPOCH))


@cache
def summary_dtype() -> np.dtype[np.void]:
    """Return the numpy type of a summary.

    The fields are:
        first_slot, last_slot: the places of the first and last sample in the samples file.
        kept: the index of the stretch among the stretches whose samples are kept; -1 if the samples
            of this stretch are not kept.
        time, step, epoch, value, place: the points; ``place`` is the index of the sample in the
            stretch.
        time_low, time_high, and so on: the range of the positions that are present.
        stepless, epochless: the number of samples without a step or epoch.
        total: the sum of the finite values.
        odd: the number of values that are NaN or infinite.
    """
    import numpy as np

    return np.dtype(
        [
            ("first_slot", "<i8"),
            ("last_slot", "<i8"),
            ("kept", "<i8"),
            ("time", "<i8", POINTS),
            ("step", "<i8", POINTS),
            ("value", "<f8", POINTS),
            ("epoch", "<i4", POINTS),
            ("place", "u1", POINTS),
            ("time_low", "<i8"),
            ("time_high", "<i8"),
            ("step_low", "<i8"),
            ("step_high", "<i8"),
            ("epoch_low", "<i4"),
            ("epoch_high", "<i4"),
            ("total", "<f8"),
            ("stepless", "u1"),
            ("epochless", "u1"),
            ("odd", "u1"),
        ]
    )


@cache
def mark_dtype() -> np.dtype[np.void]:
    """Return the numpy type of a mark.

    The marks of a stretch are its first NaN, its first infinity and its first negative infinity, if
    the stretch has such values. ``row`` is the index of the stretch.
    """
    import numpy as np

    return np.dtype(
        [
            ("row", "<i8"),
            ("time", "<i8"),
            ("step", "<i8"),
            ("value", "<f8"),
            ("epoch", "<i4"),
            ("place", "u1"),
        ]
    )


def take_records(records: NDArray[np.void], places: Any) -> NDArray[np.void]:
    """Return ``records[places]``, much faster than numpy does for a structured array."""
    import numpy as np

    numbers = np.ascontiguousarray(records).view(np.int64).reshape(-1, layout.RECORD_SIZE // 8)
    taken: NDArray[np.void] = np.take(numbers, places, axis=0).view(records.dtype).reshape(-1)
    return taken


def summarize_stretches(
    samples: NDArray[np.void], slots: NDArray[np.int64]
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Summarize stretches. Costs about 20 ms for a million samples.

    Args:
        samples: the samples, one stretch in each row; records as in a samples file, with values
            converted to float64.
        slots: the place of each sample in the samples file, in the same shape.

    Returns:
        The summaries, and the marks. A mark's ``row`` is the index of the summary.
    """
    import numpy as np

    count = len(samples)
    rows = np.zeros(count, summary_dtype())
    values = np.ascontiguousarray(samples["value"])
    finite = np.isfinite(values)
    is_finite = bool(finite.all())
    places = np.empty((count, POINTS), np.intp)
    places[:, 0], places[:, 1] = 0, STRETCH - 1
    places[:, 2] = (values if is_finite else np.where(finite, values, np.inf)).argmin(axis=1)
    places[:, 3] = (values if is_finite else np.where(finite, values, -np.inf)).argmax(axis=1)
    places.sort(axis=1)
    number = np.arange(count)[:, None]
    rows["value"] = values[number, places]
    rows["place"] = places
    rows["kept"] = -1
    rows["first_slot"], rows["last_slot"] = slots[:, 0], slots[:, -1]
    with np.errstate(over="ignore", invalid="ignore"):
        rows["total"] = (values if is_finite else np.where(finite, values, 0)).sum(axis=1)
    times = samples["time"]
    rows["time"] = times[number, places]
    rows["time_low"], rows["time_high"] = times.min(axis=1), times.max(axis=1)
    for axis, missing in _AXES:
        column = samples[axis]
        rows[axis] = column[number, places]
        low, high = column.min(axis=1), column.max(axis=1)
        lacking = column == missing if low.min() <= missing else None
        if lacking is not None:
            rows[f"{axis}less"] = lacking.sum(axis=1)
            low = np.where(lacking, np.iinfo(column.dtype).max, column).min(axis=1)
        rows[f"{axis}_low"], rows[f"{axis}_high"] = low, high
    if is_finite:
        return rows, np.empty(0, mark_dtype())
    rows["odd"] = STRETCH - finite.sum(axis=1)
    return rows, _find_marks(samples, values)


def _find_marks(samples: NDArray[np.void], values: NDArray[np.float64]) -> NDArray[np.void]:
    import numpy as np

    found: list[Any] = []
    for mask in (np.isnan(values), np.isposinf(values), np.isneginf(values)):
        own = np.flatnonzero(mask.any(axis=1))
        places = mask[own].argmax(axis=1)
        marks = np.zeros(len(own), mark_dtype())
        marks["row"], marks["place"], marks["value"] = own, places, values[own, places]
        for name in ("time", "step", "epoch"):
            marks[name] = samples[name][own, places]
        found.append(marks)
    marks = np.concatenate(found)
    return marks[np.lexsort((marks["place"], marks["row"]))]
