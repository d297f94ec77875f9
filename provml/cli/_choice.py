"""Asks on the terminal which of several things an ambiguous name means.

In a pipe, an ambiguous name is an error that lists the meanings. Imports only `errors` and
`journal` from provml.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from provml.cli import _terminal as terminal
from provml.errors import ProvMLError, RunNotFoundError
from provml.journal.status import read_run_state
from provml.journal.store import find_run, find_runs

_MOST_CHOICES = 20


def can_ask() -> bool:
    """Return whether the user can see a question and answer it."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def choose_run(name: str, store: str | None) -> Path:
    """Return the folder of the run that a name refers to. If several runs match, ask which one.

    Raises RunNotFoundError if no run matches, or if several match and the user can't be asked.
    """
    try:
        return find_run(name, store)
    except RunNotFoundError as error:
        return _choose_folder(name, error)


def choose_runs(name: str, store: str | None) -> tuple[list[Path], bool]:
    """Find the runs that a name refers to. If several runs match, ask which one is meant.

    Returns:
        The folders of the runs, and whether the name refers to a store.
    """
    try:
        return find_runs(name, store)
    except RunNotFoundError as error:
        return [_choose_folder(name, error)], False


def _choose_folder(name: str, error: RunNotFoundError) -> Path:
    if not error.candidates or not can_ask():
        raise error
    folders = [Path(folder) for folder in list(error.candidates)[-_MOST_CHOICES:]]
    left_out = len(error.candidates) - len(folders)
    older = f" ({left_out:,} older ones are not listed)" if left_out else ""
    place = ask(f"{name} matches these runs{older}:", list(map(_describe_run, folders)))
    return folders[place]


def _describe_run(folder: Path) -> str:
    name = f"{folder.parent.name}/{folder.name}"
    try:
        state = read_run_state(folder)
    except ProvMLError:
        return name
    return f"{name}  {state.status}, started {terminal.local_text(state.started_ns)}"


def ask(question: str, choices: Sequence[str]) -> int:
    """Print a numbered list of choices, and return the index of the user's choice.

    Prints to standard error. Raises click.Abort if the user presses Ctrl-C.
    """
    terminal.echo_note(terminal.printable(question))
    for number, choice in enumerate(choices, 1):
        terminal.echo_note(f"  {number}  {terminal.printable(choice)}")
    kind = click.IntRange(1, len(choices))
    chosen: int = click.prompt("which one", type=kind, err=True, show_default=False)
    return chosen - 1
