"""Whatever is logged comes back: as arrays, and as equal PROV documents."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from plans import JSON, NAMES, RUNS, SAMPLES, record
from prov.model import ProvDocument

import provml


@pytest.mark.slow
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
        run = provml.start_run("test", store=store, formats=())
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
        run = provml.start_run("test", store=store, formats=())
        run.log_param(name, value)
        run.end_run()
        assert repr(provml.load(run.path).params[name]) == repr(value)


def test_series_under_one_name_stay_apart_by_context(store: Path) -> None:
    """Contexts whose names look like another's path would share a series."""
    run = provml.start_run("test", store=store, formats=())
    nested = provml.Context("b", parent=provml.Context("a"))
    for place, context in enumerate(["a/b", nested, "a", None, "a~b", ""]):
        run.log_metric("loss", float(place), context, 0)
    run.end_run()
    recorded = provml.load(run.path)
    names = [str(s.id) for s in recorded.statements() if s.kind in ("entity", "activity")]
    assert len(names) == len(set(names))
    assert recorded.series("loss", nested).value.tolist() == [1.0]
    assert recorded.series("loss", "a/b").value.tolist() == [0.0]
