"""Finds the differences between runs.

Imports `answers`, `code_comparison` and `database`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from provml.base.notebook_html import build_table_html
from provml.lineage.answers import HasTable, TableAnswer
from provml.lineage.code_comparison import compare_code, is_code
from provml.lineage.database import QuestionDatabase

_STATE_COLUMNS: Final = (
    "experiment",
    "parent",
    "status",
    "duration_s",
    "script",
    "command",
    "git_commit",
    "git_dirty",
)
_VALUE_PARTS: Final = (
    *("state", "params", "resources", "tags", "environment", "packages", "data"),
)
_PARTS: Final = (*_VALUE_PARTS, "metrics", "code", "unrecorded")
_RECORDED_PARTS: Final = {
    "params": "parameters",
    "data": "data",
    "metrics": "metrics",
}
"""Parts that a run may not have recorded, each with its key in `Comparison.unrecorded`."""
_ALL_OR_NOTHING: Final = ("environment", "packages")
"""The parts that a run records as a whole, or not at all."""
_ENVIRONMENT_TYPES: Final = ("provml:Environment", "provml:Host")
_NOT_ENVIRONMENT: Final = ("prov:type", "prov:label", "provml:name", "provml:packages")
_SETTING_PARTS: Final = {"param": "params", "tag": "tags", "reading_summary": "resources"}
_METRIC_COLUMNS: Final = ("last", "min", "max", "count")
_COMPARED_TABLES: Final = ("runs", "nodes", "params", "packages", "artifacts", "series")
_COUNT_CHILDREN: Final = """
SELECT parent_run, count(*) FROM runs
WHERE parent_run IN (SELECT unnest(?::VARCHAR[])) GROUP BY parent_run
"""


@dataclass(slots=True)
class Comparison(HasTable):
    """A side-by-side comparison of runs.

    Each of the parts from ``state`` to ``metrics`` maps names to lists with one value per run. A
    value is None if the run did not record a value under that name.

    Attributes:
        runs: the names of the runs, in the order in which they are compared.
        state: the experiment, the parent's id, the status, the duration in seconds, the script, the
            command, the git commit, whether the code had uncommitted changes, and the number of
            children.
        params, tags: the last value of each parameter and tag, as exact text.
        resources: the summaries of the machine readings, such as ``system.cpu_percent.mean``.
        environment: the facts about the host, the interpreter, the hardware and the environment
            variables, such as ``variables.OMP_NUM_THREADS``.
        packages: the versions of the installed packages.
        data: the digests of the datasets, inputs, artifacts and models that each run recorded, with
            ``<kind> <name>`` as the key.
        metrics: the last value, minimum, maximum and count of each metric, with
            ``<name> <context>`` as the key.
        code: the lines of unified diffs between the first run's files and the other runs' files,
            with the name of the file as the key. The files are the recorded code and configuration
            and the recorded diffs of uncommitted changes.
        unrecorded: the names of the runs that did not record a part, keyed by that part. The keys
            are ``command``, ``code``, ``environment``, ``parameters``, ``data`` and ``metrics``. A
            run that recorded no environment or code is left out when that part is compared.
        notes: messages for the user, for example about runs that could not be read.
    """

    runs: list[str]
    state: dict[str, list[Any]] = field(default_factory=dict)
    params: dict[str, list[str | None]] = field(default_factory=dict)
    resources: dict[str, list[str | None]] = field(default_factory=dict)
    tags: dict[str, list[str | None]] = field(default_factory=dict)
    environment: dict[str, list[str | None]] = field(default_factory=dict)
    packages: dict[str, list[str | None]] = field(default_factory=dict)
    data: dict[str, list[list[str] | None]] = field(default_factory=dict)
    metrics: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    code: dict[str, list[str]] = field(default_factory=dict)
    unrecorded: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _floats: dict[tuple[str, str, int], float] = field(default_factory=dict, repr=False)

    def differing(self, part: str) -> dict[str, list[Any]]:
        """Return the entries of a part whose values differ between the runs.

        Runs that recorded no environment are ignored in comparisons of packages and of the
        environment, except for the facts about the host.
        """
        entries: dict[str, list[Any]] = getattr(self, part)
        without = self.unrecorded.get("environment", [])
        known = [place for place, run in enumerate(self.runs) if run not in without]
        found: dict[str, list[Any]] = {}
        for name, values in entries.items():
            is_whole = part in _ALL_OR_NOTHING and not _is_host(name)
            compared = [values[place] for place in known] if is_whole else values
            if any(other != compared[0] for other in compared[1:]):
                found[name] = values
        return found

    def differences(self) -> Iterator[tuple[str, str, list[Any]]]:
        """Yield the differences in all parts except the code, as (part, name, list of values).

        The list contains one value per run.

        Parameters that are floats are yielded as numbers; `table` returns their exact text.
        """
        for part in _VALUE_PARTS:
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
        """Return a table with one row per difference.

        The columns are the part, the name, and one column of values for each run.
        """
        rows: list[tuple[Any, ...]] = []
        for part, name, values in self.differences():
            exact = values if part in ("data", "metrics") else getattr(self, part)[name]
            rows.append((part, name, *map(_exact_text, exact)))
        columns = ["part", "name", *self.runs]
        return TableAnswer(columns, ["VARCHAR"] * len(columns), rows, self.notes)

    def _repr_html_(self) -> str:
        """Return the differences as HTML, which notebooks show. Rounds floats to six digits."""
        rows = [(part, name, *values) for part, name, values in self.differences()]
        return build_table_html(["part", "name", *self.runs], rows, notes=self.notes)

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


def compare(
    database: QuestionDatabase, runs: list[str], notes: list[str], *, code: bool = True
) -> Comparison:
    """Compare runs side by side.

    Args:
        database: the tables of the store.
        runs: the names of the runs in the tables.
        notes: messages to put before the notes that the comparison itself adds.
        code: whether to read and compare the source code that each run recorded.
    """
    comparison = Comparison(runs, notes=list(notes))
    tables = {table: _select_runs(database, table, runs) for table in _COMPARED_TABLES}
    children = dict(database.ask(["runs"], _COUNT_CHILDREN, [runs]).rows)
    for place, run in enumerate(runs):
        for row in tables["runs"][run]:
            for name in _STATE_COLUMNS:
                value = _shell_text(row[name]) if name == "command" else row[name]
                comparison.add("state", name, place, value)
        comparison.add("state", "children", place, children.get(run, 0))
        _add_environment(comparison, place, tables["nodes"][run])
        _add_settings(comparison, place, tables["params"][run])
        for row in tables["packages"][run]:
            comparison.add("packages", row["name"], place, row["version"])
        _add_data(comparison, place, tables["artifacts"][run])
        for row in tables["series"][run]:
            if row["kind"] == "metric":
                rank = "" if row["rank"] is None else f" rank {row['rank']}"
                of = "" if row["target"] is None else f" of {row['target']}"
                name = f"{row['name']} {row['context'] or '-'}{of}{rank}"
                values = {column: row[column] for column in _METRIC_COLUMNS}
                comparison.add("metrics", name, place, values)
    without_code: list[str] = []
    if code:
        found = compare_code(database, runs)
        comparison.code, without_code = found.diffs, found.unrecorded
        comparison.notes += found.notes
    _add_unrecorded(comparison, without_code)
    return comparison


def _add_unrecorded(comparison: Comparison, without_code: list[str]) -> None:
    """Find the parts that some runs did not record, and store them in `Comparison.unrecorded`."""
    commands = comparison.state.get("command", [])
    missing = {
        "command": [run for run, v in zip(comparison.runs, commands, strict=False) if v is None],
        "code": without_code,
        "environment": _find_runs_without(
            comparison.runs, {k: v for k, v in comparison.environment.items() if not _is_host(k)}
        ),
    }
    for part, name in _RECORDED_PARTS.items():
        missing[name] = _find_runs_without(comparison.runs, getattr(comparison, part))
    comparison.unrecorded = {name: runs for name, runs in missing.items() if runs}


def _find_runs_without(runs: list[str], entries: dict[str, list[Any]]) -> list[str]:
    """Return the runs that have no value in any of the entries."""
    return [
        run
        for place, run in enumerate(runs)
        if all(values[place] is None for values in entries.values())
    ]


def _is_host(name: str) -> bool:
    """Return whether a fact of the environment is about the host, which all runs record."""
    return name.partition(".")[0] == "host"


def _shell_text(command: str | None) -> str | None:
    """Convert a command line from JSON, as the tables store it, to shell syntax."""
    try:
        return None if command is None else shlex.join(json.loads(command))
    except (ValueError, TypeError):
        return command


def _add_environment(comparison: Comparison, place: int, rows: list[dict[str, Any]]) -> None:
    """Add the facts about a run's host, interpreter and variables to the comparison.

    If several processes recorded an environment, the last one counts.
    """
    for row in rows:
        if row["type"] not in _ENVIRONMENT_TYPES:
            continue
        prefix = "host." if row["type"] == "provml:Host" else ""
        if prefix:
            comparison.add("environment", "host", place, row["label"])
        for key, values in json.loads(row["attributes"]).items():
            if key in _NOT_ENVIRONMENT or not values:
                continue
            for name, text in _flatten(f"{prefix}{key.partition(':')[2]}", values[-1]):
                comparison.add("environment", name, place, text)


def _flatten(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield a (name, text) pair for each member of a JSON object, or one pair for another value."""
    members = value
    if isinstance(value, str) and value[:1] == "{":
        try:
            members = json.loads(value)
        except ValueError:
            members = value
    if not isinstance(members, dict):
        yield name, members if isinstance(members, str) else json.dumps(members)
        return
    for key, member in members.items():
        yield f"{name}.{key}", member if isinstance(member, str) else json.dumps(member)


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
    """Add the digests of a run's datasets, inputs, artifacts and models to the comparison."""
    digests: dict[str, list[str]] = {}
    for row in rows:
        digest = row["sha256"] or row["uri"]
        if not is_code(row) and digest is not None:
            digests.setdefault(f"{row['kind']} {row['name']}", []).append(digest)
    for name, of_name in digests.items():
        comparison.add("data", name, place, list(dict.fromkeys(of_name)))


def _select_runs(
    database: QuestionDatabase, table: str, runs: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that a table contains for these runs, keyed by run."""
    order = {"artifacts": "time_ns, node", "runs": "run", "nodes": "node"}.get(table, "name")
    only = "AND type IN (SELECT unnest(?::VARCHAR[]))" if table == "nodes" else ""
    query = f"""
        SELECT * FROM {table} WHERE run IN (SELECT unnest(?::VARCHAR[])) {only} ORDER BY {order}
    """
    params: list[Any] = [runs, list(_ENVIRONMENT_TYPES)] if only else [runs]
    found: dict[str, list[dict[str, Any]]] = {run: [] for run in runs}
    for row in database.ask([table], query, params):
        found[row["run"]].append(row)
    return found
