"""Draws charts of series, from one or more runs, as pictures, HTML pages or text.

Imports only `base`, `errors`, `journal`, `model` and `page` from provml; imports numpy and
matplotlib only when needed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from provml.base.sinks import Destination, open_sink
from provml.charts.selection import Charts, read_charts
from provml.errors import InvalidArgumentError
from provml.journal.reader import Journal
from provml.journal.store import find_run

if TYPE_CHECKING:
    from provml.charts.picture import Picture

FORMATS: Final = ("png", "svg", "html")

_PICTURE_POINTS: Final = 2_000
_PAGE_POINTS: Final = 4_000


@runtime_checkable
class HasPath(Protocol):
    """An object that represents a run, such as a `Run` or a `RecordedRun`."""

    @property
    def path(self) -> Path:
        """The run's folder."""


def picture_format_of(target: Destination) -> str | None:
    """Return the chart format for the extension of a path, or None if the extension is unknown."""
    if not isinstance(target, (str, os.PathLike)):
        return None
    ending = os.path.splitext(os.fspath(target))[1].lower().removeprefix(".")
    return ending if ending in FORMATS else None


def draw(
    run_folders: Sequence[str | os.PathLike[str]],
    target: Destination,
    series: Collection[str] = (),
    *,
    contexts: Collection[str] = (),
    by: str | None = None,
    log: bool = False,
    format: str | None = None,
) -> Charts:
    """Draw charts of the series of one or more runs, and write the charts to a file.

    Each chart shows all series of the same name, with a curve for each run, context and rank. If
    there are several runs, each run has a colour, and each context has a line style. A curve with
    very many samples is thinned: it shows only the lowest and the highest sample of each interval,
    and a note below the charts says so.

    Reads the samples once. A picture takes about 50 ms more per chart.

    Args:
        run_folders: the folders of the runs, at least one. The runs may still be recording.
        target: a path that ends in ``.png``, ``.svg`` or ``.html``, or a binary file.
        series: the names of the series to draw. By default, draws all series, with system readings
            below metrics.
        contexts: the contexts to draw. Each is given by its innermost name, or by its path with
            the names joined by ``/``. By default, draws all contexts.
        by: the horizontal axis: ``step``, ``epoch`` or ``time`` (since each run's start). The
            default is the first of these that the samples have.
        log: whether to use a logarithmic vertical axis. Values of zero or less become gaps.
        format: ``png``, ``svg`` or ``html``. The default follows from the target's extension.

    Returns:
        The charts that were drawn.

    Raises:
        InvalidArgumentError: the format or axis is unknown, or there are too many charts for one
            picture.
        RunNotFoundError: a folder contains no run.
        SeriesNotFoundError: no run has a series or context with a given name. The message lists
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
    charts = read_charts(
        [Journal(folder) for folder in run_folders], series, contexts, by, log, points
    )
    with open_sink(target) as sink:
        if form == "html":
            from provml.page import write_page

            write_page(sink, "plot", charts.title, charts.data())
        else:
            from provml.charts.figure import write_figure

            write_figure(charts, sink, form)
    return charts


def plot(
    runs: str | os.PathLike[str] | HasPath | Iterable[str | os.PathLike[str] | HasPath],
    file: Destination | None = None,
    *series: str,
    contexts: Collection[str] = (),
    by: str | None = None,
    log: bool = False,
    store: str | os.PathLike[str] | None = None,
) -> Picture:
    """Draw the series of one or more runs, and write the charts to a file if one is given.

    Series with the same name share a chart. If there are several runs, each run has a colour, and
    each context has a line style. If the call is the last line of a notebook's cell, the notebook
    shows the charts. Costs one pass over the samples of each run.

    Args:
        runs: the runs, or a single run. Each is a `Run`, a `RecordedRun`, or a name as for `load`.
        file: a path ending in ``.png``, ``.svg`` or ``.html``; None writes no file.
        series: the names of the series to plot; by default all.
        contexts: the names of the contexts to plot; by default all.
        by: the horizontal axis: ``step``, ``epoch`` or ``time`` since each run's start; by default
            the first of these that the samples have.
        log: whether the vertical axis is logarithmic.
        store: the folder to search for ids; by default ``PROVML_STORE`` or, if that is not set,
            ``provenance``.

    Returns:
        The picture in the format of the file; SVG if no file is given.

    Raises:
        InvalidArgumentError: there are no runs, or the file extension or the axis is unknown.
        RunNotFoundError: a name matches no run, or several.
        SeriesNotFoundError: no run has such a series or context.
        MissingExtraError: matplotlib is not installed or, for ``.html``, mpld3 is not.
    """
    if isinstance(runs, (str, os.PathLike, HasPath)):
        runs = [runs]
    elif not isinstance(runs, Iterable):
        raise InvalidArgumentError(f"runs must be a run or a list of runs, not {runs!r:.80}")
    folders = [run.path if isinstance(run, HasPath) else find_run(run, store) for run in runs]
    if not folders:
        raise InvalidArgumentError("runs must contain at least one run")
    from provml.charts.picture import draw_picture

    own = list(dict.fromkeys(folders))
    return draw_picture(own, file, series, contexts=contexts, by=by, log=log)
