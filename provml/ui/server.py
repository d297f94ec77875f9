"""Serves the pages of a store over HTTP."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import uvicorn

from provml.errors import InvalidArgumentError
from provml.ui.app import build_app
from provml.ui.browsed_store import BrowsedStore

_FIRST_PORT: Final = 5217
_PORTS: Final = 20
_LAST_ANSWERS_S: Final = 2


def serve(
    store: Path,
    host: str,
    port: int | None,
    token: str | None,
    announce: Callable[[str], None],
) -> None:
    """Serve the pages of a store until the process gets SIGINT or SIGTERM.

    Args:
        store: the store's folder.
        host: the address to listen on.
        port: the port to listen on; 0 for any free port; None to try a few ports and use the first
            free one.
        token: the token that every request needs; None to answer only requests from this machine.
        announce: called with the address of the pages when the server is ready.

    Raises:
        InvalidArgumentError: the address or the port can't be used.
    """
    listening = _listen(host, port)
    own_host, own_port = listening.getsockname()[:2]
    if ip_address(own_host).is_unspecified:  # all addresses of this machine: show its name
        own_host = socket.gethostname()
    address = f"http://{f'[{own_host}]' if ':' in own_host else own_host}:{own_port}/"
    announce(address if token is None else f"{address}?token={token}")
    config = uvicorn.Config(
        build_app(BrowsedStore(store), token),
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int | None) -> socket.socket:
    ports = range(_FIRST_PORT, _FIRST_PORT + _PORTS) if port is None else (port,)
    for own_port in ports:
        try:
            family, _, _, _, place = socket.getaddrinfo(
                host, own_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE and own_port != ports[-1]:
                continue
            reason = error.strerror or str(error)
            raise InvalidArgumentError(
                f"can't listen on {host}, port {own_port}: {reason}; choose another with --port"
            ) from None
        return listening
    raise AssertionError("the list of ports is empty")
