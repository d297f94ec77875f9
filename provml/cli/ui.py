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
        "provml ui --export site --where \"tags.stage == 'release'\"",
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
@click.option(
    "--token",
    "wants_token",
    is_flag=True,
    help="Demand the token from this machine too, because other people use the machine.",
)
@click.option(
    "--export",
    "target",
    metavar="DIR",
    help="Write the pages as files to a new folder, for a website, instead of serving them.",
)
@click.option(
    "--where", metavar="CONDITION", help="With --export, include only runs that meet a condition."
)
@store_option
def ui_command(
    host: str,
    port: int | None,
    browser: bool,
    wants_token: bool,
    target: str | None,
    where: str | None,
    store: str | None,
) -> None:
    """Show the runs of a store in a browser, live and side by side.

    Serves the pages until you press Ctrl-C. Nothing leaves the machine, and nothing is loaded from
    other hosts. By default, only this machine can open the pages. If --host is another address,
    the pages need the token in the address that the command prints.

    --export writes the same pages as files, with the runs as they are now. Open index.html in a
    browser, or copy the folder to a web server. Everything in the pages can be read by whoever can
    read the files.
    """
    if where is not None and target is None:
        raise click.UsageError("--where needs --export: the page itself has a search field")
    place = Path(default_store() if store is None else store)
    if not place.is_dir():
        raise StoreError(f"there is no store {str(place)!r}: name the folder that holds the runs")
    if target is not None:
        _export_pages(place, Path(target), where)
        return
    try:
        from provml.ui.guard import is_loopback
        from provml.ui.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise MissingExtraError("provml ui", error.name, "ui") from None

    def announce(address: str) -> None:
        terminal.echo_note(f"showing {terminal.printable(place)} at {address} (Ctrl-C ends it)")
        if browser:
            webbrowser.open(address)

    needs_token = wants_token or not is_loopback(host)
    token = secrets.token_urlsafe(_TOKEN_BYTES) if needs_token else None
    serve(place, host, port, token, announce)


def _export_pages(store: Path, target: Path, where: str | None) -> None:
    from provml.ui.browsed_store import BrowsedStore
    from provml.ui.static_export import write_static_pages

    count = write_static_pages(BrowsedStore(store), target, where)
    runs = "1 run" if count == 1 else f"{count:,} runs"
    terminal.echo_note(f"wrote the pages of {runs}: open {terminal.printable(target)}/index.html")


GROUP = "Look"
COMMANDS = [ui_command]
