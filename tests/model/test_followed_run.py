"""Following a run as blocks: the same samples and summaries as after the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import provml
from provml import Context
from provml.journal.reader import Journal
from provml.model.followed_run import FollowedRun
from provml.model.series import Block, SeriesTable


class Followed:
    """All samples of a followed run, by writer, series and number, with completions applied."""

    def __init__(self, folder: Path) -> None:
        self.run = FollowedRun(folder)
        self.samples: dict[tuple[int, int, int], tuple[Any, ...]] = {}
        self.completed = 0

    def read(self) -> None:
        for part in self.run.read_new():
            for block in part.blocks:
                block.series.add(block)
                rows = keyed_rows(block)
                assert self.samples.keys().isdisjoint(rows)
                self.samples |= rows
            for completion in part.completed:
                rows = keyed_rows(completion.block)
                for key in rows:
                    assert (self.samples[key][1] is None) == completion.lacked_step
                    assert (self.samples[key][2] is None) == completion.lacked_epoch
                self.samples |= rows
                self.completed += len(rows)


def keyed_rows(block: Block) -> dict[tuple[int, int, int], tuple[Any, ...]]:
    """Return the samples of a block as time, step, epoch and value."""
    count = len(block.time_ns)
    steps = [None] * count if block.step is None else block.step.tolist()
    epochs = [None] * count if block.epoch is None else block.epoch.tolist()
    values = block.values if isinstance(block.values, list) else block.values.tolist()
    rows = zip(block.time_ns.tolist(), steps, epochs, values, strict=True)
    numbers = block.number.tolist()
    return {
        (block.writer, block.series.index, number): row
        for number, row in zip(numbers, rows, strict=True)
    }


def summarise(table: SeriesTable) -> list[tuple[Any, ...]]:
    return [(s.identity, s.count, s.minimum, s.maximum, s.last, s.units) for s in table.all]


def test_what_is_followed_equals_what_is_read_after_the_end(store: Path) -> None:
    """A live chart would show other samples than the chart of the ended run."""
    random = np.random.default_rng(7)
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        followed = Followed(run.path)
        for step in range(300):
            run.log_metric("loss", float(random.normal()), Context.TRAINING, step, unit="nat")
            run.log_metric("count", step, Context.TRAINING)
            if step % 7 == 0:
                run.log_metric("count", 2**70 + step, Context.TRAINING, epoch=step)
                run.log_metric("note", float("nan"), "own", step)
            if step % 50 == 49:
                followed.read()
    followed.read()
    followed.run.close()
    table = SeriesTable(Journal(run.path))
    whole: dict[tuple[int, int, int], tuple[Any, ...]] = {}
    for block in table.blocks():
        block.series.add(block)
        whole |= keyed_rows(block)
    assert str(followed.samples) == str({key: whole[key] for key in followed.samples})
    assert len(followed.samples) == len(whole)
    assert str(summarise(followed.run.table)) == str(summarise(table))


def test_an_epoch_that_is_filled_in_reaches_the_follower(store: Path) -> None:
    """The points of a metric group would stay without an epoch until the run ends."""
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        followed = Followed(run.path)
        for epoch in range(3):
            for step in range(10):
                run.metrics("training").log(step=step, loss=1 / (step + 1), accuracy=step)
                run.log_metric("loss", 0.5, Context.VALIDATION, step)
            followed.read()
            run.metrics.log(epoch=epoch).flush()
            followed.read()
    followed.read()
    followed.run.close()
    whole: dict[tuple[int, int, int], tuple[Any, ...]] = {}
    for block in SeriesTable(Journal(run.path)).blocks():
        whole |= keyed_rows(block)
    assert followed.completed == 60
    assert followed.samples == whole


def test_nothing_new_is_nothing(store: Path) -> None:
    """Each redraw would begin with the first sample again."""
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        for step in range(3):
            run.log_metric("loss", 1.0, None, step)
        with FollowedRun(run.path) as followed:
            assert sum(len(b.time_ns) for part in followed.read_new() for b in part.blocks) == 3
            assert list(followed.read_new()) == []
