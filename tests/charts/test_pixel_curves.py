"""Curves for a screen: each pixel keeps what a person would miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import provml
from provml import Context
from provml.charts.pixel_curves import (
    Part,
    PixelCurve,
    ReadBudget,
    Scale,
    find_extent,
    read_pixel_curve,
)
from provml.charts.run_samples import RunSamples
from provml.charts.thinning import CurveThinner, PixelGrid
from provml.charts.writer_samples import WriterSamples
from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.record_parsing import Series
from provml.journal.sample_reading import record_dtype

ENOUGH = 2**30
ODD = (np.isnan, np.isposinf, np.isneginf)


class Samples(NamedTuple):
    """The samples of one series, in the order of recording."""

    step: Any
    value: Any


def columns(seed: int, count: int, shape: str, odd: float) -> Samples:
    """Return samples whose steps have a shape, with a share of values that are not finite."""
    source = np.random.default_rng(seed)
    steps = {
        "ascending": np.arange(count),
        "repeated": np.arange(count) // 7,
        "restarted": np.arange(count) % max(1, count // 3 + 1),
        "jagged": np.maximum(0, np.arange(count) + source.integers(-3, 4, count)),
        "random": source.integers(0, 10 * count + 1, count),
        "still": np.full(count, 5),
    }[shape]
    value = source.normal(size=count) ** 3
    chosen = source.random(count) < odd
    value[chosen] = source.choice([np.nan, np.inf, -np.inf], int(chosen.sum()))
    return Samples(steps.astype(np.int64), value)


def write(
    folder: Path, samples: Samples, others: int = 0, lacking: bool = False, number: int = 1
) -> WriterSamples:
    """Write samples to a samples file, among those of other series, and summarize them in parts.

    ``number`` is the number of the first series.
    """
    count = len(samples.step)
    records = np.zeros(count * (others + 1), record_dtype())
    own = slice(0, None, others + 1)
    records["series"] = np.arange(len(records)) % (others + 1) + number
    records["time"] = np.arange(len(records)) * 1_000_000
    records["step"][own], records["value"][own] = samples.step, samples.value
    records["epoch"] = layout.NO_EPOCH
    if lacking:
        records["step"][own][::3] = layout.NO_STEP
    files = WriterFiles(folder, f"{1:020}-1-00000000", 0)
    files.samples_path.write_bytes(layout.pack_header(1) + records.tobytes())
    writer = WriterSamples(files, None)
    for own_number in range(number, number + others + 1):
        name = f"m{own_number}"
        writer.declare(Series(own_number, "metric", name, None, "f64", None, None))
    for start in range(0, len(records), 1_000):
        part = records[start : start + 1_000].copy()
        writer.add(part, np.arange(start, start + len(part)))
    return writer


def read(writer: WriterSamples, grid: PixelGrid, budget: int = ENOUGH) -> PixelCurve:
    """Read the curve of the first series by step."""
    parts: list[Part] = [(writer, writer.series[0])]
    return read_pixel_curve(parts, Scale("step", 0), grid, ReadBudget(budget))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a journal in a store."""
    journal = tmp_path_factory.mktemp("store") / "experiment" / "run" / layout.JOURNAL_FOLDER
    journal.mkdir(parents=True)
    return journal


