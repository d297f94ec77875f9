"""Charts of a run's series: as a picture, as a page, as text.

Imports `model`, `page`, `output`; numpy and matplotlib when they are used.
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
    """The format that a path's ending says; None where it says none."""
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
    """Draw a run's series into a file: a chart for each name, its contexts and ranks within.

    Costs one pass over the samples, and some 50 ms a chart for a picture. A curve of very many
    samples is drawn by the lowest and highest of each stretch, and says so.

    Args:
        run_folder: the run's folder; the run may be under way.
        target: a path ending in ``.png``, ``.svg`` or ``.html``, or a binary file.
        series: names as they were logged; by default all, system readings beneath the metrics.
        contexts: names of contexts (the innermost, or all joined by ``/``); by default all.
        by: ``step``, ``epoch`` or ``time`` (since the run's start); by default the first of these
            that the samples have.
        log: a logarithmic vertical axis; what is not above zero is a gap.
        format: ``png``, ``svg`` or ``html``; needed where the target's ending says none.

    Returns:
        What was drawn.

    Raises:
        InvalidArgumentError: an unknown format or axis, or more charts than a picture holds.
        RunNotFoundError: there is no such run.
        SeriesNotFoundError: the run has no such series or context; the message lists what it has.
        MissingExtraError: what draws is not installed.
        OSError: the target can't be written.
    """
    form = format or picture_format_of(target)
    if form not in FORMATS:
        known = ", ".join(FORMATS)
        raise InvalidArgumentError(
            f"format must be one of {known}, not {form!r}"
            if form is not None
            else f"which format is {target!r} to have? End its name in one of .png, .svg, .html"
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
