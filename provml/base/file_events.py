"""The names of the events about the files of a run. Imports nothing else from provml."""

from __future__ import annotations

from typing import Final

FILES_WATCHED: Final = "files watched"
"""How the files of a command were found, and what this way does not see."""
FILES_CAPTURED: Final = "files captured"
"""The number of files that were recorded."""
FILES_LEFT_OUT: Final = "files left out"
"""The number of files that the rules left out, by reason."""
