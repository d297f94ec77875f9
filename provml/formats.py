"""Which export formats there are: the modules of `provml.export`, by name, without importing them.

A format is named as its module, a dash for an underscore: ``cytoscape-json``.

Imports nothing of provml.
"""

from __future__ import annotations

import os
from functools import cache


@cache
def format_names() -> tuple[str, ...]:
    """The names of all formats, sorted: a public module of ``provml/export`` each."""
    names = os.listdir(os.path.join(os.path.dirname(__file__), "export"))
    modules = (name.removesuffix(".py") for name in names if name.endswith(".py"))
    return tuple(sorted(name.replace("_", "-") for name in modules if not name.startswith("_")))
