"""A real browser, for the tests of pages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1440,900",
)


class Browser:
    """A browser with one page open.

    Attributes:
        own: the start of the addresses that the page may load.
    """

    def __init__(self, driver: Any, own: str = "file:") -> None:
        self.driver = driver
        self.own = own

    def open(self, place: Path | str) -> None:
        """Open a file or an address, and wait until the page is ready."""
        self.noise()
        self.driver.get(place if isinstance(place, str) else place.resolve().as_uri())
        self.until("return document.documentElement.dataset.readyMs")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script, and return its result."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any) -> Any:
        """Run a script until its result is true, and return it."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 20, 0.02).until(lambda _: self.run(script, *arguments))

    def find(self, selector: str) -> Any:
        """Return the first element that matches a selector."""
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        """Press keys in the focused element."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def search(self, text: str) -> None:
        """Search, and go to the first match."""
        from selenium.webdriver.common.keys import Keys

        field = self.find("#search")
        field.clear()
        field.send_keys(text)
        self.until("return document.querySelectorAll('#found li[role=option]').length")
        field.send_keys(Keys.ENTER)
        self.until("return !document.getElementById('panel').hidden")

    def shown(self) -> int:
        """Return the number of visible nodes."""
        return int(self.run("return document.documentElement.dataset.shown"))

    def panel(self) -> str:
        """Return the text of the panel."""
        return str(self.run("return document.getElementById('panel').innerText"))

    def click(self, text: str) -> None:
        """Press the button with this text."""
        self.run(
            "[...document.querySelectorAll('button')]"
            ".find(b => b.textContent.startsWith(arguments[0])).click()",
            text,
        )

    def noise(self) -> tuple[list[str], list[str]]:
        """Return the console's messages and the network requests since the last call."""
        console = [entry["message"] for entry in self.driver.get_log("browser")]
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith((self.own, "file:", "data:", "blob:", "chrome:", "about:")):
                    asked.append(url)
        return console, asked


def _driver(profile: Path, *flags: str) -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={profile}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a window."""
    pytest.importorskip("selenium", reason="the pages' tests drive a browser: pip install selenium")
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("no chromium with chromedriver: apt-get install chromium chromium-driver")
    made = _driver(tmp_path_factory.mktemp("profile"))
    yield made
    made.quit()
