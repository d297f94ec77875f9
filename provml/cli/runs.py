"""``provml runs``: lists the runs of a store, or the runs that meet a condition.

The plain list is read from the journals and does not need DuckDB. Conditions, sorting and shown
values are answered from the store's tables. Imports `journal`; imports `lineage` and rich only when
needed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provml.base.settings import default_store
from provml.cli import _terminal as terminal
from provml.cli._options import examples, json_option, store_option
from provml.errors import StoreError
from provml.journal import layout
from provml.journal.files import list_writer_files
from provml.journal.recovery import find_end
from provml.journal.store import RunEntry, UnreadRun, scan_runs

if TYPE_CHECKING:
    from rich.text import Text

_UNREADABLE = "unreadable"
_MOST_REASONS = 5


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run in the list.

    Attributes:
        status: the run's status, or ``unreadable``.
        reason: why the run ended as it did, or why it can't be read.
        samples: the number of samples in the run's files, including system readings.
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
    values: tuple[Any, ...] = ()

    @property
    def duration_s(self) -> float | None:
        """The seconds from the run's start to its end, or to now if the run is under way."""
        if self.started_ns is None:
            return None
        ended_ns = time.time_ns() if self.status == "running" else self.ended_ns
        return terminal.duration_s(self.started_ns, ended_ns)

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
    "--sort", metavar="VALUE", help="Sort by a value, least first; -VALUE puts the greatest first."
)
@click.option(
    "--show", metavar="VALUE", multiple=True, help="Show a value as a column; can be repeated."
)
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=0), help="List the first N runs only."
)
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

    Without options: every run, the oldest first, also running and crashed ones. Runs that can't be
    read have the status unreadable. --where, --sort and --show need DuckDB: pip install
    'provml[lineage]'.

    A VALUE is one of

    \b
      params.NAME  tags.NAME   the last value
      metrics.NAME             the last value in any context; also .min .max .count
      metrics.NAME.CONTEXT     the same in one context
      id  experiment  project  owner  status  reason  exception  script  command
      started  ended  duration_s  sample_count  dropped_samples  git_commit  git_dirty

    Quote a name with other characters: params["optimizer.lr"], metrics["loss/train"].training.min.

    A CONDITION compares values with numbers, "texts", True, False and None, by < <= == != > >= and
    in, and joins comparisons with and, or, not. A time is "2026-03-01T12:00", in local time.

    In a pipe, each run is a line of fields separated by tabs: id, experiment, status, start (UTC),
    duration in seconds, samples, dropped samples, dropped events, folder, reason, then the values
    to show. Control characters are escaped; --json has them unchanged.
    """  # noqa: D301 - click's mark for text that is not wrapped
    place = Path(default_store() if store is None else store)
    if not place.is_dir():
        raise StoreError(f"there is no store {str(place)!r}: give the folder that holds the runs")
    if where is None and sort is None and not show:
        runs = list(_list_runs(place))[:limit]
        _echo_unreadable(runs)
    else:
        runs = _find_runs(place, where, sort, show, limit)
    if not runs:
        terminal.echo_note(
            f"there are no runs in {terminal.printable(place)}: --store DIR looks elsewhere"
            if where is None
            else "no runs match"
        )
    if as_json:
        terminal.echo_json([_run_to_json(run, show) for run in runs])
    elif not runs:
        return
    elif terminal.on_terminal():
        _show_runs(runs, show)
    else:
        for run in runs:
            click.echo(_format_run_line(run))


def _list_runs(store: Path) -> Iterator[ListedRun]:
    """Yield every run of the store. For each run, this has to open the run's files."""
    for entry in scan_runs(store):
        if isinstance(entry, UnreadRun):
            path = entry.path
            yield ListedRun(path.name, path.parent.name, _UNREADABLE, path, reason=entry.reason)
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
        samples=_count_samples(entry.path),
    )


def _find_runs(
    store: Path, where: str | None, sort: str | None, show: Sequence[str], limit: int | None
) -> list[ListedRun]:
    """Return the runs that meet the conditions, from the tables. Print the notes of the answer."""
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
    "reason",
    "started_ns",
    "ended_ns",
    "dropped_samples",
    "dropped_events",
)


def _count_samples(folder: Path) -> int:
    """Count the samples in a run's files from the offsets at which the files' data ends."""
    count = 0
    for files in list_writer_files(folder):
        try:
            end = find_end(files.samples_path)
        except OSError:
            continue
        count += max(0, end - layout.HEADER_SIZE) // layout.RECORD_SIZE
    return count


def _echo_unreadable(runs: Sequence[ListedRun]) -> None:
    """Print why runs can't be read, for the first few unreadable runs."""
    unreadable = [run for run in runs if run.status == _UNREADABLE]
    for run in unreadable[:_MOST_REASONS]:
        terminal.echo_notes([f"run {run.experiment}/{run.id} can't be read: {run.reason}"])
    if len(unreadable) > _MOST_REASONS:
        more = len(unreadable) - _MOST_REASONS
        terminal.echo_note(f"{more:,} more runs can't be read; --json says why")


# -- output -----------------------------------------------------------------------------------


def _run_to_json(run: ListedRun, show: Sequence[str]) -> dict[str, Any]:
    return {
        "id": run.id,
        "experiment": run.experiment,
        "project": run.project,
        "owner": run.owner,
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
    """Format a run as fields separated by tabs. A missing field is empty."""
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


def _show_runs(runs: Sequence[ListedRun], show: Sequence[str]) -> None:
    """Print the runs as a table. If it is too wide, the least important columns are left out."""
    lossy = any(run.dropped for run in runs)
    rows: list[list[Text]] = []
    for run in runs:
        cells = [
            terminal.cell(run.id, "bold"),
            terminal.cell(run.experiment),
            terminal.styled(run.status, terminal.STYLES.get(run.status, "")),
            terminal.styled(terminal.local_text(run.started_ns, short=True)),
            terminal.styled(terminal.format_duration(run.duration_s)),
            terminal.styled("-" if run.samples is None else str(run.samples)),
        ]
        cells += [Text(str(run.dropped), "red" if run.dropped else "")] if lossy else []
        cells += [terminal.cell(terminal.value_text(value)) for value in run.values]
        rows.append(cells)
    columns = ["id", "experiment", "status", "started", "duration", "samples"]
    columns += ["dropped"] if lossy else []
    headings = _fold_headings(show, rows) if show else []
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
        )
    )


def _fold_headings(show: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[str]:
    """Return the headings of the shown values, in several lines if the table is too wide."""
    headings = [terminal.printable(name) for name in show]
    ids = max(row[0].cell_len for row in rows)
    values = sum(
        max(len(heading), *(row[place].cell_len for row in rows))
        for place, heading in enumerate(headings, -len(headings))
    )
    if ids + values + 2 * len(headings) + len("  interrupted") <= terminal.console().width:
        return headings
    return [terminal.fold_heading(heading) for heading in headings]


GROUP = "Look"
COMMANDS = [runs_command]
