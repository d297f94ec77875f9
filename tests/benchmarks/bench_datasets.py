"""What recording datasets costs: large files in the background, folders, tables.

    python tests/benchmarks/bench_datasets.py [--quick] [--mib 10240] [--folder /data]

The baselines of a file are hashlib reading it in a loop of its own, sha256sum, and dd that only
reads it. Before each pass its pages are dropped from the cache, so that each reads the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas

import provml

MIB = 2**20


def plain_s(path: Path) -> float:
    """The time that hashlib takes for a file."""
    start = perf_counter()
    digest = hashlib.sha256()
    buffer = bytearray(4 * MIB)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    return perf_counter() - start


def uncached(path: Path) -> None:
    """Have the next pass over a file read the disk."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def command_s(*command: str) -> float | None:
    """The time that a command takes; None where there is none."""
    if shutil.which(command[0]) is None:
        return None
    start = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - start


def large_file(folder: Path, size_mib: int) -> None:
    """A file in the background: the call, its progress, and until the run is over."""
    path = folder / "large.bin"
    block = np.random.default_rng(0).bytes(16 * MIB)
    with path.open("wb") as file:
        for number in range(size_mib // 16):
            file.write(number.to_bytes(8, "little") + block[8:])
        os.fsync(file.fileno())
    baselines: dict[str, Callable[[], float | None]] = {
        "dd, which only reads it": lambda: command_s("dd", f"if={path}", "of=/dev/null", "bs=4M"),
        "sha256sum": lambda: command_s("sha256sum", str(path)),
        "hashlib alone": lambda: plain_s(path),
    }
    times: dict[str, float] = {}
    for name, measure in baselines.items():
        uncached(path)
        elapsed = measure()
        if elapsed is not None:
            times[name] = elapsed
    uncached(path)
    seen: list[int] = []
    start = perf_counter()
    with provml.start_run("bench", store=folder / "store", formats=()) as run:
        before = perf_counter()
        run.log_dataset("large", path)
        call = perf_counter() - before
        while progress := run.hashing:
            seen.append(progress[0].done)
            threading.Event().wait(0.05)
    both = perf_counter() - start
    told = sum(later > earlier for earlier, later in pairwise(seen))
    print(f"log_dataset of {size_mib:,} MiB, the call  {call * 1e3:9.1f} ms  (budget 50 ms)")
    print(f"  its progress, looked at every 50 ms, grew {told} times")
    print(f"until its digest is recorded    {size_mib / both:9.0f} MiB/s")
    for name, elapsed in times.items():
        budget = "  (budget 1.2x)" if name == "hashlib alone" else ""
        print(f"  {both / elapsed:5.2f}x {name}, {size_mib / elapsed:.0f} MiB/s{budget}")
    os.environ["PROVML_HASH_WAIT_S"] = "0.2"
    uncached(path)
    with provml.start_run("bench", store=folder / "store", formats=()) as run:
        run.log_dataset("large", path)
        start = perf_counter()
    del os.environ["PROVML_HASH_WAIT_S"]
    (facts,) = [content.facts for content in provml.load(run.path).artifacts()]
    outcome = facts.get("unread", "it was done by then")
    print(f"end with PROVML_HASH_WAIT_S=0.2 {perf_counter() - start:9.2f} s: {outcome}")


def tables(rows: int) -> None:
    """A table of numbers and text."""
    frame = pandas.DataFrame(
        {"number": np.arange(rows) / 3, "text": [f"row {number}" for number in range(rows)]}
    )
    with (
        tempfile.TemporaryDirectory() as store,
        provml.start_run("bench", store=store, formats=()) as run,
    ):
        start = perf_counter()
        run.log_dataset("table", frame)
        elapsed = perf_counter() - start
    print(f"a table of {rows:,} rows      {elapsed / rows * 1e6:9.3f} us a row of two columns")


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    parser.add_argument("--mib", type=int, help="the size of the large file")
    parser.add_argument("--folder", type=Path, help="where it is made, and removed again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        large_file(Path(folder), arguments.mib or (64 if arguments.quick else 2048))
    tables(1_000 if arguments.quick else 1_000_000)


if __name__ == "__main__":
    main()
