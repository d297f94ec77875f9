"""Passes over a run's samples."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import provml
from provml.journal.reader import Journal
from provml.model import series
from provml.model.statements import Name

TRAINING = provml.Context.TRAINING


def rows(table: series.SeriesTable) -> list[tuple[Any, ...]]:
    """Return series, number, step, epoch and value of every sample, in the order of a pass."""
    found: list[tuple[Any, ...]] = []
    for block in table.blocks():
        values = block.values if isinstance(block.values, list) else block.values.tolist()
        steps, epochs = (
            [None] * len(values) if column is None else column.tolist()
            for column in (block.step, block.epoch)
        )
        names = [block.series.name] * len(values)
        found += zip(names, block.number.tolist(), steps, epochs, values, strict=True)
    return found


@pytest.mark.parametrize("text", [False, True])
def test_a_second_pass_gives_the_same(run: provml.Run, text: bool) -> None:
    """Statements of one kind would name samples that another kind does not have."""
    for step in range(3):
        run.log_metric("loss", 0.5, TRAINING, step, epoch=0)
        run.log_metric("loss", 0.25, TRAINING)
        run.log_metric("loss", 1, TRAINING, step)
        run.log_metric("loss", 2.0, TRAINING, epoch=step)
    if text:
        run.log_metric("note", "long", TRAINING)
    table = series.SeriesTable(Journal(run.path))
    first = rows(table)
    assert {row[2:] for row in first if row[0] == "loss"} == {
        *((step, 0, 0.5) for step in range(3)),
        (None, None, 0.25),
        *((step, None, 1) for step in range(3)),
        *((None, epoch, 2.0) for epoch in range(3)),
    }
    assert sorted(row[1] for row in first if row[0] == "loss") == list(range(12))
    assert rows(table) == first


def test_a_few_samples_are_read_once(run: provml.Run) -> None:
    """The end of a run would read and sort the samples again for each kind of statement."""
    run.log_metric("loss", 0.5, TRAINING, 0)
    table = series.SeriesTable(Journal(run.path))
    first = list(table.blocks())
    assert all(one is other for one, other in zip(first, table.blocks(), strict=True))


def test_decimals_have_extremes(run: provml.Run) -> None:
    """A series of Decimals would be shown without its minimum and maximum."""
    for value in (Decimal("1.5"), Decimal("NaN"), Decimal("0.25"), 1):
        run.log_metric("price", value)
    (stated,) = (
        dict(s.attributes)
        for s in provml.load(run.path).statements()
        if ("provml:name", "price") in s.attributes
        and ("prov:type", Name("provml:Series")) in s.attributes
    )
    assert (stated["provml:min"].lexical, stated["provml:max"].lexical) == ("0.25", "1.5")


def test_metrics_come_before_readings(store: Path) -> None:
    """A picture's table has room for a few series, and shows the machine's instead of the loss."""
    with provml.start_run("test", store=store, formats=()) as run:
        run.log_system_metrics()
        run.log_metric("loss", 0.5)
    stated = [
        dict(statement.attributes).get("prov:label")
        for statement in provml.load(run.path).statements("series")
        if statement.kind == "entity"
        and ("prov:type", Name("provml:Series")) in statement.attributes
    ]
    assert stated[0] == "loss" and len(stated) > 1
