"""``provml export``: writes runs as documents.

Imports `journal.reader` and `journal.store`; imports `export` only when the command runs.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

from provml.base.sinks import open_sink
from provml.cli import _terminal as terminal
from provml.cli._choice import choose_run
from provml.cli._options import FormatName, examples, store_option, view_of, view_options
from provml.cli.recover import describe_swept
from provml.journal.reader import describe_damage

_STDOUT = "-"
_DEFAULT_FORMAT = "provjson"


@click.command(
    "export",
    epilog=examples(
        "provml export latest",
        "provml export latest -o run.ttl.gz",
        "provml export latest --format svg --around model/net -o net.svg",
        "provml export first second -o both.json",
    ),
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--format",
    "format_name",
    type=FormatName(),
    help="The output format. To list the formats, run 'provml formats'.  [default: from the "
    "extension of FILE, otherwise provjson]",
)
@click.option(
    "--detail",
    type=click.Choice(["sample", "series"]),
    help="Write every sample, or a summary of each series with a reference to its samples file.  "
    "[default: series for graphs, for pictures and above a million samples; otherwise sample]",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="The file to write, or - for standard output. A file whose name ends in .gz or .zst is "
    "compressed.  [default: provenance.* in the run's folder; the path is printed]",
)
@view_options
@store_option
def export_command(
    runs: tuple[str, ...],
    format_name: str | None,
    detail: str | None,
    output: str | None,
    store: str | None,
    **view_given: Any,
) -> None:
    """Write runs as a PROV document, a picture or a table.

    You can export a run at any time, even while it is still recording. Memory use does not grow
    with the size of the runs. An existing file is replaced only when the new file is complete.

    Several runs are written to one document with a bundle (in RDF, a named graph) for each run. To
    export several runs, name the file with -o.
    """
    from provml.export import (
        document_path,
        export,
        export_bundles,
        find_format,
        guess_format,
        is_own_document,
        open_document,
        sweep_run_folder,
    )

    view = view_of(view_given)
    if format_name is not None:
        chosen = find_format(format_name)
    else:
        chosen = guess_format(output or "") or find_format(_default_format_for(output))
    folders = list(dict.fromkeys(choose_run(run, store) for run in runs))
    if output is None and len(folders) > 1:
        raise click.UsageError("several runs are written to one document: name the file with -o")
    target: Any = document_path(folders[0], chosen) if output is None else output
    if output == _STDOUT:
        target = sys.stdout.buffer
    is_own = len(folders) == 1 and is_own_document(folders[0], chosen, target)
    opened = open_document(folders[0], chosen) if is_own else open_sink(target)
    with opened as sink, _count_bytes(sink, output == _STDOUT) as counted:
        written = cast(BinaryIO, counted)
        if len(folders) == 1:
            mapping = export(folders[0], chosen, written, detail, view)
            samples, details = mapping.samples, {mapping.detail}
            damage = mapping.journal.damage()
        else:
            bundles = export_bundles(folders, chosen, written, detail, view)
            samples, details, damage = bundles.samples, bundles.details, bundles.damage()
    if output == _STDOUT:
        sys.stdout.buffer.flush()
        where, size = "standard output", counted.size
    else:
        where = terminal.printable(target)
        size = os.path.getsize(target) if os.path.isfile(target) else counted.size
    if output is None:
        click.echo(where)
    runs_text = f"{len(folders)} runs, " if len(folders) > 1 else ""
    terminal.echo_note(
        f"wrote {where}: {terminal.size_text(size)}, {runs_text}{' and '.join(sorted(details))} "
        f"detail, {samples:,} samples"
    )
    if output is None:
        terminal.echo_notes(describe_swept(sweep_run_folder(folders[0])))
    note = describe_damage(damage)
    if note is not None:
        terminal.echo_note(note)
    if detail is None and "series" in details and chosen.default_detail is None:
        terminal.echo_note(_detail_advice(chosen.name, folders))


def _detail_advice(format_name: str, folders: list[Path]) -> str:
    named = " ".join(shlex.quote(terminal.printable(folder)) for folder in folders)
    return (
        "the document contains a summary of each series, because there are many samples; to write "
        f"every sample, run: provml export {named} --format {format_name} --detail sample"
    )


def _default_format_for(output: str | None) -> str:
    """Return the default format, for a file whose name has no extension.

    Raises UsageError if the name has an extension. Call this only if no format uses the extension.
    """
    name = os.path.basename(output or "").lower().removesuffix(".gz").removesuffix(".zst")
    if "." in name.lstrip("."):
        raise click.UsageError(
            f"can't tell the format from the extension of {output}: choose one with --format "
            "(to list the formats, run 'provml formats')"
        )
    return _DEFAULT_FORMAT


class _CountingSink:
    """A sink that counts the bytes written to it."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self.size = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        return self._sink.write(data)


@contextmanager
def _count_bytes(sink: BinaryIO, to_stdout: bool) -> Iterator[_CountingSink]:
    """Count the bytes that are written to a sink, and show the count while it grows.

    The count is shown only if standard error is a terminal, and the document is not written to a
    terminal.
    """
    counted = _CountingSink(sink)
    if not sys.stderr.isatty() or (to_stdout and sys.stdout.isatty()):
        yield counted
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=terminal.console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading")

        class _Shown(_CountingSink):
            def write(self, data: bytes) -> int:
                written = super().write(data)
                progress.update(task, description=f"writing, {terminal.size_text(self.size)}")
                return written

        yield _Shown(sink)


GROUP = "Documents"
COMMANDS = [export_command]
