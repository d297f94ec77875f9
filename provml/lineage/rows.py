"""Turns a run's PROV statements into table rows, and finds which content was made from which.

Imports `tables`, `model` and `journal`; imports pyarrow only when needed.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provml.base.clock import iso_text
from provml.journal.description import read_reference
from provml.journal.reader import Journal
from provml.journal.values import Moment
from provml.lineage.members import read_members
from provml.lineage.tables import SAMPLES, TABLES, SqlColumn
from provml.model.attributes import typed_literal
from provml.model.mapping import RunMapping, run_prefixes
from provml.model.names import encode_name, encoded_path
from provml.model.relations import FORMAL
from provml.model.series import Block, RunSeries, SeriesTable
from provml.model.series_shape import find_telling_series
from provml.model.statements import Iri, Literal, Name, Statement

if TYPE_CHECKING:
    import pyarrow as pa

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]
Flow = tuple[str, str]

CAUSAL: Final = frozenset(
    {"wasGeneratedBy", "used", "wasInformedBy", "wasStartedBy", "wasDerivedFrom"}
)
"""The PROV relations that lineage follows. Each relation points from the effect to the cause."""

_KINDS: Final = {
    "provml:Dataset": "dataset",
    "provml:Input": "input",
    "provml:Artifact": "artifact",
    "provml:Model": "model",
    "provml:Script": "script",
    "provml:SourceCode": "source",
    "provml:Diff": "diff",
}
_SETTINGS: Final = {
    "provml:Parameter": ("param", "used"),
    "provml:ReadingSummary": ("reading_summary", "wasGeneratedBy"),
}
"""The types of entities in the table ``params``.

Maps each type to the value of the column ``kind``, and to the PROV relation whose time is used.
"""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_NS_PER_S: Final = 1_000_000_000


def build_rows(run: str, journal: Journal, fingerprint: str) -> Rows:
    """Build a run's rows for every table.

    Reads the run's files once, which takes about 8 ms for 10,000 samples. For large runs, hashing
    the samples files also takes 1 s per GB.

    Raises:
        JournalError: a newer version of provml recorded the run.
        OSError: the run's files can't be read.
    """
    mapping = RunMapping(journal, "series", with_shapes=True)
    statements = [single for made in mapping.statements() for single in made.singly()]
    graph = RunGraph(statements)
    rows: Rows = {name: [] for name in TABLES}
    rows["runs"].append(_run_row(run, mapping, graph, fingerprint))
    rows["params"] = [(run, *row) for row in (*_setting_rows(graph), *_tag_rows(mapping))]
    iris = mapping.prefixes()
    rows["nodes"] = [(run, *_node_row(node, iris)) for node in graph.nodes.values()]
    rows["edges"] = [(run, *_edge_row(edge)) for edge in graph.edges]
    rows["series"] = [(run, *build_series_row(series)) for series in mapping.series.all]
    rows["curves"] = build_curve_rows(run, mapping.series.all)
    contents = {node: content_key(run, graph.nodes[node]) for node in graph.contents}
    rows["artifacts"] = [(run, *row) for row in _artifact_rows(graph, contents)]
    flows = {(contents[e], contents[c]) for e, c in graph.flows() if contents[e] != contents[c]}
    rows["flows"] = [(run, *flow) for flow in sorted(flows)]
    rows["members"] = [(run, *row) for row in _member_rows(journal.folder, graph, contents)]
    rows["packages"] = [(run, *row) for row in _package_rows(graph)]
    return rows


class RunGraph:
    """A run's PROV statements as a graph.

    Attributes:
        nodes: the statements that declare elements, by name, in the order of the document.
        edges: the statements that declare relations.
        contents: the kind of each node that is a content item, such as ``dataset`` or ``model``,
            keyed by the name of the node.
    """

    def __init__(self, statements: list[Statement]) -> None:
        self.nodes: dict[str, Statement] = {}
        self.edges: list[Statement] = []
        self.contents: dict[str, str] = {}
        for statement in statements:
            if isinstance(statement.id, str):
                self.nodes[statement.id] = statement
                kind = _KINDS.get(own_type(statement) or "")
                if kind is not None:
                    self.contents[statement.id] = kind
            else:
                self.edges.append(statement)

    def causes(self) -> dict[str, list[str]]:
        """Return the direct causes of each node, by the node's name."""
        causes: defaultdict[str, list[str]] = defaultdict(list)
        for edge in self.edges:
            if edge.kind in CAUSAL:
                source, target = edge_ends(edge)
                causes[source].append(target)
        return causes

    def flows(self) -> Iterator[Flow]:
        """Yield each pair (effect, cause) of content items with no other item between the two."""
        causes = self.causes()
        known: dict[str, frozenset[str]] = {}
        for content in self.contents:
            for cause in _nearest_contents(content, causes, self.contents, known):
                yield content, cause

    def reached(self, starts: list[str], up: bool) -> set[str]:
        """Return the start nodes and all their causes, or all their effects if ``up`` is False."""
        steps = self.causes()
        if not up:
            turned: defaultdict[str, list[str]] = defaultdict(list)
            for source, targets in steps.items():
                for target in targets:
                    turned[target].append(source)
            steps = turned
        found, waiting = set(starts), list(starts)
        while waiting:
            for node in steps.get(waiting.pop(), ()):
                if node not in found:
                    found.add(node)
                    waiting.append(node)
        return found


