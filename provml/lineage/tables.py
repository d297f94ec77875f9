"""Defines the tables of a store: columns, types and units. Imports no module of provml.

`build_markdown` turns these definitions into ``schemas/tables.md``, the documentation for users.
"""

from __future__ import annotations

from typing import Final, NamedTuple

TABLES_VERSION: Final = 5
"""The version of the table format. The tables' folder is named after the version, so provml never
touches tables in another version of the format."""


class SqlColumn(NamedTuple):
    """A column of a table: its name, its SQL type, and a description that includes the unit."""

    name: str
    type: str
    text: str


_RUN: Final = SqlColumn("run", "VARCHAR", "the run's folder in the store, `<experiment>/<id>`")
_TIME: Final = "nanoseconds since 1970-01-01T00:00:00Z"

TABLES: Final[dict[str, tuple[SqlColumn, ...]]] = {
    "runs": (
        _RUN,
        SqlColumn("id", "VARCHAR", "the run's id"),
        SqlColumn("experiment", "VARCHAR", "the experiment's name"),
        SqlColumn("project", "VARCHAR", "the project's name"),
        SqlColumn("owner", "VARCHAR", "who is responsible for the run"),
        SqlColumn("parent", "VARCHAR", "the id of the run that the run is a part of"),
        SqlColumn("parent_run", "VARCHAR", "the parent's folder in the store, as in `run`"),
        SqlColumn("iri", "VARCHAR", "the beginning of the IRIs of the run's own nodes"),
        SqlColumn("status", "VARCHAR", "`running`, `finished`, `failed`, `interrupted`, `crashed`"),
        SqlColumn("reason", "VARCHAR", "why the run ended, if known"),
        SqlColumn("exception", "VARCHAR", "type and message of the exception that ended the run"),
        SqlColumn("started_ns", "BIGINT", f"start of the run: {_TIME}"),
        SqlColumn("ended_ns", "BIGINT", f"end of the run: {_TIME}; null if in progress or crashed"),
        SqlColumn("started", "TIMESTAMP", "`started_ns` as a time in UTC, cut to microseconds"),
        SqlColumn("ended", "TIMESTAMP", "`ended_ns` as a time in UTC, cut to microseconds"),
        SqlColumn("duration_s", "DOUBLE", "seconds from start to end"),
        SqlColumn(
            "sample_count",
            "BIGINT",
            "number of samples of metrics and FLOPs, without system readings",
        ),
        SqlColumn("dropped_samples", "BIGINT", "number of samples lost, often to a full disk"),
        SqlColumn("dropped_events", "BIGINT", "number of events lost, often to a full disk"),
        SqlColumn("damaged", "BIGINT", "number of records that could not be read"),
        SqlColumn("script", "VARCHAR", "path of the script"),
        SqlColumn("command", "VARCHAR", "the command line, as JSON"),
        SqlColumn("git_commit", "VARCHAR", "Git commit of the last recorded source code"),
        SqlColumn("git_dirty", "BOOLEAN", "whether the code had uncommitted changes"),
        SqlColumn("version", "VARCHAR", "version of provml that recorded the run"),
        SqlColumn(
            "fingerprint",
            "VARCHAR",
            "names, sizes and times of the run's files, or a digest of them",
        ),
    ),
    "params": (
        _RUN,
        SqlColumn("kind", "VARCHAR", "`param`, `tag` or `reading_summary`"),
        SqlColumn("name", "VARCHAR", "the logged name; dots separate the parts of nested names"),
        SqlColumn(
            "version",
            "INTEGER",
            "1 for the name's first value, 2 for the second, and so on",
        ),
        SqlColumn("is_last", "BOOLEAN", "whether this is the last value"),
        SqlColumn("type", "VARCHAR", "`str`, `int`, `float`, `bool`, `decimal`, `null` or `json`"),
        SqlColumn("text", "VARCHAR", "the exact value: text unchanged, everything else as JSON"),
        SqlColumn("number", "DOUBLE", "the nearest double; null if the value is not a number"),
        SqlColumn("time_ns", "BIGINT", _TIME),
    ),
    "nodes": (
        _RUN,
        SqlColumn("node", "VARCHAR", "qualified name within the run, such as `run:param/lr`"),
        SqlColumn("iri", "VARCHAR", "the qualified name as an IRI"),
        SqlColumn("kind", "VARCHAR", "`entity`, `activity` or `agent`"),
        SqlColumn("type", "VARCHAR", "the first type outside PROV, such as `provml:Parameter`"),
        SqlColumn("label", "VARCHAR", "the node's label"),
        SqlColumn("started_ns", "BIGINT", f"start, for activities only: {_TIME}"),
        SqlColumn("ended_ns", "BIGINT", f"end, for activities only: {_TIME}"),
        SqlColumn("attributes", "VARCHAR", "all other attributes, as a JSON object of lists"),
    ),
    "edges": (
        _RUN,
        SqlColumn("relation", "VARCHAR", "the PROV relation, such as `wasGeneratedBy`"),
        SqlColumn("source", "VARCHAR", "the node that is the effect"),
        SqlColumn("target", "VARCHAR", "the node that is the cause"),
        SqlColumn("time_ns", "BIGINT", _TIME),
        SqlColumn("plan", "VARCHAR", "associations only: the node that is the plan"),
        SqlColumn("type", "VARCHAR", "derivations only: the type, such as `prov:Revision`"),
    ),
    "series": (
        _RUN,
        SqlColumn("kind", "VARCHAR", "`metric`, or another kind of series, such as `sampling`"),
        SqlColumn("name", "VARCHAR", "the logged name"),
        SqlColumn(
            "context",
            "VARCHAR",
            "percent-encoded, such as `training` or `training~warm-up`; null if there is none",
        ),
        SqlColumn(
            "rank", "INTEGER", "in a distributed job, the rank of the process that wrote the series"
        ),
        SqlColumn(
            "target",
            "VARCHAR",
            "the model or artifact that is measured, such as `model/net`; null if there is none",
        ),
        SqlColumn("unit", "VARCHAR", "unit of the values"),
        SqlColumn("count", "BIGINT", "number of samples"),
        SqlColumn("min", "DOUBLE", "minimum, ignoring NaN"),
        SqlColumn("max", "DOUBLE", "maximum, ignoring NaN"),
        SqlColumn("last", "DOUBLE", "last value"),
        SqlColumn(
            "last_text", "VARCHAR", "the exact last value: text unchanged, everything else as JSON"
        ),
        SqlColumn("first_ns", "BIGINT", f"time of the first sample: {_TIME}"),
        SqlColumn("last_ns", "BIGINT", f"time of the last sample: {_TIME}"),
    ),
    "curves": (
        _RUN,
        SqlColumn("name", "VARCHAR", "the metric that tells most about how the run went"),
        SqlColumn("context", "VARCHAR", "as in `series`"),
        SqlColumn("count", "BIGINT", "number of samples"),
        SqlColumn(
            "y",
            "DOUBLE[]",
            "means of up to 40 consecutive parts of the series; null for a part without numbers",
        ),
    ),
    "artifacts": (
        _RUN,
        SqlColumn("node", "VARCHAR", "qualified name within the run, such as `run:model/digits`"),
        SqlColumn(
            "content",
            "VARCHAR",
            "key of the content: the digest, or run and node if it has no digest or is empty",
        ),
        SqlColumn(
            "kind",
            "VARCHAR",
            "`dataset`, `input`, `artifact`, `model`, `script`, `source`, `diff`",
        ),
        SqlColumn("role", "VARCHAR", "`in` if the run used it, `out` if the run made it"),
        SqlColumn("name", "VARCHAR", "the logged name"),
        SqlColumn(
            "version",
            "INTEGER",
            "1 for the run's first content with this kind and name, 2 for the second, and so on",
        ),
        SqlColumn("sha256", "VARCHAR", "digest of the file, the folder's manifest or the object"),
        SqlColumn("form", "VARCHAR", "`file`, `folder`, `array`, `arrays`, `object`, `uri`"),
        SqlColumn("size", "BIGINT", "size in bytes"),
        SqlColumn("path", "VARCHAR", "path at the time of logging"),
        SqlColumn("uri", "VARCHAR", "URI of content that is not a file"),
        SqlColumn("copy", "VARCHAR", "path of the copy, relative to the run's folder"),
        SqlColumn(
            "input_role", "VARCHAR", "what an input was used for, such as `base model`, if known"
        ),
        SqlColumn(
            "activity", "VARCHAR", "the activity that made the content, or that first used it"
        ),
        SqlColumn("context", "VARCHAR", "as in `series`"),
        SqlColumn("step", "BIGINT", "the step that made the content"),
        SqlColumn("epoch", "BIGINT", "the epoch in which the content was made"),
        SqlColumn("time_ns", "BIGINT", f"when the content was first logged: {_TIME}"),
    ),
    "flows": (
        _RUN,
        SqlColumn("effect", "VARCHAR", "`artifacts.content` of the effect"),
        SqlColumn(
            "cause",
            "VARCHAR",
            "`artifacts.content` of a direct cause in the same run",
        ),
    ),
    "members": (
        _RUN,
        SqlColumn("folder", "VARCHAR", "`artifacts.content` of a folder"),
        SqlColumn("role", "VARCHAR", "as in `artifacts`"),
        SqlColumn("name", "VARCHAR", "the path of a file within the folder"),
        SqlColumn("member", "VARCHAR", "digest of the file, which can be an `artifacts.content`"),
    ),
    "packages": (
        _RUN,
        SqlColumn("name", "VARCHAR", "name of an installed package"),
        SqlColumn("version", "VARCHAR", "version of the package"),
    ),
}
"""The columns of all tables except ``samples``. These tables are small: a few hundred rows per run.
"""

