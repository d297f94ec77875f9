"""``provml demo``: trains a small neural network, and records the training as a run.

Imports `provml.demo` only when the command runs.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from provml.cli import _terminal as terminal
from provml.cli._options import store_option

if TYPE_CHECKING:
    from provml.demo import Demo, Epoch

_LINE_EPOCHS = 4
_NEEDED = ("duckdb", "pyarrow", "jsonschema", "pyshacl", "rdflib")
"""The optional packages that the suggested commands need."""


@click.command("demo")
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="The number of epochs (passes over the training data).",
)
@store_option
def demo_command(epochs: int, store: str | None) -> None:
    """Train a small neural network, and record the run.

    The network learns to recognise handwritten digits. The training takes a few seconds and always
    gives the same results. The demo also writes a web page that shows the graph of the run.

    Needs scikit-learn: pip install 'provml[all]'
    """
    from provml.demo import run_demo

    with _progress(epochs) as report:
        done = run_demo(epochs, store, report)
    _summarize(done)
    _suggest(done, store)


@contextmanager
def _progress(epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """Show the progress of the training: as a bar on a terminal, or as lines of text in a pipe."""
    if not sys.stdout.isatty():
        yield _echo_epoch
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn())
    description = TextColumn("{task.description}", style="dim")
    with Progress(*columns, description, console=terminal.console()) as progress:
        task = progress.add_task("", total=epochs)
        yield lambda epoch: progress.update(task, advance=1, description=_epoch_text(epoch))


def _epoch_text(epoch: Epoch) -> str:
    return f"loss {epoch.loss:.4f}, validation accuracy {epoch.validation_accuracy:.4f}"


def _echo_epoch(epoch: Epoch) -> None:
    if epoch.number == 1 or epoch.number == epoch.epochs or epoch.number % _LINE_EPOCHS == 0:
        click.echo(f"epoch {epoch.number:2} of {epoch.epochs}: {_epoch_text(epoch)}")


def _summarize(done: Demo) -> None:
    results = ", ".join(f"{name} {value:.4f}" for name, value in done.results.items())
    percent = 100 * done.recording_s / done.loop_s
    rows = [
        ("run", done.run_id),
        ("folder", str(done.path)),
        ("document", f"{done.document}, {terminal.size_text(done.document_bytes)}"),
        ("results", f"evaluation {results}"),
        ("recorded", f"{done.samples:,} samples of {done.series} series"),
        ("PROV", f"{done.entities:,} entities, {done.activities:,} activities"),
        ("recording", f"{percent:.2f} % of the training loop: {_of_loop(done)}"),
        ("at the end", f"{terminal.format_duration(done.end_s)} to write the document"),
        *([("page", str(done.page))] if done.page is not None else []),
    ]
    click.echo()
    for name, value in rows:
        click.echo(f"{name:11} {terminal.printable(value)}")


def _of_loop(done: Demo) -> str:
    recording, loop = map(terminal.format_duration, (done.recording_s, done.loop_s))
    return f"{recording} of {loop}"


def _suggest(done: Demo, store: str | None) -> None:
    """Print commands to try next, and the command that opens the page with the run's graph."""
    where = "" if store is None else f" --store {shlex.quote(store)}"
    provml = _command()
    click.echo("\nnext:")
    for command in (
        f"{provml} show latest{where}",
        f"{provml} plot latest loss accuracy{where}",
        f"{provml} runs{where}",
        f"{provml} lineage latest{where}",
        f"{provml} validate latest{where}",
        f"{provml} export latest --format turtle --detail series -o -{where}",
    ):
        click.echo(f"  {terminal.printable(command)}")
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        click.echo(
            f"some of these commands need packages that are not installed ({names}): "
            "pip install 'provml[all]'"
        )
    if done.page is None:
        click.echo(f"\nthe page with the run's graph was not written: {done.missing}")
        return
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    page = shlex.quote(os.fspath(done.page))
    click.echo("\nsee the run's graph in a browser:")
    click.echo(f"  {opener} {terminal.printable(page)}")


def _command() -> str:
    """Return the shell command that starts this installation of provml.

    Returns ``provml`` if the installation's folder is on the PATH, otherwise a command with a path.
    """
    folder = os.path.dirname(sys.executable)
    script = os.path.join(folder, "provml")
    if not os.access(script, os.X_OK):
        return f"{shlex.quote(sys.executable)} -m provml"
    if folder in os.get_exec_path():
        return "provml"
    return shlex.quote(min(script, os.path.relpath(script), key=len))


GROUP = "Try it"
COMMANDS = [demo_command]
