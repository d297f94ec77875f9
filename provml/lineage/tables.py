"""The tables of a store: columns, types, units. Imports nothing of provml.

``schemas/tables.md`` describes the same for people; a test compares the two.
"""

from __future__ import annotations

from typing import Final, NamedTuple

TABLES_VERSION: Final = 2
"""Part of the folder's name: tables of other versions are neither read nor changed."""


class SqlColumn(NamedTuple):
    """A column: its name, its SQL type, and its content with the unit."""

    name: str
    type: str
    text: str


_RUN: Final = SqlColumn(
    "run", "VARCHAR", "the run: its folder below the store, `<experiment>/<id>`"
)
_TIME: Final = "nanoseconds since 1970-01-01T00:00:00Z"

TABLES: Final[dict[str, tuple[SqlColumn, ...]]] = {
    "runs": (
        _RUN,
        SqlColumn("id", "VARCHAR", "the run's id"),
        SqlColumn("experiment", "VARCHAR", "the experiment's name"),
        SqlColumn("project", "VARCHAR", "the project's name"),
        SqlColumn("owner", "VARCHAR", "who is responsible"),
        SqlColumn("iri", "VARCHAR", "what the IRIs of the run's own nodes begin with"),
        SqlColumn("status", "VARCHAR", "`running`, `finished`, `failed`, `interrupted`, `crashed`"),
        SqlColumn("reason", "VARCHAR", "why it ended so, where that is known"),
        SqlColumn("exception", "VARCHAR", "type and message of the exception that ended it"),
        SqlColumn("started_ns", "BIGINT", _TIME),
        SqlColumn("ended_ns", "BIGINT", f"{_TIME}; null while it runs, and where it died"),
        SqlColumn("started", "TIMESTAMP", "the same in UTC, cut to microseconds"),
        SqlColumn("ended", "TIMESTAMP", "the same in UTC, cut to microseconds"),
        SqlColumn("duration_s", "DOUBLE", "seconds from start to end"),
        SqlColumn("sample_count", "BIGINT", "samples of metrics and FLOPs; readings apart"),
        SqlColumn("dropped_samples", "BIGINT", "samples lost to trouble of the environment"),
        SqlColumn("dropped_events", "BIGINT", "events lost to trouble of the environment"),
        SqlColumn("damaged", "BIGINT", "records that could not be read"),
        SqlColumn("script", "VARCHAR", "path of the script"),
        SqlColumn("command", "VARCHAR", "the command line, as JSON"),
        SqlColumn("git_commit", "VARCHAR", "commit of the source code recorded last"),
        SqlColumn("git_dirty", "BOOLEAN", "whether it was changed since that commit"),
        SqlColumn("version", "VARCHAR", "the provml that recorded it"),
        SqlColumn(
            "fingerprint",
            "VARCHAR",
            "names, sizes and times of its files, or their digest",
        ),
    ),
    "params": (
        _RUN,
        SqlColumn("kind", "VARCHAR", "`param` or `tag`"),
        SqlColumn("name", "VARCHAR", "as it was logged; nested ones are dotted"),
        SqlColumn("version", "INTEGER", "1, 2, ...: the values it had, one after another"),
        SqlColumn("is_last", "BOOLEAN", "whether it is the value that counts"),
        SqlColumn("type", "VARCHAR", "`str`, `int`, `float`, `bool`, `decimal`, `null` or `json`"),
        SqlColumn("text", "VARCHAR", "the value, exact: text as it is, all else as JSON"),
        SqlColumn("number", "DOUBLE", "the nearest double, where it is a number"),
        SqlColumn("time_ns", "BIGINT", _TIME),
    ),
    "nodes": (
        _RUN,
        SqlColumn("node", "VARCHAR", "qualified name within the run, `run:param/lr`"),
        SqlColumn("iri", "VARCHAR", "the same as an IRI"),
        SqlColumn("kind", "VARCHAR", "`entity`, `activity` or `agent`"),
        SqlColumn("type", "VARCHAR", "its first type that is not PROV's own, `provml:Parameter`"),
        SqlColumn("label", "VARCHAR", "its label"),
        SqlColumn("started_ns", "BIGINT", f"of an activity: {_TIME}"),
        SqlColumn("ended_ns", "BIGINT", f"of an activity: {_TIME}"),
        SqlColumn("attributes", "VARCHAR", "all other attributes, as a JSON object of lists"),
    ),
    "edges": (
        _RUN,
        SqlColumn("relation", "VARCHAR", "PROV's name, `wasGeneratedBy`"),
        SqlColumn("source", "VARCHAR", "the node that came later: PROV's direction, to the cause"),
        SqlColumn("target", "VARCHAR", "the node it came from"),
        SqlColumn("time_ns", "BIGINT", _TIME),
        SqlColumn("plan", "VARCHAR", "of an association: the node that is its plan"),
        SqlColumn("type", "VARCHAR", "of a derivation: `prov:Revision`"),
    ),
    "series": (
        _RUN,
        SqlColumn("kind", "VARCHAR", "`metric`, or what else samples are of"),
        SqlColumn("name", "VARCHAR", "as it was logged"),
        SqlColumn(
            "context", "VARCHAR", "`training`, `training~warm-up`; percent-encoded; null: none"
        ),
        SqlColumn("rank", "INTEGER", "of the processes that wrote it, in a distributed job"),
        SqlColumn(
            "target", "VARCHAR", "the model or artifact that it is of, `model/net`; null: none"
        ),
        SqlColumn("unit", "VARCHAR", "of the values"),
        SqlColumn("count", "BIGINT", "samples"),
        SqlColumn("min", "DOUBLE", "least value, NaN aside"),
        SqlColumn("max", "DOUBLE", "greatest value, NaN aside"),
        SqlColumn("last", "DOUBLE", "value written last"),
        SqlColumn("last_text", "VARCHAR", "the same, exact: text as it is, all else as JSON"),
        SqlColumn("first_ns", "BIGINT", _TIME),
        SqlColumn("last_ns", "BIGINT", _TIME),
    ),
    "artifacts": (
        _RUN,
        SqlColumn("node", "VARCHAR", "qualified name within the run, `run:model/digits`"),
        SqlColumn(
            "content", "VARCHAR", "what contents are joined by: the digest, else run and node"
        ),
        SqlColumn("kind", "VARCHAR", "`dataset`, `artifact`, `model`, `script`, `source`, `diff`"),
        SqlColumn("role", "VARCHAR", "`in`: the run used it; `out`: the run made it"),
        SqlColumn("name", "VARCHAR", "as it was logged"),
        SqlColumn("version", "INTEGER", "1, 2, ...: the contents of one name within the run"),
        SqlColumn("sha256", "VARCHAR", "digest of a file, of a folder's manifest, of an object"),
        SqlColumn("form", "VARCHAR", "`file`, `folder`, `array`, `arrays`, `object`, `uri`"),
        SqlColumn("size", "BIGINT", "bytes"),
        SqlColumn("path", "VARCHAR", "where it lay"),
        SqlColumn("uri", "VARCHAR", "of content elsewhere"),
        SqlColumn("copy", "VARCHAR", "path of the copy, below the run's folder"),
        SqlColumn("activity", "VARCHAR", "the node that first used it, or made it"),
        SqlColumn("context", "VARCHAR", "as in `series`"),
        SqlColumn("step", "BIGINT", "the step that made it"),
        SqlColumn("epoch", "BIGINT", "the epoch that made it"),
        SqlColumn("time_ns", "BIGINT", f"when it was first logged: {_TIME}"),
    ),
    "flows": (
        _RUN,
        SqlColumn("effect", "VARCHAR", "content that came later: `artifacts.content`"),
        SqlColumn(
            "cause", "VARCHAR", "content it came from within the run, with no other in between"
        ),
    ),
    "packages": (
        _RUN,
        SqlColumn("name", "VARCHAR", "an installed package"),
        SqlColumn("version", "VARCHAR", "its version"),
    ),
}
"""The tables for all questions; they are small, a few hundred rows a run."""

