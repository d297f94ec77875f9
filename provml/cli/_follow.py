"""Redraws what a command shows until the runs have ended.

Imports `journal.follower` and `journal.status` from provml.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from provml.cli import _terminal as terminal
from provml.journal.follower import RunFollower
from provml.journal.status import read_run_state

_PERIOD_S = 1.0
_REST = 20

follow_option = click.option(
    "--follow",
    is_flag=True,
    help="Redraw on the terminal until the runs have ended, or until you press Ctrl-C.",
)


def redraw_until_end(folders: Sequence[Path], draw: Callable[[], None]) -> None:
    """Draw now, again whenever the runs record something, and once more after all runs have ended.

    Returns when all runs have ended or Ctrl-C is pressed. Looks for changes once a second, or less
    often if drawing is slow: drawing takes at most a twentieth of the time, because the training
    needs the processor more.

    Raises click.UsageError if standard output is not a terminal.
    """
    if not terminal.on_terminal():
        raise click.UsageError(
            "--follow redraws on a terminal: leave out --follow if the output goes elsewhere"
        )
    with ExitStack() as stack:
        followers = [stack.enter_context(RunFollower(folder)) for folder in folders]
        try:
            while True:
                begun = time.perf_counter()
                # read the states first: a run that ends after this is drawn once more
                are_running = [read_run_state(folder).status == "running" for folder in folders]
                news = [follower.read_new() for follower in followers]
                if any(news) or not any(are_running):
                    click.clear()
                    draw()
                if not any(are_running):
                    return
                time.sleep(max(_PERIOD_S, _REST * (time.perf_counter() - begun)))
        except KeyboardInterrupt:
            pass
