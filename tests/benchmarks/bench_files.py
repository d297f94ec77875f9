"""What the capture of files costs a script: each figure with its budget and what it is compared to.

    python tests/benchmarks/bench_files.py [--quick]

A script opens small files, reads and closes each once. Plain, inside a run that captures nothing,
and inside one that captures files, it is started in turn; the ratio is the median of the pairs':
of the loop's time, and of the CPU time of the process inside a run. Hashing comes when the script
has ended and is timed by itself.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import provml
from provml.capture.bootstrap import SITE
from provml.capture.files import record_files

READING = """
import sys, time
paths = [f"data/{number}.txt" for number in range(int(sys.argv[1]))]
start, cpu = time.perf_counter(), time.process_time()
for path in paths:
    with open(path) as file:
        file.read()
print(time.process_time() - cpu, time.perf_counter() - start)
"""
PARSING = READING.replace("file.read()", "[int(line) for line in file]")
WRITING = """
import sys, time
paths = [f"out/{number}.txt" for number in range(int(sys.argv[1]))]
start, cpu = time.perf_counter(), time.process_time()
for path in paths:
    with open(path, "w") as file:
        file.write(path)
print(time.process_time() - cpu, time.perf_counter() - start)
"""
AGAIN = """
import sys, time
start, cpu = time.perf_counter(), time.process_time()
for _ in range(int(sys.argv[1])):
    with open("data/0.txt") as file:
        file.read()
print(time.process_time() - cpu, time.perf_counter() - start)
"""
OTHER = """
import sys, time
start, cpu = time.perf_counter(), time.process_time()
for _ in range(int(sys.argv[1])):
    id(start)
print(time.process_time() - cpu, time.perf_counter() - start)
"""


class Bench:
    """A folder of files, and scripts that are started in it in turns."""

    def __init__(self, folder: Path, files: int, rounds: int) -> None:
        self.folder, self.files, self.rounds = folder, files, rounds
        (folder / "data").mkdir()
        (folder / "out").mkdir()
        for number in range(files):
            (folder / "data" / f"{number}.txt").write_text(f"{number}\n" * 100)

    def _start(self, script: str, run: provml.Run | None, capture: str) -> tuple[float, ...]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PROVML_")}
        if run is not None:
            package = str(Path(provml.__file__).parents[1])
            environment["PYTHONPATH"] = os.pathsep.join([str(SITE), package])
            environment |= {"PROVML_JOINED_RUN": str(run.path), "PROVML_CAPTURE": capture}
        before = _children_cpu_s()
        output = subprocess.check_output(
            [sys.executable, "-c", script, str(self.files)], cwd=self.folder, env=environment
        )
        cpu_s, loop_s = map(float, output.split())
        return cpu_s, loop_s, _children_cpu_s() - before

    def compare(self, name: str, script: str, budget: str) -> None:
        """Print what capture adds to a script's loop and to its whole process."""
        rows: dict[str, list[tuple[float, ...]]] = {"plain": [], "inside": [], "files": []}
        hashing = []
        for _ in range(self.rounds):
            options = {"store": self.folder.parent / "store", "sample_interval_s": 0}
            with provml.start_run("bench", formats=(), **options) as run:  # type: ignore[arg-type]
                rows["plain"].append(self._start(script, None, ""))
                rows["inside"].append(self._start(script, run, ""))
                rows["files"].append(self._start(script, run, "files"))
                start = time.perf_counter()
                record_files(run)
                hashing.append(time.perf_counter() - start)
        cpu, loop = (self._ratio(rows["files"], rows["plain"], index) for index in (0, 1))
        whole = self._ratio(rows["files"], rows["inside"], 2)
        plain_us = statistics.median(row[0] for row in rows["plain"]) / self.files * 1e6
        print(
            f"{name:24} {plain_us * (cpu - 1):6.2f} us an open more, on {plain_us:5.2f}  "
            f"loop {cpu:5.3f}x of CPU time, {loop:5.3f}x of time, "
            f"process {whole:5.3f}x of CPU time  "
            f"{budget}, then hashing {statistics.median(hashing):.2f} s"
        )

    def _ratio(
        self, more: list[tuple[float, ...]], less: list[tuple[float, ...]], index: int
    ) -> float:
        pairs = zip(more, less, strict=True)
        return statistics.median(own[index] / other[index] for own, other in pairs)

    def start_up(self) -> None:
        """Print what being inside a run, and watching files, add to Python's start."""
        script = "print(0, 0)"
        options = {"store": self.folder.parent / "store", "sample_interval_s": 0}
        times: dict[str, list[float]] = {"plain": [], "inside": [], "files": []}
        with provml.start_run("bench", formats=(), **options) as run:  # type: ignore[arg-type]
            for _ in range(self.rounds):
                times["plain"].append(self._start(script, None, "")[2])
                times["inside"].append(self._start(script, run, "")[2])
                times["files"].append(self._start(script, run, "files")[2])
        plain, inside, files = (1000 * statistics.median(own) for own in times.values())
        print(
            f"{'start of Python':24} {plain:.0f} ms of CPU time, {inside:.0f} inside a run, "
            f"{files:.0f} watching files"
        )


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "work")
        work.mkdir()
        bench = Bench(work, 100 if quick else 10_000, 1 if quick else 15)
        bench.compare("reading each file once", READING, "(budget: process 1.10x)")
        bench.compare("and its hundred numbers", PARSING, "(budget: process 1.10x)")
        bench.compare("reading one file again", AGAIN, "(budget: process 1.10x)")
        bench.compare("another audited call: id", OTHER, "(no budget)")
        bench.rounds = min(bench.rounds, 5)
        bench.compare("writing each file once", WRITING, "(no budget)")
        bench.start_up()


if __name__ == "__main__":
    main()
