"""Redraws what a command shows until the runs have ended.

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
    """What a command shows of runs that are being recorded."""

    def read_new(self) -> bool:
        """Read what was added to the runs. Return whether anything was."""

    def build(self, states: Sequence[RunState]) -> list[RenderableType]:
        """Return tables and texts that show what was read so far.

        Args:
            states: the current states of the runs.
        """

    def show_end(self) -> None:
        """Print what the command shows of runs that have ended."""

    def close(self) -> None:
        """Close all files."""


def redraw_until_end(folders: Sequence[Path], view: LiveView) -> None:
    """Draw now, again whenever the runs record something, and everything after all runs have ended.

    A redraw costs only as much as what is new, and leaves out what does not fit the terminal.

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
            # read the states first: a run that ends after this is drawn once more
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
