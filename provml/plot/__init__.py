"""Draws charts of a run's series as pictures, HTML pages or text.

Imports only `base`, `errors`, `journal`, `model` and `page` from provml; imports numpy and
matplotlib only when needed.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from provml.base.sinks import Destination, open_sink
from provml.errors import InvalidArgumentError
from provml.journal.reader import Journal
from provml.plot.charts import Charts, read_charts

FORMATS: Final = ("png", "svg", "html")

_PICTURE_POINTS: Final = 2_000
_PAGE_POINTS: Final = 4_000


def picture_format_of(target: Destination) -> str | None:
    """Return the chart format for the extension of a path, or None if the extension is unknown."""
    if not isinstance(target, (str, os.PathLike)):
        return None
    ending = os.path.splitext(os.fspath(target))[1].lower().removeprefix(".")
    return ending if ending in FORMATS else None


def draw(
    run_folder: str | os.PathLike[str],
    target: Destination,
    series: Collection[str] = (),
    *,
    contexts: Collection[str] = (),
    by: str | None = None,
    log: bool = False,
    format: str | None = None,
) -> Charts:
    """Draw charts of a run's series, and write them to a file.

    Each chart shows all series of the same name, with a curve for each context and rank. A curve
    with very many samples is thinned: it shows only the lowest and the highest sample of each
    interval, and a note says so.

    Reads the samples once. A picture takes about 50 ms more per chart.

    Args:
        run_folder: the run's folder. The run may still be recording.
        target: a path that ends in ``.png``, ``.svg`` or ``.html``, or a binary file.
        series: the names of the series to draw. By default, draws all series, with system readings
            below metrics.
        contexts: the contexts to draw. Each is given by its innermost name, or by its path with
            the names joined by ``/``. By default, draws all contexts.
        by: the horizontal axis: ``step``, ``epoch`` or ``time`` (since the run's start). The
            default is the first of these that the samples have.
        log: whether to use a logarithmic vertical axis. Values of zero or less become gaps.
        format: ``png``, ``svg`` or ``html``. The default follows from the target's extension.

    Returns:
        The charts that were drawn.

    Raises:
        InvalidArgumentError: the format or axis is unknown, or there are too many charts for one
            picture.
        RunNotFoundError: the run does not exist.
        SeriesNotFoundError: the run has no series or context with a given name. The message lists
            the available names.
        MissingExtraError: a package that is needed to draw the charts is not installed.
        OSError: the target cannot be written.
    """
    form = format or picture_format_of(target)
    if form not in FORMATS:
        known = ", ".join(FORMATS)
        raise InvalidArgumentError(
            f"format must be one of {known}, not {form!r}"
            if form is not None
            else f"the format of {target!r} is unknown: use a name that ends in .png, .svg or .html"
        )
    points = _PAGE_POINTS if form == "html" else _PICTURE_POINTS
    charts = read_charts(Journal(run_folder), series, contexts, by, log, points)
    with open_sink(target) as sink:
        if form == "html":
            from provml.page import write_page

            write_page(sink, "plot", charts.title, charts.data())
        else:
            from provml.plot.figure import write_figure

            write_figure(charts, sink, form)
    return charts
