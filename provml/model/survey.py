"""The first pass over a journal: series with their summaries, intervals of contexts and steps.

Imports `journal` readers, `samples`, `steps`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from provml.journal import layout
from provml.journal.files import Record, context_of
from provml.journal.reader import Journal
from provml.journal.status import RunState
from provml.model.samples import Block, SeriesTable
from provml.model.steps import StepTable

Path = tuple[str, ...] | None

TIMED_RECORDS = frozenset(
    {"start", "param", "tag", "event", "dataset", "artifact", "model", "source", "environment"}
)


@dataclass(slots=True)
class Interval:
    """A stretch of time, nanoseconds since the epoch; empty while both are None."""

    start_ns: int | None = None
    end_ns: int | None = None

    def include(self, first_ns: int, last_ns: int) -> None:
        """Widen it."""
        self.start_ns = first_ns if self.start_ns is None else min(self.start_ns, first_ns)
        self.end_ns = last_ns if self.end_ns is None else max(self.end_ns, last_ns)


@dataclass(slots=True)
class Survey:
    """What one pass learns about a run.

    Attributes:
        places: every context's path and its interval; None is the run. A context contains all
            that happened in it and in the contexts under it.
        numbers: the paths' numbers in the step table.
        steps: the steps to be stated, with their intervals.
    """

    journal: Journal
    state: RunState
    series: SeriesTable
    places: dict[Path, Interval] = field(default_factory=dict)
    numbers: dict[Path, int] = field(default_factory=dict)
    steps: StepTable = field(default_factory=StepTable)

    def include(self, path: Path, first_ns: int, last_ns: int) -> int:
        """Widen a context and all that it lies in; its number."""
        self._widen(None, first_ns, last_ns)
        for depth in range(1, len(path or ()) + 1):
            self._widen(path[:depth] if path else None, first_ns, last_ns)
        return self.numbers[path]

    def _widen(self, path: Path, first_ns: int, last_ns: int) -> None:
        self.places.setdefault(path, Interval()).include(first_ns, last_ns)
        self.numbers.setdefault(path, len(self.numbers))


def survey(journal: Journal, every_step: bool) -> Survey:
    """Read the journal once.

    Args:
        every_step: collect all steps; else only those that an event, artifact or model names.
    """
    state = journal.state()
    result = Survey(journal, state, SeriesTable(journal))
    result.include(None, state.started_ns, state.ended_ns or state.started_ns)
    named: dict[int, set[int]] = {}
    for _, _, record in journal.records():
        time_ns = time_of(record)
        if time_ns is None:
            continue
        number = result.include(context_of(record), time_ns, time_ns)
        step = step_of(record)
        if step is not None:
            named.setdefault(number, set()).add(step)
            result.steps.add_one(number, layout.NO_EPOCH, step, time_ns)
    for block in result.series.blocks():
        _take_block(result, block, None if every_step else named)
    for series in result.series.all:
        if not series.count and series.context is not None:  # declared, then killed
            result.include(series.context, state.started_ns, state.started_ns)
    return result


def _take_block(result: Survey, block: Block, named: dict[int, set[int]] | None) -> None:
    """Take a block into its series, its context and its steps, all or only those named."""
    block.series.add(block)
    times = block.time_ns
    number = result.include(block.series.context, int(times.min()), int(times.max()))
    epoch: Any = layout.NO_EPOCH if block.epoch is None else block.epoch
    if named is None:
        if block.step is not None or block.epoch is not None:
            step = layout.NO_STEP if block.step is None else block.step
            result.steps.add(number, epoch, step, times)
    elif block.step is not None and block.epoch is None and number in named:
        import numpy as np

        chosen = np.isin(block.step, np.fromiter(named[number], np.int64))
        if chosen.any():
            result.steps.add(number, epoch, block.step[chosen], times[chosen])


def time_of(record: Record) -> int | None:
    """A record's time, where it has one that can be read."""
    time_ns = record.get("time")
    fits = isinstance(time_ns, int) and -(2**63) < time_ns < 2**63
    return time_ns if fits and record.get("record") in TIMED_RECORDS else None


def step_of(record: Record) -> int | None:
    """A record's step, where it has one that can be read."""
    step = record.get("step")
    return step if isinstance(step, int) and -(2**63) < step < 2**63 else None
