"""Charts of runs that are being recorded: the same as after the end, at a cost that stays small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import provml
from provml import Context
from provml.charts.followed_charts import FollowedCharts
from provml.charts.selection import Charts, read_charts
from provml.journal.reader import Journal


def describe(charts: Charts) -> object:
    """Return everything that a reader of the charts sees."""
    return charts.data() | {"note": charts.note()}


def test_followed_charts_equal_the_charts_of_the_ended_runs(store: Path) -> None:
    """The last picture before the end would differ from the picture after it."""
    with provml.start_run("e", store=store, formats=(), collect=()) as ended:
        ended.log_param("lr", 0.1)
        ended.log_metric("loss", 1.0, Context.TRAINING, 0)
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        folders = [ended.path, run.path]
        followed = FollowedCharts(folders, ["loss", "row"])
        run.log_param("lr", 0.2)
        for epoch in range(4):
            for step in range(20):
                value = float("nan") if step == 7 else 1 / (step + 1)
                run.log_metric("loss", value, Context.TRAINING, 20 * epoch + step)
                run.metrics("training").log(step=step, row=step)
            run.log_metric("other", 1.0)
            followed.read_new()
            run.metrics.log(epoch=epoch).flush()
        followed.read_new()
        followed.build()
    followed.read_new()
    shown = describe(followed.build())
    followed.close()
    assert shown == describe(read_charts(list(map(Journal, folders)), ["loss", "row"]))


def test_thinned_curves_keep_their_extremes_between_redraws(store: Path) -> None:
    """A spike would be drawn once, and vanish from the next redraw."""
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        followed = FollowedCharts([run.path], points=200)
        for step in range(5_000):
            value = {1_234: 50.0, 4_321: -50.0}.get(step, float(np.sin(step)))
            run.log_metric("loss", value, Context.TRAINING, step)
            if step % 500 == 499:
                followed.read_new()
                followed.build()
    followed.read_new()
    (chart,) = followed.build().charts
    followed.close()
    curve = chart.lines[0].curve
    assert curve.count == 5_000 and len(curve.value) <= 800
    assert (curve.value.max(), curve.value.min()) == (50.0, -50.0)
    assert curve.step[curve.value.argmax()] == 1_234


def test_a_run_without_samples_has_nothing_to_draw_yet(store: Path) -> None:
    """A command that follows a run would end with an error before the first sample."""
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        followed = FollowedCharts([run.path])
        followed.read_new()
        with pytest.raises(provml.SeriesNotFoundError, match="has no series"):
            followed.build()
        run.log_metric("loss", 1.0)
        assert followed.read_new()
        assert [chart.title for chart in followed.build().charts] == ["loss"]
        followed.close()
