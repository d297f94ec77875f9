"""``provml recover``: closes runs whose processes were killed, and writes their documents.

Imports `journal`; imports `export` and `capture` only when the command runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from provml.cli import _terminal as terminal
from provml.cli._choice import choose_runs
from provml.cli._options import FormatName, examples, store_option
from provml.errors import ProvMLError
from provml.journal.reader import Journal
from provml.journal.recovery import recover

_DEFAULT_FORMATS = ("provjson",)


@click.command(
    "recover",
    epilog=examples("provml recover latest", "provml recover provenance"),
)
@click.argument("names", metavar="RUN|STORE...", nargs=-1, required=True)
@click.option(
    "--format",
    "format_name",
    type=FormatName(),
    help="The format of the document.  [default: the formats that the run was started with]",
)
@click.option(
    "--force",
    is_flag=True,
    help="Close a run even if its process can't be checked from this machine or container. Use "
    "this only if you know that the process has ended.",
)
@store_option
def recover_command(
    names: tuple[str, ...], format_name: str | None, force: bool, store: str | None
) -> None:
    """Close runs that were killed, and write their missing documents.

    The recorded data is not changed, and no file becomes shorter. If the run was started with
    provml run, the command also records the output and the files that the killed process left
    behind. If a process was killed while it wrote a document, the command removes the unfinished
    file and writes the document.

    The command refuses to close a run if its main process is alive or may be alive. It can't tell
    if the process runs on another machine, or in another container on a file system without locks.
    Forked children that outlive the main process are not affected. A run that has ended keeps its
    status, so you can safely repeat the command.

    If you name the folder of a store, the command recovers all of its runs that are not being
    recorded. If one of them can't be recovered, the command continues with the others.
    """
    failed = False
    for name in names:
        folders, is_store = choose_runs(name, store)
        if not is_store:
            for line in _recover_run(folders[0], format_name, force):
                click.echo(terminal.printable(line))
            continue
        failed |= _recover_store(name, folders, format_name, force)
    if failed:
        raise click.exceptions.Exit(1)


def _recover_store(name: str, folders: list[Path], format_name: str | None, force: bool) -> bool:
    """Recover the runs of a store. Return True if any run could not be recovered."""
    recording = recovered = failed = 0
    for folder in folders:
        run_name = f"{folder.parent.name}/{folder.name}"
        try:
            if Journal(folder).state().status == "running":
                recording += 1
                continue
            lines = list(_recover_run(folder, format_name, force, quiet=True))
        except (ProvMLError, OSError) as error:
            failed += 1
            terminal.echo_notes([f"{run_name}: {error}"])
            continue
        recovered += bool(lines)
        for line in lines:
            click.echo(terminal.printable(f"{run_name}: {line}"))
    counts = [f"recovered {recovered:,} of {len(folders):,} runs"]
    counts += [f"{recording:,} still being recorded"] if recording else []
    counts += [f"{failed:,} could not be recovered"] if failed else []
    click.echo(f"{terminal.printable(name)}: {', '.join(counts)}")
    return failed > 0


def _recover_run(
    folder: Path, format_name: str | None, force: bool, quiet: bool = False
) -> Iterable[str]:
    """Recover a run, and yield a message for each change.

    Args:
        quiet: whether to yield nothing if there is nothing to recover.
    """
    from provml.export import (
        document_path,
        find_missing_documents,
        requested_formats,
        sweep_run_folder,
        write_document,
    )

    closed = recover(folder, force)
    yield from closed
    state = Journal(folder).state()
    leftovers = _record_leftovers(folder) if state.status == "crashed" else []
    yield from leftovers
    swept = describe_swept(sweep_run_folder(folder))
    yield from swept
    journal = Journal(folder)
    requested = requested_formats(journal)
    wanted = requested or (_DEFAULT_FORMATS if state.status == "crashed" else ())
    if format_name is not None and (state.status == "crashed" or format_name in wanted):
        wanted = (format_name,)
    missing = find_missing_documents(folder, wanted)
    for name in missing.unknown:
        yield f"could not write the document: this provml has no format {name!r}"
    for chosen in missing.formats:
        mapping = write_document(folder, chosen)
        path = document_path(folder, chosen)
        size = terminal.size_text(path.stat().st_size)
        yield f"wrote {path} ({size}, {mapping.samples:,} samples)"
    if quiet or closed or leftovers or swept or missing.formats or missing.unknown:
        return
    recovered = state.status == "crashed"
    done = "already recovered" if recovered else "nothing to recover"
    yield f"{done}: {folder.name} is {state.status}"
    if requested is None and not list(folder.glob("provenance.*")):
        yield f"to write a document, run: provml export {folder}"


def describe_swept(swept: list[Path]) -> list[str]:
    """Describe the unfinished files that `sweep_run_folder` removed, one message for each."""
    return [f"removed an unfinished file: {path}" for path in swept]


def _record_leftovers(folder: Path) -> list[str]:
    """Record the output and files that a killed ``provml run`` left behind.

    Prints a note if the output or the files can't be recorded.
    """
    from provml.capture.command.leftovers import record_leftovers

    try:
        return record_leftovers(folder)
    except (ProvMLError, OSError) as error:
        terminal.echo_notes(
            [f"could not record the output and files of the killed command: {error}"]
        )
        return []


GROUP = "Store"
COMMANDS = [recover_command]
