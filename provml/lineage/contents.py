"""The contents in a lineage: files, folders and objects. Imports nothing else from provml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
"""A row of a table, by column name."""


@dataclass(slots=True)
class Content:
    """A file, folder or object that the lineage reached, identified by its digest.

    Attributes:
        key: the digest; for a content without a digest, the run and the node.
        up: the number of steps from this content to the start; None if the start was not made
            from it.
        down: the number of steps from the start to this content; None if it was not made from the
            start.
        places: the rows of ``artifacts`` with this content, in the runs of the answer.
    """

    key: str
    up: int | None = None
    down: int | None = None
    places: list[Row] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """The number of steps between this content and the start."""
        return min(depth for depth in (self.up, self.down) if depth is not None)

    @property
    def facts(self) -> Row:
        """The row for the place that made the content or, if it is unknown, that first used it."""
        return min(self.places, key=lambda p: (p["role"] != "out", p["time_ns"] or 0, p["run"]))
