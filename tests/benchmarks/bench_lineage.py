"""What questions over many runs cost: each figure with its budget.

    python tests/benchmarks/bench_lineage.py [--quick] [--runs N] [--store DIR]

The store is made by the recorder: each run has 20 series of 500 samples, parameters, and a place in
a chain (each run uses what the one before made) or in a fan (each uses what the first one made). A
store that is given is kept, and used again where it has the runs. A cold question is a process of
its own, its start included.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import provml

CHAIN_SHARE = 5
"""One run in so many stands in the chain, the others in the fan."""


def make_run(store: Path, work: Path, number: int, samples: int) -> Path:
    """One run of the chain or the fan; its folder."""
    in_chain = number % CHAIN_SHARE == 0
    before = work / (f"chain-{number - CHAIN_SHARE}.bin" if in_chain else "chain-0.bin")
    made = work / (f"chain-{number}.bin" if in_chain else f"fan-{number}.bin")
    made.write_text(f"content {number}")
    with provml.start_run("chain" if in_chain else "fan", store=store, formats=()) as run:
        run.log_params({"lr": 0.1 / (number + 1), "number": number, "opt": {"name": "adam"}})
        run.log_params({f"p{place}": place * number for place in range(10)})
        if before.exists():
            run.log_dataset("before", before)
        for place in range(20):
            log, name = run.log_metric, f"metric-{place}"
            for step in range(samples):
                log(name, number + step * 0.001, provml.Context.TRAINING, step)
        run.log_metric("accuracy", number / 1000, provml.Context.VALIDATION)
        run.log_model("model", made, step=samples - 1, copy=False)
    return run.path


def make_store(store: Path, runs: int, samples: int) -> Path:
    """A store of so many runs, where they are not there yet; the folder of the files they made."""
    work = store.parent / f"{store.name}-files"
    work.mkdir(parents=True, exist_ok=True)
    there = len(list(store.glob("*/*/run.json")))
    start = perf_counter()
    for number in range(there, runs):
        make_run(store, work, number, samples)
    if there < runs:
        print(f"{runs - there} runs recorded   {perf_counter() - start:6.1f} s")
    return work


def median_ms(rounds: int, ask: Callable[[], object]) -> float:
    """The median time of a call."""
    times = []
    for _ in range(rounds):
        start = perf_counter()
        ask()
        times.append(perf_counter() - start)
    return statistics.median(times) * 1e3


def cold_ms(rounds: int, *arguments: str) -> float:
    """The median time of a command, a process each."""
    command = [sys.executable, "-m", "provml", *arguments]
    return median_ms(rounds, lambda: subprocess.run(command, check=True, capture_output=True))


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    parser.add_argument("--runs", type=int, help="how many runs")
    parser.add_argument("--store", type=Path, help="a store to make or use again")
    options = parser.parse_args()
    runs = options.runs or (20 if options.quick else 1000)
    samples, rounds = (5, 1) if options.quick else (500, 7)
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or Path(folder) / "provenance"
        measure(store, make_store(store, runs, samples), runs, samples, rounds)


def measure(store: Path, work: Path, runs: int, samples: int, rounds: int) -> None:
    """Every figure over a store."""
    shutil.rmtree(store / ".tables", ignore_errors=True)
    start = perf_counter()
    opened = provml.open_store(store)
    opened.refresh()
    each = (perf_counter() - start) / runs * 1e3
    print(f"first index of {runs} runs   {each:6.1f} ms a run")
    last = (runs - 1) // CHAIN_SHARE * CHAIN_SHARE
    file, root = work / f"chain-{last}.bin", work / "chain-0.bin"
    at = ("--store", str(store))
    cold = cold_ms(rounds, "lineage", str(file), "--json", *at)
    print(f"lineage of a file, cold   {cold:6.0f} ms  (budget 1000 ms)")
    found = opened.lineage(file)
    warm = median_ms(rounds, lambda: opened.lineage(file))
    print(
        f"lineage of a file, warm   {warm:6.1f} ms  (budget 100 ms; {len(found.contents)} contents "
        f"of {len(found.runs)} runs in a chain)"
    )
    fan = opened.impact(root)
    warm = median_ms(rounds, lambda: opened.impact(root))
    print(f"impact of a file, warm   {warm:6.1f} ms  ({len(fan.runs)} runs)")
    where = "params.lr < 0.01 and metrics.accuracy.validation.max > 0.5"
    cold = cold_ms(rounds, "runs", "--where", where, *at)
    print(f"runs --where, cold   {cold:6.0f} ms  (budget 1000 ms)")
    warm = median_ms(rounds, lambda: opened.runs(where))
    print(f"runs --where, warm   {warm:6.1f} ms")
    nothing = median_ms(rounds, opened.refresh)
    print(f"index where nothing is new   {nothing:6.1f} ms over {runs} runs")
    ones, added = [], []
    for number in range(max(3, rounds)):
        added.append(make_run(store, work, 10**6 * CHAIN_SHARE + number, samples))
        ones.append(median_ms(1, opened.refresh))
    print(
        f"index of one more run   {statistics.median(ones):6.1f} ms over {runs} runs, the slowest "
        f"of {len(ones)} {max(ones):.1f} ms  (budget 50 ms)"
    )
    for path in added:  # so that the store can be used again
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
