"""Curves: which samples are kept, and where there are gaps."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import damaging
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import provml
from provml import Context
from provml.charts.curves import Curve, read_curves
from provml.charts.selection import read_charts
from provml.charts.thinning import find_starts, select_points
from provml.journal.reader import Journal


def curves(folder: Path, points: int = 1000) -> list[Curve]:
    """Return all curves of a run."""
    from provml.model.series import SeriesTable

    journal = Journal(folder)
    table = SeriesTable(journal)
    return read_curves(table, table.all, journal.state().started_ns, points)


@given(
    st.lists(st.floats(width=32) | st.just(float("nan")), min_size=1, max_size=300),
    st.integers(min_value=1, max_value=60),
)
def test_thinning_keeps_the_extremes_of_each_stretch_and_the_ends(
    values: list[float], length: int
) -> None:
    """A spike, a gap or the last value would disappear from the chart."""
    column = np.array(values, float)
    stretches = np.arange(len(column)) // length
    kept = select_points(column, find_starts(stretches))
    assert sorted(set(kept.tolist())) == kept.tolist()
    assert {0, len(values) - 1} <= set(kept.tolist())
    for stretch in set(stretches.tolist()):
        every, own = column[stretches == stretch], column[kept[stretches[kept] == stretch]]
        assert len(own) <= 7
        np.testing.assert_array_equal(every[[0, -1]], own[[0, -1]])
        assert np.isfinite(every).all() == np.isfinite(own).all()
        every, own = every[np.isfinite(every)], own[np.isfinite(own)]
        assert (
            len(own) == 0
            if not len(every)
            else (own.min(), own.max())
            == (
                every.min(),
                every.max(),
            )
        )


def test_a_curve_holds_what_was_logged_in_order(run: provml.Run) -> None:
    """Ints and floats, with and without a step, would be reordered."""
    logged = [0, 0.5, 1, float("nan"), Decimal("2.5"), float("inf"), "text", 3]
    for step, value in enumerate(logged):
        run.log_metric("m", value, Context.TRAINING, step, epoch=step // 2)
    run.end_run()
    (curve,) = curves(run.path)
    assert curve.count == len(logged)
    assert not curve.thinned
    nan = float("nan")
    np.testing.assert_array_equal(curve.value, [0, 0.5, 1, nan, 2.5, nan, nan, 3])
    np.testing.assert_array_equal(curve.step, range(8))
    np.testing.assert_array_equal(curve.epoch, [0, 0, 1, 1, 2, 2, 3, 3])
    assert (np.diff(curve.time) >= 0).all()


def test_a_step_back_begins_the_line_anew(run: provml.Run) -> None:
    """Steps that start again in each epoch would be joined by a line going back."""
    for epoch in range(2):
        for step in range(3):
            run.log_metric("m", step, Context.TRAINING, step, epoch=epoch)
    run.end_run()
    (curve,) = curves(run.path)
    x, y = curve.over("step")
    np.testing.assert_array_equal(x, [0, 1, 2, 0, 0, 1, 2])
    assert np.isnan(y).tolist() == [False, False, False, True, False, False, False]


@pytest.mark.slow
def test_a_million_samples_are_thinned_to_points(store: Path) -> None:
    """A chart would hold a million points, or lose the one that matters."""
    with provml.start_run("long", store=store, formats=()) as run:
        log = run.log_metric
        for step in range(1_000_000):
            log("m", 9.0 if step == 765_432 else 1.0, Context.TRAINING, step)
    (curve,) = curves(run.path, 500)
    assert curve.count == 1_000_000
    assert 100 < len(curve.value) <= 500
    assert curve.step[curve.value.argmax()] == 765_432
    # as many points of the end as of the beginning
    assert abs((curve.step < 500_000).sum() - (curve.step >= 500_000).sum()) < 10
    assert "1,000,000 samples" in str(read_charts([Journal(run.path)], points=500).note())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"names": ["nope"]}, "no series 'nope'; it has: 'loss', 'cpu'"),
        ({"names": ["loss"], "contexts": ["x"]}, "no context 'x' with these series; it has: "),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    run: provml.Run, asked: dict[str, list[str]], message: str
) -> None:
    """A mistyped name would give an empty chart."""
    run.log_metric("loss", 1.0, Context.TRAINING, 0)
    run.log_metric("cpu", 1.0)
    run.end_run()
    with pytest.raises(provml.SeriesNotFoundError, match=message):
        read_charts([Journal(run.path)], **asked)  # type: ignore[arg-type]


def test_readings_of_the_system_stand_beneath_the_metrics(run: provml.Run) -> None:
    """A GPU's temperature would appear among losses, or without an axis."""
    run.log_metric("temperature", 60.0, unit="°C")
    for step in range(3):
        run.log_metric("loss", 1.0, Context.TRAINING, step)
    run.end_run()
    (events,) = run.path.glob("journal/*.events.jsonl")
    lines = events.read_text(encoding="utf-8").splitlines(keepends=True)
    own = [
        line.replace('"metric"', '"system"') if "temperature" in line else line for line in lines
    ]
    events.write_text("".join(own), encoding="utf-8")
    damaging.seal_again(events)
    charts = read_charts([Journal(run.path)], by="step").charts
    assert [(c.title, c.axis, c.apart) for c in charts] == [
        ("loss", "step", False),
        ("machine temperature (°C)", "time", True),
    ]


def test_samples_without_a_step_are_counted_in_a_note(run: provml.Run) -> None:
    """A chart would silently leave out samples, and show another maximum than the run has."""
    for step in range(5):
        run.log_metric("loss", 1 / (step + 1), "training", step)
    for epoch in range(3):
        run.log_metric("loss", 5 + epoch, "training", epoch=epoch)
    run.log_metric("only", 1, "training", epoch=1)
    journal = Journal(run.path)
    note = read_charts([journal]).note()
    assert note is not None and note.startswith("3 samples have no step and are not drawn")
    by_time = read_charts([journal], by="time")
    assert by_time.note() is None
