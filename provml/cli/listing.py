"""``provml list``. Imports `store`, `journal.recovery`."""

from __future__ import annotations

import time
from dataclasses import dataclass

import click

from provml.base.settings import default_store
from provml.cli import _terminal as terminal
from provml.cli._options import json_option, store_option
from provml.journal import layout
from provml.journal.files import list_writer_files
from provml.journal.recovery import find_end
from provml.journal.store import RunEntry, UnreadRun, scan_runs


@dataclass(frozen=True, slots=True)
class _Row:
    """A run and what takes a look into its files to know."""

    entry: RunEntry
    samples: int

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; to now for a run under way."""
        state = self.entry.state
        ended_ns = time.time_ns() if state.status == "running" else state.ended_ns
        return terminal.duration_s(state.started_ns, ended_ns)


@click.command("list")
@json_option
@store_option
def list_command(as_json: bool, store: str | None) -> None:
    """List the runs of a store, the oldest first.

    In a pipe, one line a run with its fields separated by tabs: id, experiment, status, start
    (UTC), duration in seconds (of a run under way, so far; empty where a run died without an end),
    samples, dropped samples, dropped events, folder. Control characters in names are escaped
    there; --json has them as they are.
    """
    place = default_store() if store is None else store
    rows: list[_Row] = []
    unread: list[UnreadRun] = []
    for entry in scan_runs(place):
        if isinstance(entry, UnreadRun):
            unread.append(entry)
        else:
            rows.append(_Row(entry, _samples(entry)))
    if unread:
        terminal.echo_note(terminal.printable(_complaint(unread)))
    elif not rows:
        name = terminal.printable(place)
        terminal.echo_note(f"there are no runs in {name}; --store DIR looks elsewhere")
    if as_json:
        terminal.echo_json([_described(row) for row in rows])
    elif not rows:
        return
    elif terminal.on_terminal():
        _show(rows)
    else:
        for row in rows:
            click.echo(_line(row))


def _complaint(unread: list[UnreadRun]) -> str:
    first = unread[0]
    if len(unread) == 1:
        return f"run {first.path.name} can't be read: {first.reason}"
    return f"{len(unread)} runs can't be read; the first, {first.path.name}: {first.reason}"


def _samples(entry: RunEntry) -> int:
    """How many samples the run's files hold, by how far they are written."""
    count = 0
    for files in list_writer_files(entry.path):
        try:
            end = find_end(files.samples_path)
        except OSError:
            continue
        count += max(0, end - layout.HEADER_SIZE) // layout.RECORD_SIZE
    return count


def _described(row: _Row) -> dict[str, object]:
    entry, state = row.entry, row.entry.state
    return {
        "id": entry.id,
        "experiment": entry.experiment,
        "project": entry.project,
        "owner": entry.owner,
        "status": state.status,
        "reason": state.reason,
        "started": terminal.time_text(state.started_ns),
        "ended": terminal.time_text(state.ended_ns),
        "duration_s": row.duration_s,
        "samples": row.samples,
        "dropped_samples": state.dropped_samples,
        "dropped_events": state.dropped_events,
        "path": str(entry.path),
    }


def _line(row: _Row) -> str:
    entry, state = row.entry, row.entry.state
    duration_s = row.duration_s
    fields = (
        entry.id,
        entry.experiment,
        state.status,
        terminal.time_text(state.started_ns) or "",
        "" if duration_s is None else f"{duration_s:.3f}",
        row.samples,
        state.dropped_samples,
        state.dropped_events,
        entry.path,
    )
    return "\t".join(map(terminal.printable, fields))


def _show(rows: list[_Row]) -> None:
    from rich.text import Text

    lossy = any(row.entry.state.dropped_samples + row.entry.state.dropped_events for row in rows)
    columns = ["id", "experiment", "status", "started", "duration", "samples"]
    columns += ["dropped"] if lossy else []
    made: list[list[Text]] = []
    for row in rows:
        entry, state = row.entry, row.entry.state
        dropped = state.dropped_samples + state.dropped_events
        cells = [
            Text(terminal.printable(entry.id), "bold"),
            Text(terminal.printable(entry.experiment)),
            Text(state.status, terminal.STYLES[state.status]),
            Text(terminal.local_text(state.started_ns, short=True)),
            Text(terminal.duration_text(row.duration_s)),
            Text(str(row.samples)),
        ]
        cells += [Text(str(dropped), "red" if dropped else "")] if lossy else []
        made.append(cells)
    numbers = ("duration", "samples", "dropped")
    terminal.show(
        terminal.table(columns, made, right=numbers, cut=["experiment", "started", "duration"])
    )


GROUP = "Look"
COMMANDS = [list_command]
