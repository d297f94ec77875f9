"""The names of the export formats, listed here so that nothing need be imported to know them.

A format is named after its module in `provml.export`, with a dash for an underscore:
``cytoscape-json``. Imports nothing of provml.
"""

from __future__ import annotations

from typing import Final

BUILT_IN: Final = (
    "cytoscape-json",
    "dot",
    "gexf",
    "graphml",
    "html",
    "jsonl",
    "jsonld",
    "nquads",
    "ntriples",
    "pdf",
    "png",
    "provjson",
    "provjsonld",
    "provn",
    "provxml",
    "svg",
    "trig",
    "turtle",
)


def format_names() -> tuple[str, ...]:
    """Return the names of all formats, sorted."""
    return BUILT_IN
