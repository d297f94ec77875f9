"""The content items of a lineage: files, folders and objects. Imports no module of provml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
"""A row of a table: the values, keyed by the name of the column."""


@dataclass(slots=True)
class Content:
    """A content item of a lineage: a file, folder or object, identified by its digest.

    Attributes:
        key: the item's digest. If the item has no digest or is empty, the name of the run and the
            name of the node.
        up: the number of steps from the start back to this item; None if the start was not made
            from this item.
        down: the number of steps from the start forward to this item; None if this item was not
            made from the start.
        places: the rows of the table ``artifacts`` for this item, from the runs in the answer.
    """

    key: str
    up: int | None = None
    down: int | None = None
    places: list[Row] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """The number of steps between this item and the start: the smaller of `up` and `down`."""
        return min(depth for depth in (self.up, self.down) if depth is not None)

    @property
    def facts(self) -> Row:
        """The item's row from the run that made the item, else from the first run that used it."""
        return min(self.places, key=lambda p: (p["role"] != "out", p["time_ns"] or 0, p["run"]))
