"""What graphs and pictures cost: each figure with its budget and its baseline.

    python tests/benchmarks/bench_graph.py [--quick]

The baseline of a graph at sample detail is ``prov.graph.prov_to_graph`` on the same document, the
building of which is not counted.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import tempfile
from collections.abc import Callable
from time import perf_counter

from prov.graph import prov_to_graph

import provml

TRAINING = provml.Context.TRAINING


def make_run(store: str, samples: int, series: int) -> provml.RecordedRun:
    """A run of some series, a step for each sample of one."""
    with provml.start_run("bench", store=store, formats=()) as run:
        names = [f"metric {number}" for number in range(series)]
        for step in range(samples // series):
            for name in names:
                run.log_metric(name, step * 0.1, TRAINING, step)
        run.log_model("net", {"w": 1.0}, context=TRAINING, step=1)
    return provml.load(run.path)


def median_s(rounds: int, work: Callable[[], object]) -> float:
    """How long it takes."""
    taken = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        taken.append(perf_counter() - start)
    return statistics.median(taken)


def sample_detail(store: str, samples: int, series: int, rounds: int) -> None:
    """A graph of every sample beside the ``prov`` library's."""
    recorded = make_run(store, samples, series)
    document = recorded.to_prov("sample")
    own = median_s(rounds, lambda: recorded.to_networkx("sample"))
    other = median_s(max(1, rounds // 3), lambda: prov_to_graph(document))
    graph = recorded.to_networkx("sample")
    print(
        f"networkx at sample detail, {samples:>7,} samples of {series:>2} series   "
        f"{own / len(graph) * 1e6:5.1f} us a node, prov {other / len(graph) * 1e6:.0f} us: "
        f"{other / own:.1f}x faster  (budget 5x; {len(graph):,} nodes)"
    )


def series_detail(store: str, samples: int, series: int, rounds: int) -> None:
    """A graph of the series, and a picture of it."""
    recorded = make_run(store, samples, series)
    taken = median_s(rounds, lambda: recorded.to_networkx("series"))
    what = f"{samples:>9,} samples of {series:>2} series"
    print(f"networkx at series detail, {what}   {taken:5.2f} s  (budget 1 s for a million)")
    forms = ("graphml", "dot", "svg") if shutil.which("dot") else ("graphml", "dot")
    for form in forms:
        taken = median_s(rounds, lambda form=form: recorded.export(form, io.BytesIO()))  # type: ignore[misc]
        print(f"{form}, {what}   {taken:5.2f} s  (budget 2 s for a million)")


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as store:
        for series in (1, 20):
            sample_detail(store, 200 if quick else 20_000, series, rounds=1 if quick else 5)
            series_detail(store, 1_000 if quick else 1_000_000, series, rounds=1 if quick else 5)


if __name__ == "__main__":
    main()
