"""What reading the machine costs: each figure with its budget and what it is compared to.

    python tests/benchmarks/bench_collect.py [--quick]

A training is a loop of matrix-free Python work that logs a metric a step. With and without readings
it does the same number of steps; what differs is CPU time of the process. What is constant
(imports, the first readings, their statements in the documents) is told apart from what each
reading costs.
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
from pathlib import Path
from time import perf_counter_ns, process_time

import provml
from provml.collect.process import ProcessCollector
from provml.collect.system import SystemMetricsCollector

TRAINING = """
import sys, threading, time
import provml

store, interval_s, steps, wait_s = sys.argv[1:]
with provml.start_run("bench", store=store, sample_interval_s=float(interval_s)):
    for step in range(int(steps)):
        provml.log_metric("loss", sum(range(2000)) / (step + 1), "training", step)
    threading.Event().wait(float(wait_s))
    start_of_end = time.process_time()
end = time.process_time()
print(end, end - start_of_end)
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
            options = {"store": store, "formats": (), "sample_interval_s": interval_s}
            with provml.start_run("bench", **options):  # type: ignore[arg-type]
                threading.Event().wait(0.5)  # imports and first readings are not of the rhythm
                start = process_time()
                threading.Event().wait(seconds)
                used[interval_s] = process_time() - start
    cost_ms = 1000 * (used[1.0] - used[0.0]) / seconds
    print(
        f"all readings at 1 Hz     {cost_ms / 10:8.3f} % of one CPU ({cost_ms:.2f} ms each time), "
        f"above {used[0.0]:.4f} s without any in {seconds:g} s  (budget 1 %)"
    )


def in_turns(steps: int, wait_s: float, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """CPU seconds of trainings without readings and with one a second: all, and of the end."""
    times: dict[str, list[tuple[float, float]]] = {"0": [], "1": []}
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"PYTHONPYCACHEPREFIX": folder}  # as what is installed is compiled
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(rounds + 1):
            for interval_s, own in times.items():
                store = str(Path(folder, f"{number}.{interval_s}"))
                arguments = [store, interval_s, str(steps), str(wait_s)]
                command = [sys.executable, "-P", "-c", TRAINING, *arguments]
                every, end = subprocess.check_output(command, env=env).split()
                if number:  # the first compiled
                    own.append((float(every), float(end)))
    return times


def constants(wait_s: float, rounds: int) -> None:
    """What readings cost a run however short, of the few metrics that any training has."""
    times = in_turns(2000, wait_s, rounds)
    (base, base_end), (sampled, sampled_end) = (
        [statistics.median(column) for column in zip(*own, strict=True)] for own in times.values()
    )
    all_ms, end_ms = 1000 * (sampled - base), 1000 * (sampled_end - base_end)
    print(
        f"a short run's readings   {all_ms:8.1f} ms of CPU time above the same run without "
        f"({1000 * base:.0f} ms), {end_ms:.1f} ms of it at the end: "
        f"{all_ms / 600:.3f} % of a minute  (budget 1 %)"
    )


def training(steps: int, rounds: int) -> None:
    """The same steps with readings and without, in turns, in one process.

    At 20 Hz, as what one reading a second costs is less than what the machine's other work makes
    of a second; it is a twentieth of what is found.
    """

    def cpu_s() -> float:
        start = process_time()
        for step in range(steps):
            run.log_metric("loss", sum(range(2000)) / (step + 1), "training", step)
        return process_time() - start

    without, sampled = [], []
    with (
        tempfile.TemporaryDirectory() as store,
        provml.start_run("bench", store=store, formats=(), sample_interval_s=0.05) as run,
    ):
        sampler = run._sampler
        assert sampler is not None
        cpu_s()
        for _ in range(rounds):
            sampler.pause()
            without.append(cpu_s())
            sampler.resume()
            sampled.append(cpu_s())
    ratio = sum(sampled) / sum(without)
    print(
        f"training, readings at 20 Hz {ratio:7.4f}x the CPU time without: at 1 Hz "
        f"{1 + (ratio - 1) / 20:.4f}x  (budget 1.01x)"
    )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    readings(calls=20 if quick else 2000)
    idle(seconds=0.1 if quick else 20)
    constants(wait_s=0.2 if quick else 1.2, rounds=1 if quick else 15)
    training(steps=1_000 if quick else 10_000, rounds=1 if quick else 100)


if __name__ == "__main__":
    main()
