"""Runs as hypothesis makes them: what is logged, and the logging of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

import provml

AWKWARD = [
    "",
    "-",
    "~",
    "/",
    "..",
    ".",
    "a.",
    "%2F",
    'say "hi"',
    "a:b",
    "line\nbreak",
    "🦉",
    "\x00",
    "]",
]
NAMES = st.one_of(st.sampled_from(["loss", "acc", *AWKWARD]), st.text(max_size=12))
CONTEXTS = st.one_of(
    st.none(),
    st.sampled_from([provml.Context.TRAINING, provml.Context.VALIDATION, "", "a/b"]),
    st.builds(provml.Context, NAMES, st.sampled_from([None, provml.Context.TRAINING])),
)
STEPS = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.sampled_from([2**63 - 1, -(2**63) + 1]),
)
EPOCHS = st.one_of(st.none(), st.integers(0, 2), st.just(2**31 - 1))
FLOATS = st.one_of(
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 2**53 + 1.0]),
)
VALUES = st.one_of(
    FLOATS,
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**63 - 1, -(2**63), 2**63]),
    st.builds(np.float32, st.floats(width=32)),
    st.builds(np.int64, st.integers(-(2**63), 2**63 - 1)),
    st.decimals(allow_nan=False),
    NAMES,
    st.binary(max_size=8),
)
TIMES = st.one_of(st.none(), st.integers(0, 4 * 10**9), st.floats(-(10**9), 4 * 10**9))
SAMPLES = st.lists(st.tuples(NAMES, VALUES, CONTEXTS, STEPS, EPOCHS, TIMES), max_size=12)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), FLOATS, st.integers(), NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
EVENTS = st.lists(
    st.tuples(
        st.one_of(NAMES, st.sampled_from(["save_started", "save_finish", "x_start", "x_end"])),
        st.one_of(st.none(), NAMES),
        st.one_of(st.none(), st.dictionaries(NAMES, JSON, max_size=2)),
        CONTEXTS,
        STEPS,
        TIMES,
    ),
    max_size=5,
)
OWNERS = st.sampled_from(
    ["ada@example.org", "0000-0002-1825-0097", "https://example.org/who?id=1&x=(2);y#å"]
)
RUNS = st.fixed_dictionaries(
    {
        "experiment": NAMES,
        "project": st.one_of(st.none(), NAMES),
        "owner": st.one_of(st.none(), NAMES, OWNERS),
        "samples": SAMPLES,
        "params": st.lists(st.tuples(NAMES, JSON), max_size=4),
        "tags": st.dictionaries(NAMES, st.one_of(NAMES, JSON), max_size=2),
        "events": EVENTS,
        "contents": st.lists(st.tuples(NAMES, CONTEXTS, STEPS), max_size=3),
        "inputs": st.lists(st.tuples(NAMES, st.one_of(st.none(), NAMES), CONTEXTS), max_size=3),
        "fails": st.booleans(),
    }
)


def record(store: str, plan: dict[str, Any]) -> provml.RecordedRun:
    """Record a run as planned."""
    run = provml.start_run(
        plan["experiment"],
        store=store,
        project=plan["project"],
        owner=plan["owner"],
        tags=plan["tags"],
        formats=(),
    )
    for name, value in plan["params"]:
        run.log_param(name, value)
    for name, context, _ in plan["contents"]:
        run.log_dataset(name, np.arange(3), context=context)
    for name, role, context in plan["inputs"]:
        run.log_input({"a": name}, name, role=role, context=context)
    for name, value, context, step, epoch, timestamp in plan["samples"]:
        run.log_metric(name, value, context, step, epoch=epoch, timestamp=timestamp)
    for name, source, metadata, context, step, timestamp in plan["events"]:
        run.log_event(
            name, source=source, metadata=metadata, context=context, step=step, timestamp=timestamp
        )
    for name, context, step in plan["contents"]:
        run.log_model(name, {"weights": [1.0, 2.0]}, context=context, step=step)
        run.use_model(name, context=context)
        run.log_artifact(__file__, name, context=context, step=step, copy=False)
    run.end_run("failed" if plan["fails"] else "finished")
    return provml.load(run.path)