def _nearest_contents(
    content: str,
    causes: dict[str, list[str]],
    contents: dict[str, str],
    known: dict[str, frozenset[str]],
) -> frozenset[str]:
    """Return the content items that are direct causes of a content item.

    Other nodes, but no content items, may lie between the cause and the effect.

    ``known`` caches the results for all nodes that were visited.
    """
    waiting = [content]
    under_way: set[str] = set()
    while waiting:
        node = waiting[-1]
        if node in known:
            waiting.pop()
            continue
        inner = [cause for cause in causes.get(node, ()) if cause not in contents]
        unknown = [cause for cause in inner if cause not in known and cause not in under_way]
        if unknown and node not in under_way:
            under_way.add(node)
            waiting += unknown
            continue
        found = {cause for cause in causes.get(node, ()) if cause in contents}
        found.update(*(known.get(cause, frozenset()) for cause in inner))
        known[node] = frozenset(found)
        waiting.pop()
    return known[content]


def edge_ends(edge: Statement) -> tuple[str, str]:
    """Return the two nodes of a relation: the effect and the cause."""
    first, second = FORMAL[edge.kind][:2]
    return str(edge.arguments.get(first, "")), str(edge.arguments.get(second, ""))


def content_key(run: str, node: Statement) -> str:
    """Return the key of a content item.

    The key is the item's digest. If the item has no digest or is empty, the key consists of the run
    and the node.
    """
    digest = first_attribute(node, "provml:sha256")
    if isinstance(digest, str) and first_attribute(node, "provml:size") != 0:
        return digest
    return f"{run} {node.id}"


def own_type(statement: Statement) -> str | None:
    """Return an element's first type outside PROV's namespace, else its first type."""
    types = [str(value) for name, value in statement.attributes if name == "prov:type"]
    own = [name for name in types if not name.startswith("prov:")]
    return next(iter(own or types), None)


def _is_source(statement: Statement) -> bool:
    """Return whether an element has the type of source code. A script may also have this type."""
    return ("prov:type", "provml:SourceCode") in statement.attributes


def first_attribute(statement: Statement, name: str) -> Any:
    """Return the first value of an attribute, or None if the statement lacks the attribute."""
    return next((value for own, value in statement.attributes if own == name), None)


# -- rows of each table -----------------------------------------------------------------------


