"""``provml runs``: lists the runs of a store, or the runs that meet a condition.

``--where``, ``--sort`` and ``--show`` read the tables of the store, which need DuckDB. Without
these options, the list is read from the journals. Imports `lineage` and rich only when needed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provml.base.settings import default_store
from provml.cli import _terminal as terminal
from provml.cli._options import exact_option, examples, json_option, store_option
from provml.errors import StoreError
from provml.journal import layout
from provml.journal.journal_folder import list_writer_files
from provml.journal.store import RunEntry, UnreadRun, scan_runs

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_UNREADABLE = "unreadable"
_MOST_REASONS = 5
_MOST_CHILDREN = 5
_DEEPEST = 20
_STATUS_PLACE, _DROPPED_PLACE = 2, 6
_GAP = 2
_NARROWEST_HEADING = 8
_NARROWEST_EXPERIMENT = 8


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in the output of ``provml runs``.

    Attributes:
        status: the run's status, or ``unreadable``.
        reason: why the run ended as it did, or why it can't be read.
        samples: the number of samples in the run's files, including system readings.
        damage: a note about unreadable files in the run's folder, or None.
        parent: the id of the run that this run is a part of, or None.
        parent_run: the parent's folder in the store, ``<experiment>/<id>``, or None.
        values: the values requested with ``--show``.
    """

    id: str
    experiment: str
    status: str
    path: Path
    project: str | None = None
    owner: str | None = None
    reason: str | None = None
    started_ns: int | None = None
    ended_ns: int | None = None
    dropped_samples: int | None = None
    dropped_events: int | None = None
    samples: int | None = None
    damage: str | None = None
    parent: str | None = None
    parent_run: str | None = None
    values: tuple[Any, ...] = ()

    @property
    def duration_s(self) -> float | None:
        """The run's duration in seconds, up to its end or, for a run in progress, up to now."""
        if self.started_ns is None:
            return None
        ended_ns = time.time_ns() if self.status == "running" else self.ended_ns
        return terminal.duration_s(self.started_ns, ended_ns)

    @property
    def folder_name(self) -> str:
        """The run's folder in the store, ``<experiment>/<id>``."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def dropped(self) -> int:
        """The number of samples and events that were lost."""
        return (self.dropped_samples or 0) + (self.dropped_events or 0)


@click.command(
    "runs",
    epilog=examples(
        "provml runs",
        "provml runs --where \"params.lr < 0.01 and status == 'finished'\"",
        "provml runs --sort -metrics.accuracy.validation.max --limit 5",
        "provml runs --show 'params[\"optimizer.lr\"]' --show metrics.loss",
    ),
)
@click.option("--where", metavar="CONDITION", help="List only the runs that meet a condition.")
@click.option(
    "--sort",
    metavar="VALUE",
    help="Sort by a value in ascending order. -VALUE sorts in descending order.",
)
@click.option(
    "--show", metavar="VALUE", multiple=True, help="Show a value as a column. Can be repeated."
)
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=0), help="List only the first N runs."
)
@exact_option
@json_option
@store_option
def runs_command(
    where: str | None,
    sort: str | None,
    show: tuple[str, ...],
    limit: int | None,
    as_json: bool,
    store: str | None,
) -> None:
    """List the runs of a store, or find runs by conditions.

    Without options, lists all runs, including running and crashed runs. The oldest run comes first.
    On a terminal, the children of a run are below the run. A run that can't be read has the status
    unreadable.

    --where, --sort and --show need DuckDB: pip install 'provml[lineage]'

    A VALUE is one of:

    \b
      params.NAME  tags.NAME   the last value
      reading_summaries.NAME   a summary of system readings
      metrics.NAME             the last value; also .min .max .count
      metrics.NAME.CONTEXT     the last value in a context; also .min .max .count
      id  experiment  project  owner  parent  status  reason  exception  script
      command
      started  ended  duration_s  children  sample_count  dropped_samples  git_commit
      git_dirty

    If a name contains other characters, write it in brackets and quotes: params["optimizer.lr"],
    metrics["loss/train"].training.min.

    A CONDITION compares values with numbers, "texts", True, False or None. The operators are
    < <= == != > >= and in. Combine comparisons with and, or and not. Write a time in local time, as
    "2026-03-01T12:00".

    In a pipe, each run is one line of tab-separated fields: id, experiment, status, start (UTC),
    duration in seconds, samples, dropped samples, dropped events, folder, reason, and the values to
    show. Control characters are escaped in these lines, but exact with --json.
    """  # noqa: D301 - \b tells click not to wrap the text
    place = Path(default_store() if store is None else store)
    if not place.is_dir():
        raise StoreError(f"there is no store {str(place)!r}: name the folder that holds the runs")
    if where is None and sort is None and not show:
        runs = list(_list_runs(place))[:limit]
        _echo_unreadable(runs)
        _echo_damaged(runs)
    else:
        runs = _find_runs(place, where, sort, show, limit)
    if not runs:
        terminal.echo_note(
            f"there are no runs in {terminal.printable(place)}: look elsewhere with --store DIR"
            if where is None
            else "no runs match"
        )
    if as_json:
        terminal.echo_json([_run_to_json(run, show) for run in runs])
    elif not runs:
        return
    elif terminal.on_terminal():
        _show_runs(runs, show, as_tree=where is None and sort is None)
    else:
        for run in runs:
            click.echo(_format_run_line(run))


def _list_runs(store: Path) -> Iterator[ListedRun]:
    """Yield every run of a store. Opens the files of each run."""
    for entry in scan_runs(store):
        if isinstance(entry, UnreadRun):
            path = entry.path
            experiment = "" if path.parent == store else path.parent.name
            yield ListedRun(path.name, experiment, _UNREADABLE, path, reason=entry.reason)
        else:
            yield _listed_run(entry)


def _listed_run(entry: RunEntry) -> ListedRun:
    state = entry.state
    return ListedRun(
        id=entry.id,
        experiment=entry.experiment,
        status=state.status,
        path=entry.path,
        project=entry.project,
        owner=entry.owner,
        reason=state.reason,
        started_ns=state.started_ns,
        ended_ns=state.ended_ns,
        dropped_samples=state.dropped_samples,
        dropped_events=state.dropped_events,
        samples=state.samples,
        damage=entry.damage,
        parent=None if entry.parent is None else entry.parent.id,
        parent_run=None if entry.parent is None else entry.parent.folder,
    )


def _find_runs(
    store: Path, where: str | None, sort: str | None, show: Sequence[str], limit: int | None
) -> list[ListedRun]:
    """Search the tables of a store for the runs that meet a condition.

    Also prints notes, for example about runs that are left out.
    """
    from provml.lineage.questions import open_store

    opened = open_store(store)
    answer = opened.runs(where, sort, show, limit)
    terminal.echo_notes(answer.notes)
    runs: list[ListedRun] = []
    for row, cells in zip(answer, answer.rows, strict=True):
        path = opened.run_folder(row["run"])
        runs.append(
            ListedRun(
                path=path,
                samples=_count_samples(path),
                values=cells[len(cells) - len(show) :],
                **{name: row[name] for name in _TABLE_COLUMNS},
            )
        )
    return runs


_TABLE_COLUMNS = (
    "id",
    "experiment",
    "status",
    "project",
    "owner",
    "parent",
    "parent_run",
    "reason",
    "started_ns",
    "ended_ns",
    "dropped_samples",
    "dropped_events",
)


def _count_samples(folder: Path) -> int:
    """Calculate the number of samples in a run from the length of the data in its files."""
    count = 0
    for files in list_writer_files(folder):
        try:
            end = files.find_samples_end()
        except OSError:
            continue
        count += max(0, end - layout.HEADER_SIZE) // layout.RECORD_SIZE
    return count


def _echo_unreadable(runs: Sequence[ListedRun]) -> None:
    """Print why the first few unreadable runs can't be read."""
    unreadable = [run for run in runs if run.status == _UNREADABLE]
    for run in unreadable[:_MOST_REASONS]:
        terminal.echo_notes([f"{run.path} can't be read: {run.reason}"])
    if len(unreadable) > _MOST_REASONS:
        more = len(unreadable) - _MOST_REASONS
        terminal.echo_note(f"{more:,} more runs can't be read: use --json to see why")


