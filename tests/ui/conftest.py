"""A server that shows a store, and a browser that looks at it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, driver

__all__ = ["driver"]

Serve = Callable[[Path], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve stores until the end of the test; each call returns the address of a server."""
    pytest.importorskip("starlette", reason="provml ui needs starlette")
    uvicorn = pytest.importorskip("uvicorn", reason="provml ui needs uvicorn")
    from provml.ui.app import build_app
    from provml.ui.browsed_store import BrowsedStore

    started: list[tuple[Any, threading.Thread]] = []

    def start(store: Path) -> str:
        app = build_app(BrowsedStore(store))
        config = uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        listening = config.bind_socket()
        listening.listen()
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        started.append((server, thread))
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield start
    for server, _ in started:
        server.should_exit = True
    for _, thread in started:
        thread.join()


@pytest.fixture
def browser(driver: Any) -> Iterator[Browser]:
    """A browser that must not have logged an error or asked another host by the test's end."""
    opened = Browser(driver, "http://127.0.0.1:")
    yield opened
    noise = opened.noise()
    driver.get("about:blank")  # ends the page's requests, so that the server need not wait
    assert noise == ([], [])
