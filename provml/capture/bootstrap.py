"""What ``provml run`` sets up in each Python process of its command, before the script runs.

Costs the import of provml. Imports each part when it is asked for.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Final

from provml.base.settings import read_settings
from provml.capture.outer_run import note_missed

PARTS: Final[tuple[str, ...]] = ("files", "trackers")
"""Modules here that have an ``install()``, to be called before the script runs."""
SITE: Final = Path(__file__).with_name("site")
"""The folder to put first in PYTHONPATH."""


def install() -> None:
    """Set up what the settings ask for; where one part fails the others go on."""
    settings = read_settings()
    if settings.joined_run is None:
        return
    _say_so(Path(settings.joined_run))
    for part in PARTS:
        if settings.capture is None or part in settings.capture:
            try:
                import_module(f"provml.capture.{part}").install()
            except Exception as error:
                note_missed(part, error)


_SIGN: Final = ".inside"


def _say_so(run_folder: Path) -> None:
    """Leave a sign that provml could be imported: without, nothing inside is recorded."""
    try:
        os.close(os.open(run_folder / _SIGN, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
    except OSError:
        pass


def was_inside(run_folder: Path, keep: bool) -> bool:
    """Whether a Python process of the command has called `install`.

    Args:
        keep: leave the sign, where commands of other ranks may be under way in the run.
    """
    sign = run_folder / _SIGN
    found = sign.exists()
    if found and not keep:
        sign.unlink(missing_ok=True)
    return found