def _echo_damaged(runs: Sequence[ListedRun]) -> None:
    """Print notes about unreadable files, for the first few runs that have such files."""
    damaged = [run for run in runs if run.damage is not None]
    terminal.echo_notes(f"{run.path}: {run.damage}" for run in damaged[:_MOST_REASONS])
    if len(damaged) > _MOST_REASONS:
        terminal.echo_note(f"{len(damaged) - _MOST_REASONS:,} more runs have unreadable files")


# -- output -----------------------------------------------------------------------------------


def _run_to_json(run: ListedRun, show: Sequence[str]) -> dict[str, Any]:
    return {
        "id": run.id,
        "experiment": run.experiment,
        "project": run.project,
        "owner": run.owner,
        "parent": run.parent,
        "parent_run": run.parent_run,
        "status": run.status,
        "reason": run.reason,
        "started": terminal.time_text(run.started_ns),
        "ended": terminal.time_text(run.ended_ns),
        "duration_s": run.duration_s,
        "samples": run.samples,
        "dropped_samples": run.dropped_samples,
        "dropped_events": run.dropped_events,
        "path": str(run.path),
        "values": {
            name: terminal.exact(value) for name, value in zip(show, run.values, strict=True)
        },
    }


def _format_run_line(run: ListedRun) -> str:
    """Format a run as a line of tab-separated fields. A missing value becomes an empty field."""
    duration_s = run.duration_s
    fields = (
        run.id,
        run.experiment,
        run.status,
        terminal.time_text(run.started_ns),
        None if duration_s is None else f"{duration_s:.3f}",
        run.samples,
        run.dropped_samples,
        run.dropped_events,
        run.path,
        run.reason,
    )
    return terminal.tab_line([*fields, *run.values])