def points_of(curve: PixelCurve) -> Samples:
    """Return the points of a curve without gaps, with the marks in their places."""
    shown = np.isfinite(curve.y)
    marks = np.array(curve.marks, float).reshape(-1, 2)
    return Samples(
        np.concatenate([curve.x[shown], marks[:, 0]]), np.concatenate([curve.y[shown], marks[:, 1]])
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 3_000),
    shape=st.sampled_from(["ascending", "repeated", "restarted", "jagged", "random", "still"]),
    odd=st.sampled_from([0.0, 0.001, 0.2, 1.0]),
    others=st.sampled_from([0, 3]),
    number=st.sampled_from([1, 2**32 - 9]),
    pixels=st.integers(1, 40),
    zoom=st.sampled_from([(0.0, 1.0), (0.25, 0.5), (0.9, 1.0)]),
)
def test_no_extreme_end_or_gap_of_a_pixel_is_lost(
    folder: Path,
    seed: int,
    count: int,
    shape: str,
    odd: float,
    others: int,
    number: int,
    pixels: int,
    zoom: tuple[float, float],
) -> None:
    """A spike, a NaN or the end of a line would disappear from the chart."""
    samples = columns(seed, count, shape, odd)
    writer = write(folder, samples, others, number=number)
    extent = find_extent([(writer, writer.series[0])], Scale("step", 0))
    assert extent == (samples.step.min(), samples.step.max())
    width = extent[1] - extent[0]
    grid = PixelGrid(extent[0] + zoom[0] * width, extent[0] + zoom[1] * width, pixels)
    curve = read(writer, grid)
    own = points_of(curve)
    inside = (samples.step >= grid.start) & (samples.step <= grid.end)
    assert curve.count == count
    assert curve.in_range == np.count_nonzero(inside)
    assert curve.mark_count == np.count_nonzero(inside & ~np.isfinite(samples.value))
    every_pixel = grid.find_pixels(samples.step.astype(float))
    own_pixel = grid.find_pixels(own.step)
    logged = set(zip(samples.step.tolist(), map(str, samples.value.tolist()), strict=True))
    assert set(zip(own.step.tolist(), map(str, own.value.tolist()), strict=True)) <= logged
    for pixel in set(every_pixel[inside].tolist()):
        every, kept = samples.value[every_pixel == pixel], own.value[own_pixel == pixel]
        for is_odd in ODD:
            assert is_odd(every).any() == is_odd(kept).any()
        finite, own_finite = every[np.isfinite(every)], kept[np.isfinite(kept)]
        if len(finite):
            assert (own_finite.min(), own_finite.max()) == (finite.min(), finite.max())
        for end in every[[0, -1]]:
            assert end in kept or (np.isnan(end) and np.isnan(kept).any())
        numbers = curve.numbers[pixel]
        assert numbers == len(finite)
        assert curve.sums[pixel] == pytest.approx(finite.sum(), rel=1e-9, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 3_000),
    shape=st.sampled_from(["ascending", "restarted", "random"]),
    odd=st.sampled_from([0.0, 0.001, 1.0]),
    pixels=st.integers(1, 40),
)
def test_without_budget_the_points_are_still_samples_and_no_spike_is_lost(
    folder: Path, seed: int, count: int, shape: str, odd: float, pixels: int
) -> None:
    """A huge series would lose a spike, or show a value that was never logged."""
    samples = columns(seed, count, shape, odd)
    writer = write(folder, samples, 3)
    grid = PixelGrid(float(samples.step.min()), float(samples.step.max()), pixels)
    curve = read(writer, grid, budget=0)
    own = points_of(curve)
    logged = set(zip(samples.step.tolist(), map(str, samples.value.tolist()), strict=True))
    assert set(zip(own.step.tolist(), map(str, own.value.tolist()), strict=True)) <= logged
    finite, kept = (some[np.isfinite(some)] for some in (samples.value, own.value))
    if len(finite):
        assert (kept.min(), kept.max()) == (finite.min(), finite.max())
    for is_odd in ODD:
        assert is_odd(samples.value).any() == is_odd(own.value).any()
    assert (curve.in_range, curve.mark_count) == (count, count - len(finite))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 3_000), pixels=st.integers(1, 40))
def test_samples_without_a_position_are_counted_and_left_out(
    folder: Path, seed: int, count: int, pixels: int
) -> None:
    """Samples without a step would be drawn at a step of -9223372036854775808."""
    samples = columns(seed, count, "ascending", 0.1)
    writer = write(folder, samples, lacking=True)
    curve = read(writer, PixelGrid(0, max(1, count - 1), pixels))
    lacking = len(samples.step[::3])
    assert curve.unplaced == lacking
    assert curve.in_range == count - lacking
    assert (curve.x >= 0).all()


