"""The contents that a lineage reached. Imports nothing of provml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
"""A row of a table, by the columns' names."""


@dataclass(slots=True)
class Content:
    """A content that was reached.

    Attributes:
        key: its digest, else the run and node that it is.
        up: how many steps it lies before the start; None where it does not.
        down: how many steps it lies after the start; None where it does not.
        places: the rows of ``artifacts`` that have it, in runs that the answer is about.
    """

    key: str
    up: int | None = None
    down: int | None = None
    places: list[Row] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """Steps from the start."""
        return min(depth for depth in (self.up, self.down) if depth is not None)

    @property
    def facts(self) -> Row:
        """The place that says most: where it was made, else where it was first used."""
        return min(self.places, key=lambda p: (p["role"] != "out", p["time_ns"] or 0, p["run"]))
