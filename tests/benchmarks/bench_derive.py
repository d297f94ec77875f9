"""What deriving costs: each figure with its budget and its baseline.

    python tests/benchmarks/bench_derive.py [--quick]

The baseline of PROV-JSON is the ``prov`` library building the same statements by its API and
serialising them; that of RDF is its serialiser alone; that of JSON Lines is ``json.dumps`` of each
line. Memory is the peak resident set (VmHWM) of a
process that does nothing else.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import provml
from provml.base.format_names import format_names
from provml.export import find_format

TRAINING = provml.Context.TRAINING


def make_run(store: str, samples: int) -> Path:
    """A run of one series, a step for each sample."""
    run = provml.start_run("bench", store=store, formats=())
    log = run.log_metric
    for step in range(samples):
        log("loss", step * 0.1, TRAINING, step)
    run.end_run()
    return run.path


def prov_json(store: str, samples: int, rounds: int) -> None:
    """PROV-JSON at sample detail beside the ``prov`` library."""
    recorded = provml.load(make_run(store, samples))
    statements = [s.rows for s in _tables(recorded)]
    ours, theirs = [], []
    for _ in range(rounds):
        start = perf_counter()
        recorded.export("provjson", io.BytesIO(), "sample")
        ours.append(perf_counter() - start)
    for _ in range(max(1, rounds // 3)):
        start = perf_counter()
        recorded.to_prov("sample").serialize(io.StringIO(), format="json")
        theirs.append(perf_counter() - start)
    own, other = statistics.median(ours), statistics.median(theirs)
    print(
        f"PROV-JSON, {samples:>9,} samples   {own / samples * 1e6:6.2f} us a sample, prov "
        f"{other / samples * 1e6:.0f} us: {other / own:.0f}x faster  (budget 40x; "
        f"{sum(statements):,} statements)"
    )


def rdf(store: str, samples: int, rounds: int) -> None:
    """N-Triples and Turtle at sample detail beside the ``prov`` library's serialiser."""
    recorded = provml.load(make_run(store, samples))
    document = recorded.to_prov("sample")
    start = perf_counter()
    document.serialize(io.StringIO(), format="rdf", rdf_format="turtle")
    other = perf_counter() - start
    for form in ("ntriples", "turtle"):
        ours = []
        for _ in range(rounds):
            start = perf_counter()
            recorded.export(form, io.BytesIO(), "sample")
            ours.append(perf_counter() - start)
        own = statistics.median(ours)
        print(
            f"{form}, {samples:>9,} samples   {own / samples * 1e6:6.2f} us a sample, prov "
            f"{other / samples * 1e6:.0f} us: {other / own:.0f}x faster  (budget 200x)"
        )


def json_lines(store: str, samples: int, rounds: int) -> None:
    """JSON Lines of single samples and of points, beside ``json.dumps`` of the same lines."""
    single = make_run(store, samples)
    with provml.start_run("bench", store=store, formats=()) as run:
        for step in range(samples // 4):
            run.metrics("train").append(a=step * 0.1, b=step * 0.2, c=step, d=0.5, step=step)
    for what, path in (("single", single), ("in points", run.path)):
        recorded, ours = provml.load(path), []
        for _ in range(rounds):
            sink = io.BytesIO()
            start = perf_counter()
            recorded.export("jsonl", sink)
            ours.append(perf_counter() - start)
        lines = [json.loads(line) for line in sink.getvalue().splitlines()]
        start = perf_counter()
        for line in lines:
            json.dumps(line)
        own, other = statistics.median(ours), perf_counter() - start
        print(
            f"JSON Lines, {samples:>9,} samples {what}   {own / samples * 1e6:6.2f} us a sample, "
            f"json.dumps alone {other / samples * 1e6:.2f} us: {other / own:.1f}x faster  "
            "(budget 3 us)"
        )


def _tables(recorded: provml.RecordedRun) -> list[object]:
    from provml.journal.reader import Journal
    from provml.model.mapping import RunMapping

    return list(RunMapping(Journal(recorded.path), "sample").statements())


EXPORT = """
import json, pathlib, re, sys, time
import provml
recorded = provml.load(sys.argv[1])
start = time.perf_counter()
if sys.argv[2] != "none":
    recorded.export(sys.argv[3], "/dev/null", sys.argv[2])
print(json.dumps({"s": time.perf_counter() - start,
                  "mb": int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status")
                                      .read_text())[1]) / 1024}))
"""


def memory(store: str, samples: int) -> None:
    """Peak memory of exports in processes of their own, at a tenth and at all of the samples."""
    for count in (samples // 10, samples):
        path = make_run(store, count)
        for form in format_names():
            if find_format(form).default_detail:
                continue  # a graph, in memory: see bench_graph
            for detail in ("sample", "series") if form == "provjson" else ("sample",):
                command = [sys.executable, "-P", "-c", EXPORT, str(path), detail, form]
                figure = json.loads(subprocess.check_output(command))
                print(
                    f"{form} of {count:>10,} samples, {detail} detail   {figure['mb']:6.0f} MB "
                    f"peak, {figure['s']:6.1f} s  (budget 200 MB)"
                )


def series(store: str, samples: int, rounds: int) -> None:
    """A series as arrays, and beside it the plain read of the same bytes."""
    recorded = provml.load(make_run(store, samples))
    (file,) = (recorded.path / "journal").glob("*.samples")
    ours, plain = [], []
    for _ in range(rounds):
        start = perf_counter()
        arrays = recorded.series("loss", TRAINING)
        ours.append(perf_counter() - start)
        start = perf_counter()
        file.read_bytes()
        plain.append(perf_counter() - start)
    assert len(arrays) == samples
    own, other = statistics.median(ours) * 1e3, statistics.median(plain) * 1e3
    print(
        f"series of {samples:,} samples as arrays   {own:6.1f} ms, reading its bytes alone "
        f"{other:.1f} ms: {own / other:.1f}x  (budget 50 ms for a million)"
    )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as store:
        for samples in (100, 200) if quick else (10_000, 100_000):
            prov_json(store, samples, rounds=1 if quick else 5)
        json_lines(store, 100 if quick else 1_000_000, rounds=1 if quick else 3)
        rdf(store, 100 if quick else 10_000, rounds=1 if quick else 7)
        series(store, 1_000 if quick else 1_000_000, rounds=1 if quick else 7)
        memory(store, 1_000 if quick else 10_000_000)


if __name__ == "__main__":
    main()
