"""Defines the tables of a store: columns, types and units. Imports nothing else from provml.

``schemas/tables.md`` documents the same tables for users; a test compares the two.
"""

from __future__ import annotations

from typing import Final, NamedTuple

TABLES_VERSION: Final = 2
"""The version is part of the folder's name, so provml never touches tables of other versions."""


class SqlColumn(NamedTuple):
    """A column: its name, its SQL type, and a description of its content with the unit."""

    name: str
    type: str
    text: str


_RUN: Final = SqlColumn("run", "VARCHAR", "the run: its folder in the store, `<experiment>/<id>`")
_TIME: Final = "nanoseconds since 1970-01-01T00:00:00Z"

TABLES: Final[dict[str, tuple[SqlColumn, ...]]] = {
    "runs": (
        _RUN,
        SqlColumn("id", "VARCHAR", "the run's id"),
        SqlColumn("experiment", "VARCHAR", "the experiment's name"),
        SqlColumn("project", "VARCHAR", "the project's name"),
        SqlColumn("owner", "VARCHAR", "who is responsible"),
        SqlColumn("iri", "VARCHAR", "the start of the IRIs of the run's own nodes"),
        SqlColumn("status", "VARCHAR", "`running`, `finished`, `failed`, `interrupted`, `crashed`"),
        SqlColumn("reason", "VARCHAR", "why it ended as it did, if known"),
        SqlColumn("exception", "VARCHAR", "type and message of the exception that ended it"),
        SqlColumn("started_ns", "BIGINT", _TIME),
        SqlColumn("ended_ns", "BIGINT", f"{_TIME}; null while it runs, and if it crashed"),
        SqlColumn("started", "TIMESTAMP", "the same in UTC, cut to microseconds"),
        SqlColumn("ended", "TIMESTAMP", "the same in UTC, cut to microseconds"),
        SqlColumn("duration_s", "DOUBLE", "seconds from start to end"),
        SqlColumn(
            "sample_count",
            "BIGINT",
            "samples of metrics and FLOPs, without readings of the machine",
        ),
        SqlColumn("dropped_samples", "BIGINT", "samples lost, such as to a full disk"),
        SqlColumn("dropped_events", "BIGINT", "events lost, such as to a full disk"),
        SqlColumn("damaged", "BIGINT", "records that could not be read"),
        SqlColumn("script", "VARCHAR", "path of the script"),
        SqlColumn("command", "VARCHAR", "the command line, as JSON"),
        SqlColumn("git_commit", "VARCHAR", "commit of the last recorded source code"),
        SqlColumn("git_dirty", "BOOLEAN", "whether the code has changes since that commit"),
        SqlColumn("version", "VARCHAR", "version of provml that recorded it"),
        SqlColumn(
            "fingerprint",
            "VARCHAR",
            "names, sizes and times of the run's files, or a digest of these",
        ),
    ),
    "params": (
        _RUN,
        SqlColumn("kind", "VARCHAR", "`param` or `tag`"),
        SqlColumn("name", "VARCHAR", "the name that was logged, with dots for nested names"),
        SqlColumn("version", "INTEGER", "1, 2, ...: the values in order"),
        SqlColumn("is_last", "BOOLEAN", "whether it is the final value"),
        SqlColumn("type", "VARCHAR", "`str`, `int`, `float`, `bool`, `decimal`, `null` or `json`"),
        SqlColumn("text", "VARCHAR", "the exact value: text unchanged, everything else as JSON"),
        SqlColumn("number", "DOUBLE", "the nearest double, if it is a number"),
        SqlColumn("time_ns", "BIGINT", _TIME),
    ),
    "nodes": (
        _RUN,
        SqlColumn("node", "VARCHAR", "qualified name in the run, `run:param/lr`"),
        SqlColumn("iri", "VARCHAR", "the same name as an IRI"),
        SqlColumn("kind", "VARCHAR", "`entity`, `activity` or `agent`"),
        SqlColumn("type", "VARCHAR", "its first type outside PROV, `provml:Parameter`"),
        SqlColumn("label", "VARCHAR", "its label"),
        SqlColumn("started_ns", "BIGINT", f"activities only: {_TIME}"),
        SqlColumn("ended_ns", "BIGINT", f"activities only: {_TIME}"),
        SqlColumn("attributes", "VARCHAR", "all other attributes, as a JSON object of lists"),
    ),
    "edges": (
        _RUN,
        SqlColumn("relation", "VARCHAR", "the relation in PROV, `wasGeneratedBy`"),
        SqlColumn("source", "VARCHAR", "the effect"),
        SqlColumn("target", "VARCHAR", "the cause"),
        SqlColumn("time_ns", "BIGINT", _TIME),
        SqlColumn("plan", "VARCHAR", "associations only: the node that is the plan"),
        SqlColumn("type", "VARCHAR", "derivations only: `prov:Revision`"),
    ),
    "series": (
        _RUN,
        SqlColumn("kind", "VARCHAR", "`metric`, or another kind of value"),
        SqlColumn("name", "VARCHAR", "the name that was logged"),
        SqlColumn(
            "context", "VARCHAR", "`training`, `training~warm-up`; percent-encoded; null: none"
        ),
        SqlColumn("rank", "INTEGER", "rank of the process that wrote it, in a distributed job"),
        SqlColumn(
            "target", "VARCHAR", "the model or artifact that it measures, `model/net`; null: none"
        ),
        SqlColumn("unit", "VARCHAR", "unit of the values"),
        SqlColumn("count", "BIGINT", "number of samples"),
        SqlColumn("min", "DOUBLE", "least value other than NaN"),
        SqlColumn("max", "DOUBLE", "greatest value other than NaN"),
        SqlColumn("last", "DOUBLE", "last value"),
        SqlColumn(
            "last_text", "VARCHAR", "the exact last value: text unchanged, everything else as JSON"
        ),
        SqlColumn("first_ns", "BIGINT", _TIME),
        SqlColumn("last_ns", "BIGINT", _TIME),
    ),
    "artifacts": (
        _RUN,
        SqlColumn("node", "VARCHAR", "qualified name in the run, `run:model/digits`"),
        SqlColumn(
            "content", "VARCHAR", "the key that joins equal contents: the digest, else run and node"
        ),
        SqlColumn("kind", "VARCHAR", "`dataset`, `artifact`, `model`, `script`, `source`, `diff`"),
        SqlColumn("role", "VARCHAR", "`in`: the run used it; `out`: the run made it"),
        SqlColumn("name", "VARCHAR", "the name that was logged"),
        SqlColumn(
            "version", "INTEGER", "1, 2, ...: the contents of this name in the run, in order"
        ),
        SqlColumn("sha256", "VARCHAR", "digest of the file, the folder's manifest or the object"),
        SqlColumn("form", "VARCHAR", "`file`, `folder`, `array`, `arrays`, `object`, `uri`"),
        SqlColumn("size", "BIGINT", "bytes"),
        SqlColumn("path", "VARCHAR", "path when it was logged"),
        SqlColumn("uri", "VARCHAR", "URI of content that is not a file"),
        SqlColumn("copy", "VARCHAR", "path of the copy in the run's folder"),
        SqlColumn("activity", "VARCHAR", "the activity that made it, or first used it"),
        SqlColumn("context", "VARCHAR", "as in `series`"),
        SqlColumn("step", "BIGINT", "the step that made it"),
        SqlColumn("epoch", "BIGINT", "the epoch that made it"),
        SqlColumn("time_ns", "BIGINT", f"when it was first logged: {_TIME}"),
    ),
    "flows": (
        _RUN,
        SqlColumn("effect", "VARCHAR", "`artifacts.content` of the effect"),
        SqlColumn(
            "cause",
            "VARCHAR",
            "`artifacts.content` of a cause in the same run, with no other in between",
        ),
    ),
    "packages": (
        _RUN,
        SqlColumn("name", "VARCHAR", "an installed package"),
        SqlColumn("version", "VARCHAR", "its version"),
    ),
}
"""The tables that answer all questions. They are small: a few hundred rows per run."""

