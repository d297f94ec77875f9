"""The version number of provml. Imports no other part of provml."""

from typing import Final

__version__: Final = "0.1.0"
