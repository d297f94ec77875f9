"""What ``provml run`` sets up in each Python process of its command, before the script runs.

Costs the import of provml. Imports each part when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from provml.capture.joined import missed
from provml.settings import read_settings

PARTS: Final[tuple[str, ...]] = ("files", "trackers")
"""Modules here that have an ``install()``, to be called before the script runs."""
SITE: Final = Path(__file__).with_name("site")
"""The folder to put first in PYTHONPATH."""


def install() -> None:
    """Set up what the settings ask for; where one part fails the others go on."""
    settings = read_settings()
    if settings.joined_run is None:
        return
    for part in PARTS:
        if settings.capture is None or part in settings.capture:
            try:
                import_module(f"provml.capture.{part}").install()
            except Exception as error:
                missed(part, error)
