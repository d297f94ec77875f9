"""``provml show``: shows an overview of a run.

Imports `journal`; imports the tables and `model` only when the command runs.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from provml.cli import _terminal as terminal
from provml.cli._choice import choose_run
from provml.cli._follow import follow_option, redraw_until_end
from provml.cli._options import exact_option, examples, json_option, run_argument, store_option
from provml.errors import StoreError
from provml.journal.kept_copies import (
    OUTPUT_NAMES,
    copy_path,
    find_unfinished_logs,
    open_copy,
    printable_line,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from provml.cli._overview import Overview
    from provml.journal.reader import Journal
    from provml.journal.status import RunState

_LIVE_SECTIONS = ("", "series")


@click.command(
    "show",
    epilog=examples(
        "provml show latest", "provml show latest --resources", "provml show latest --output"
    ),
)
@run_argument
@click.option(
    "--resources", is_flag=True, help="Show the run's resource use instead of the overview."
)
@click.option(
    "--output",
    "only_output",
    is_flag=True,
    help="Print what the command of the run printed, instead of the overview.",
)
@click.option(
    "--copy",
    metavar="NAME",
    help="Print the copy of NAME that the run kept, such as config.yaml, instead of the overview.",
)
@follow_option
@exact_option
@json_option
@store_option
def show_command(
    run: str,
    resources: bool,
    only_output: bool,
    copy: str | None,
    follow: bool,
    as_json: bool,
    store: str | None,
) -> None:
    """Show what a run recorded.

    Prints the run's status, parameters, child runs, series, data, models, code, last events and
    documents. If the run failed, also prints the end of its error output. Numbers are rounded to
    six digits, unless you add --exact.

    --output prints to standard output what the command printed to it, and likewise for standard
    error. provml run keeps the output, unless you turn that off.

    With --json, all values are exact. Integers beyond 2**53, decimals, NaN, INF and -INF are
    strings. Times are xsd:dateTime with nanoseconds, and bytes are base64.
    """
    from provml.cli._overview_reading import read_overview
    from provml.cli._overview_tables import build_sections
    from provml.journal.reader import Journal

    folder = choose_run(run, store)
    if follow:
        if copy is not None or only_output or as_json:
            raise click.UsageError("--follow can't be combined with --copy, --output or --json")
        redraw_until_end([folder], _LiveResources(folder) if resources else _LiveOverview(folder))
        return
    journal = Journal(folder)
    if resources:
        _show_resources(journal, as_json)
        return
    found = read_overview(journal)
    if only_output:
        _print_output(found)
    elif copy is not None:
        _print_copy(found, copy)
    elif as_json:
        terminal.echo_json(found.to_dict())
    else:
        terminal.show(*build_sections(found))


class _LiveOverview:
    """The overview of a run that is being recorded."""

    def __init__(self, folder: Path) -> None:
        from provml.cli._overview_reading import FollowedOverview

        self._folder = folder
        self._overview = FollowedOverview(folder)

    def read_new(self) -> bool:
        """Read the run's new data. Return True if there was any."""
        return self._overview.read_new()

    def build(self, states: Sequence[RunState]) -> list[RenderableType]:
        """Return the sections of the overview. The sections that grow come first."""
        from provml.cli._overview_tables import build_sections

        return build_sections(self._overview.build(states[0]), _LIVE_SECTIONS)

    def show_end(self) -> None:
        """Print the overview of the run, which has ended."""
        from provml.cli._overview_reading import read_overview
        from provml.cli._overview_tables import build_sections
        from provml.journal.reader import Journal

        terminal.show(*build_sections(read_overview(Journal(self._folder))))

    def close(self) -> None:
        """Close all files."""
        self._overview.close()


class _LiveResources:
    """The resource use of a run that is being recorded."""

    def __init__(self, folder: Path) -> None:
        from provml.model.followed_run import FollowedRun
        from provml.model.resources import ResourceSummary

        self._run = FollowedRun(folder)
        self._summary = ResourceSummary()

    def read_new(self) -> bool:
        """Read the run's new data. Return True if there was any."""
        is_changed = False
        for part in self._run.read_new():
            is_changed = True
            for record in part.records:
                self._summary.add_record(record)
            for block in part.blocks:
                self._summary.add_block(block)
        return is_changed

    def build(self, states: Sequence[RunState]) -> list[RenderableType]:
        """Return the table of the resources."""
        from provml.cli._resource_tables import build_resource_tables

        return build_resource_tables(self._summary.build(self._run.table))

    def show_end(self) -> None:
        """Print the resource use of the run, which has ended."""
        terminal.show(*self.build(()))

    def close(self) -> None:
        """Close all files."""
        self._run.close()


def _print_output(found: Overview) -> None:
    """Print the kept output of the run's command, each stream to the stream of the same name.

    If the command is still running or was killed, prints its output so far.
    """
    copies = _find_copies(found)
    logs: dict[str, list[Path]] = {name: [copies[name]] for name in OUTPUT_NAMES if name in copies}
    for name, paths in find_unfinished_logs(found.folder):
        if name in OUTPUT_NAMES and (name not in logs or found.state.status == "running"):
            logs[name] = paths
    if not logs:
        raise StoreError(
            f"run {found.description['id']} kept no output: only `provml run` keeps the output of "
            "a command, unless that is turned off"
        )
    for name, paths in sorted(logs.items(), reverse=True):
        for path in paths:
            _print_file(found.folder, path, sys.stderr if name == "stderr" else sys.stdout)


def _find_copies(found: Overview) -> dict[str, Path]:
    """Return the paths of the copies that the run kept, by name."""
    return {
        content.name: path
        for content in (*found.code, *found.contents)
        if (path := copy_path(found.folder, content.facts)) is not None
    }


def _print_copy(found: Overview, name: str) -> None:
    kept = _find_copies(found)
    if name not in kept:
        names = ", ".join(map(repr, kept)) or "none"
        raise StoreError(
            f"run {found.description['id']} kept no copy named {name!r}; it has: {names}"
        )
    _print_file(found.folder, kept[name], sys.stdout)


def _print_file(run_folder: Path, path: Path, stream: TextIO) -> None:
    """Print a kept file: unchanged to a pipe, with control characters escaped to a terminal."""
    with open_copy(run_folder, path) as file:
        if stream.isatty():
            for line in file:
                shown = printable_line(line.rstrip(b"\r\n").decode("utf-8", "replace"))
                click.echo(shown, file=stream)
        else:
            shutil.copyfileobj(file, stream.buffer)
            stream.buffer.flush()


def _show_resources(journal: Journal, as_json: bool) -> None:
    from provml.cli._resource_tables import build_resource_tables, resource_to_json
    from provml.model.resources import resource_use

    found = resource_use(journal)
    if as_json:
        terminal.echo_json([resource_to_json(use) for use in found])
    else:
        terminal.show(*build_resource_tables(found))


GROUP = "Look"
COMMANDS = [show_command]
