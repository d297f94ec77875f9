"""A recorded run, to be read: under way, ended or dead.

Reading raises; nothing here records. Imports `journal`, `store`; what derives (`model`, `export`,
numpy, prov) when it is used.
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
    """A series as columns of one length, in the order written.

    Attributes:
        time_ns: int64, nanoseconds since the epoch.
        step: int64; `NO_STEP` (-2**63) where a sample has none.
        epoch: int64; `NO_EPOCH` (-1) where a sample has none.
        value: float64, or int64 where all are ints, or objects where neither holds them exactly.
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
    """A reading that was above its threshold: ``warning``, or ``critical`` from 1.1 times it on."""

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
        """When, in seconds since the epoch."""
        return self.time_ns / 1e9


@dataclass(frozen=True, slots=True)
class RecordedContent:
    """A dataset, artifact or model as it was logged.

    Attributes:
        kind: ``dataset``, ``artifact`` or ``model``.
        facts: path, sha256, size, shape and the like, as far as they apply.
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
        """The content's digest, hexadecimal; None where there is none."""
        digest = self.facts.get("sha256")
        return digest if isinstance(digest, str) else None


def load(run: str | os.PathLike[str], store: str | os.PathLike[str] | None = None) -> RecordedRun:
    """Open a recorded run for reading.

    Args:
        run: a run's folder, its id, a beginning of one that no other has, ``<experiment>/<id>``, or
            ``latest``.
        store: where to look for ids; by default ``PROVML_STORE``, else ``provenance``.

    Raises:
        RunNotFoundError: none, or more than one, is meant.
        JournalError: it is of a newer version.
    """
    return RecordedRun(find_run(run, store))


