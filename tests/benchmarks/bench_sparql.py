"""What asking costs: each figure with its budget and its baseline.

    python tests/benchmarks/bench_sparql.py [--quick]

The baseline of loading is rdflib parsing the same N-Triples into its default store. What is loaded
comes from the journal each time: loading includes making the triples.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import rdflib

import provml
from provml.export import ntriples
from provml.journal.reader import Journal
from provml.model.mapping import RunMapping
from provml.sparql import LoadedRuns, load_runs
from provml.sparql.ready_queries import find_ready_query

TRAINING = provml.Context.TRAINING


def make_run(store: str, samples: int) -> Path:
    """A run of one series, a step for each sample."""
    run = provml.start_run("bench", store=store, formats=())
    for step in range(samples):
        run.log_metric("loss", step * 0.1, TRAINING, step)
    run.end_run()
    return run.path


def loading(store: str, samples: int) -> LoadedRuns:
    """A run loaded into memory and on disk, beside rdflib; the latter, for queries."""
    path = make_run(store, samples)
    sink = io.BytesIO()
    ntriples.write(RunMapping(Journal(path)), sink, entailed=True)
    start = perf_counter()
    rdflib.Graph().parse(data=sink.getvalue(), format="nt11")
    theirs = perf_counter() - start
    start = perf_counter()
    with load_runs([path], keep=False) as loaded:
        triples = loaded.load_report.triples
    in_memory = perf_counter() - start
    start = perf_counter()
    loaded = load_runs([path])
    on_disk = perf_counter() - start
    print(f"{samples:,} samples, {triples:,} triples: rdflib parses them in {theirs:.2f} s")
    for name, own in (("into memory", in_memory), ("on disk, to keep", on_disk)):
        print(f"  loaded {name:17} {own:7.2f} s: {theirs / own:4.1f}x faster  (budget 10x)")
    return loaded


def opening(store: str) -> None:
    """Runs that are loaded already."""
    start = perf_counter()
    with load_runs(None, store) as loaded:
        cost = perf_counter() - start
        assert not loaded.load_report.loaded
    print(f"  opened again {cost * 1e3:14.1f} ms  (no budget)")


def queries(loaded: LoadedRuns, rounds: int) -> None:
    """Ready queries when warm, as a median."""
    for name in ("series", "best-step", "parameters", "run-times", "metric-samples"):
        text = find_ready_query(name).text
        costs = []
        for _ in range(rounds):
            start = perf_counter()
            rows = sum(1 for _ in loaded.query(text).rows())
            costs.append(perf_counter() - start)
            if costs[-1] > 1:
                break
        budget = "budget 100 ms" if rows < 100 else "no budget: every sample"
        cost = statistics.median(costs[1:] or costs) * 1e3
        print(f"  {name:16} {cost:11.1f} ms, {rows:,} rows  ({budget})")


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as store:
        loaded = loading(store, 200 if quick else 100_000)
        queries(loaded, rounds=2 if quick else 9)
        loaded.close()
        opening(store)


if __name__ == "__main__":
    main()
