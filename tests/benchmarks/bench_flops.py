"""What logging FLOPs costs: a call after the first, the first, and a block that is counted.

    python tests/benchmarks/bench_flops.py [--quick]

The baseline of a call is a function of the same signature that appends a tuple with ``time_ns()``
to a list. Baseline and subject take turns; the figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from time import perf_counter_ns, time_ns
from typing import Any

import provml

try:
    import torch
    from torch import nn
except ImportError:
    torch = None  # type: ignore[assignment]

rows: list[tuple[Any, ...]] = []
TRAINING = provml.Context.TRAINING


def baseline(label: str, context: Any, step: int | None = None, **options: Any) -> None:
    """The least that a function of this signature can do and still keep what it is given."""
    rows.append((label, context, step, options, time_ns()))


def ns_a_call(function: Callable[..., None], calls: int, **options: Any) -> float:
    """The mean time of a call in a loop as a training script has it."""
    rows.clear()
    start = perf_counter_ns()
    for step in range(calls):
        function("batch", TRAINING, step, **options)
    return (perf_counter_ns() - start) / calls


def model() -> nn.Module:
    """Twelve blocks of convolution, norm and activation."""
    blocks: list[nn.Module] = []
    for _ in range(12):
        blocks += [nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), *blocks)


def calls_after_the_first(calls: int, rounds: int) -> None:
    """`log_flops_per_batch`, with and without its batch."""
    net = model()
    batch = (torch.zeros(8, 3, 32, 32), torch.zeros(8))
    base, plain, given = [], [], []
    with (
        tempfile.TemporaryDirectory() as store,
        provml.start_run("bench", store=store, formats=()) as run,
    ):
        run.log_model("net", net)
        run.log_flops_per_batch("batch", TRAINING, batch=batch)
        for _ in range(rounds):
            base.append(ns_a_call(baseline, calls))
            plain.append(ns_a_call(run.log_flops_per_batch, calls))
            given.append(ns_a_call(run.log_flops_per_batch, calls, model=net, batch=batch))
    append, one, full = map(statistics.median, (base, plain, given))
    print(f"list.append baseline            {append / 1000:8.2f} us a call")
    print(
        f"log_flops_per_batch             {one / 1000:8.2f} us a call  (budget 5 us), "
        f"{one / append:.1f}x the baseline"
    )
    print(
        f"  with model= and batch=        {full / 1000:8.2f} us a call  (budget 5 us), "
        f"{full / append:.1f}x the baseline"
    )


def first_call(rounds: int) -> None:
    """Counting a model beside running it."""
    from provml.collect.batches import call_arguments
    from provml.collect.flop_counter import count_module

    net, images = model(), torch.zeros(8, 3, 32, 32)
    arguments = call_arguments(net, images)
    counts, runs, blocks = [], [], []
    count_module(net, arguments, backward=True)
    with (
        tempfile.TemporaryDirectory() as store,
        provml.start_run("bench", store=store, formats=()) as run,
    ):
        for _ in range(rounds):
            start = perf_counter_ns()
            count_module(net, arguments, backward=True)
            counts.append(perf_counter_ns() - start)
            start = perf_counter_ns()
            net(images).sum().backward()
            runs.append(perf_counter_ns() - start)
            start = perf_counter_ns()
            with run.count_flops("block", TRAINING):
                net(images).sum().backward()
            blocks.append(perf_counter_ns() - start)
    counted, ran, block = map(statistics.median, (counts, runs, blocks))
    print(f"a pass of 37 layers             {ran / 1e6:8.2f} ms")
    print(f"counting it, once               {counted / 1e6:8.2f} ms  (no budget: once a shape)")
    print(f"the pass within count_flops     {block / 1e6:8.2f} ms  {block / ran:.2f}x  (no budget)")


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    if torch is None:
        print("torch is not installed: no figure to hold against a budget")
        return
    # short loops, so that most of them are not disturbed
    calls_after_the_first(calls=500 if quick else 5000, rounds=1 if quick else 100)
    first_call(rounds=1 if quick else 9)


if __name__ == "__main__":
    main()
