"""Builds the HTML that a notebook shows for a series: key numbers and a plot.

Imports only `base` and `journal.layout` from provml; imports numpy only when needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from provml.base.notebook_html import build_facts_html
from provml.base.notebook_plots import PlotLine, build_plot_image, keep_extremes
from provml.journal import layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STRETCHES: Final = 300


def build_series_html(
    label: str,
    step: NDArray[np.int64],
    epoch: NDArray[np.int64],
    time_ns: NDArray[np.int64],
    value: NDArray[Any],
) -> str:
    """Build HTML with a plot, the number of samples, and the last, lowest and highest value.

    Costs about 20 ms for a million samples.

    Args:
        label: the name of the series and its context.
        step, epoch, time_ns, value: the columns of `SeriesArrays`.
    """
    import numpy as np

    numbers = _convert_to_floats(value)
    finite = numbers[np.isfinite(numbers)]
    facts: list[tuple[str, Any]] = [("samples", f"{len(value):,}")]
    if len(value):
        facts.append(("last", value[-1] if value.dtype == object else value[-1].item()))
    if len(finite):
        facts += [("min", float(finite.min())), ("max", float(finite.max()))]
    axis, x = _choose_axis(step, epoch, time_ns)
    placed = np.isfinite(x)
    line = PlotLine(label, *keep_extremes(x[placed], numbers[placed], _STRETCHES))
    return build_facts_html(f"series {label}", facts) + build_plot_image(label, axis, [line])


def _choose_axis(
    step: NDArray[np.int64], epoch: NDArray[np.int64], time_ns: NDArray[np.int64]
) -> tuple[str, NDArray[np.float64]]:
    """Return the first axis on which the samples have positions, and the positions."""
    import numpy as np

    for axis, column, missing in (
        ("step", step, layout.NO_STEP),
        ("epoch", epoch, layout.NO_EPOCH),
    ):
        if (column != missing).any():
            return axis, np.where(column == missing, np.nan, column.astype(np.float64))
    first = time_ns.min(initial=time_ns[0]) if len(time_ns) else 0
    return "seconds since the first sample", (time_ns - first) / 1e9


def _convert_to_floats(value: NDArray[Any]) -> NDArray[np.float64]:
    """Return the values as floats; NaN for a value that is not a number."""
    import numpy as np

    if value.dtype != object:
        return value.astype(np.float64)
    found = np.full(len(value), np.nan)
    for place, one in enumerate(value.tolist()):
        try:
            found[place] = float(one)
        except (TypeError, ValueError, OverflowError):
            continue
    return found
