"""Step intervals, in memory and spilled to a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provml.model import steps

ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-1, 2), st.integers(-5, 5), st.integers(-99, 99)),
    max_size=60,
)


def plainly(rows: list[tuple[int, int, int, int]]) -> list[tuple[int, ...]]:
    """Compute the same with a dictionary."""
    known: dict[tuple[int, int, int], list[int]] = {}
    for place, epoch, step, time in rows:
        known.setdefault((place, epoch, step), []).append(time)
    return [(*key, min(times), max(times)) for key, times in sorted(known.items())]


def collected(table: steps.StepTable) -> list[tuple[int, ...]]:
    """Return the table's rows in order."""
    return [tuple(map(int, row)) for block in table.blocks(rows=7) for row in block]


@pytest.mark.slow
@pytest.mark.parametrize("in_memory", [3, 1_000_000])
@settings(max_examples=200, deadline=None)
@given(rows=ROWS, batches=st.integers(1, 9))
def test_every_step_once_with_its_interval(in_memory: int, rows: list[Any], batches: int) -> None:
    """A step would be stated twice, or its interval would not hold all its samples."""
    saved = steps._ROWS_IN_MEMORY, steps._SINGLE_ROWS
    steps._ROWS_IN_MEMORY, steps._SINGLE_ROWS = in_memory, in_memory
    try:
        table = steps.StepTable()
        for batch in np.array_split(np.array(rows, dtype=np.int64).reshape(-1, 4), batches):
            for place in sorted(set(batch[:, 0].tolist())):
                own = batch[batch[:, 0] == place]
                half = len(own) // 2
                if half:
                    table.add(place, own[:half, 1], own[:half, 2], own[:half, 3])
                for row in own[half:].tolist():
                    table.add_one(*row)
        assert collected(table) == plainly(rows)
        assert collected(table) == plainly(rows)  # a second pass gives the same
    finally:
        steps._ROWS_IN_MEMORY, steps._SINGLE_ROWS = saved


def test_blocks_hold_one_place() -> None:
    """A block's steps would be named after another context."""
    table = steps.StepTable()
    for place in range(3):
        times = np.arange(10, dtype=np.int64)
        table.add(place, -1, times, times)
    assert [set(block["place"].tolist()) for block in table.blocks(rows=4)] == [
        {place} for place in range(3) for _ in range(3)
    ]