@dataclass(frozen=True, slots=True)
class _TreeLine:
    """A line of the table of runs: a run, or several children that the table leaves out.

    Attributes:
        depth: the number of the run's ancestors in the table, which sets the indentation.
        run: the run; None for a line about several children.
        left_out: for a line about several children, the number of children in each status.
    """

    depth: int
    run: ListedRun | None
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def indent(self) -> str:
        """The text that precedes the run's id."""
        return "  " * (self.depth - 1) + "└ " if self.depth else ""


def _build_tree(runs: Sequence[ListedRun]) -> list[_TreeLine]:
    """Return the lines of the table of runs, with each run below its parent.

    If a run has many children, the table lists only the first few.
    """
    children: dict[str, list[ListedRun]] = {}
    names = {run.folder_name for run in runs}
    for run in runs:
        if run.parent_run in names:
            children.setdefault(str(run.parent_run), []).append(run)
    lines: list[_TreeLine] = []
    placed: set[str] = set()

    def add(run: ListedRun, depth: int) -> None:
        placed.add(run.folder_name)
        lines.append(_TreeLine(depth, run))
        own = [child for child in children.get(run.folder_name, ()) if depth < _DEEPEST]
        own = [child for child in own if child.folder_name not in placed]
        count = len(own) if len(own) <= _MOST_CHILDREN + 1 else _MOST_CHILDREN
        for child in own[:count]:
            add(child, depth + 1)
        if own[count:]:
            lines.append(_TreeLine(depth + 1, None, Counter(each.status for each in own[count:])))
            hide(own[count:])

    def hide(left_out: list[ListedRun]) -> None:
        while left_out:
            name = left_out.pop().folder_name
            if name not in placed:
                placed.add(name)
                left_out += children.get(name, ())

    for run in runs:
        if run.parent_run not in names:
            add(run, 0)
    for run in runs:  # a damaged store can contain runs that name each other as parents
        if run.folder_name not in placed:
            add(run, 0)
    return lines