def test_a_curve_is_bounded_whatever_its_steps_are(folder: Path) -> None:
    """Steps in random order would send every sample to the browser."""
    samples = columns(1, 60_000, "random", 0.01)
    curve = read(write(folder, samples), PixelGrid(0, 600_000, 100))
    assert curve.is_scattered
    assert len(curve.x) <= 102 * 7
    assert (np.diff(curve.x) >= 0).all()
    assert np.nanmax(curve.y) == samples.value[np.isfinite(samples.value)].max()


def test_a_line_goes_back_nowhere_and_reaches_the_edges(folder: Path) -> None:
    """A restart would draw a line back over the chart, and a zoomed line would end early."""
    samples = columns(1, 3_000, "restarted", 0)
    writer = write(folder, samples)
    curve = read(writer, PixelGrid(0, 1_000, 20))
    back = np.flatnonzero(np.diff(curve.x) < 0)
    gaps = np.flatnonzero(np.isnan(curve.y))
    assert len(gaps) == 2
    assert set(back.tolist()) <= set(gaps.tolist()) | set((gaps - 1).tolist())
    between = read(writer, PixelGrid(100.2, 100.8, 20))
    assert between.in_range == 0
    assert [x for x, y in zip(between.x, between.y, strict=True) if y == y] == [100, 101] * 3


@pytest.mark.parametrize("length", [1, 127, 128, 129, 1_000])
def test_points_may_come_in_parts_of_any_length(length: int) -> None:
    """A curve would depend on how its samples happened to be read."""
    samples = columns(3, 200_000, "jagged", 0.001)
    grid = PixelGrid(0, 200_000, 50)
    x = samples.step.astype(float)
    whole, parts = CurveThinner(grid), CurveThinner(grid)
    whole.add(x, samples.value)
    first = 20_000
    for start in range(0, first, length):
        end = min(start + length, first)
        parts.add(x[start:end], samples.value[start:end])
    for start in range(first, len(x), 50_000):
        parts.add(x[start : start + 50_000], samples.value[start : start + 50_000])
    for own, other in zip(whole.finish(), parts.finish(), strict=True):
        np.testing.assert_array_equal(own, other)


def test_a_live_run_grows(store: Path) -> None:
    """A page would show old samples only."""
    run = provml.start_run("live", store=store, formats=(), collect=())
    samples = RunSamples(run.path)
    for step in range(1_000):
        run.log_metric("m", step, Context.TRAINING, step)
    samples.refresh()
    grown = []
    for turn in range(3):
        for step in range(300):
            run.log_metric("m", 5.0, Context.TRAINING, 1_000 + 300 * turn + step)
        run.log_metric(f"new{turn}", 1, Context.TRAINING, 0)
        samples.refresh()
        (writer,) = samples.writers
        grown.append((len(writer.series), sum(series.count for series in writer.series)))
    assert grown == [(2, 1_301), (3, 1_602), (4, 1_903)]
    run.end_run()
    samples.refresh()
    assert samples.state is not None and samples.state.status == "finished"
    (series,) = [s for s in samples.writers[0].series if s.identity[2] == "m"]
    part, budget = (samples.writers[0], series), ReadBudget(ENOUGH)
    curve = read_pixel_curve([part], Scale("step", 0), PixelGrid(0, 2_000, 4_000), budget)
    np.testing.assert_array_equal(curve.x, range(1_900))


