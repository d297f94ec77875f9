"""``provml diff``: shows the differences between runs.

Imports `lineage` only when the command runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from provml.cli import _terminal as terminal
from provml.cli._choice import choose_run
from provml.cli._options import exact_option, examples, json_option, store_option

if TYPE_CHECKING:
    from rich.text import Text

    from provml.lineage.compare import Comparison

_SHORT_DIGEST = 12
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command(
    "diff",
    epilog=examples(
        "provml diff latest 20260301T120000-abc",
        "provml diff --json digits/first digits/second",
    ),
)
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True)
@exact_option
@json_option
@store_option
def diff_command(runs: tuple[str, ...], as_json: bool, store: str | None) -> None:
    """Show what differs between runs.

    Compares commands, parameters, tags, environments, packages, digests of data, and the last,
    lowest and highest value of each metric. Differences in the recorded code and configuration are
    shown as unified diffs against the first run. Also says what a run did not record. Numbers are
    rounded to six digits, unless rounding would hide the difference or you add --exact. With
    --json, the output also contains the values that are the same in all runs.

    In a pipe, each difference is one line of tab-separated fields: part, name, and the exact value
    in each run. The diff of the code follows these lines.
    """
    from provml.lineage.questions import open_store

    opened = open_store(store)
    comparison = opened.diff(*(choose_run(run, str(opened.path)) for run in runs))
    terminal.echo_notes(comparison.notes)
    if as_json:
        terminal.echo_json(terminal.exact(comparison.to_dict()))
        return
    differences = comparison.table().rows
    if terminal.on_terminal():
        _show_differences(comparison)
    else:
        for row in differences:
            click.echo(terminal.tab_line(row))
    for name, lines in comparison.code.items():
        if terminal.on_terminal():
            click.echo(click.style(f"\ncode: {terminal.printable(name)}", bold=True))
        for line in lines:
            click.echo(click.style(terminal.printable(line), fg=_COLOURS.get(line[:1])))
    if not differences and not comparison.code:
        terminal.echo_note("nothing recorded differs")
    terminal.echo_notes(_describe_unrecorded(comparison))


def _describe_unrecorded(comparison: Comparison) -> Iterator[str]:
    """Yield messages, each with a group of runs and the parts that these runs did not record."""
    parts_by_runs: dict[tuple[str, ...], list[str]] = {}
    for part, runs in comparison.unrecorded.items():
        parts_by_runs.setdefault(tuple(runs), []).append(part)
    for without, parts in parts_by_runs.items():
        where = "any run" if len(without) == len(comparison.runs) else ", ".join(without)
        yield f"not recorded in {where}: {', '.join(parts)}"


def _show_differences(comparison: Comparison) -> None:
    rows: list[list[Text]] = []
    part_before = None
    for part, name, values in comparison.differences():
        shown = _shorten_commands(values) if (part, name) == ("state", "command") else values
        cells = [part if part != part_before else "", name, *_format_values(part, shown)]
        part_before = part
        rows.append([terminal.cell(cell) for cell in cells])
    if rows:
        headings = _run_headings(comparison.runs)
        facts = sum(max(row[place].cell_len for row in rows) + 2 for place in (0, 1))
        if facts + sum(len(heading) + 2 for heading in headings) > terminal.console().width + 2:
            headings = [terminal.fold_heading(heading) for heading in headings]
        columns = ["part", "name", *headings]
        terminal.show(terminal.table(columns, rows, cut=[*columns[:1:-1], "name"]))


def _shorten_commands(commands: list[str | None]) -> list[str | None]:
    """Return the commands without the program's folder, if all commands run the same program."""
    programs = {None if command is None else command.partition(" ")[0] for command in commands}
    if len(programs) > 1 or "/" not in (next(iter(programs)) or ""):
        return commands
    start = (next(iter(programs)) or "").rfind("/") + 1
    return [None if command is None else command[start:] for command in commands]


def _run_headings(runs: list[str]) -> list[str]:
    """Return the runs' column headings: their ids, or their full names if two ids are the same."""
    ids = [run.rpartition("/")[2] for run in runs]
    return [*map(terminal.printable, ids if len(set(ids)) == len(ids) else runs)]


def _format_values(part: str, values: list[Any]) -> list[str]:
    """Format the values that the runs have for one name. Different values never look the same."""
    if part == "data":
        cells = ["-" if v is None else ", ".join(d[:_SHORT_DIGEST] for d in v) for v in values]
        exact = ["-" if v is None else ", ".join(v) for v in values]
    else:
        cells = [terminal.value_text(value) for value in values]
        exact = ["-" if value is None else str(value) for value in values]
    return cells if len(set(cells)) == len(set(exact)) else exact


GROUP = "Compare"
COMMANDS = [diff_command]
