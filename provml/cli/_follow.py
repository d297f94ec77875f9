"""Redraws the output of a command until the runs that the command shows have ended.

Imports only `journal.status` from provml.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from provml.cli import _terminal as terminal
from provml.journal.status import RunState, read_run_state

if TYPE_CHECKING:
    from rich.console import RenderableType

_PERIOD_S = 1.0
_REST = 20

follow_option = click.option(
    "--follow",
    is_flag=True,
    help="Redraw on the terminal until the runs have ended, or until you press Ctrl-C.",
)


class LiveView(Protocol):
    """The output of a command about runs that are being recorded."""

    def read_new(self) -> bool:
        """Read the runs' new data. Return True if there was any."""

    def build(self, states: Sequence[RunState]) -> list[RenderableType]:
        """Return tables and texts that show the data that was read so far.

        Args:
            states: the current states of the runs.
        """

    def show_end(self) -> None:
        """Print the command's output about the runs after all of them have ended."""

    def close(self) -> None:
        """Close all files."""


def redraw_until_end(folders: Sequence[Path], view: LiveView) -> None:
    """Draw a view of runs, and redraw it whenever the runs record something.

    Each redraw processes only new data, and leaves out lines that do not fit the terminal. When all
    runs have ended, clears the terminal and prints the complete view with `LiveView.show_end`.

    Returns when all runs have ended or Ctrl-C is pressed, and closes the view. Looks for changes
    once a second, or less often if drawing is slow: drawing takes at most a twentieth of the time,
    because the training needs the processor more.

    Raises click.UsageError if standard output is not a terminal.
    """
    if not terminal.on_terminal():
        raise click.UsageError(
            "--follow redraws on a terminal: leave out --follow if the output goes elsewhere"
        )
    is_drawn = False
    try:
        while True:
            begun = time.perf_counter()
            # read the states before the data: a run that ends in between is drawn once more
            states = [read_run_state(folder) for folder in folders]
            have_ended = all(state.status != "running" for state in states)
            is_changed = view.read_new()
            if have_ended:
                click.clear()
                view.show_end()
                return
            if is_changed or not is_drawn:
                if not is_drawn:
                    click.clear()
                terminal.redraw(*view.build(states))
                is_drawn = True
            time.sleep(max(_PERIOD_S, _REST * (time.perf_counter() - begun)))
    except KeyboardInterrupt:
        pass
    finally:
        view.close()