def _show_runs(runs: Sequence[ListedRun], show: Sequence[str], as_tree: bool) -> None:
    """Print the runs as a table. Leave out the least important columns if the table is too wide.

    If not even the ids, the statuses and the values fit side by side, print the values of each run
    below its id instead.

    Args:
        runs: the runs.
        show: the values requested with ``--show``.
        as_tree: whether to put each run below its parent.
    """
    lossy = any(run.dropped for run in runs)
    rows: list[list[Text]] = []
    lines = _build_tree(runs) if as_tree else [_TreeLine(0, run) for run in runs]
    for line in lines:
        rows.append(_left_out_cells(line, lossy) if line.run is None else _run_cells(line, lossy))
    columns = ["id", "experiment", "status", "started", "duration", "samples"]
    columns += ["dropped"] if lossy else []
    headings = _fold_headings(show, rows, lossy)
    if headings is None:
        terminal.show(*_list_values(rows, show))
        return
    numeric = [
        heading
        for place, heading in enumerate(headings)
        if all(isinstance(run.values[place], int | float | None) for run in runs)
    ]
    terminal.show(
        terminal.table(
            [*columns, *headings],
            rows,
            right=("duration", "samples", "dropped", *numeric),
            cut=["experiment"] if show else ["experiment", "started"],
            drop=["duration", "samples", "started", "experiment"],
            readable=_NARROWEST_EXPERIMENT,
        )
    )
    if any(line.run is None for line in lines):
        terminal.echo_note("list all children of a run with --where 'parent == \"ID\"'")


def _run_cells(line: _TreeLine, lossy: bool) -> list[Text]:
    run = line.run
    assert run is not None
    cells = [
        terminal.cell(line.indent + run.id, "bold"),
        terminal.cell(run.experiment),
        terminal.styled(run.status, terminal.STYLES.get(run.status, "")),
        terminal.styled(terminal.local_text(run.started_ns, short=True)),
        terminal.styled(terminal.format_duration(run.duration_s)),
        terminal.styled("-" if run.samples is None else str(run.samples)),
    ]
    cells += [terminal.styled(str(run.dropped), "red" if run.dropped else "")] if lossy else []
    return cells + [terminal.cell(terminal.value_text(value)) for value in run.values]


def _left_out_cells(line: _TreeLine, lossy: bool) -> list[Text]:
    count = sum(line.left_out.values())
    statuses = ", ".join(f"{number:,} {status}" for status, number in line.left_out.items())
    cells = [f"{line.indent}{count:,} more", "", statuses, "", "", *([""] if lossy else [])]
    return [terminal.styled(text, "dim") for text in (*cells, "")]


def _fold_headings(
    show: Sequence[str], rows: Sequence[Sequence[Text]], lossy: bool
) -> list[str] | None:
    """Return the headings of the values to show, folded so that the table fits the terminal.

    Returns None if the ids, the statuses and the values don't fit, however the headings are folded.

    Args:
        rows: the cells of each run. The values are at the end.
        lossy: whether the table has a column for dropped records.
    """
    plain = [terminal.printable(name) for name in show]
    fixed = {"id": 0, "status": _STATUS_PLACE} | ({"dropped": _DROPPED_PLACE} if lossy else {})
    room = terminal.console().width - _GAP * (len(show) + len(fixed) - 1)
    for heading, place in fixed.items():
        room -= max(len(heading), *(row[place].cell_len for row in rows))
    values = [max(row[place].cell_len for row in rows) for place in range(-len(show), 0)]
    for width in (None, *range(terminal.HEADING_WIDTH, _NARROWEST_HEADING - 1, -2)):
        headings = plain if width is None else [terminal.fold_heading(h, width) for h in plain]
        needed = map(max, map(terminal.heading_width, headings), values)
        if sum(needed) <= room or not show:
            return headings
    return None


def _list_values(rows: Sequence[Sequence[Text]], show: Sequence[str]) -> Iterator[RenderableType]:
    """Yield a line with the id and the status of each run, and a table of its values."""
    names = [terminal.printable(name) for name in show]
    for row in rows:
        yield row[0] + "  " + row[_STATUS_PLACE]
        yield terminal.pairs_table(list(zip(names, row[-len(show) :], strict=True)))


GROUP = "Look"
COMMANDS = [runs_command]
