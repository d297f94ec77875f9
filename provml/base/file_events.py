"""The names of the events about the files of a run. Imports nothing else from provml."""

from __future__ import annotations

from typing import Final

FILES_WATCHED: Final = "files watched"
"""The event that says how provml found a command's files, and which files this method misses."""
FILES_CAPTURED: Final = "files captured"
"""The event that counts the recorded files."""
FILES_LEFT_OUT: Final = "files left out"
"""The event that counts the files that were not recorded, for each reason."""