SAMPLES: Final[tuple[SqlColumn, ...]] = (
    _RUN,
    SqlColumn("kind", "VARCHAR", "as in `series`"),
    SqlColumn("name", "VARCHAR", "as in `series`"),
    SqlColumn("context", "VARCHAR", "as in `series`"),
    SqlColumn("rank", "INTEGER", "as in `series`"),
    SqlColumn("target", "VARCHAR", "as in `series`"),
    SqlColumn("time_ns", "BIGINT", _TIME),
    SqlColumn("step", "BIGINT", "null if it has none"),
    SqlColumn("epoch", "BIGINT", "null if it has none"),
    SqlColumn("value", "DOUBLE", "the nearest double; null if the value is not a number"),
    SqlColumn(
        "text",
        "VARCHAR",
        "a value that no double holds, exactly: text unchanged, everything else as JSON",
    ),
)
"""The table ``samples``, with one row per sample. provml builds it when a query first needs it."""


def build_markdown() -> str:
    """Return the text of ``schemas/tables.md``."""
    parts = [_HEAD]
    for name, columns in (*TABLES.items(), ("samples", SAMPLES)):
        rows = [f"| `{c.name}` | {c.type} | {c.text} |" for c in columns]
        parts.append(
            "\n".join([f"## {name}", "", "| column | type | holds |", "|---|---|---|", *rows])
        )
    return "\n\n".join(parts) + "\n"


_HEAD: Final = f"""# Tables, version {TABLES_VERSION}

The tables that `provml sql` queries. They are Parquet files in the folder
`.tables/v{TABLES_VERSION}` of a store. Each folder in it, except `samples`, holds some runs, with
one file for each table. If several folders hold the same run, the folder whose name sorts last
counts. All tables are derived from the journals: you can delete them, and provml builds them again.

A null is a missing value. Every row belongs to a run; `run` joins the tables."""
