"""The version number of provml. Imports nothing else from provml."""

from typing import Final

__version__: Final = "0.1.0"
