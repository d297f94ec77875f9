"""Whatever is logged comes back: as arrays, and as equal PROV documents."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prov.model import ProvDocument

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
RUNS = st.fixed_dictionaries(
    {
        "experiment": NAMES,
        "project": st.one_of(st.none(), NAMES),
        "owner": st.one_of(st.none(), NAMES),
        "samples": SAMPLES,
        "params": st.lists(st.tuples(NAMES, JSON), max_size=4),
        "tags": st.dictionaries(NAMES, NAMES, max_size=2),
        "events": EVENTS,
        "contents": st.lists(st.tuples(NAMES, CONTEXTS, STEPS), max_size=3),
        "fails": st.booleans(),
    }
)


def record(store: str, plan: dict[str, Any]) -> provml.RecordedRun:
    """Record a run as planned."""
    run = provml.start_run(
        plan["experiment"],
        save_dir=store,
        project=plan["project"],
        owner=plan["owner"],
        tags=plan["tags"],
        formats=(),
    )
    for name, value in plan["params"]:
        run.log_param(name, value)
    for name, context, _ in plan["contents"]:
        run.log_dataset(name, np.arange(3), context=context)
    for name, value, context, step, epoch, timestamp in plan["samples"]:
        run.log_metric(name, value, context, step, epoch=epoch, timestamp=timestamp)
    for name, source, metadata, context, step, timestamp in plan["events"]:
        run.log_event(
            name, source=source, metadata=metadata, context=context, step=step, timestamp=timestamp
        )
    for name, context, step in plan["contents"]:
        run.log_model(name, {"weights": [1.0, 2.0]}, context=context, step=step)
        run.log_artifact(__file__, name, context=context, step=step, copy=False)
    run.end_run("failed" if plan["fails"] else "finished")
    return provml.load(run.path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=RUNS)
def test_prov_json_reads_as_what_the_prov_api_builds(
    plan: dict[str, Any],
    read_back: Callable[..., ProvDocument],
    comparable: Callable[[ProvDocument], Counter[Any]],
) -> None:
    """A statement, value or name would be lost or changed between PROV-JSON and the prov API."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        for detail in ("sample", "series"):
            read, built = read_back(recorded, detail), recorded.to_prov(detail)
            assert comparable(read) == comparable(built)
            if "nan" not in str(comparable(built)).lower():
                assert read == built


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=RUNS)
def test_relations_name_declared_things_and_times_nest(plan: dict[str, Any]) -> None:
    """A document would break PROV-CONSTRAINTS: dangling names, or times outside their activity."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        for detail in ("sample", "series"):
            check_document(recorded, detail)


def check_document(recorded: provml.RecordedRun, detail: str) -> None:
    """Every id once, every reference declared, every time within its activity and its informant."""
    statements = list(recorded.statements(detail))
    elements = [s for s in statements if s.id is not None]
    intervals: dict[str, tuple[int, int]] = {}
    declared = Counter(str(s.id) for s in elements)
    assert max(declared.values()) == 1, [name for name, n in declared.items() if n > 1]
    for statement in elements:
        if statement.kind == "activity":
            start = statement.arguments["prov:startTime"].time_ns
            intervals[str(statement.id)] = (start, statement.arguments["prov:endTime"].time_ns)
            assert intervals[str(statement.id)][0] <= intervals[str(statement.id)][1]
    for statement in statements:
        if statement.id is not None:
            continue
        for name, argument in statement.arguments.items():
            if isinstance(argument, str):
                assert argument in declared, (name, argument)
        time = statement.arguments.get("prov:time")
        activity = statement.arguments.get("prov:activity")
        if time is not None:
            start, end = intervals[activity]
            assert start <= time.time_ns <= end
        if statement.kind == "wasInformedBy":
            inner = intervals[statement.arguments["prov:informed"]]
            outer = intervals[statement.arguments["prov:informant"]]
            if not statement.arguments["prov:informed"].startswith("run:event/"):
                assert outer[0] <= inner[0] and inner[1] <= outer[1]


def same(logged: Any, read: Any) -> bool:
    """Whether a value came back as it was, NaN and the sign of zero included."""
    if isinstance(logged, np.generic):
        logged = logged.item()
    if isinstance(read, np.generic):
        read = read.item()
    if isinstance(logged, float):
        return isinstance(read, float) and repr(read) == repr(logged)
    if isinstance(read, float) and isinstance(logged, int):
        return read == logged  # a series of ints and floats is read as floats where that is exact
    return type(logged) is type(read) and logged == read


@settings(max_examples=60, deadline=None)
@given(samples=SAMPLES)
def test_samples_come_back_exactly(samples: list[tuple[Any, ...]]) -> None:
    """A sample would be lost, rounded, reordered or given another step, epoch or time."""
    with tempfile.TemporaryDirectory() as store:
        run = provml.start_run("test", save_dir=store, formats=())
        expected: dict[Any, list[tuple[Any, ...]]] = {}
        for name, value, context, step, epoch, timestamp in samples:
            run.log_metric(name, value, context, step, epoch=epoch, timestamp=timestamp)
            path = (context if isinstance(context, provml.Context | None) else None) or context
            path = provml.Context(path).path if isinstance(path, str) else path and path.path
            expected.setdefault((name, path), []).append((value, step, epoch, timestamp))
        run.end_run()
        recorded = provml.load(run.path)
        for (name, path), rows in expected.items():
            context = None
            for part in path or ():
                context = provml.Context(part, context)
            arrays = recorded.series(name, context)
            assert len(arrays) == len(rows)
            for place, (value, step, epoch, timestamp) in enumerate(rows):
                assert same(value, arrays.value[place]), (value, arrays.value[place])
                assert arrays.step[place] == (-(2**63) if step is None else step)
                assert arrays.epoch[place] == (-1 if epoch is None else epoch)
                if isinstance(timestamp, int):
                    assert arrays.time_ns[place] == timestamp * 10**9


@settings(max_examples=100, deadline=None)
@given(name=NAMES, value=JSON)
def test_parameters_come_back_exactly(name: str, value: Any) -> None:
    """A parameter's value would change its type or its digits."""
    with tempfile.TemporaryDirectory() as store:
        run = provml.start_run("test", save_dir=store, formats=())
        run.log_param(name, value)
        run.end_run()
        assert repr(provml.load(run.path).params[name]) == repr(value)


def test_series_under_one_name_stay_apart_by_context(store: Path) -> None:
    """Contexts whose names look like another's path would share a series."""
    run = provml.start_run("test", save_dir=store, formats=())
    nested = provml.Context("b", parent=provml.Context("a"))
    for place, context in enumerate(["a/b", nested, "a", None, "a~b", ""]):
        run.log_metric("loss", float(place), context, 0)
    run.end_run()
    recorded = provml.load(run.path)
    names = [str(s.id) for s in recorded.statements() if s.kind in ("entity", "activity")]
    assert len(names) == len(set(names))
    assert recorded.series("loss", nested).value.tolist() == [1.0]
    assert recorded.series("loss", "a/b").value.tolist() == [0.0]