def test_the_samples_of_a_group_get_their_epochs(store: Path) -> None:
    """A curve by epoch would lack the samples that were read before their epoch was known."""
    points = 600
    with provml.start_run("live", store=store, formats=(), collect=()) as run:
        samples = RunSamples(run.path)
        group = run.metrics("training")
        for step in range(points):
            group.log(loss=float("nan") if step == 70 else step / 3, step=step)
        samples.refresh()
        (series,) = samples.writers[0].series
        assert find_extent([(samples.writers[0], series)], Scale("epoch", 0)) is None
        run.metrics.log(epoch=3).flush()
        samples.refresh()
        assert samples.state is not None and samples.state.status == "running"
        parts = [(samples.writers[0], series)]
        grid = PixelGrid(3, 3, 10)
        curve = read_pixel_curve(parts, Scale("epoch", 0), grid, ReadBudget(ENOUGH))
    assert (curve.in_range, curve.unplaced) == (points, 0)
    assert curve.marks == [(3.0, pytest.approx(float("nan"), nan_ok=True))]


def test_the_samples_of_a_rare_series_are_kept(folder: Path) -> None:
    """A zoom into a few samples of a huge file would read most of the file."""
    samples = columns(1, 1_000, "ascending", 0.1)
    writer = write(folder, samples, others=300)
    assert writer.series[0].kept_count == 1_000 // 128
    curve = read(writer, PixelGrid(0, 999, 20), budget=0)
    kept = points_of(curve)
    finite = samples.value[np.isfinite(samples.value)]
    assert (kept.value[np.isfinite(kept.value)].max(), curve.in_range) == (finite.max(), 1_000)
    (first,) = (x for x, y in zip(curve.x, curve.y, strict=True) if y == finite.max())
    assert samples.value[int(first)] == finite.max()


def test_damaged_samples_are_left_out(store: Path) -> None:
    """A flipped bit would be a spike in the curve, each time the samples are read."""
    with provml.start_run("damaged", store=store, formats=(), collect=()) as run:
        for step in range(10_000):
            run.log_metric("m", 1.0, Context.TRAINING, step)
    (path,) = (run.path / layout.JOURNAL_FOLDER).glob(f"*{layout.SAMPLES_SUFFIX}")
    content = bytearray(path.read_bytes())
    offset = layout.HEADER_SIZE + 5_000 * layout.RECORD_SIZE + 16
    content[offset : offset + 8] = np.float64(1e9).tobytes()
    path.write_bytes(content)
    samples = RunSamples(run.path)
    samples.refresh()
    part = (samples.writers[0], samples.writers[0].series[0])
    curve = read_pixel_curve([part], Scale("step", 0), PixelGrid(0, 10_000, 30), ReadBudget(ENOUGH))
    assert curve.count == curve.in_range == 10_000 - layout.BLOCK_RECORDS
    assert np.nanmax(curve.y) == 1.0


def test_summaries_are_kept_in_the_cache_and_give_the_same_curve(
    store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second look at a long run would cost as much as the first, or show another curve."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with provml.start_run("long", store=store, formats=(), collect=()) as run:
        for step in range(70_000):
            run.log_metric("m", float("inf") if step == 7 else step % 97, Context.TRAINING, step)
            if step % 500 == 0:
                run.log_metric("rare", step, Context.VALIDATION, step)
                run.log_metric("large", 2**70 + step, Context.VALIDATION, step)
    found = []
    for _ in range(2):
        samples = RunSamples(run.path)
        samples.refresh()
        (writer,) = samples.writers
        assert samples.memory_bytes < 100_000
        found.append([])
        for series in writer.series:
            grid = PixelGrid(0, 70_000, 100)
            own = read_pixel_curve([(writer, series)], Scale("step", 0), grid, ReadBudget(ENOUGH))
            found[-1].append((series.identity, series.units, series.count, series.last))
            found[-1] += [own.x.tolist(), str(own.y.tolist()), str(own.marks), own.in_range]
    assert found[0] == found[1]
    (path,) = (tmp_path / "cache").rglob("*.curves")
    before = path.stat()
    content = bytearray(path.read_bytes())
    for cut in (0, 10, 200, len(content) - 1):
        path.write_bytes(content[:cut])
        samples = RunSamples(run.path)
        samples.refresh()
        assert path.stat().st_size == before.st_size