SAMPLES: Final[tuple[SqlColumn, ...]] = (
    _RUN,
    SqlColumn("kind", "VARCHAR", "as in `series`"),
    SqlColumn("name", "VARCHAR", "as in `series`"),
    SqlColumn("context", "VARCHAR", "as in `series`"),
    SqlColumn("rank", "INTEGER", "as in `series`"),
    SqlColumn("target", "VARCHAR", "as in `series`"),
    SqlColumn("time_ns", "BIGINT", _TIME),
    SqlColumn("step", "BIGINT", "null if the sample has no step"),
    SqlColumn("epoch", "BIGINT", "null if the sample has no epoch"),
    SqlColumn("value", "DOUBLE", "the nearest double; null if the value is not a number"),
    SqlColumn(
        "text",
        "VARCHAR",
        "the exact value if it is not a double: text unchanged, everything else as JSON",
    ),
)
"""The columns of the table ``samples``, which has one row per sample. provml builds this table when
a query first needs it."""


def build_markdown() -> str:
    """Return the Markdown text of ``schemas/tables.md``."""
    parts = [_HEAD]
    for name, columns in (*TABLES.items(), ("samples", SAMPLES)):
        rows = [f"| `{c.name}` | {c.type} | {c.text} |" for c in columns]
        parts.append(
            "\n".join([f"## {name}", "", "| column | type | description |", "|---|---|---|", *rows])
        )
    return "\n\n".join(parts) + "\n"


_HEAD: Final = f"""# Tables, version {TABLES_VERSION}

`provml sql` queries these tables. They are Parquet files in the folder
`.tables/v{TABLES_VERSION}` of a store. Each subfolder, except `samples`, contains the rows of some
runs, in one file per table. If several subfolders contain the same run, only the last one counts,
in the order of the folder names. All tables are derived from the journals: you can delete them, and
provml builds them again.

Null means that a value is missing. Every row belongs to a run: join the tables on `run`. Only the
rows of `members` are not repeated: if several runs use the same folder, one run has its files. Join
that table on `folder`."""