class RecordedRun:
    """What was recorded of a run; made by `load`. Each call reads what is there by then."""

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
        """Who is responsible."""
        return self._journal.description.get("owner")

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed``, ``interrupted`` or ``crashed``."""
        return self._journal.state().status

    @property
    def reason(self) -> str | None:
        """Why it ended so, where that is known."""
        return self._journal.state().reason

    @property
    def exception(self) -> RecordedException | None:
        """The exception that ended the run; None if none did."""
        found = self._journal.state().exception
        if found is None:
            return None
        kind, message, traceback = (str(found.get(n, "")) for n in RecordedException.__slots__)
        return RecordedException(kind, message, traceback)

    @property
    def started(self) -> datetime:
        """When it started, cut to microseconds."""
        return to_datetime(self._journal.state().started_ns)

    @property
    def ended(self) -> datetime | None:
        """When it ended, cut to microseconds; None while it runs or where it died."""
        ended_ns = self._journal.state().ended_ns
        return None if ended_ns is None else to_datetime(ended_ns)

    @property
    def dropped(self) -> DroppedCounts:
        """The number of samples and of other records lost, for example to a full disk."""
        state = self._journal.state()
        return DroppedCounts(state.dropped_samples, state.dropped_events)

    @property
    def params(self) -> dict[str, Any]:
        """The last value of every parameter."""
        return self._last_values("param")

    @property
    def tags(self) -> dict[str, Any]:
        """The last value of every tag."""
        return self._last_values("tag")

    @property
    def metadata(self) -> dict[str, Any]:
        """The last value of every key of the metadata."""
        return self._last_values("metadata")

    @property
    def external_id(self) -> str | None:
        """What the run is called elsewhere."""
        return self._journal.description.get("external_id")

    @property
    def framework(self) -> str | None:
        """The framework that it was made with."""
        return self._journal.description.get("framework")

    @property
    def task(self) -> str | None:
        """What the model is to do."""
        return self._journal.description.get("task")

    def _records(self, *kinds: str) -> Iterator[Record]:
        return history.read_records(Journal(self.path), *kinds)  # afresh: a live run grows

    def _last_values(self, kind: str) -> dict[str, Any]:
        return history.last_values(Journal(self.path), kind)

    def series_names(self, kind: str = "metric") -> list[SeriesName]:
        """Return the name and context of every series of a kind, as `series` takes them."""
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
        """The samples of a metric or reading, in the order written, process after process.

        Costs about 20 ms for a million samples in a samples file of theirs alone.

        Args:
            name: the metric's name.
            context: its context, or a word for one as in `Context`; None for what was logged
                without one.
            rank: only what the processes of this rank wrote.
            kind: only ``metric``, ``flops``, ``cumulative-flops``; of readings their collector:
                ``system``, ``process``, ``gpu``, ``energy`` ...; by default metrics or, where no
                metric has the name, the first kind of samples that has it.
            of: only what is of the model or artifact of this name, ``("model", name)`` where both
                have it; None for what is of none, or of the only one that there is.

        Raises:
            SeriesNotFoundError: there is no such series, or one each of several models; the message
                names those there are.
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
                    f"run {self.id} has {name!r} in {context} of each of "
                    f"{', '.join(map(repr, targets[:10]))}: say which, of={targets[0]!r}"
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
        """The events in the order logged, all or those of a name, a source, a stretch of time.

        Args:
            since, until: the first and the last moment, as `Run.log_metric` takes a timestamp.

        Raises:
            InvalidArgumentError: a time that is none.
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
        """The events that last, in the order begun: from ``X_started`` to ``X_finish``.

        Args:
            name: ``X``.
            source: as in `events`.
            since, until: a stretch of time that it touches.

        Raises:
            InvalidArgumentError: a time that is none.
        """
        return history.find_spans(Journal(self.path), name, source, since, until)

    def points(self, group: Context | str, start_index: int = 0, limit: int = 1000) -> PointPage:
        """Points that a group of metrics recorded, by their index; as `MetricGroup.read`.

        Costs a pass over the samples.
        """
        journal, path, given = Journal(self.path), group_path(group), given_path(group)
        if given is not None and given != path:
            points = history.read_points(journal, given, start_index, limit)
            if points.total:
                return points
        return history.read_points(journal, path, start_index, limit)

    def alerts(self) -> list[RecordedAlert]:
        """Where readings went above their thresholds, or further, in the order recorded."""
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
        """What of the machine was used: each reading's mean, extremes and sum, over all contexts.

        Costs a pass over the samples.
        """
        from provml.model.resources import resource_use

        return resource_use(Journal(self.path))

    def artifacts(self) -> list[RecordedContent]:
        """The artifacts, models and datasets in the order logged."""
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
                    facts = {k: v for k, v in facts.items() if k != "unread"} | later
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
        """The run's PROV statements one by one; about 10 microseconds each.

        Args:
            detail: ``sample``, ``series``, or None: ``sample`` up to a million samples.

        Raises:
            ExportError: another detail.
        """
        from provml.model.mapping import RunMapping

        for statement in RunMapping(Journal(self.path), detail).statements():
            yield from statement.singly()

    def to_prov(self, detail: str | None = None) -> ProvDocument:
        """The run as a document of the ``prov`` library, built by its API.

        Costs about 0.1 ms a statement and some kilobytes of memory. Times are cut to
        microseconds, which is what that library keeps.

        Args:
            detail: as in `statements`.
        """
        from provml.model.mapping import RunMapping
        from provml.model.prov_document import build_prov_document

        return build_prov_document(RunMapping(Journal(self.path), detail))

    def to_rdflib(self, detail: str | None = None) -> Graph:
        """The run as a graph of ``rdflib``, in PROV-O's terms.

        Costs about 0.2 ms a sample and some kilobytes of memory.

        Args:
            detail: as in `statements`.

        Raises:
            MissingExtraError: rdflib or pyoxigraph is not installed.
        """
        from provml.export._graph import rdflib_graph
        from provml.model.mapping import RunMapping

        return rdflib_graph(RunMapping(Journal(self.path), detail))

    def query(self, text: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """What a SPARQL SELECT query finds in the run: a row each, its values by variable.

        For other queries, several runs or large answers there is `provml.sparql.load_runs`.
        The run is loaded when it is first asked, and again when it changed: 0.1 ms a sample.

        Args:
            text: the query; the prefixes prov, provml, rdf, rdfs, xsd, dcterms and run are known.
            parameters: values for what it has as ``VALUES ?name { UNDEF }``.

        Raises:
            QueryError: it can't be read, or is no SELECT query.
            MissingExtraError: pyoxigraph is not installed.
        """
        from provml.errors import QueryError
        from provml.sparql import load_runs

        with load_runs([self.path]) as loaded:
            answer = loaded.query(text, **parameters)
            if answer.kind != "table":
                raise QueryError(f"the answer is a {answer.kind}: provml.sparql.load_runs has it")
            return [dict(zip(answer.variables, row, strict=True)) for row in answer]

    def plot(
        self,
        file: Destination,
        *series: str,
        contexts: Collection[str] = (),
        by: str | None = None,
        log: bool = False,
    ) -> None:
        """Draw series into a file, a chart for each name; costs one pass over the samples.

        Args:
            file: a path ending in ``.png``, ``.svg`` or ``.html``.
            series: names as they were logged; by default all.
            contexts: names of contexts; by default all.
            by: ``step``, ``epoch`` or ``time``; by default the first that the samples have.
            log: a logarithmic vertical axis.

        Raises:
            InvalidArgumentError: another ending or axis.
            SeriesNotFoundError: no such series or context.
            MissingExtraError: matplotlib, or for a page mpld3, is not installed.
        """
        from provml.plot import draw

        draw(self.path, file, series, contexts=contexts, by=by, log=log)

    def to_networkx(self, detail: str | None = "series") -> MultiDiGraph[str]:
        """The run as a graph of ``networkx``; `provml.graph.build` says what nodes and edges have.

        Nodes are keyed by IRI, edges by relation; they point as PROV does, to what was earlier.
        Costs about 5 microseconds and a kilobyte a statement; at ``series`` detail, one pass over
        the samples.

        Args:
            detail: as in `statements`.

        Raises:
            MissingExtraError: networkx is not installed.
        """
        from provml.graph.build import run_graph
        from provml.model.mapping import RunMapping

        return run_graph(RunMapping(Journal(self.path), detail))

    def to_pydot(self, detail: str | None = "series", view: View | None = None) -> Dot:
        """The run as a picture for Graphviz, after the PROV layout conventions.

        At ``series`` detail what is many and alike is one node: the series of a context with their
        plots, parameters, steps.

        Args:
            detail: as in `statements`.
            view: what part of it.

        Raises:
            MissingExtraError: networkx or pydot is not installed.
            ExportError: the view is around a node that is not there.
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
        """Write the run in a format; but for graphs and pictures, memory does not grow with it.

        Args:
            format: ``provjson``, or another that ``provml export --help`` names.
            file: a path (``.gz`` and ``.zst`` compress), or a binary file.
            detail: as in `statements`; ``series`` by default for graphs and pictures.
            view: what part of it, for graphs and pictures: a `provml.graph.view.View`.

        Raises:
            ExportError: an unknown format or detail, or a view that the format does not heed.
            MissingExtraError, MissingProgramError: what the format needs is not installed.
            OSError: the file can't be written.
        """
        from provml.export import export

        export(self.path, format, file, detail, view)
