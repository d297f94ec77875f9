"""Describes damaged lines and records by their numbers, in a list of limited length.

Imports only `base.results` from provml.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from provml.base.results import Damage

_MAX_RANGES: Final = 50
"""The maximum number of entries in the list of a file's damage."""
MAX_COUNT: Final = 2**40
"""The largest number of lines or records to report. A damaged file may state any number."""


def join_blocks(blocks: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last block of each range of consecutive blocks."""
    first = last = None
    for block in sorted(set(blocks)):
        if last is None or block != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = block
        last = block
    if first is not None and last is not None:
        yield first, last


def name_range(unit: str, first: int, last: int, problem: str) -> str:
    """Return a description of damage, such as ``lines 3 to 5 are damaged or missing``."""
    if first == last:
        verb = "" if problem.startswith("is ") else "is "
        return f"{unit} {first:,} {verb}{problem}"
    return f"{unit}s {first:,} to {last:,} are {problem}"


def limit_damage(damage: list[Damage]) -> list[Damage]:
    """Shorten a list of damage to 50 entries, the last of which summarises the rest."""
    if len(damage) <= _MAX_RANGES:
        return damage
    rest = damage[_MAX_RANGES - 1 :]
    count = sum(one.count for one in rest)
    problem = f"{len(rest):,} more parts are damaged"
    return [*damage[: _MAX_RANGES - 1], Damage(rest[0].file, problem, count, rest[0].unit)]
