"""Reads a recorded run, whether it is still running, has ended, or has crashed.

The code that records a run only warns about problems; the code here raises exceptions. Imports
`journal` and `base`; imports the packages that derive documents (`model`, `export`, numpy, prov)
only when they are needed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provml.base.clock import to_datetime
from provml.base.context import Context, context_from_path, given_path, group_path
from provml.base.results import Damage, DroppedCounts, PointPage, RecordedException
from provml.base.sinks import Destination
from provml.errors import ProvMLWarning
from provml.journal import history, layout
from provml.journal.description import read_reference
from provml.journal.history import RecordedEvent, RecordedSpan, TimeLike
from provml.journal.layout import Record
from provml.journal.point_pages import PointPages
from provml.journal.reader import Journal
from provml.journal.store import find_run, list_child_folders
from provml.model.recorded_values import (
    RecordedAlert,
    RecordedContent,
    SeriesArrays,
    SeriesName,
    decode_alerts,
    find_contents,
    select_series,
)

if TYPE_CHECKING:
    from networkx import MultiDiGraph
    from prov.model import ProvDocument
    from pydot import Dot
    from rdflib import Graph

    from provml.charts.picture import Picture
    from provml.graph.view import View
    from provml.model.resources import ResourceUse
    from provml.model.statements import Statement

NO_STEP = layout.NO_STEP
NO_EPOCH = layout.NO_EPOCH


def load(run: str | os.PathLike[str], store: str | os.PathLike[str] | None = None) -> RecordedRun:
    """Open a recorded run for reading.

    Args:
        run: the run's folder, its id, a unique prefix of its id, ``<experiment>/<id>``, or
            ``latest``.
        store: the folder to search for ids; by default ``PROVML_STORE`` or, if that is not set,
            ``provenance``.

    Raises:
        RunNotFoundError: no run matches, or several do.
        JournalError: a newer version of provml recorded the run.
    """
    return RecordedRun(find_run(run, store))


class RecordedRun:
    """A recorded run, as `load` returns it. Each call reads everything recorded so far.

    Parameters, tags and metadata are read again only if the journal has changed since the last
    access.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._has_warned = False
        self._pages: dict[tuple[str, ...], PointPages] = {}
        self._journal = self._open_journal()
        self._settings = {
            kind: history.LastValues(path, kind, self._open_journal)
            for kind in ("param", "tag", "metadata", "reading_summary")
        }

    def _open_journal(self) -> Journal:
        return Journal(self.path, self._warn_of_damage)

    def _warn_of_damage(self, found: Damage) -> None:
        """Warn that the run's files are damaged. Only the first call issues a warning."""
        if self._has_warned:
            return
        self._has_warned = True
        message = (
            f"the files of run {self.path.name} are damaged, so the damaged records are left out "
            f"({found}); for the full list, run: provml check {self.path}"
        )
        # show no line of source code, because the line that found the damage did not cause it
        warnings.warn_explicit(message, ProvMLWarning, "provml", 1, registry={})

    def __repr__(self) -> str:
        return f"<provml.RecordedRun {self.experiment}/{self.id} {self.status}>"

    def _repr_html_(self) -> str:
        """Return a summary of the run as HTML, which notebooks show instead of the ``repr``."""
        from provml.charts.run_summary import build_run_summary

        return build_run_summary(self._open_journal())

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self._journal.description["id"])

    @property
    def experiment(self) -> str:
        """The name of the experiment that the run belongs to."""
        return str(self._journal.description["experiment"])

    @property
    def project(self) -> str | None:
        """The name of the project that the run belongs to, or None."""
        return self._journal.description.get("project")

    @property
    def owner(self) -> str | None:
        """The person responsible for the run, or None."""
        return self._journal.description.get("owner")

    @property
    def status(self) -> str:
        """The status: ``running``, ``finished``, ``failed``, ``interrupted`` or ``crashed``."""
        return self._journal.state().status

    @property
    def reason(self) -> str | None:
        """The reason for the status, or None.

        While the run is running, the reason names the process that records the run.
        """
        return self._journal.state().reason

    @property
    def exception(self) -> RecordedException | None:
        """The exception that ended the run; None if the run ended without an exception."""
        found = self._journal.state().exception
        if found is None:
            return None
        kind, message, traceback = (str(found.get(n, "")) for n in RecordedException.__slots__)
        return RecordedException(kind, message, traceback)

    @property
    def started(self) -> datetime:
        """The start time of the run, truncated to microseconds."""
        return to_datetime(self._journal.state().started_ns)

    @property
    def ended(self) -> datetime | None:
        """The end time, truncated to microseconds; None if the run is running or has crashed."""
        ended_ns = self._journal.state().ended_ns
        return None if ended_ns is None else to_datetime(ended_ns)

    @property
    def dropped(self) -> DroppedCounts:
        """The numbers of samples and other records lost, for example because the disk was full."""
        state = self._journal.state()
        return DroppedCounts(state.dropped_samples, state.dropped_events)

    @property
    def damage(self) -> list[Damage]:
        """A list of the damage in the run's files; empty if the files are intact.

        Damaged records are left out of all results. Each access checks all files of the
        journal, which costs about 40 ms for a million samples. ``provml check`` also checks copies
        and documents.
        """
        return Journal(self.path).verify()

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the run, with their latest values."""
        return self._settings["param"].to_dict()

    @property
    def reading_summaries(self) -> dict[str, Any]:
        """The summaries of the machine readings, such as ``system.cpu_percent.mean``.

        When the run ends, provml records the mean and maximum of each percentage, and the sum of
        each energy reading. If readings raised alerts, provml also records the number of alerts.
        `resources` computes statistics of all readings, even for a run that has not ended.
        """
        return self._settings["reading_summary"].to_dict()

    @property
    def tags(self) -> dict[str, Any]:
        """The tags of the run, with their latest values."""
        return self._settings["tag"].to_dict()

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the run, with the latest value of each key."""
        return self._settings["metadata"].to_dict()

    @property
    def parent(self) -> str | None:
        """The name of this run's parent, as ``<experiment>/<id>``; None if it has no parent.

        The parent is the run that this run is a part of. If only the parent's id is known, the name
        is that id.
        """
        found = read_reference(self._journal.description.get("parent"))
        return None if found is None else found.name

    def children(self) -> list[RecordedRun]:
        """Return the runs in the same store that are children of this run, oldest first.

        Reads the ``run.json`` of every run in the store, about 50 microseconds for each run.
        """
        folders = list_child_folders(self.path, self._journal.description)
        return [RecordedRun(folder) for folder in folders]

    @property
    def external_id(self) -> str | None:
        """The run's id in another system, or None."""
        return self._journal.description.get("external_id")

    @property
    def framework(self) -> str | None:
        """The machine-learning framework that the run used, or None."""
        return self._journal.description.get("framework")

    @property
    def task(self) -> str | None:
        """The task of the model, such as ``detection``, or None."""
        return self._journal.description.get("task")

    def _records(self, *kinds: str) -> Iterator[Record]:
        return history.read_records(
            self._open_journal(), *kinds
        )  # open the journal again, because a live run grows

    def series_names(self, kind: str = "metric") -> list[SeriesName]:
        """Return the name and context of each series of a kind, in the form that `series` takes."""
        from provml.model.series import SeriesTable

        table = SeriesTable(self._open_journal())
        own = (series for series in table.all if series.kind == kind)
        return list(dict.fromkeys(SeriesName(s.name, context_from_path(s.context)) for s in own))

    def series(
        self,
        name: str,
        context: Context | str | None = None,
        *,
        rank: int | None = None,
        kind: str | None = None,
        of: str | tuple[str, str] | None = None,
    ) -> SeriesArrays:
        """Return the samples of a metric or machine reading.

        The samples are grouped by process, in the order in which they were written. Costs about
        20 ms for a million samples.

        Args:
            name: the name of the metric or reading.
            context: the context or its name; `Context` lists the names. None selects the samples
                that were logged without a context or, if there are none, the samples of the only
                context that has a series with this name.
            rank: the rank of the processes that logged the samples; None selects all processes.
            kind: ``metric``, ``flops`` or ``cumulative-flops``; for readings, the name of the
                collector, such as ``system`` or ``gpu``. By default ``metric`` or, if no metric has
                this name, the first kind that has a series with this name.
            of: the name of the model or artifact that was measured; ``("model", name)`` if a model
                and an artifact have the same name. By default, the samples that are not linked to a
                model or artifact; if all samples are linked to the same model or artifact, all
                samples.

        Raises:
            SeriesNotFoundError: no series matches, or the matching series belong to several
                contexts or models; the message lists these series.
        """
        from provml.model.series import SeriesTable
        from provml.model.series_columns import series_columns

        table = SeriesTable(self._open_journal())
        chosen = select_series(table, self.id, name, context, rank, kind, of)
        found = context_from_path(chosen[0].context)
        return SeriesArrays(*series_columns(table, chosen), name, found)

    def events(
        self,
        name: str | None = None,
        *,
        source: str | None = None,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> list[RecordedEvent]:
        """Return the events that match all arguments, in order of time.

        Args:
            name: the event's name; None selects all names.
            source: the person or program that caused the event; None selects all sources.
            since, until: the earliest and the latest time to include, each as a timestamp in any
                form that `Run.log_metric` accepts; None sets no limit.

        Raises:
            InvalidArgumentError: a time is invalid.
        """
        return history.find_events(self._open_journal(), name, source, since, until)

    def spans(
        self,
        name: str | None = None,
        *,
        source: str | None = None,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> list[RecordedSpan]:
        """Return the spans that match all arguments, in order of start time.

        A span lasts from an event ``X_started`` to the matching event ``X_finish``.

        Args:
            name: the name of the span, which is ``X`` in the names of its events; None selects all
                names.
            source: as in `events`.
            since, until: the start and the end of a period. Only spans that overlap the period are
                returned. None sets no limit.

        Raises:
            InvalidArgumentError: a time is invalid.
        """
        return history.find_spans(self._open_journal(), name, source, since, until)

    def points(self, group: Context | str, start_index: int = 0, limit: int = 1000) -> PointPage:
        """Return a page of the points of a metric group; see `MetricGroup.read`.

        The first call costs one pass over the samples. Later calls read only the requested page and
        the samples that were added since.
        """
        journal, path, given = self._open_journal(), group_path(group), given_path(group)
        if given is not None and given != path:
            points = self._pages_of(given).read(journal, start_index, limit)
            if points.total:
                return points
        return self._pages_of(path).read(journal, start_index, limit)

    def _pages_of(self, path: tuple[str, ...]) -> PointPages:
        return self._pages.setdefault(path, PointPages(path))

    def alerts(self) -> list[RecordedAlert]:
        """Return the readings that raised alerts, in the order in which they were recorded."""
        return decode_alerts(self._records("alert"))

    def resources(self) -> list[ResourceUse]:
        """Return the mean, minimum, maximum and total of each kind of machine reading.

        These statistics cover all contexts together. Costs one pass over the samples.
        """
        from provml.model.resources import resource_use

        return resource_use(self._open_journal())

    def artifacts(self) -> list[RecordedContent]:
        """Return the artifacts, models, datasets and inputs that the run logged.

        The list is grouped by process. Within each process, it is in the order of logging.
        """
        return find_contents(self._open_journal())

    def statements(self, detail: str | None = None) -> Iterator[Statement]:
        """Yield the PROV statements of the run. Each statement costs about 10 microseconds.

        Args:
            detail: ``sample`` describes every sample; ``series`` only summarises each series. None
                means ``sample`` for runs of up to a million samples, and ``series`` for larger
                runs.

        Raises:
            ExportError: the detail is unknown.
        """
        from provml.model.mapping import RunMapping

        for statement in RunMapping(self._open_journal(), detail).statements():
            yield from statement.singly()

    def to_prov(self, detail: str | None = None) -> ProvDocument:
        """Convert the run to a ``ProvDocument`` object from the ``prov`` library.

        Costs about 0.1 ms and a few kilobytes of memory per statement. Times are truncated to
        microseconds, because the library supports no higher precision.

        Args:
            detail: as in `statements`.
        """
        from provml.model.mapping import RunMapping
        from provml.model.prov_document import build_prov_document

        return build_prov_document(RunMapping(self._open_journal(), detail))

    def to_rdflib(self, detail: str | None = None) -> Graph:
        """Convert the run to an ``rdflib`` graph, in the PROV-O vocabulary.

        Costs about 0.2 ms and a few kilobytes of memory per sample.

        Args:
            detail: as in `statements`.

        Raises:
            MissingExtraError: rdflib or pyoxigraph is not installed.
        """
        from provml.export._graph import rdflib_graph
        from provml.model.mapping import RunMapping

        return rdflib_graph(RunMapping(self._open_journal(), detail))

    def query(self, text: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Run a SPARQL SELECT query on the run; return each row as a dict by variable name.

        For other kinds of queries, several runs or large results, use `provml.sparql.load_runs`. If
        the run has changed since the last call, it is loaded again, which costs 0.1 ms per sample.

        Args:
            text: the query. The prefixes prov, provml, tags, rdf, rdfs, xsd, dcterms and run are
                predefined.
            parameters: values for the query's ``VALUES ?name { UNDEF }`` clauses.

        Raises:
            QueryError: the query is invalid or not a SELECT query.
            MissingExtraError: pyoxigraph is not installed.
        """
        from provml.errors import QueryError
        from provml.sparql import load_runs

        with load_runs([self.path]) as loaded:
            answer = loaded.query(text, **parameters)
            if answer.kind != "table":
                raise QueryError(
                    f"the query's result is a {answer.kind}, but query() only returns tables: use "
                    "provml.sparql.load_runs for this query"
                )
            return [dict(zip(answer.variables, row, strict=True)) for row in answer]

    def plot(
        self,
        file: Destination | None = None,
        *series: str,
        contexts: Collection[str] = (),
        by: str | None = None,
        log: bool = False,
    ) -> Picture:
        """Draw series, with one chart per name, and write the charts to a file if one is given.

        If the call is the last line of a notebook's cell, the notebook shows the charts. Costs one
        pass over the samples.

        Args:
            file: a path ending in ``.png``, ``.svg`` or ``.html``; None writes no file.
            series: the names of the series to plot; by default all.
            contexts: the names of the contexts to plot; by default all.
            by: the horizontal axis: ``step``, ``epoch`` or ``time``; by default the first of these
                that the samples have.
            log: whether the vertical axis is logarithmic.

        Returns:
            The picture in the format of the file; SVG if no file is given.

        Raises:
            InvalidArgumentError: the file extension or the axis is unknown.
            SeriesNotFoundError: the run has no such series or context.
            MissingExtraError: matplotlib is not installed or, for ``.html``, mpld3 is not.
        """
        from provml.charts.picture import draw_picture

        return draw_picture([self.path], file, series, contexts=contexts, by=by, log=log)

    def to_networkx(self, detail: str | None = "series") -> MultiDiGraph[str]:
        """Build a ``networkx`` graph of the run; `provml.graph.build` describes the graph.

        The keys of nodes are IRIs, and the keys of edges are relations. As in PROV, edges point
        from later things to earlier ones. Costs about 5 microseconds and a kilobyte of memory per
        statement; with ``series`` detail, it also costs one pass over the samples.

        Args:
            detail: as in `statements`.

        Raises:
            MissingExtraError: networkx is not installed.
        """
        from provml.graph.build import run_graph
        from provml.model.mapping import RunMapping

        return run_graph(RunMapping(self._open_journal(), detail))

    def to_pydot(self, detail: str | None = "series", view: View | None = None) -> Dot:
        """Build a Graphviz picture of the run, drawn according to the PROV layout conventions.

        With ``series`` detail, each large group of similar elements is drawn as one node: the
        series of a context with their plots, the parameters, and the steps.

        Args:
            detail: as in `statements`.
            view: the part of the graph to draw.

        Raises:
            MissingExtraError: networkx or pydot is not installed.
            ExportError: the node at the centre of the view does not exist.
        """
        from provml.graph.picture import build_picture, dot_graph
        from provml.graph.view import View
        from provml.model.mapping import RunMapping

        view = view or View()
        graph = build_picture([RunMapping(self._open_journal(), detail)], view)
        return dot_graph(graph, view.direction)

    def export(
        self,
        format: str,
        file: Destination,
        detail: str | None = None,
        view: View | None = None,
    ) -> None:
        """Write the run to a file in one of the export formats.

        Memory use does not grow with the size of the run, except for graphs and pictures.

        Args:
            format: ``provjson``, or another format that ``provml formats`` lists.
            file: a path or a binary file; a path that ends in ``.gz`` or ``.zst`` is compressed.
            detail: as in `statements`; the default for graphs and pictures is ``series``.
            view: for graphs and pictures, the part of the graph to draw.

        Raises:
            ExportError: the format or detail is unknown, or the format does not support a view.
            MissingExtraError, MissingProgramError: the format needs a package or a program that is
                not installed.
            OSError: the file cannot be written.
        """
        from provml.export import export

        mapping = export(self.path, format, file, detail, view)
        for found in mapping.journal.list_damage():
            if found.unit is not None or found.file == layout.RUN_FILE:
                self._warn_of_damage(found)
