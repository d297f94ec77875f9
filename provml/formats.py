"""Which export formats there are: the modules of `provml.export`, by name, without importing them.

Imports nothing of provml.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from pathlib import Path


@cache
def format_names() -> tuple[str, ...]:
    """The names of all formats, sorted: one for each file in ``provml/export``."""
    folder = Path(__file__).parent / "export"
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(folder)])))
