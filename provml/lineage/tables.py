"""The tables that a store's runs are kept as: columns, types, units. Imports nothing of provml.

``schemas/tables.md`` is this, for people; a test holds them together.
"""

from __future__ import annotations

from typing import Final, NamedTuple

TABLES_VERSION: Final = 2
"""Part of the folder's name: tables of another version are neither read nor changed."""


class Column(NamedTuple):
    """A column: its SQL type, and what it holds, with the unit."""

    name: str
    type: str
    text: str


_RUN: Final = Column("run", "VARCHAR", "the run: its folder below the store, `<experiment>/<id>`")
_TIME: Final = "nanoseconds since 1970-01-01T00:00:00Z"

TABLES: Final[dict[str, tuple[Column, ...]]] = {
    "runs": (
        _RUN,
        Column("id", "VARCHAR", "the run's id"),
        Column("experiment", "VARCHAR", "the experiment's name"),
        Column("project", "VARCHAR", "the project's name"),
        Column("owner", "VARCHAR", "who is responsible"),
        Column("iri", "VARCHAR", "what the IRIs of the run's own nodes begin with"),
        Column("status", "VARCHAR", "`running`, `finished`, `failed`, `interrupted`, `crashed`"),
        Column("reason", "VARCHAR", "why it ended so, where that is known"),
        Column("exception", "VARCHAR", "type and message of the exception that ended it"),
        Column("started_ns", "BIGINT", _TIME),
        Column("ended_ns", "BIGINT", f"{_TIME}; null while it runs, and where it died"),
        Column("started", "TIMESTAMP", "the same in UTC, cut to microseconds"),
        Column("ended", "TIMESTAMP", "the same in UTC, cut to microseconds"),
        Column("duration_s", "DOUBLE", "seconds from start to end"),
        Column("sample_count", "BIGINT", "samples of metrics and FLOPs; readings apart"),
        Column("dropped_samples", "BIGINT", "samples lost to trouble of the environment"),
        Column("dropped_events", "BIGINT", "events lost to trouble of the environment"),
        Column("damaged", "BIGINT", "records that could not be read"),
        Column("script", "VARCHAR", "path of the script"),
        Column("command", "VARCHAR", "the command line, as JSON"),
        Column("git_commit", "VARCHAR", "commit of the source code recorded last"),
        Column("git_dirty", "BOOLEAN", "whether it was changed since that commit"),
        Column("version", "VARCHAR", "the provml that recorded it"),
        Column(
            "fingerprint",
            "VARCHAR",
            "names, sizes and times of its files, or their digest",
        ),
    ),
    "params": (
        _RUN,
        Column("kind", "VARCHAR", "`param` or `tag`"),
        Column("name", "VARCHAR", "as it was logged; nested ones are dotted"),
        Column("version", "INTEGER", "1, 2, ...: the values it had, one after another"),
        Column("is_last", "BOOLEAN", "whether it is the value that counts"),
        Column("type", "VARCHAR", "`str`, `int`, `float`, `bool`, `decimal`, `null` or `json`"),
        Column("text", "VARCHAR", "the value, exact: text as it is, all else as JSON"),
        Column("number", "DOUBLE", "the nearest double, where it is a number"),
        Column("time_ns", "BIGINT", _TIME),
    ),
    "nodes": (
        _RUN,
        Column("node", "VARCHAR", "qualified name within the run, `run:param/lr`"),
        Column("iri", "VARCHAR", "the same as an IRI"),
        Column("kind", "VARCHAR", "`entity`, `activity` or `agent`"),
        Column("type", "VARCHAR", "its first type that is not PROV's own, `provml:Parameter`"),
        Column("label", "VARCHAR", "its label"),
        Column("started_ns", "BIGINT", f"of an activity: {_TIME}"),
        Column("ended_ns", "BIGINT", f"of an activity: {_TIME}"),
        Column("attributes", "VARCHAR", "all other attributes, as a JSON object of lists"),
    ),
    "edges": (
        _RUN,
        Column("relation", "VARCHAR", "PROV's name, `wasGeneratedBy`"),
        Column("source", "VARCHAR", "the node that came later: PROV's direction, to the cause"),
        Column("target", "VARCHAR", "the node it came from"),
        Column("time_ns", "BIGINT", _TIME),
        Column("plan", "VARCHAR", "of an association: the node that is its plan"),
        Column("type", "VARCHAR", "of a derivation: `prov:Revision`"),
    ),
    "series": (
        _RUN,
        Column("kind", "VARCHAR", "`metric`, or what else samples are of"),
        Column("name", "VARCHAR", "as it was logged"),
        Column("context", "VARCHAR", "`training`, `training~warm-up`; percent-encoded; null: none"),
        Column("rank", "INTEGER", "of the processes that wrote it, in a distributed job"),
        Column("target", "VARCHAR", "the model or artifact that it is of, `model/net`; null: none"),
        Column("unit", "VARCHAR", "of the values"),
        Column("count", "BIGINT", "samples"),
        Column("min", "DOUBLE", "least value, NaN aside"),
        Column("max", "DOUBLE", "greatest value, NaN aside"),
        Column("last", "DOUBLE", "value written last"),
        Column("last_text", "VARCHAR", "the same, exact: text as it is, all else as JSON"),
        Column("first_ns", "BIGINT", _TIME),
        Column("last_ns", "BIGINT", _TIME),
    ),
    "artifacts": (
        _RUN,
        Column("node", "VARCHAR", "qualified name within the run, `run:model/digits`"),
        Column("content", "VARCHAR", "what contents are joined by: the digest, else run and node"),
        Column("kind", "VARCHAR", "`dataset`, `artifact`, `model`, `script`, `source`, `diff`"),
        Column("role", "VARCHAR", "`in`: the run used it; `out`: the run made it"),
        Column("name", "VARCHAR", "as it was logged"),
        Column("version", "INTEGER", "1, 2, ...: the contents of one name within the run"),
        Column("sha256", "VARCHAR", "digest of a file, of a folder's manifest, of an object"),
        Column("form", "VARCHAR", "`file`, `folder`, `array`, `arrays`, `object`, `uri`"),
        Column("size", "BIGINT", "bytes"),
        Column("path", "VARCHAR", "where it lay"),
        Column("uri", "VARCHAR", "of content elsewhere"),
        Column("copy", "VARCHAR", "path of the copy, below the run's folder"),
        Column("activity", "VARCHAR", "the node that first used it, or made it"),
        Column("context", "VARCHAR", "as in `series`"),
        Column("step", "BIGINT", "the step that made it"),
        Column("epoch", "BIGINT", "the epoch that made it"),
        Column("time_ns", "BIGINT", f"when it was first logged: {_TIME}"),
    ),
    "flows": (
        _RUN,
        Column("effect", "VARCHAR", "content that came later: `artifacts.content`"),
        Column("cause", "VARCHAR", "content it came from within the run, with no other in between"),
    ),
    "packages": (
        _RUN,
        Column("name", "VARCHAR", "an installed package"),
        Column("version", "VARCHAR", "its version"),
    ),
}
"""The tables that every question may need, small: a few hundred rows a run."""

SAMPLES: Final[tuple[Column, ...]] = (
    _RUN,
    Column("kind", "VARCHAR", "as in `series`"),
    Column("name", "VARCHAR", "as in `series`"),
    Column("context", "VARCHAR", "as in `series`"),
    Column("rank", "INTEGER", "as in `series`"),
    Column("target", "VARCHAR", "as in `series`"),
    Column("time_ns", "BIGINT", _TIME),
    Column("step", "BIGINT", "null where there is none"),
    Column("epoch", "BIGINT", "null where there is none"),
    Column("value", "DOUBLE", "the nearest double; null where the value is no number"),
    Column("text", "VARCHAR", "what no double holds, exact: text as it is, all else as JSON"),
)
"""The table ``samples``, a row a sample: made when SQL first asks for it."""


def as_markdown() -> str:
    """The tables as ``schemas/tables.md`` has them."""
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
