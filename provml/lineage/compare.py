"""What differs between runs. Imports `database`, `errors`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from provml.lineage.answers import TableAnswer
from provml.lineage.database import QuestionDatabase
from provml.lineage.segments import FoundRun

_LONGEST_SOURCE: Final = 2**20
_LONGEST_DIFF: Final = 2_000
_STATE: Final = ("experiment", "status", "duration_s", "script", "git_commit", "git_dirty")


@dataclass(slots=True)
class Comparison:
    """Runs side by side: in each part a name, and a value for each run (None where it has none).

    Attributes:
        runs: the runs' names in the tables, in the order asked for.
        state: experiment, status, duration, script, commit.
        params, tags: the values that count, as exact text.
        resources: of the parameters what readings of the machine came to, ``system.*``.
        packages: versions of installed packages.
        data: ``kind name``, and the digests of its contents in a run, in order.
        metrics: ``name context``, and of each run last, min and max (the better one is which is
            meant to be) and count.
        code: unified diffs of recorded sources and of their changes since the commit, each run's
            against the first's; by the file's name.
    """

    runs: list[str]
    state: dict[str, list[Any]] = field(default_factory=dict)
    params: dict[str, list[str | None]] = field(default_factory=dict)
    resources: dict[str, list[str | None]] = field(default_factory=dict)
    tags: dict[str, list[str | None]] = field(default_factory=dict)
    packages: dict[str, list[str | None]] = field(default_factory=dict)
    data: dict[str, list[list[str] | None]] = field(default_factory=dict)
    metrics: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    code: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def differing(self, part: str) -> dict[str, list[Any]]:
        """The entries of a part that are not the same in all runs."""
        entries: dict[str, list[Any]] = getattr(self, part)
        return {k: v for k, v in entries.items() if any(other != v[0] for other in v[1:])}

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON, what is the same in all runs too."""
        return {own.name: getattr(self, own.name) for own in fields(self)}

    def table(self) -> TableAnswer:
        """What differs, a row each: the part, the name, and a column a run."""
        rows: list[tuple[Any, ...]] = []
        for part in ("state", "params", "resources", "tags", "packages", "data"):
            for name, values in self.differing(part).items():
                rows.append((part, name, *(None if v is None else _cell(v) for v in values)))
        for name, cells in self.differing("metrics").items():
            for key in ("last", "min", "max", "count"):
                own = [None if cell is None else cell[key] for cell in cells]
                rows.append(
                    ("metrics", f"{name} {key}", *(None if v is None else str(v) for v in own))
                )
        columns = ["part", "name", *self.runs]
        return TableAnswer(columns, ["VARCHAR"] * len(columns), rows, self.notes)

    def to_arrow(self) -> Any:
        """`table` as a table of ``pyarrow``."""
        return self.table().to_arrow()

    def to_pandas(self) -> Any:
        """`table` as a frame of ``pandas``."""
        return self.table().to_pandas()

    def to_polars(self) -> Any:
        """`table` as a frame of ``polars``."""
        return self.table().to_polars()


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def compare(database: QuestionDatabase, runs: list[str], notes: list[str]) -> Comparison:
    """Hold runs side by side; costs a reading of their recorded sources."""
    found = Comparison(runs, notes=list(notes))
    for place, run in enumerate(runs):

        def put(part: dict[str, list[Any]], name: str, value: Any, place: int = place) -> None:
            part.setdefault(name, [None] * len(runs))[place] = value

        for row in _rows(database, "runs", run):
            for name in _STATE:
                put(found.state, name, row[name])
        for row in _rows(database, "params", run):
            if row["is_last"]:
                kind = found.params if row["kind"] == "param" else found.tags
                if kind is found.params and row["name"].startswith("system."):
                    kind = found.resources
                put(kind, row["name"], row["text"])
        for row in _rows(database, "packages", run):
            put(found.packages, row["name"], row["version"])
        digests: dict[str, list[str]] = {}
        for row in _rows(database, "artifacts", run):
            own = row["sha256"] or row["uri"]
            if row["kind"] != "diff" and own is not None:
                digests.setdefault(f"{row['kind']} {row['name']}", []).append(own)
        for name, value in digests.items():
            put(found.data, name, list(dict.fromkeys(value)))
        for row in _rows(database, "series", run):
            if row["kind"] == "metric":
                rank = "" if row["rank"] is None else f" rank {row['rank']}"
                of = "" if row["target"] is None else f" of {row['target']}"
                put(
                    found.metrics,
                    f"{row['name']} {row['context'] or '-'}{of}{rank}",
                    {key: row[key] for key in ("last", "min", "max", "count")},
                )
    found.code = _code(database, runs)
    return found


def _rows(database: QuestionDatabase, table: str, run: str) -> list[dict[str, Any]]:
    order = {"artifacts": "time_ns, node", "runs": "run"}.get(table, "name")
    return list(
        database.ask([table], f"SELECT * FROM {table} WHERE run = ? ORDER BY {order}", [run])
    )


def _code(database: QuestionDatabase, runs: list[str]) -> dict[str, list[str]]:
    """Diffs of what was recorded of the code, by file name."""
    sources = [_sources(database, database.runs[run], run) for run in runs]
    diffs: dict[str, list[str]] = {}
    for name in sorted({name for own in sources for name in own}):
        first = sources[0].get(name, "")
        for run, own in zip(runs[1:], sources[1:], strict=True):
            text = own.get(name, "")
            if text != first:
                lines = difflib.unified_diff(
                    first.splitlines(),
                    text.splitlines(),
                    f"{runs[0]}/{name}",
                    f"{run}/{name}",
                    lineterm="",
                )
                kept = diffs.setdefault(name, [])
                for count, line in enumerate(lines):
                    if count == _LONGEST_DIFF:
                        kept.append(f"... cut after {_LONGEST_DIFF} lines")
                        break
                    kept.append(line)
    return diffs


def _sources(database: QuestionDatabase, found: FoundRun, run: str) -> dict[str, str]:
    """The text of the recorded sources: of each name the copy made last."""
    texts: dict[str, str] = {}
    for row in _rows(database, "artifacts", run):
        if row["kind"] in ("script", "source", "diff") and row["copy"] and row["form"] == "file":
            text = _text_of(found.folder, row["copy"])
            if text is not None:
                texts[row["name"]] = text
    return texts


def _text_of(folder: Path, copy: str) -> str | None:
    """A copy below the run's folder as text; None where it is elsewhere, large, or none."""
    path = (folder / copy).resolve()
    if not path.is_relative_to(folder.resolve()):
        return None
    try:
        with open(path, "rb") as file:
            content = file.read(_LONGEST_SOURCE + 1)
    except OSError:
        return None
    return None if len(content) > _LONGEST_SOURCE else content.decode("utf-8", "replace")
