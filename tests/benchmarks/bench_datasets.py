"""What recording datasets costs: large files in the background, folders, tables.

    python tests/benchmarks/bench_datasets.py [--quick]

The baseline of a file is hashlib reading it in a loop of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
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


def large_file(folder: Path, size_mib: int) -> None:
    """A file in the background: the call, and until the run is over."""
    path = folder / "large.bin"
    block = np.random.default_rng(0).bytes(MIB)
    with path.open("wb") as file:
        for _ in range(size_mib):
            file.write(block)
    plain_s(path)
    alone = plain_s(path)
    start = perf_counter()
    with provml.start_run("bench", save_dir=folder / "store", formats=()) as run:
        before = perf_counter()
        run.log_dataset("large", path)
        call = perf_counter() - before
    both = perf_counter() - start
    print(f"log_dataset of {size_mib:,} MiB, the call  {call * 1e3:9.1f} ms  (budget 50 ms)")
    print(
        f"until its digest is recorded    {size_mib / both:9.0f} MiB/s  "
        f"{both / alone:.2f}x hashlib alone (budget 1.2x), {size_mib / alone:.0f} MiB/s"
    )


def tables(rows: int) -> None:
    """A table of numbers and text."""
    frame = pandas.DataFrame(
        {"number": np.arange(rows) / 3, "text": [f"row {number}" for number in range(rows)]}
    )
    with (
        tempfile.TemporaryDirectory() as store,
        provml.start_run("bench", save_dir=store, formats=()) as run,
    ):
        start = perf_counter()
        run.log_dataset("table", frame)
        elapsed = perf_counter() - start
    print(f"a table of {rows:,} rows      {elapsed / rows * 1e6:9.3f} us a row of two columns")


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        large_file(Path(folder), 64 if quick else 2048)
    tables(1_000 if quick else 1_000_000)


if __name__ == "__main__":
    main()
