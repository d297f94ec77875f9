"""What it costs a script that its calls to other trackers are recorded too.

    python tests/benchmarks/bench_trackers.py [--quick]

A script that calls ``SummaryWriter.add_scalar`` is run as it is, and as ``provml run`` runs it; the
two take turns. The figures are medians, of the whole script with its imports, and of a call;
processor time is less moved by what else the machine does.
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

import provml
from provml.capture.inside import SITE

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


Times = tuple[float, float, float]


def seconds(script: str, calls: int, folder: Path, run: provml.Run | None) -> Times:
    """The whole script's time, its time on processors, and the time of a call."""
    environment = {key: text for key, text in os.environ.items() if key != "PROVML_JOINED_RUN"}
    if run is not None:
        path = [str(SITE), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        environment["PROVML_JOINED_RUN"] = str(run.path)
    with tempfile.TemporaryDirectory(dir=folder) as log_dir:
        command = [sys.executable, "-c", script, str(calls), log_dir]
        busy, start = cpu_s(), perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
        return perf_counter() - start, cpu_s() - busy, float(done.stdout)


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
                with provml.start_run(
                    "bench", save_dir=folder / "store", formats=(), sample_interval_s=0
                ) as run:
                    recorded.append(seconds(script, calls, folder, run))
                samples = provml.load(run.path).series("train/loss", provml.Context.TRAINING)
                assert len(samples) == calls
    whole, busy, call = (statistics.median(column) for column in zip(*plain, strict=True))
    own_whole, own_busy, own_call = (
        statistics.median(column) for column in zip(*recorded, strict=True)
    )
    print(f"{package}: a script of {calls:,} add_scalar, {pairs} pairs")
    print(
        f"  whole script   {whole:8.2f} s, recorded {own_whole:8.2f} s   "
        f"{100 * (own_whole / whole - 1):+5.1f} %  (budget +15 %)"
    )
    print(
        f"  its CPU time   {busy:8.2f} s, recorded {own_busy:8.2f} s   "
        f"{100 * (own_busy / busy - 1):+5.1f} %"
    )
    print(
        f"  a call         {call * 1e6:8.2f} us, recorded {own_call * 1e6:7.2f} us  "
        f"{100 * (own_call / call - 1):+5.1f} %"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls: to see that it runs")
    quick = parser.parse_args().quick
    ran = False
    for package, needs in (("torch.utils.tensorboard", "tensorboard"), ("tensorboardX",) * 2):
        if importlib.util.find_spec(needs) is not None:
            measure(package, 200 if quick else 100_000, 1 if quick else 7)
            ran = True
    if not ran:
        print("neither tensorboard nor tensorboardX is installed  (budget +15 %)")


if __name__ == "__main__":
    main()