def _run_row(run: str, mapping: RunMapping, graph: RunGraph, fingerprint: str) -> Row:
    description, state = mapping.journal.description, mapping.state
    parent = read_reference(description.get("parent"))
    activity = graph.nodes["run:run"]
    exception = state.exception or {}
    error = [exception[key] for key in ("type", "message") if isinstance(exception.get(key), str)]
    started_ns, ended_ns = _to_int64(state.started_ns), _to_int64(state.ended_ns)
    length = None if started_ns is None or ended_ns is None else ended_ns - started_ns
    sources = [node for node in graph.contents if _is_source(graph.nodes[node])]
    scripts = [node for node, kind in graph.contents.items() if kind == "script"]
    source = graph.nodes[sources[-1]] if sources else None
    dirty = None if source is None else first_attribute(source, "provml:gitDirty")
    command = first_attribute(activity, "provml:commandLine")
    return (
        run,
        str(description["id"]),
        str(description["experiment"]),
        description.get("project"),
        description.get("owner"),
        None if parent is None else parent.id,
        None if parent is None else parent.folder,
        run_prefixes(mapping.journal)["run"],
        state.status,
        state.reason,
        ": ".join(error) or None,
        started_ns,
        ended_ns,
        _to_timestamp(started_ns),
        _to_timestamp(ended_ns),
        None if length is None else length / _NS_PER_S,
        mapping.samples - mapping.readings,
        _to_int64(state.dropped_samples),
        _to_int64(state.dropped_events),
        sum(mapping.journal.damage().values()),
        _str_or_none(first_attribute(graph.nodes[scripts[-1]], "provml:path")) if scripts else None,
        command.lexical if isinstance(command, Literal) else None,
        None if source is None else _str_or_none(first_attribute(source, "provml:gitCommit")),
        dirty if isinstance(dirty, bool) else None,
        description.get("provml"),
        fingerprint,
    )


def _setting_rows(graph: RunGraph) -> Iterator[Row]:
    times = {
        "used": _first_times(graph, "used", 1),
        "wasGeneratedBy": _first_times(graph, "wasGeneratedBy", 0),
    }
    versions: dict[tuple[str, str], list[Row]] = {}
    for node, statement in graph.nodes.items():
        kind, relation = _SETTINGS.get(own_type(statement) or "", ("", ""))
        if not kind:
            continue
        name = str(first_attribute(statement, "provml:name"))
        of_name = versions.setdefault((kind, name), [])
        value = _value_columns(first_attribute(statement, "prov:value"))
        of_name.append((*value, times[relation].get(node)))
    yield from _number_versions(versions)


def _tag_rows(mapping: RunMapping) -> Iterator[Row]:
    yield from _number_versions(
        {
            ("tag", name): [(*_value_columns(one.value), _to_int64(one.time_ns)) for one in of_name]
            for name, of_name in mapping.tags.items()
        }
    )


def _number_versions(versions: dict[tuple[str, str], list[Row]]) -> Iterator[Row]:
    """Yield the rows of the table ``params``, and number the values of each kind and name."""
    for (kind, name), of_name in versions.items():
        for number, row in enumerate(of_name, 1):
            yield kind, name, number, number == len(of_name), *row


def _value_columns(value: Any) -> tuple[str, str, float | None]:
    """Return the type, exact text and nearest double of an attribute's value."""
    if isinstance(value, bool):
        return "bool", "true" if value else "false", None
    if isinstance(value, (int, float)):
        return type(value).__name__, _number_text(value), _to_double(value)
    if isinstance(value, Literal):
        if value.datatype == "xsd:decimal":
            return "decimal", value.lexical, _to_double(value.lexical)
        return "null" if value.lexical == "null" else "json", value.lexical, None
    if isinstance(value, Moment):
        return "json", str(_to_json_value(value)), None
    return "str", str(value), None


def _number_text(value: float) -> str:
    return (
        str(_to_json_value(value))
        if isinstance(value, int) or not math.isfinite(value)
        else repr(value)
    )


def _node_row(node: Statement, iris: dict[str, str]) -> Row:
    prefix, _, own = str(node.id).partition(":")
    others: defaultdict[str, list[Any]] = defaultdict(list)
    for name, value in node.attributes:
        others[name].append(_to_json_value(value))
    return (
        str(node.id),
        iris[prefix] + own,
        node.kind,
        own_type(node),
        _str_or_none(first_attribute(node, "prov:label")),
        _moment_ns(node.arguments.get("prov:startTime")),
        _moment_ns(node.arguments.get("prov:endTime")),
        json.dumps(others, allow_nan=False, separators=(",", ":")),
    )


def _edge_row(edge: Statement) -> Row:
    plan, own = edge.arguments.get("prov:plan"), first_attribute(edge, "prov:type")
    return (
        edge.kind,
        *edge_ends(edge),
        _moment_ns(edge.arguments.get("prov:time")),
        None if plan is None else str(plan),
        None if own is None else str(own),
    )


def build_series_row(series: RunSeries) -> Row:
    """Build a row of the table ``series``, without the name of the run."""
    return (*build_identity_cells(series), *build_summary_cells(series))


