"""Read a recorded run, whether it is still running, has ended, or crashed.

Unlike recording, reading raises errors. Imports `journal` and `base`; imports the packages that
derive documents (`model`, `export`, numpy, prov) only when needed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from provml.base.clock import to_datetime
from provml.base.context import Context, context_from_path, given_path, group_path, matching_paths
from provml.base.results import DroppedCounts, PointPage, RecordedException
from provml.base.sinks import Destination
from provml.errors import SeriesNotFoundError
from provml.journal import history, layout
from provml.journal.files import Record, record_context, series_number
from provml.journal.history import RecordedEvent, RecordedSpan, TimeLike
from provml.journal.reader import Journal
from provml.journal.record_building import add_later_digest
from provml.journal.store import find_run
from provml.journal.values import decode

if TYPE_CHECKING:
    import numpy as np
    from networkx import MultiDiGraph
    from numpy.typing import NDArray
    from prov.model import ProvDocument
    from pydot import Dot
    from rdflib import Graph

    from provml.graph.view import View
    from provml.model.resources import ResourceUse
    from provml.model.statements import Statement

_CONTENT = ("artifact", "model", "dataset", "digest")
NO_STEP = layout.NO_STEP
NO_EPOCH = layout.NO_EPOCH


@dataclass(frozen=True, slots=True, eq=False)
class SeriesArrays:
    """A series as columns of equal length, in the order written.

    Attributes:
        time_ns: int64, nanoseconds since the Unix epoch.
        step: int64; `NO_STEP` (-2**63) if a sample has no step.
        epoch: int64; `NO_EPOCH` (-1) if a sample has no epoch.
        value: float64; int64 if all values are ints; objects if neither type holds all values
            exactly.
    """

    time_ns: NDArray[np.int64]
    step: NDArray[np.int64]
    epoch: NDArray[np.int64]
    value: NDArray[Any]

    def __len__(self) -> int:
        return len(self.time_ns)


class SeriesName(NamedTuple):
    """The name and the context of a series; a context of None is the run itself."""

    name: str
    context: Context | None


@dataclass(frozen=True, slots=True)
class RecordedAlert:
    """A reading above its threshold; ``critical`` from 1.1 times it on, else ``warning``."""

    time_ns: int
    metric: str
    value: float
    threshold: float
    severity: str
    collector: str
    context: Context | None
    step: int | None
    epoch: int | None

    @property
    def timestamp(self) -> float:
        """The time of the reading in seconds since the Unix epoch."""
        return self.time_ns / 1e9


@dataclass(frozen=True, slots=True)
class RecordedContent:
    """A dataset, artifact or model as it was logged.

    Attributes:
        kind: ``dataset``, ``artifact`` or ``model``.
        facts: its path, sha256, size, shape and other facts, depending on the kind.
    """

    kind: str
    name: str
    time_ns: int
    context: Context | None
    step: int | None
    epoch: int | None
    facts: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def sha256(self) -> str | None:
        """The hexadecimal digest of the content; None if it was not hashed."""
        digest = self.facts.get("sha256")
        return digest if isinstance(digest, str) else None


def load(run: str | os.PathLike[str], store: str | os.PathLike[str] | None = None) -> RecordedRun:
    """Open a recorded run for reading.

    Args:
        run: the run's folder, its id, a unique prefix of its id, ``<experiment>/<id>``, or
            ``latest``.
        store: the folder to search for ids; by default ``PROVML_STORE``, else ``provenance``.

    Raises:
        RunNotFoundError: no run, or more than one, matches.
        JournalError: a newer version of provml recorded the run.
    """
    return RecordedRun(find_run(run, store))


class RecordedRun:
    """A recorded run, as `load` returns it. Each call reads everything recorded before it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal = Journal(path)

    def __repr__(self) -> str:
        return f"<provml.RecordedRun {self.experiment}/{self.id} {self.status}>"

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self._journal.description["id"])

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return str(self._journal.description["experiment"])

    @property
    def project(self) -> str | None:
        """The project's name."""
        return self._journal.description.get("project")

    @property
    def owner(self) -> str | None:
        """The person responsible for the run."""
        return self._journal.description.get("owner")

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed``, ``interrupted`` or ``crashed``."""
        return self._journal.state().status

    @property
    def reason(self) -> str | None:
        """The reason why the run ended this way, if known."""
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
        """The start time, cut to microseconds."""
        return to_datetime(self._journal.state().started_ns)

    @property
    def ended(self) -> datetime | None:
        """The end time, cut to microseconds; None while the run is running or if it crashed."""
        ended_ns = self._journal.state().ended_ns
        return None if ended_ns is None else to_datetime(ended_ns)

    @property
    def dropped(self) -> DroppedCounts:
        """The number of samples and of other records lost, for example to a full disk."""
        state = self._journal.state()
        return DroppedCounts(state.dropped_samples, state.dropped_events)

    @property
    def params(self) -> dict[str, Any]:
        """All parameters with their last values."""
        return self._last_values("param")

    @property
    def tags(self) -> dict[str, Any]:
        """All tags with their last values."""
        return self._last_values("tag")

    @property
    def metadata(self) -> dict[str, Any]:
        """All metadata keys with their last values."""
        return self._last_values("metadata")

    @property
    def external_id(self) -> str | None:
        """The run's id in another system."""
        return self._journal.description.get("external_id")

    @property
    def framework(self) -> str | None:
        """The machine-learning framework that the run used."""
        return self._journal.description.get("framework")

    @property
    def task(self) -> str | None:
        """The task of the model."""
        return self._journal.description.get("task")

    def _records(self, *kinds: str) -> Iterator[Record]:
        return history.read_records(Journal(self.path), *kinds)  # reopened, as a live run grows

    def _last_values(self, kind: str) -> dict[str, Any]:
        return history.last_values(Journal(self.path), kind)

    def series_names(self, kind: str = "metric") -> list[SeriesName]:
        """Return the name and context of every series of a kind; pass them to `series`."""
        from provml.model.series import SeriesTable

        table = SeriesTable(Journal(self.path))
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
        """Return the samples of a metric or reading, in the order written, process by process.

        Costs about 20 ms for a million samples.

        Args:
            name: the metric's name.
            context: its context, or a word for one as in `Context`; None selects the samples that
                were logged without a context.
            rank: the rank of the processes that logged the samples; None selects all processes.
            kind: ``metric``, ``flops`` or ``cumulative-flops``; for readings the name of the
                collector, such as ``system`` or ``gpu``. By default metrics or, if no metric has
                the name, the first kind that has it.
            of: the name of the model or artifact that was measured; ``("model", name)`` if a model
                and an artifact share the name. None selects the samples without a model or
                artifact; if all samples have the same one, None selects all samples.

        Raises:
            SeriesNotFoundError: no series matches, or the series of several models match; the
                message lists the candidates.
        """
        from provml.model.series import SeriesTable, series_columns

        table = SeriesTable(Journal(self.path))
        paths = matching_paths(context)
        found = {s.context for s in table.all if s.name == name}
        path = next((path for path in paths if path in found), paths[0])
        chosen = [
            s
            for s in table.all
            if (s.name, s.context) == (name, path)
            and rank in (None, s.rank)
            and (of is None or (s.of is not None and of in (s.of[1], s.of)))
        ]
        kinds = [s.kind for s in chosen]
        own = kind or ("metric" if "metric" in kinds or not kinds else kinds[0])
        chosen = [s for s in chosen if s.kind == own]
        targets = list(dict.fromkeys(s.of for s in chosen))
        if of is None and len(targets) > 1:
            if None not in targets:
                raise SeriesNotFoundError(
                    f"run {self.id} has {name!r} in {context} for several models: "
                    f"{', '.join(map(repr, targets[:10]))}: choose one, of={targets[0]!r}"
                )
            chosen = [s for s in chosen if s.of is None]
        if not chosen:
            known = ", ".join(f"{n!r} in {c}" for n, c in self.series_names(own)[:10])
            raise SeriesNotFoundError(
                f"run {self.id} has no series {name!r} of kind {own!r} in {context}"
                f"{'' if of is None else f' of {of!r}'}; "
                f"it has: {known or 'none'}"
            )
        return SeriesArrays(*series_columns(table, chosen))

    def events(
        self,
        name: str | None = None,
        *,
        source: str | None = None,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> list[RecordedEvent]:
        """Return the events in the order logged; select them by name, source or period.

        Args:
            name: the event's name.
            source: the person or program that the event comes from.
            since, until: the earliest and the latest time, each as a timestamp that
                `Run.log_metric` accepts.

        Raises:
            InvalidArgumentError: a time is invalid.
        """
        return history.find_events(Journal(self.path), name, source, since, until)

    def spans(
        self,
        name: str | None = None,
        *,
        source: str | None = None,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> list[RecordedSpan]:
        """Return the events with a duration (``X_started`` to ``X_finish``), in order of start.

        Args:
            name: the name of the span, ``X``.
            source: as in `events`.
            since, until: a period; spans that overlap it are returned.

        Raises:
            InvalidArgumentError: a time is invalid.
        """
        return history.find_spans(Journal(self.path), name, source, since, until)

    def points(self, group: Context | str, start_index: int = 0, limit: int = 1000) -> PointPage:
        """Return a page of the points of a metric group; see `MetricGroup.read`.

        Costs one pass over the samples.
        """
        journal, path, given = Journal(self.path), group_path(group), given_path(group)
        if given is not None and given != path:
            points = history.read_points(journal, given, start_index, limit)
            if points.total:
                return points
        return history.read_points(journal, path, start_index, limit)

    def alerts(self) -> list[RecordedAlert]:
        """Return the alerts, in the order recorded: readings that rose above their thresholds."""
        found: list[RecordedAlert] = []
        for record in self._records("alert"):
            try:
                found.append(
                    RecordedAlert(
                        time_ns=int(record["time"]),
                        metric=str(record["name"]),
                        value=float(decode(record["value"])),
                        threshold=float(decode(record["threshold"])),
                        severity=str(record["severity"]),
                        collector=str(record["collector"]),
                        context=context_from_path(record_context(record)),
                        step=record.get("step"),
                        epoch=record.get("epoch"),
                    )
                )
            except (KeyError, TypeError, ValueError, ArithmeticError):
                continue
        return found

    def resources(self) -> list[ResourceUse]:
        """Return the mean, extremes and sum of each reading of the machine.

        The figures cover all contexts together. Costs one pass over the samples.
        """
        from provml.model.resources import resource_use

        return resource_use(Journal(self.path))

    def artifacts(self) -> list[RecordedContent]:
        """Return the artifacts, models and datasets in the order logged."""
        found: list[RecordedContent] = []
        for files in Journal(self.path).writers:
            records = [record for _, record in files.records() if record.get("record") in _CONTENT]
            digests = {
                series_number(r): r.get("content") for r in records if r["record"] == "digest"
            }
            for record in records:
                name, time_ns = record.get("name"), record.get("time")
                if not isinstance(name, str) or not isinstance(time_ns, int):
                    continue
                content = record.get("content")
                facts = content if isinstance(content, dict) else {}
                number = series_number(record)
                later = None if number is None else digests.get(number)
                if isinstance(later, dict):
                    facts = add_later_digest(facts, later)
                found.append(
                    RecordedContent(
                        kind=record["record"],
                        name=name,
                        time_ns=time_ns,
                        context=context_from_path(record_context(record)),
                        step=record.get("step"),
                        epoch=record.get("epoch"),
                        facts=facts,
                        metadata=history.decode_metadata(record),
                    )
                )
        return found

    def statements(self, detail: str | None = None) -> Iterator[Statement]:
        """Yield the PROV statements of the run one by one. Costs about 10 microseconds each.

        Args:
            detail: ``sample`` or ``series``; None means ``sample`` for up to a million samples,
                else ``series``.

        Raises:
            ExportError: the detail is unknown.
        """
        from provml.model.mapping import RunMapping

        for statement in RunMapping(Journal(self.path), detail).statements():
            yield from statement.singly()

    def to_prov(self, detail: str | None = None) -> ProvDocument:
        """Build a document of the ``prov`` library from the run.

        Costs about 0.1 ms and a few kilobytes of memory per statement. Times are truncated to
        microseconds, the precision of that library.

        Args:
            detail: as in `statements`.
        """
        from provml.model.mapping import RunMapping
        from provml.model.prov_document import build_prov_document

        return build_prov_document(RunMapping(Journal(self.path), detail))

    def to_rdflib(self, detail: str | None = None) -> Graph:
        """Build an ``rdflib`` graph of the run, in PROV-O terms.

        Costs about 0.2 ms and a few kilobytes of memory per sample.

        Args:
            detail: as in `statements`.

        Raises:
            MissingExtraError: rdflib or pyoxigraph is not installed.
        """
        from provml.export._graph import rdflib_graph
        from provml.model.mapping import RunMapping

        return rdflib_graph(RunMapping(Journal(self.path), detail))

    def query(self, text: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Run a SPARQL SELECT query on the run; return a dict of variables and values for each row.

        Use `provml.sparql.load_runs` for other queries, several runs or large answers. If the run
        changed since the last call, the call loads it again, which costs 0.1 ms per sample.

        Args:
            text: the query; the prefixes prov, provml, rdf, rdfs, xsd, dcterms and run are
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
                    f"the answer is a {answer.kind}, not a table: use provml.sparql.load_runs"
                )
            return [dict(zip(answer.variables, row, strict=True)) for row in answer]

    def plot(
        self,
        file: Destination,
        *series: str,
        contexts: Collection[str] = (),
        by: str | None = None,
        log: bool = False,
    ) -> None:
        """Draw series into a file, one chart for each name. Costs one pass over the samples.

        Args:
            file: a path ending in ``.png``, ``.svg`` or ``.html``.
            series: the names of the series; by default all.
            contexts: the names of the contexts; by default all.
            by: the horizontal axis: ``step``, ``epoch`` or ``time``; by default the first of these
                that the samples have.
            log: whether the vertical axis is logarithmic.

        Raises:
            InvalidArgumentError: the file ending or the axis is unknown.
            SeriesNotFoundError: the run has no such series or context.
            MissingExtraError: matplotlib, or mpld3 for a page, is not installed.
        """
        from provml.plot import draw

        draw(self.path, file, series, contexts=contexts, by=by, log=log)

    def to_networkx(self, detail: str | None = "series") -> MultiDiGraph[str]:
        """Build a ``networkx`` graph of the run; `provml.graph.build` describes the graph.

        Nodes are keyed by IRI, edges by relation. As in PROV, edges point from later things to
        earlier things. Costs about 5 microseconds and a kilobyte per statement, and, at ``series``
        detail, one pass over the samples.

        Args:
            detail: as in `statements`.

        Raises:
            MissingExtraError: networkx is not installed.
        """
        from provml.graph.build import run_graph
        from provml.model.mapping import RunMapping

        return run_graph(RunMapping(Journal(self.path), detail))

    def to_pydot(self, detail: str | None = "series", view: View | None = None) -> Dot:
        """Build a Graphviz picture of the run that follows the PROV layout conventions.

        At ``series`` detail, large groups of similar things share one node: the series of a context
        with their plots, the parameters, the steps.

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
        graph = build_picture([RunMapping(Journal(self.path), detail)], view)
        return dot_graph(graph, view.direction)

    def export(
        self,
        format: str,
        file: Destination,
        detail: str | None = None,
        view: View | None = None,
    ) -> None:
        """Write the run to a file, in a format of your choice.

        Needs the same memory for a run of any size, except for graphs and pictures.

        Args:
            format: ``provjson``, or another format that ``provml formats`` lists.
            file: a path (``.gz`` and ``.zst`` compress), or a binary file.
            detail: as in `statements`; the default for graphs and pictures is ``series``.
            view: the part to draw, for graphs and pictures: a `provml.graph.view.View`.

        Raises:
            ExportError: the format or detail is unknown, or the format does not support a view.
            MissingExtraError, MissingProgramError: a package or program that the format needs is
                missing.
            OSError: the file cannot be written.
        """
        from provml.export import export

        export(self.path, format, file, detail, view)
