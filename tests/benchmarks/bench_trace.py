"""What tracing with strace costs a command: the time of each command as a ratio to that without.

    python tests/benchmarks/bench_trace.py [--quick]

Each command runs plain and traced in turn, as `provml run` traces it; the ratio is that of the
least times and of the medians. What `provml run` itself adds is not part of it. A machine with more
running processes than processors gives higher ratios, because each stop waits for a processor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from provml.capture.command.tracer import TracerProbe

SHORT = """
for i in $(seq $1); do
  sort in.csv > sorted.csv; cut -d, -f1 sorted.csv | grep 1 | wc -l > count; cp sorted.csv copy
done
"""
LONG = """
sort -t, -k2n in.csv > sorted.csv; cut -d, -f1 sorted.csv | grep 1 | wc -l > count
gzip -c sorted.csv > sorted.csv.gz; awk -F, '{s += $2} END {print s}' sorted.csv > sum
"""
TRAINING = """
import numpy as np
table = np.loadtxt("in.csv", delimiter=",") / 1e6
weights = np.zeros(table.shape[1])
for epoch in range(300):
    weights -= 1e-6 * table.T @ (table @ weights - table[:, 0])
    if epoch % 50 == 0:
        np.save(f"weights{epoch}.npy", weights)
"""


def compare(name: str, words: list[str], rounds: int, budget: str) -> None:
    """Print how much slower a command is if it is traced."""
    plan = TracerProbe().finish()
    if plan.strace is None:
        print(f"{name:32} not measured: {plan.reason}")
        return
    ways = {"plain": words, "traced": plan.command_line(words, "trace")}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, command in ways.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[way].append(time.perf_counter() - start)
    least = min(times["traced"]) / min(times["plain"])
    middle = statistics.median(times["traced"]) / statistics.median(times["plain"])
    plain_ms = min(times["plain"]) * 1000
    print(f"{name:32} {least:5.2f}x at least, {middle:5.2f}x  of {plain_ms:.0f} ms  {budget}")


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    rounds = 1 if quick else 15
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        lines = (f"{n},{n * 7 % 1000}\n" for n in range(1000 if quick else 200_000))
        Path("in.csv").write_text("".join(lines))
        training = [sys.executable, "-c", TRAINING]
        compare("a training", training, rounds, "(budget: 1.1x)")
        compare("a pipeline of long programs", ["sh", "-c", LONG], rounds, "(budget: 1.5x)")
        Path("in.csv").write_text("1,2\n")
        short = ["sh", "-c", SHORT, "sh", "2" if quick else "10"]
        compare("a pipeline of short programs", short, rounds, "(budget: 1.5x)")
        os.chdir("/")


if __name__ == "__main__":
    main()
