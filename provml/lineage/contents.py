"""The contents of a lineage: files, folders and objects. Imports nothing of provml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
"""A row of a table, by column name."""


@dataclass(slots=True)
class Content:
    """A content that the lineage reached.

    Attributes:
        key: its digest or, without a digest, its run and node.
        up: how many steps before the start it is; None if the start didn't come from it.
        down: how many steps after the start it is; None if it didn't come from the start.
        places: the rows of ``artifacts`` with this content, in the runs of the answer.
    """

    key: str
    up: int | None = None
    down: int | None = None
    places: list[Row] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """How many steps it is from the start."""
        return min(depth for depth in (self.up, self.down) if depth is not None)

    @property
    def facts(self) -> Row:
        """The most informative place: where it was made, else where it was first used."""
        return min(self.places, key=lambda p: (p["role"] != "out", p["time_ns"] or 0, p["run"]))
