"""Summaries that grow with a run are those of a reader that reads the whole run."""

from __future__ import annotations

import math
import random
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import provml
from provml import Context
from provml.journal.reader import Journal
from provml.model.live_series import LiveSeries
from provml.model.series import RunSeries, SeriesTable
from provml.model.series_shape import MOST_POINTS, SeriesShape, find_telling_series

VALUES = [0.5, math.nan, -math.inf, 3, 2**60 + 1, 2**70, "text", Decimal("0.10"), -0.0]


def describe(series: RunSeries) -> tuple[Any, ...]:
    facts = (series.count, series.minimum, series.maximum, series.last)
    return (series.identity, *map(repr, facts), series.first_ns, series.last_ns, series.units)


def read_whole(folder: Path) -> list[tuple[Any, ...]]:
    table = SeriesTable(Journal(folder))
    for block in table.blocks():
        block.series.add(block)
    return sorted(map(describe, table.all), key=repr)


@pytest.mark.parametrize("seed", range(3))
def test_summaries_are_those_of_the_whole_run(store: Path, seed: int) -> None:
    """The table of runs would show values that the run does not have."""
    chance = random.Random(seed)
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        live = LiveSeries(run.path)
        for _ in range(25):
            for step in range(chance.choice([1, 5, 100])):
                value, name = chance.choice(VALUES), chance.choice("abc")
                context = chance.choice([None, "training", Context.VALIDATION])
                place = {"step": chance.choice([None, step]), "epoch": chance.choice([None, 1])}
                run.log_metric(name, value, context, unit=chance.choice([None, "s"]), **place)
            live.update()
            found = sorted(map(describe, live.all), key=repr)
            assert found == read_whole(run.path)
        assert live.samples == sum(series.count for series in live.all)
        assert live.skipped == 0
        assert live.has_epochs
    live.update()
    assert sorted(map(describe, live.all), key=repr) == read_whole(run.path)
    live.follower.close()


def test_the_last_value_is_the_one_logged_last(store: Path) -> None:
    """A series that has steps in some samples only would seem to end with another value."""
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        run.log_metric("loss", 1.0)
        run.log_metric("loss", 2.0, step=1)
        table = SeriesTable(Journal(run.path))
        for block in table.blocks():
            block.series.add(block)
        assert [series.last for series in table.all] == [2.0]


def test_threads_that_log_while_it_is_read_are_counted(store: Path) -> None:
    """Samples would be missing from a live table, or counted twice."""
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        live = LiveSeries(run.path)

        def work(name: str) -> None:
            for step in range(10_000):
                run.log_metric(name, step, "training", step)

        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            live.update()
        live.update()
        assert [(s.count, s.minimum, s.maximum) for s in live.all] == [(10_000, 0, 9_999)] * 2
        live.follower.close()


@pytest.mark.parametrize("count", [0, 1, 39, 40, 41, 80, 81, 1000, 12_345])
def test_a_shape_has_the_means_of_equal_parts(count: int) -> None:
    """A small curve would not look like the metric."""
    import numpy as np

    values = np.sin(np.arange(count) / 50) + 2
    whole, single, pieces = SeriesShape(), SeriesShape(), SeriesShape()
    whole.add(values)
    for value in values.tolist():
        single.add_number(value)
    for start in range(0, count, 77):
        pieces.add(values[start : start + 77])
    width = 1
    while -(-count // width) > MOST_POINTS:
        width *= 2
    means = [float(values[start : start + width].mean()) for start in range(0, count, width)]
    for shape in (whole, single, pieces):
        assert shape.points() == pytest.approx(means)


def test_a_shape_leaves_out_what_is_no_number() -> None:
    """One NaN or infinity would erase the rest of a small curve."""
    shape = SeriesShape()
    shape.add([1.0, math.nan, math.inf, "text", 2**2000, Decimal("3"), 4])
    assert shape.points() == [1.0, None, None, None, None, None, 4.0]
    shape.add([1e308, 1e308] * 200)
    assert None in shape.points()


def test_the_most_telling_metric_is_chosen(store: Path) -> None:
    """The small curve beside a run would be that of its learning rate."""
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        for step in range(20):
            run.log_metric("lr", 0.1, "training", step)
            run.log_metric("accuracy", 0.1, "validation", step)
            run.log_metric("loss_total", 0.1, "training", step)
            if step < 2:
                run.log_metric("loss_total", 0.1, "validation", step)
        run.log_metric("final loss", 1.0)
        live = LiveSeries(run.path)
        live.update()
        found = find_telling_series(live.all)
        assert found is not None
        assert (found.name, found.context) == ("loss_total", ("training",))
        live.follower.close()
    assert find_telling_series([]) is None