SAMPLES: Final[tuple[SqlColumn, ...]] = (
    _RUN,
    SqlColumn("kind", "VARCHAR", "as in `series`"),
    SqlColumn("name", "VARCHAR", "as in `series`"),
    SqlColumn("context", "VARCHAR", "as in `series`"),
    SqlColumn("rank", "INTEGER", "as in `series`"),
    SqlColumn("target", "VARCHAR", "as in `series`"),
    SqlColumn("time_ns", "BIGINT", _TIME),
    SqlColumn("step", "BIGINT", "null where there is none"),
    SqlColumn("epoch", "BIGINT", "null where there is none"),
    SqlColumn("value", "DOUBLE", "the nearest double; null where the value is no number"),
    SqlColumn("text", "VARCHAR", "what no double holds, exact: text as it is, all else as JSON"),
)
"""The table ``samples``, with a row for each sample; built when SQL first uses it."""


def as_markdown() -> str:
    """Return the text of ``schemas/tables.md``."""
    parts = [_HEAD]
    for name, columns in (*TABLES.items(), ("samples", SAMPLES)):
        rows = [f"| `{c.name}` | {c.type} | {c.text} |" for c in columns]
        parts.append(
            "\n".join([f"## {name}", "", "| column | type | holds |", "|---|---|---|", *rows])
        )
    return "\n\n".join(parts) + "\n"


_HEAD: Final = f"""# Tables, version {TABLES_VERSION}

What `provml sql` asks, and what lies as Parquet in `.tables/v{TABLES_VERSION}` of a store. Each
folder there, but `samples`, holds some runs: one file a table. A run that stands in several counts
as in the one whose name sorts last. All of it is derived from the journals: it may be deleted, and
is made again.

Nulls are values that there are not. Every row belongs to a run; `run` joins the tables."""
