"""What it costs to follow runs while they are recorded.

    python tests/benchmarks/bench_follow.py [--quick]

One poll reads the new samples of all runs with `RunFollower`. The baseline opens the same files
again and reads them whole with numpy, as a reader without a memory would. Baseline and subject take
turns; the ratio is of their medians. Times are the processor's, of this process, whose other
threads do nothing meanwhile but sync.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import thread_time

import numpy as np

import provml
from provml.charts.followed_charts import FollowedCharts
from provml.cli._overview_reading import FollowedOverview
from provml.journal import layout
from provml.journal.follower import RunFollower
from provml.journal.sample_reading import record_dtype
from provml.journal.status import read_run_state

BEFORE = 20_000


def log(runs: list[provml.Run], samples: int, first: int) -> None:
    """Log as many samples in all, spread over the runs."""
    for step in range(samples // len(runs)):
        for run in runs:
            run.log_metric("loss", 1 / (step + 1), provml.Context.TRAINING, first + step)


def read_whole(runs: list[provml.Run]) -> int:
    """Read all samples files, and count the samples."""
    total = 0
    for run in runs:
        for path in (run.path / layout.JOURNAL_FOLDER).glob(f"*{layout.SAMPLES_SUFFIX}"):
            rows = np.fromfile(path, record_dtype(), offset=layout.HEADER_SIZE)
            total += int(np.count_nonzero(rows["series"]))
    return total


def measure(store: Path, runs_count: int, samples: int, rounds: int) -> None:
    """Follow so many runs, with so many new samples for each poll."""
    with ExitStack() as stack:
        runs = [
            stack.enter_context(
                provml.start_run("bench", store=store, formats=(), collect=(), run_id=f"r{number}")
            )
            for number in range(runs_count)
        ]
        log(runs, BEFORE * runs_count // 100, 0)
        followers = [stack.enter_context(RunFollower(run.path)) for run in runs]
        for follower in followers:
            while follower.read_new():
                pass
        poll, idle, whole = [], [], []
        for turn in range(rounds):
            log(runs, samples, BEFORE + turn * samples)
            start = thread_time()
            found = [one for follower in followers for one in follower.read_new()]
            poll.append(thread_time() - start)
            assert sum(len(one.samples) for one in found if one.samples is not None) == samples
            start = thread_time()
            for follower in followers:
                follower.read_new()
            idle.append(thread_time() - start)
            start = thread_time()
            read_whole(runs)
            whole.append(thread_time() - start)
        middle = [statistics.median(times) * 1000 for times in (poll, idle, whole)]
    print(
        f"poll of {runs_count} runs, {samples:,} new samples in all: {middle[0]:.1f} ms, "
        f"{middle[0] / middle[2]:.2f}x reading {BEFORE // 100:,} samples a run whole "
        f"({middle[2]:.1f} ms); without new samples {middle[1]:.1f} ms"
    )


def measure_redraws(store: Path, sizes: tuple[int, ...], rounds: int) -> None:
    """Redraw the overview and the charts of a run of several sizes, with 1,000 new samples each."""
    with provml.start_run("bench", store=store, formats=(), collect=()) as run:
        overview, charts = FollowedOverview(run.path), FollowedCharts([run.path], points=800)
        step = 0

        def grow(count: int) -> None:
            nonlocal step
            for _ in range(count):
                run.log_metric("loss", 1 / (step + 1), provml.Context.TRAINING, step)
                step += 1

        for size in sizes:
            grow(size - step)
            shown, drawn = [], []
            for turn in range(rounds + 1):
                grow(1_000)
                start = thread_time()
                overview.read_new()
                overview.build(read_run_state(run.path))
                middle = thread_time()
                charts.read_new()
                charts.build()
                if turn:  # the first redraw reads what is there already
                    shown.append(middle - start)
                    drawn.append(thread_time() - middle)
            print(
                f"redraw of a run of {size:,} samples with 1,000 new ones: show "
                f"{statistics.median(shown) * 1000:.1f} ms, plot "
                f"{statistics.median(drawn) * 1000:.1f} ms"
            )
        overview.close()
        charts.close()


def main() -> None:
    """Measure, and print the figures beside their budgets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    quick = parser.parse_args().quick
    runs, rounds = (10, 2) if quick else (100, 21)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder) / "few", runs, 10 * runs, rounds)
        measure(Path(folder) / "many", runs, 1000 * runs, rounds)
        measure_redraws(
            Path(folder) / "redraws", (2_000,) if quick else (10_000, 3_000_000), rounds
        )
    print("budget: 20 ms of CPU for 100 runs with 1,000 new samples")


if __name__ == "__main__":
    main()
