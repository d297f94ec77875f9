"""Finds the differences between runs.

Imports `base`, `answers`, `database` and `segments`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from provml.base.store_files import read_file, store_root
from provml.lineage.answers import HasTable, TableAnswer
from provml.lineage.database import QuestionDatabase
from provml.lineage.segments import FoundRun

_LONGEST_SOURCE: Final = 2**20
_LONGEST_DIFF: Final = 2_000
_STATE_COLUMNS: Final = (
    "experiment",
    "parent",
    "status",
    "duration_s",
    "script",
    "git_commit",
    "git_dirty",
)
_PARTS: Final = ("state", "params", "resources", "tags", "packages", "data", "metrics", "code")
_SETTING_PARTS: Final = {"param": "params", "tag": "tags", "reading_summary": "resources"}
_METRIC_COLUMNS: Final = ("last", "min", "max", "count")


@dataclass(slots=True)
class Comparison(HasTable):
    """A side-by-side comparison of runs.

    Each part of the comparison, except ``code``, maps names to lists with one value per run. A
    value is None if the run did not record one under that name.

    Attributes:
        runs: the names of the runs, in the order in which they are compared.
        state: the experiment, the parent's id, the status, the duration in seconds, the script, the
            git commit, and whether the code had uncommitted changes.
        params, tags: the last value of each parameter and tag, as exact text.
        resources: the summaries of the machine readings, such as ``system.cpu_percent.mean``.
        packages: the versions of the installed packages.
        data: the digests that each run recorded, with ``<kind> <name>`` as the key.
        metrics: the last value, minimum, maximum and count of each metric, with
            ``<name> <context>`` as the key.
        code: the lines of unified diffs between the first run's files and the other runs' files,
            with the name of the file as the key. The files are the recorded sources and the
            recorded diffs of uncommitted changes.
        notes: messages for the user, for example about runs that could not be read.
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
    _floats: dict[tuple[str, str, int], float] = field(default_factory=dict, repr=False)

    def differing(self, part: str) -> dict[str, list[Any]]:
        """Return the entries of a part whose values differ between the runs."""
        entries: dict[str, list[Any]] = getattr(self, part)
        return {k: v for k, v in entries.items() if any(other != v[0] for other in v[1:])}

    def differences(self) -> Iterator[tuple[str, str, list[Any]]]:
        """Yield the differences in all parts except the code, as (part, name, one value per run).

        Parameters that are floats are yielded as numbers; `table` returns their exact text.
        """
        for part in ("state", "params", "resources", "tags", "packages", "data"):
            for name, values in self.differing(part).items():
                numbers = [self._floats.get((part, name, n), v) for n, v in enumerate(values)]
                yield part, name, numbers
        for name, cells in self.differing("metrics").items():
            for column in _METRIC_COLUMNS:
                numbers = [None if cell is None else cell[column] for cell in cells]
                yield "metrics", f"{name} {column}", numbers

    def to_dict(self) -> dict[str, Any]:
        """Return all parts as JSON-compatible objects, including the values that do not differ."""
        return {name: getattr(self, name) for name in ("runs", *_PARTS, "notes")}

    def table(self) -> TableAnswer:
        """Return a table with one row per difference: the part, the name, and each run's value."""
        rows: list[tuple[Any, ...]] = []
        for part, name, values in self.differences():
            exact = values if part in ("data", "metrics") else getattr(self, part)[name]
            rows.append((part, name, *map(_exact_text, exact)))
        columns = ["part", "name", *self.runs]
        return TableAnswer(columns, ["VARCHAR"] * len(columns), rows, self.notes)

    def add(self, part: str, name: str, place: int, value: Any) -> None:
        """Set the value of an entry for one run.

        Args:
            part: the part that contains the entry, such as ``params``.
            name: the entry's name.
            place: the run's position in ``runs``.
            value: the run's value.
        """
        entries: dict[str, list[Any]] = getattr(self, part)
        entries.setdefault(name, [None] * len(self.runs))[place] = value


def _exact_text(value: Any) -> str | None:
    if value is None:
        return None
    return ", ".join(value) if isinstance(value, list) else str(value)


