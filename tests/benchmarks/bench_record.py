"""What recording costs: each figure with its budget and the baseline it is a ratio to.

    python tests/benchmarks/bench_record.py [--quick]

The baseline of a call is a function of the same signature that appends a tuple with ``time_ns()``
to a list. Baseline and subject take turns; the ratio is of their medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from time import perf_counter_ns, time_ns
from typing import Any

import provml

rows: list[tuple[Any, ...]] = []
TRAINING = provml.Context.TRAINING


def baseline(
    name: str,
    value: Any,
    context: Any = None,
    step: int | None = None,
    *,
    epoch: int | None = None,
    timestamp: Any = None,
    unit: str | None = None,
) -> None:
    """The least that a function of this signature can do and still keep what it is given."""
    rows.append((name, value, context, step, epoch, timestamp, unit, time_ns()))


def ns_a_call(function: Callable[..., None], calls: int) -> float:
    """The mean time of a call in a loop as a training script has it."""
    rows.clear()
    start = perf_counter_ns()
    for step in range(calls):
        function("loss", 0.5, TRAINING, step)
    return (perf_counter_ns() - start) / calls


def metrics_ns_a_call(calls: int) -> float:
    """The mean time of `log_metrics` with ten metrics."""
    ten = {f"metric {number}": 0.5 for number in range(10)}
    start = perf_counter_ns()
    for step in range(calls):
        provml.log_metrics(ten, TRAINING, step)
    return (perf_counter_ns() - start) / calls


def slowest_ns(function: Callable[..., None], calls: int) -> tuple[float, float]:
    """The 99.9th percentile and the maximum of single calls, the clock's own time included."""
    times = []
    for step in range(calls):
        start = perf_counter_ns()
        function("loss", 0.5, TRAINING, step)
        times.append(perf_counter_ns() - start)
    times.sort()
    return times[int(len(times) * 0.999)], times[-1]


def log_metric(calls: int, rounds: int) -> None:
    """`log_metric` and `log_metrics` beside the baseline."""
    with tempfile.TemporaryDirectory() as store:
        provml.start_run("bench", store=store, formats=())
        ns_a_call(baseline, calls), ns_a_call(provml.log_metric, calls)
        base, single, ten = [], [], []
        for _ in range(rounds):
            base.append(ns_a_call(baseline, calls))
            single.append(ns_a_call(provml.log_metric, calls))
            ten.append(metrics_ns_a_call(calls // 10))
        tail, worst = slowest_ns(provml.log_metric, calls)
        base_tail, _ = slowest_ns(baseline, calls)
        provml.end_run()
    append, one, all_ten = map(statistics.median, (base, single, ten))
    print(f"list.append baseline     {append:8.0f} ns a call")
    print(f"log_metric               {one:8.0f} ns a call   {one / append:5.2f}x  (budget 2x)")
    print(
        f"log_metrics of ten       {all_ten:8.0f} ns a call   {all_ten / one:5.2f}x log_metric"
        f"  (budget 10x), {all_ten / append / 10:.2f}x the baseline for each"
    )
    print(
        f"log_metric p99.9         {tail / 1000:8.2f} us   (budget 50 us; "
        f"baseline {base_tail / 1000:.2f} us; slowest {worst / 1000:.0f} us)"
    )


def import_time(rounds: int) -> None:
    """``import provml`` above bare Python, each in a fresh process."""
    bare, ours = [], []
    for _ in range(rounds):
        for code, times in (("pass", bare), ("import provml", ours)):
            start = perf_counter_ns()
            subprocess.run([sys.executable, "-P", "-c", code], check=True)
            times.append(perf_counter_ns() - start)
    difference = (statistics.median(ours) - statistics.median(bare)) / 1e6
    print(
        f"import provml            {difference:8.1f} ms above bare Python's "
        f"{statistics.median(bare) / 1e6:.1f} ms  (budget 60 ms)"
    )


EMPTY_RUN = """
import provml, sys, time
start = time.perf_counter_ns()
provml.start_run("empty", store=sys.argv[1])
provml.end_run()
print(time.perf_counter_ns() - start)
"""


def empty_run(rounds: int) -> None:
    """`start_run` and `end_run` of an empty run, PROV-JSON included, in a fresh process each."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as store:
            command = [sys.executable, "-P", "-c", EMPTY_RUN, store]
            times.append(int(subprocess.check_output(command)))
    print(
        f"start_run and end_run    {statistics.median(times) / 1e6:8.1f} ms for an empty run in "
        f"a fresh process, its document written  (budget 50 ms)"
    )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    log_metric(calls=2_000 if quick else 200_000, rounds=1 if quick else 7)
    import_time(rounds=1 if quick else 15)
    empty_run(rounds=1 if quick else 9)


if __name__ == "__main__":
    main()
