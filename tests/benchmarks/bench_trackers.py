"""What it costs a script that its calls to other trackers are recorded too.

    python tests/benchmarks/bench_trackers.py [--quick]

A script that calls ``SummaryWriter.add_scalar`` is run as it is, and as ``provml run`` runs it; the
two take turns. The figures are medians of the pairs' ratios: of the whole script with its imports,
its processor time, and a call. The writers hand each scalar to a thread of theirs, and how two
threads meet moves such a script by a third from one start to the next: so one more script has
recorded calls and plain ones in turns, some thousand times each.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import provml
from provml.capture.bootstrap import SITE

SCRIPT = """
import sys
from time import perf_counter
from {package} import SummaryWriter
writer = SummaryWriter(sys.argv[2])
losses = [1 / (step + 1) for step in range(int(sys.argv[1]))]
start = perf_counter()
for step, loss in enumerate(losses):
    writer.add_scalar("train/loss", loss, step)
print((perf_counter() - start) / len(losses))
writer.close()
"""

# what `provml run` has put in the function's place, and the function itself, in turns
TURNS = """
import statistics, sys
from time import perf_counter
from {package} import SummaryWriter
recorded = SummaryWriter.add_scalar
kinds = {{"plain": recorded.__wrapped__, "recorded": recorded}}
writer = SummaryWriter(sys.argv[2])
block = min(int(sys.argv[1]), 2000)
times = {{kind: [] for kind in kinds}}
for turn in range(2 * int(sys.argv[1]) // block):
    for kind in sorted(kinds, reverse=turn % 2 == 0):
        SummaryWriter.add_scalar = kinds[kind]
        start = perf_counter()
        for step in range(block):
            writer.add_scalar("train/loss", 1 / (step + 1), step)
        times[kind].append((perf_counter() - start) / block)
SummaryWriter.add_scalar = recorded
print(*(statistics.median(times[kind]) for kind in kinds))
writer.close()
"""


Times = tuple[float, float, float]
OPTIONS: Any = {"formats": (), "sample_interval_s": 0}


def output_of(script: str, calls: int, folder: Path, run: provml.Run | None) -> str:
    """What a script prints, inside a run or not."""
    environment = {key: text for key, text in os.environ.items() if key != "PROVML_JOINED_RUN"}
    if run is not None:
        path = [str(SITE), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        environment["PROVML_JOINED_RUN"] = str(run.path)
    with tempfile.TemporaryDirectory(dir=folder) as log_dir:
        command = [sys.executable, "-c", script, str(calls), log_dir]
        return subprocess.check_output(command, env=environment, text=True)


def seconds(script: str, calls: int, folder: Path, run: provml.Run | None) -> Times:
    """The whole script's time, its time on processors, and the time of a call."""
    busy, start = cpu_s(), perf_counter()
    call_s = float(output_of(script, calls, folder, run))
    return perf_counter() - start, cpu_s() - busy, call_s


def cpu_s() -> float:
    """Seconds that all processes run from here so far have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(package: str, calls: int, pairs: int) -> None:
    """Alternating pairs of one script."""
    script = SCRIPT.format(package=package)
    plain: list[Times] = []
    recorded: list[Times] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(pairs):
            turns = [plain, recorded] if number % 2 else [recorded, plain]
            for turn in turns:
                if turn is plain:
                    plain.append(seconds(script, calls, folder, None))
                    continue
                with provml.start_run("bench", store=folder / "store", **OPTIONS) as run:
                    recorded.append(seconds(script, calls, folder, run))
                samples = provml.load(run.path).series("train/loss", provml.Context.TRAINING)
                assert len(samples) == calls
        with provml.start_run("turns", store=folder / "store", **OPTIONS) as run:
            turns_of = output_of(TURNS.format(package=package), calls, folder, run)
    print(f"{package}: a script of {calls:,} add_scalar, {pairs} pairs")
    rows = zip(plain, recorded, strict=True)
    ratios = zip(
        *([own / bare for bare, own in zip(*row, strict=True)] for row in rows), strict=True
    )
    for what, own in zip(("whole script", "its CPU time", "a call"), ratios, strict=True):
        low, high = 100 * (min(own) - 1), 100 * (max(own) - 1)
        budget = "  (budget +15 %)" if what == "whole script" else ""
        percent = 100 * (statistics.median(own) - 1)
        print(f"  {what:24} {percent:+5.1f} % ({low:+.0f} to {high:+.0f} %){budget}")
    bare_s, own_s = map(float, turns_of.split())
    print(
        f"  calls in turns           {100 * (own_s / bare_s - 1):+5.1f} %: "
        f"{bare_s * 1e6:.2f} us, recorded {own_s * 1e6:.2f} us"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls: to see that it runs")
    quick = parser.parse_args().quick
    ran = False
    for package, needs in (
        ("torch.utils.tensorboard", ("torch", "tensorboard")),
        ("tensorboardX", ("tensorboardX",)),
    ):
        if all(importlib.util.find_spec(name) is not None for name in needs):
            measure(package, 200 if quick else 100_000, 1 if quick else 7)
            ran = True
    if not ran:
        print("neither tensorboard nor tensorboardX is installed  (budget +15 %)")


if __name__ == "__main__":
    main()
