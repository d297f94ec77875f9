"""``provml ui``: shows the runs of a store in a browser.

Imports `ui` only when the command runs.
"""

from __future__ import annotations

import secrets
import webbrowser
from pathlib import Path

import click

from provml.base.settings import default_store
from provml.cli import _terminal as terminal
from provml.cli._options import examples, store_option
from provml.errors import MissingExtraError, StoreError

_PORT = 5217
_TOKEN_BYTES = 24


@click.command(
    "ui",
    epilog=examples(
        "provml ui",
        "provml ui --store /shared/runs --no-browser",
        "provml ui --host 0.0.0.0 --port 8080",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"The port to listen on; 0 for any free port.  [default: {_PORT} or the next free port]",
)
@click.option(
    "--browser/--no-browser", default=True, help="Open the page in a browser.", show_default=True
)
@store_option
def ui_command(host: str, port: int | None, browser: bool, store: str | None) -> None:
    """Show the runs of a store in a browser, live and side by side.

    Serves the pages until you press Ctrl-C. Nothing leaves the machine, and nothing is loaded from
    other hosts. By default, only this machine can open the pages. If --host is another address,
    the pages need the token in the address that the command prints.
    """
    place = Path(default_store() if store is None else store)
    if not place.is_dir():
        raise StoreError(f"there is no store {str(place)!r}: name the folder that holds the runs")
    try:
        from provml.ui.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise MissingExtraError("provml ui", error.name, "ui") from None

    def announce(address: str) -> None:
        terminal.echo_note(f"showing {terminal.printable(place)} at {address} (Ctrl-C ends it)")
        if browser:
            webbrowser.open(address)

    serve(place, host, port, lambda: secrets.token_urlsafe(_TOKEN_BYTES), announce)


GROUP = "Look"
COMMANDS = [ui_command]
