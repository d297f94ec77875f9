"""Sets up capture in each Python process that ``provml run`` starts, before the script runs.

The setup spends most of its time on importing provml. So each part of capture, such as the
recording of opened files, is imported only if the settings ask for this part.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Final

from provml.base import store_files
from provml.base.settings import read_settings
from provml.capture.outer_run import note_missed

PARTS: Final[dict[str, str]] = {
    "files": "provml.capture.files",
    "trackers": "provml.capture.trackers",
    "arguments": "provml.capture.arguments",
    "code": "provml.capture.code",
    "frameworks": "provml.integrations",
}
"""Each part of capture, with the package whose ``install()`` installs the part."""
SITE: Final = Path(__file__).with_name("site")
"""The folder that contains provml's ``sitecustomize.py``. Python runs this file at startup if the
folder comes first in PYTHONPATH."""

_MARKER: Final = ".inside"


def install() -> None:
    """Install the parts of capture that the settings ask for. Note failures in the run.

    Does nothing in a process that ``provml run`` did not start.
    """
    settings = read_settings()
    if settings.joined_run is None:
        return
    _create_marker(Path(settings.joined_run))
    for part, package in PARTS.items():
        if settings.capture is None or part in settings.capture:
            try:
                import_module(package).install()
            except Exception as error:
                note_missed(part, error)


def _create_marker(run_folder: Path) -> None:
    """Create a marker file in the run's folder, to prove that the command can import provml."""
    root = store_files.store_root(run_folder)
    try:
        os.close(store_files.open_or_create_file(root, run_folder / _MARKER))
    except OSError:
        pass


def was_installed(run_folder: Path, keep: bool) -> bool:
    """Return whether a Python process of the run's command has called `install`.

    Args:
        run_folder: the folder of the run.
        keep: True to keep the marker file that `install` created, because the commands of other
            ranks may still look for it; False to remove the file.
    """
    root, marker = store_files.store_root(run_folder), run_folder / _MARKER
    found = store_files.is_file(root, marker)
    if found and not keep:
        store_files.remove_file(root, marker)
    return found
