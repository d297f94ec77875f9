"""Series as curves: columns of numbers, thinned where there are more than can be seen.

Imports `model.samples`; numpy when it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from provml.journal.values import Array
from provml.model.samples import Block, RunSeries, SeriesTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

AXES: Final = ("step", "epoch", "time")
"""What a curve can run over; time is seconds since the run's start."""

_PENDING: Final = 1 << 19
_FARTHEST: Final = 1e300
"""No value is drawn farther from zero: the ticks around it must still be floats."""
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A series' samples as float64 columns of one length, in the order written.

    Attributes:
        count: how many samples the series has; the columns may hold fewer.
        step, epoch, time: what each sample stands over; NaN where it has none.
        value: NaN where a sample is no finite number.
    """

    series: RunSeries
    count: int
    step: Numbers
    epoch: Numbers
    time: Numbers
    value: Numbers

    @property
    def thinned(self) -> bool:
        """Whether samples were left out."""
        return len(self.value) < self.count

    def axes(self) -> list[str]:
        """The axes that some sample has a place on, as `AXES` orders them."""
        import numpy as np

        return [name for name in AXES if np.isfinite(getattr(self, name)).any()]

    def over(self, axis: str) -> tuple[Numbers, Numbers]:
        """Places on the axis and values; a NaN parts them where the axis goes back."""
        import numpy as np

        x: Numbers = getattr(self, axis)
        placed = np.isfinite(x)
        x, y = x[placed], self.value[placed]
        back = np.flatnonzero(np.diff(x) < 0) + 1
        return np.insert(x, back, x[back]), np.insert(y, back, np.nan)


@dataclass(slots=True)
class _Gathered:
    """What the pass has met of a series so far."""

    count: int = 0
    pending: int = 0
    parts: list[Any] = field(default_factory=list)


def read_curves(
    table: SeriesTable, chosen: Iterable[RunSeries], started_ns: int, points: int
) -> list[Curve]:
    """The curves of some series, in their order.

    One pass over the samples, whatever the number of series; memory does not grow with the
    samples.

    Args:
        started_ns: where time begins.
        points: about how many points a curve may have; of each stretch the lowest and the highest
            sample are kept.
    """
    wanted = list(chosen)
    gathered = {series.index: _Gathered() for series in wanted}
    for block in table.blocks():
        own = gathered.get(block.series.index)
        if own is None:
            continue
        own.parts.append(_columns(block, started_ns))
        own.count += len(block.time_ns)
        own.pending += len(block.time_ns)
        if own.pending > _PENDING:
            own.parts = [_thin(_in_order(own.parts), 4 * points)]
            own.pending = 0
    made: list[Curve] = []
    for series in wanted:
        own = gathered[series.index]
        columns = _thin(_in_order(own.parts), points)
        made.append(Curve(series, own.count, *columns[2:]))
    return made


def kept_places(values: Numbers, points: int) -> NDArray[np.intp]:
    """Which values to keep of many, so that the eye misses none: about ``points`` of them.

    The first, the last, and of each stretch the lowest, the highest and one that is no number
    where there is one, so that gaps stay.
    """
    import numpy as np

    count = len(values)
    if count <= points:
        return np.arange(count)
    finite = np.isfinite(values)
    low, high = np.where(finite, values, np.inf), np.where(finite, values, -np.inf)
    edges = np.linspace(0, count, max(1, points // 2) + 1).astype(np.intp).tolist()
    kept = {0, count - 1}
    for start, end in pairwise(edges):
        kept.add(start + int(low[start:end].argmin()))
        kept.add(start + int(high[start:end].argmax()))
        if not finite[start:end].all():
            kept.add(start + int(finite[start:end].argmin()))
    return np.array(sorted(kept), np.intp)


def _columns(block: Block, started_ns: int) -> Any:
    """Writer, number, step, epoch, time and value as rows of one array."""
    import numpy as np

    rows = np.full((6, len(block.time_ns)), np.nan)
    rows[0] = block.writer
    rows[1] = block.number
    if block.step is not None:
        rows[2] = block.step
    if block.epoch is not None:
        rows[3] = block.epoch
    rows[4] = (block.time_ns - started_ns) / _NS_PER_S
    values: Any = block.values
    rows[5] = [_number(value) for value in values] if isinstance(values, list) else values
    rows[5][~np.isfinite(rows[5])] = np.nan
    rows[5] = rows[5].clip(-_FARTHEST, _FARTHEST)
    return rows


def _number(value: Any) -> float:
    if isinstance(value, Array) or not isinstance(value, (int, float, Decimal)):
        return float("nan")
    try:
        return float(value)
    except (OverflowError, ValueError):
        return float("nan")


def _in_order(parts: list[Any]) -> Any:
    import numpy as np

    if not parts:
        return np.empty((6, 0))
    rows = np.concatenate(parts, axis=1)
    order = np.lexsort((rows[1], rows[0]))
    return rows[:, order]


def _thin(rows: Any, points: int) -> Any:
    return rows[:, kept_places(rows[5], points)]