def build_identity_cells(series: RunSeries) -> Row:
    """Build those cells of a row in the table ``series`` that do not depend on the samples."""
    return (
        series.kind,
        series.name,
        None if series.context is None else encoded_path(series.context),
        _to_int64(series.rank, 31),
        _series_target(series),
        ", ".join(series.units) or None,
    )


def build_summary_cells(series: RunSeries) -> Row:
    """Build those cells of a row in the table ``series`` that summarise the samples."""
    if not series.count:
        return (0, *[None] * 6)
    _, text, number = _value_columns(typed_literal(series.last))
    return (
        series.count,
        _to_double(series.minimum),
        _to_double(series.maximum),
        number,
        text,
        series.first_ns,
        series.last_ns,
    )


def build_curve_rows(run: str, table: list[RunSeries]) -> list[Row]:
    """Build a run's row of the table ``curves``; return [] if no metric of the run has a curve."""
    series = find_telling_series(table)
    if series is None or series.shape is None:
        return []
    context = None if series.context is None else encoded_path(series.context)
    return [(run, series.name, context, series.count, series.shape.points())]


def _series_target(series: RunSeries) -> str | None:
    """Return the model or artifact that a series measures, such as ``model/net``, or None."""
    return None if series.of is None else f"{series.of[0]}/{encode_name(series.of[1])}"


def _member_rows(folder: Path, graph: RunGraph, contents: dict[str, str]) -> Iterator[Row]:
    """Yield a row for each file in the folders that the run used or made."""
    used, made = _first_activities(graph, "used", 1), _first_activities(graph, "wasGeneratedBy", 0)
    seen: set[tuple[str, str]] = set()
    for name in graph.contents:
        role = "out" if name in made else "in" if name in used else None
        if role is None or (contents[name], role) in seen:
            continue
        seen.add((contents[name], role))
        node = graph.nodes[name]
        manifest = first_attribute(node, "provml:manifest") or _captured_manifest(node)
        for path, member in read_members(folder, manifest, contents[name]):
            yield contents[name], role, path, member


def _captured_manifest(node: Statement) -> object:
    """Return the path of a manifest that an earlier version of provml recorded as metadata."""
    metadata = first_attribute(node, "provml:metadata")
    try:
        found = json.loads(metadata.lexical) if isinstance(metadata, Literal) else None
    except (ValueError, RecursionError):
        return None
    return found.get("manifest") if isinstance(found, dict) else None


def _artifact_rows(graph: RunGraph, contents: dict[str, str]) -> Iterator[Row]:
    used, made = _first_activities(graph, "used", 1), _first_activities(graph, "wasGeneratedBy", 0)
    versions: defaultdict[tuple[str, str], int] = defaultdict(int)
    for name, kind in graph.contents.items():
        node = graph.nodes[name]
        label = str(first_attribute(node, "provml:name"))
        versions[kind, label] += 1
        activity, time_ns = made.get(name) or used.get(name) or (None, None)
        uri = first_attribute(node, "provml:uri")
        yield (
            name,
            contents[name],
            kind,
            "out" if name in made else "in" if name in used else None,
            label,
            versions[kind, label],
            _str_or_none(first_attribute(node, "provml:sha256")),
            _str_or_none(first_attribute(node, "provml:kind")),
            _to_int64(first_attribute(node, "provml:size")),
            _str_or_none(first_attribute(node, "provml:path")),
            None if uri is None else str(uri),
            _str_or_none(first_attribute(node, "provml:copy")),
            _str_or_none(first_attribute(node, "provml:role")),
            activity,
            *_parse_activity(activity),
            time_ns,
        )


def _parse_activity(activity: str | None) -> tuple[str | None, int | None, int | None]:
    """Parse an activity's name into context, step and epoch. Missing parts are None."""
    kind, *parts = (activity or "").split("/")
    if kind == "run:context":
        return parts[0], None, None
    if kind != "run:step":
        return None, None, None
    epoch, dot, step = parts[-1].rpartition(".")
    context = parts[0] if len(parts) > 1 else None
    return context, _to_int64(int(step)), int(epoch) if dot else None


def _package_rows(graph: RunGraph) -> Iterator[Row]:
    found = [node for node in graph.nodes.values() if own_type(node) == "provml:Environment"]
    literal = first_attribute(found[-1], "provml:packages") if found else None
    if isinstance(literal, Literal):
        for name, version in json.loads(literal.lexical).items():
            yield name, _str_or_none(version)


