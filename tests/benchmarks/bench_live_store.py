"""What questions cost while runs are recorded, and the table of runs of a large store.

    python tests/benchmarks/bench_live_store.py [--quick] [--runs N] [--store DIR]

This process records the runs in progress. Each has 20 series. Before each question, each run gets
new samples. The baseline reads the rows of the same runs from their journals, as a first
question does. Baseline and subject take turns; the ratio is of their medians.

The large store has runs of 16 series and 15 parameters, most of them children of others. A store
that is given is kept, and used again if it has the runs. "First" is a new process that finds the
tables up to date, from its start to the answer; the other figures are of a server that has answered
before. Recording 10,000 runs and building their tables takes minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, process_time

import provml
from provml.journal.reader import Journal
from provml.lineage.rows import build_rows
from provml.ui.browsed_store import BrowsedStore
from provml.ui.queries import Query
from provml.ui.runs_table import answer_runs

SERIES = 20
BEFORE = 50
SHOW = ("params.lr", "metrics.loss.validation.min", "metrics.accuracy.validation", "tags.stage")
ASKS = {
    "the first page again": {},
    "a later page": {"offset": "200"},
    "sorted by a metric": {"sort": "-metrics.loss.validation.min"},
    "with a condition": {"where": "params.lr < 0.01 and metrics.accuracy.validation.max > 0.9"},
    "grouped by a tag": {"group": "tags.stage"},
}


def log(runs: list[provml.Run], steps: range) -> None:
    """Log one sample of each series and run for each step."""
    for step in steps:
        for run in runs:
            for number in range(SERIES):
                run.log_metric(f"metric {number}", step / (number + 1), "training", step)


def measure_live(store: Path, count: int, rounds: int) -> None:
    """Ask about runs in progress, with and without new samples since the last question."""
    with ExitStack() as stack:
        options = {"store": store, "formats": (), "collect": ()}
        runs = [
            stack.enter_context(provml.start_run("bench", run_id=f"r{number}", **options))
            for number in range(count)
        ]
        for run in runs:
            run.log_params({"lr": 0.1, "batch size": 32, "seed": 1})
        log(runs, range(BEFORE))
        opened = provml.open_store(store)
        begun = process_time()
        opened.runs()
        first = (process_time() - begun) * 1000
        asked, idle, read = [], [], []
        for turn in range(rounds):
            log(runs, range(BEFORE + turn, BEFORE + turn + 1))
            begun = process_time()
            answer = opened.runs(show=["metrics['metric 0']"])
            asked.append(process_time() - begun)
            assert answer.rows[0][-1] == BEFORE + turn
            begun = process_time()
            opened.runs()
            idle.append(process_time() - begun)
            begun = process_time()
            for run in runs:
                build_rows(f"bench/{run.id}", Journal(run.path), "")
            read.append(process_time() - begun)
    middle = [statistics.median(times) * 1000 for times in (asked, idle, read)]
    print(
        f"question about {count} runs in progress, {SERIES} new samples each: {middle[0]:.0f} ms, "
        f"{middle[0] / middle[2]:.2f}x reading the runs ({middle[2]:.0f} ms); without new samples "
        f"{middle[1]:.0f} ms; the first question {first:.0f} ms, all of CPU"
    )


def make_store(store: Path, count: int) -> None:
    """Record runs until the store has this many."""
    there = len(list(store.glob("*/*/run.json")))
    parent: Path | None = None
    options = {"store": store, "formats": (), "collect": ()}
    for number in range(there, count):
        chance = random.Random(number)
        is_top = number % 20 == 0
        own = None if is_top else parent
        with provml.start_run(f"sweep {number // 500}", parent=own, **options) as run:
            parent = run.path if is_top else parent
            run.log_params({"lr": 10 ** -chance.uniform(1, 5), "batch size": 32, "seed": number})
            run.log_params({f"p{place}": place * number for place in range(12)})
            run.set_tag("stage", chance.choice(["development", "test", "production"]))
            for context in (provml.Context.TRAINING, provml.Context.VALIDATION):
                for name in ("loss", "accuracy", *(f"metric {place}" for place in range(6))):
                    for step in range(30):
                        run.log_metric(name, chance.random(), context, step)


def ask(store: BrowsedStore, **parameters: str) -> int:
    """Ask for a page of the table; return the number of its rows."""
    query = Query([*parameters.items(), *(("show", value) for value in SHOW)])
    return len(answer_runs(store, query)["runs"])


def measure_table(store: Path, rounds: int) -> None:
    """Ask for pages of the table of a large store."""
    begun = perf_counter()
    count = len(provml.open_store(store).runs())
    print(f"tables of {count:,} runs, found or built: {perf_counter() - begun:.1f} s")
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); import bench_live_store as b; "
        "b.ask(b.BrowsedStore(b.Path(sys.argv[1]))); print(b.read_memory_mib())"
    )
    command = [sys.executable, "-c", program, str(store), str(Path(__file__).parent)]
    times = []
    for _ in range(max(1, rounds // 3)):
        begun = perf_counter()
        memory = subprocess.check_output(command, text=True).strip()
        times.append(perf_counter() - begun)
    print(
        f"first page of {count:,} runs, first: {statistics.median(times):.2f} s with the start of "
        f"the process, {memory} MiB of memory (budget 1 s, 300 MB)"
    )
    browsed = BrowsedStore(store)
    ask(browsed)
    for name, parameters in ASKS.items():
        asked, used = [], []
        for _ in range(rounds):
            begun, cpu = perf_counter(), process_time()
            ask(browsed, **parameters)
            asked.append(perf_counter() - begun)
            used.append(process_time() - cpu)
        wall, cpu = statistics.median(asked) * 1000, statistics.median(used) * 1000
        print(f"  {name}: {wall:.0f} ms, {cpu:.0f} ms of CPU")


def read_memory_mib() -> int:
    """Return how much memory this process uses."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def main() -> None:
    """Measure, and print the figures beside their budgets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--runs", type=int, help="how many runs the large store has")
    parser.add_argument("--store", type=Path, help="a large store to make or use again")
    options = parser.parse_args()
    live, rounds = (5, 2) if options.quick else (100, 11)
    count = options.runs or (20 if options.quick else 10_000)
    with tempfile.TemporaryDirectory() as folder:
        measure_live(Path(folder) / "live", live, rounds)
        store = options.store or Path(folder) / "large"
        make_store(store, count)
        measure_table(store, rounds)
    print("budget: 100 ms for 100 runs in progress, 1 s for the first page of 10,000 runs")


if __name__ == "__main__":
    main()