def compare(database: QuestionDatabase, runs: list[str], notes: list[str]) -> Comparison:
    """Compare runs side by side. Reads the source code that each run recorded."""
    comparison = Comparison(runs, notes=list(notes))
    for place, run in enumerate(runs):
        for row in _select_run(database, "runs", run):
            for name in _STATE_COLUMNS:
                comparison.add("state", name, place, row[name])
        _add_settings(comparison, place, _select_run(database, "params", run))
        for row in _select_run(database, "packages", run):
            comparison.add("packages", row["name"], place, row["version"])
        _add_data(comparison, place, _select_run(database, "artifacts", run))
        for row in _select_run(database, "series", run):
            if row["kind"] == "metric":
                rank = "" if row["rank"] is None else f" rank {row['rank']}"
                of = "" if row["target"] is None else f" of {row['target']}"
                name = f"{row['name']} {row['context'] or '-'}{of}{rank}"
                values = {column: row[column] for column in _METRIC_COLUMNS}
                comparison.add("metrics", name, place, values)
    comparison.code = _diff_sources(database, runs)
    return comparison


def _add_settings(comparison: Comparison, place: int, rows: list[dict[str, Any]]) -> None:
    """Add a run's parameters, tags and reading summaries to the comparison."""
    for row in rows:
        if not row["is_last"]:
            continue
        name, part = row["name"], _SETTING_PARTS[row["kind"]]
        comparison.add(part, name, place, row["text"])
        if row["type"] == "float" and row["number"] is not None:
            comparison._floats[part, name, place] = row["number"]


def _add_data(comparison: Comparison, place: int, rows: list[dict[str, Any]]) -> None:
    """Add the digests of a run's datasets, artifacts, models and code to the comparison."""
    digests: dict[str, list[str]] = {}
    for row in rows:
        digest = row["sha256"] or row["uri"]
        if row["kind"] != "diff" and digest is not None:
            digests.setdefault(f"{row['kind']} {row['name']}", []).append(digest)
    for name, of_name in digests.items():
        comparison.add("data", name, place, list(dict.fromkeys(of_name)))


def _select_run(database: QuestionDatabase, table: str, run: str) -> list[dict[str, Any]]:
    """Return a run's rows from a table."""
    order = {"artifacts": "time_ns, node", "runs": "run"}.get(table, "name")
    return list(
        database.ask([table], f"SELECT * FROM {table} WHERE run = ? ORDER BY {order}", [run])
    )


def _diff_sources(database: QuestionDatabase, runs: list[str]) -> dict[str, list[str]]:
    """Compare each run's code with the first run's code; return unified diffs by file name."""
    sources = [_read_sources(database, database.runs[run], run) for run in runs]
    diffs: dict[str, list[str]] = {}
    for name in sorted({name for of_run in sources for name in of_run}):
        first = sources[0].get(name, "")
        for run, of_run in zip(runs[1:], sources[1:], strict=True):
            text = of_run.get(name, "")
            if text != first:
                lines = difflib.unified_diff(
                    first.splitlines(),
                    text.splitlines(),
                    f"{runs[0]}/{name}",
                    f"{run}/{name}",
                    lineterm="",
                )
                shown = diffs.setdefault(name, [])
                for count, line in enumerate(lines):
                    if count == _LONGEST_DIFF:
                        shown.append(f"... diff cut after {_LONGEST_DIFF} lines")
                        break
                    shown.append(line)
    return diffs


def _read_sources(database: QuestionDatabase, found: FoundRun, run: str) -> dict[str, str]:
    """Return the texts of a run's recorded source files, by name.

    If several files have the same name, only the text of the latest file is returned.
    """
    texts: dict[str, str] = {}
    for row in _select_run(database, "artifacts", run):
        if row["kind"] in ("script", "source", "diff") and row["copy"] and row["form"] == "file":
            text = _read_copy(found.folder, row["copy"])
            if text is not None:
                texts[row["name"]] = text
    return texts


def _read_copy(folder: Path, copy: str) -> str | None:
    """Return the text of a file that a run copied into its folder.

    Returns None if the copy is missing, too large, a link, or outside the folder.
    """
    own = Path(os.path.abspath(folder))
    path = own / copy
    if not path.is_relative_to(own):
        return None
    try:
        content = read_file(store_root(own), path, _LONGEST_SOURCE)
    except (OSError, ValueError):
        return None
    return content.decode("utf-8", "replace")
