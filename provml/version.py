"""The version of provml. Imports nothing."""

from typing import Final

__version__: Final = "0.1.0"