def _first_activities(graph: RunGraph, kind: str, place: int) -> dict[str, tuple[str, int | None]]:
    """Return the first activity related to each node, with its time, by the name of the node.

    Args:
        graph: the run's graph.
        kind: the relation, such as ``used``.
        place: the position of the node in the relation: 0 for the effect, 1 for the cause.
    """
    found: dict[str, tuple[str, int | None]] = {}
    for edge in graph.edges:
        if edge.kind == kind:
            pair = edge_ends(edge)
            time_ns = _moment_ns(edge.arguments.get("prov:time"))
            found.setdefault(pair[place], (pair[1 - place], time_ns))
    return found


def _first_times(graph: RunGraph, kind: str, place: int) -> dict[str, int | None]:
    return {node: time_ns for node, (_, time_ns) in _first_activities(graph, kind, place).items()}


# -- values -----------------------------------------------------------------------------------


def _to_json_value(value: Any) -> Any:
    """Convert an attribute's value for JSON. Values that JSON can't represent become text."""
    if isinstance(value, Literal):
        return value.lexical
    if isinstance(value, (Name, Iri)):
        return str(value)
    if isinstance(value, Moment):
        try:
            return iso_text(value.time_ns)
        except OverflowError:
            return str(value.time_ns)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return format(value, "d") if value.bit_length() < 10_000 else hex(value)
    return value


def _to_double(value: Any) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (OverflowError, ValueError):
        return None


def _to_int64(value: Any, bits: int = 63) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits
    return value if fits else None


def _str_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _moment_ns(value: Any) -> int | None:
    return _to_int64(value.time_ns) if isinstance(value, Moment) else None


def _to_timestamp(time_ns: int | None) -> datetime | None:
    if time_ns is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=time_ns // 1000)
    except OverflowError:
        return None


# -- columns ----------------------------------------------------------------------------------


def arrow_schema(columns: tuple[SqlColumn, ...]) -> pa.Schema:
    """Return the pyarrow schema of a table with these columns."""
    import pyarrow as pa

    types = {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "INTEGER": pa.int32(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP": pa.timestamp("us"),
        "DOUBLE[]": pa.list_(pa.float64()),
    }
    return pa.schema([(column.name, types[column.type]) for column in columns])


def build_arrow_table(table: str, rows: list[Row]) -> pa.Table:
    """Convert the rows of a table to a pyarrow table."""
    import pyarrow as pa

    schema = arrow_schema(TABLES[table])
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = []
    for field, values in zip(schema, columns, strict=True):
        try:
            arrays.append(pa.array(values, field.type))
        except UnicodeEncodeError:  # a file that provml did not write contains a lone surrogate
            arrays.append(pa.array([_escape_surrogates(value) for value in values], field.type))
    return pa.table(arrays, schema=schema)


def _escape_surrogates(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def sample_batches(run: str, journal: Journal) -> Iterator[pa.Table]:
    """Yield a run's samples as pyarrow tables, each with the samples of a single series."""
    for block in SeriesTable(journal).blocks():
        yield _sample_table(run, block)


def _sample_table(run: str, block: Block) -> pa.Table:
    import pyarrow as pa

    count, series = len(block.time_ns), block.series
    context = None if series.context is None else encoded_path(series.context)
    values: Any = block.values
    texts: list[str | None] = [None] * count
    if isinstance(values, list):
        cells = [_value_columns(typed_literal(value)) for value in values]
        values, texts = [cell[2] for cell in cells], [cell[1] for cell in cells]
    elif values.dtype.kind == "i":
        numbers = values.tolist()
        texts = [str(n) if abs(n) > 2**53 else None for n in numbers]
        values = [float(n) for n in numbers]
    schema = arrow_schema(SAMPLES)
    rank = _to_int64(series.rank, 31)
    constants = (run, series.kind, series.name, context, rank, _series_target(series))
    columns = [
        pa.repeat(pa.scalar(c, f.type), count) for c, f in zip(constants, schema, strict=False)
    ]
    columns += [block.time_ns, block.step, block.epoch, values, texts]
    arrays = [
        pa.nulls(count, field.type)
        if column is None
        else column
        if isinstance(column, (pa.Array, pa.ChunkedArray))
        else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.table(arrays, schema=schema)
