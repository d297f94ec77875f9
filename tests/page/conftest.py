"""A real browser, for the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser import Browser, driver

__all__ = ["driver"]


@pytest.fixture
def browser(driver: Any) -> Iterator[Browser]:
    """A browser that must not have logged an error or used the network by the end of the test."""
    opened = Browser(driver)
    yield opened
    assert opened.noise() == ([], [])


@pytest.fixture
def theme(driver: Any) -> Iterator[Callable[[str], None]]:
    """Set the system's theme, as the browser sees it."""

    def choose(name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    yield choose
    choose("")
