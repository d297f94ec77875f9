"""``provml check``: checks whether the files of runs are undamaged.

Imports `journal`; imports `run_check` only when the command runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provml.base.results import Damage
from provml.cli import _terminal as terminal
from provml.cli._choice import choose_runs
from provml.cli._options import examples, json_option, store_option
from provml.errors import ProvMLError
from provml.journal.store import UnreadRun, list_run_folders

if TYPE_CHECKING:
    from provml.run_check import RunCheck


@click.command("check", epilog=examples("provml check latest", "provml check provenance --json"))
@click.argument("names", metavar="RUN|STORE...", nargs=-1, required=True)
@json_option
@store_option
def check_command(names: tuple[str, ...], as_json: bool, store: str | None) -> None:
    """Check whether the files of runs are undamaged.

    Checks the checksums of all records and samples, the copies of artifacts, and the documents.
    Prints one line for each run. If you name the folder of a store, checks all runs in it.

    The exit status is 1 if anything is damaged, missing or unreadable. If a run was killed or is
    still recording, the data written after its last sync can't be checked. The run's line says so.
    """
    checks: list[RunCheck] = []
    for name in names:
        for check in _check_all(name, store):
            checks.append(check)
            if not as_json:
                click.echo(terminal.printable(_describe(check)))
    if as_json:
        terminal.echo_json([_to_json(check) for check in checks])
    if not all(check.ok for check in checks):
        raise click.exceptions.Exit(1)


def _check_all(name: str, store: str | None) -> Iterator[RunCheck]:
    """Check a run, or all runs of a store, and yield the results.

    Folders that can't be read as runs count as damaged.
    """
    from provml.run_check import RunCheck, check_run

    folders, is_store = choose_runs(name, store)
    if is_store:
        unread: list[UnreadRun] = []
        list_run_folders(name, unread)
        for run in unread:
            yield RunCheck(run.path, (Damage(None, f"can't be checked: {run.reason}"),))
    for folder in folders:
        try:
            yield check_run(folder)
        except ProvMLError as error:  # another process removed the run
            yield RunCheck(folder, (Damage(None, f"can't be checked: {error}"),))


def _describe(check: RunCheck) -> str:
    parts = [str(found) for found in check.damage] or ["ok"]
    parts += [f"not covered: {reason}" for reason in check.not_covered]
    return f"{_name(check.path)}: {'; '.join(parts)}"


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _to_json(check: RunCheck) -> dict[str, Any]:
    return {
        "run": _name(check.path),
        "path": str(check.path),
        "ok": check.ok,
        "damage": [dict(found) for found in check.damage],
        "not_covered": list(check.not_covered),
    }


GROUP = "Store"
COMMANDS = [check_command]
