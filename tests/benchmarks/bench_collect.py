"""What reading the machine costs: each figure with its budget and what it is compared to.

    python tests/benchmarks/bench_collect.py [--quick]

A training is a loop of matrix-free Python work that logs a metric a step. With and without readings
it does the same number of steps; what differs is CPU time of the process. The ratio is of medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from time import perf_counter_ns, process_time

import provml
from provml.collect.process import ProcessCollector
from provml.collect.system import SystemMetricsCollector

TRAINING = """
import sys, threading, time
import provml

store, interval_s, steps = sys.argv[1:]
options = {"save_dir": store, "formats": (), "sample_interval_s": float(interval_s)}
with provml.start_run("bench", **options):
    threading.Event().wait(0.5)  # imports and first readings, some 20 ms, come once
    start = time.process_time()
    for step in range(int(steps)):
        provml.log_metric("loss", sum(range(2000)) / (step + 1), "training", step)
    print(time.process_time() - start)
"""


def us_a_call(call: Callable[[], object], calls: int) -> float:
    """The median time of a call."""
    times = []
    for _ in range(calls):
        start = perf_counter_ns()
        call()
        times.append(perf_counter_ns() - start)
    return statistics.median(times) / 1000


def readings(calls: int) -> None:
    """One reading of each collector, beside opening and reading the files that it needs."""
    files = ("stat", "meminfo", "loadavg", "diskstats", "net/dev")

    def read_files() -> None:
        for name in files:
            with open(f"/proc/{name}", "rb") as file:
                file.read()

    system = SystemMetricsCollector(track_gpu=False)
    process = ProcessCollector()
    system.initialize()
    process.initialize()
    least = us_a_call(read_files, calls)
    one = us_a_call(system.collect, calls)
    own = us_a_call(process.collect, calls)
    print(
        f"system reading           {one:8.0f} us   {one / least:5.2f}x reading its files "
        f"({least:.0f} us)  (budget 1000 us)"
    )
    print(f"process reading          {own:8.0f} us   (budget 1000 us)")


def idle(seconds: float) -> None:
    """CPU time of a process that waits, with a reading a second and without any."""
    used = {}
    for interval_s in (0.0, 1.0):
        with tempfile.TemporaryDirectory() as store:
            options = {"save_dir": store, "formats": (), "sample_interval_s": interval_s}
            with provml.start_run("bench", **options):  # type: ignore[arg-type]
                threading.Event().wait(0.5)  # imports and first readings are not of the rhythm
                start = process_time()
                threading.Event().wait(seconds)
                used[interval_s] = process_time() - start
    percent = 100 * (used[1.0] - used[0.0]) / seconds
    print(
        f"all readings at 1 Hz     {percent:8.3f} % of one CPU, above {used[0.0]:.4f} s without "
        f"any in {seconds:g} s  (budget 1 %)"
    )


def training(steps: int, rounds: int) -> None:
    """The same training with readings at 1 Hz and without, in processes that take turns."""
    without, sampled = [], []
    for _ in range(rounds):
        for interval_s, times in (("0", without), ("1", sampled)):
            with tempfile.TemporaryDirectory() as store:
                command = [sys.executable, "-P", "-c", TRAINING, store, interval_s, str(steps)]
                times.append(float(subprocess.check_output(command, env=os.environ)))
    base, with_readings = map(statistics.median, (without, sampled))
    print(
        f"training with readings   {with_readings:8.3f} s of CPU time  "
        f"{with_readings / base:6.4f}x the same without ({base:.3f} s)  (budget 1.01x)"
    )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    readings(calls=20 if quick else 2000)
    idle(seconds=0.1 if quick else 20)
    training(steps=2_000 if quick else 150_000, rounds=1 if quick else 7)


if __name__ == "__main__":
    main()
