"""Damaged records are skipped and counted once each; mistakes in provml's own code are raised."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import damaging
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import provml
from provml.export import find_format
from provml.journal.reader import Journal
from provml.model import content_records, records
from provml.model.damage import REASON
from provml.model.mapping import RunMapping

DEEP = "[" * 300 + "]" * 300
NAN = float("nan")
LATE = {"$": str(2**80), "type": "dateTime"}
PLACE = {"name": "n", "context": ["training"], "step": 1}
CONTENT = {"sha256": "0" * 64, "size": 1}
WORKLOAD = {"name": "n", "target": 1, "flops": 8, "counter": "torch 2"}
ALERT = {"name": "n", "collector": "c", "value": 1.0, "threshold": 0.5, "severity": "warning"}
DAMAGED: list[tuple[str, dict[str, Any]]] = [
    ("start", {"script": 3}),
    ("start", {"argv": [NAN]}),
    ("start", {"time": "today"}),
    ("param", {"name": 3, "value": 1}),
    ("param", {"name": "n"}),
    ("param", {"name": "n", "value": {"$": 1}}),
    ("param", {"name": "n", "value": {"$": "x", "type": "integer"}}),
    ("param", {"name": "n", "value": {"$": "x", "type": "decimal"}}),
    ("param", {"name": "n", "value": LATE}),
    ("param", {"name": "n", "value": json.loads(DEEP)}),
    ("param", {"name": "n", "value": 1, "time": None}),
    ("param", {"name": "n", "value": 1, "time": 2**63}),
    ("tag", {"name": None, "value": 1}),
    ("metadata", {"name": "n", "value": {"$": [], "type": "?"}}),
    ("dataset", {**PLACE}),
    ("dataset", {**PLACE, "content": [1]}),
    ("dataset", {**PLACE, "content": {"shape": [NAN]}}),
    ("dataset", {**PLACE, "content": {"modified": 2**80}}),
    ("dataset", {**PLACE, "content": CONTENT, "metadata": [NAN]}),
    ("input", {**PLACE}),
    ("input", {**PLACE, "content": [1]}),
    ("input", {**PLACE, "name": 3, "content": CONTENT}),
    ("input", {**PLACE, "content": {"modified": 2**80}, "of": {"kind": "model", "name": "net"}}),
    ("reading_summary", {"name": "n"}),
    ("reading_summary", {"name": None, "value": 1}),
    ("reading_summary", {"name": "n", "value": {"$": "x", "type": "integer"}}),
    ("artifact", {**PLACE, "name": [], "content": CONTENT}),
    ("artifact", {**PLACE, "content": 3}),
    ("model", {**PLACE, "content": None}),
    ("source", {"content": "x"}),
    ("source", {"git": [1]}),
    ("source", {"git": {"diff": 3}}),
    ("source", {"git": {"untracked": [NAN]}}),
    ("code", {"name": "a.py", "role": 3, "content": CONTENT}),
    ("code", {"name": "a.py", "role": "configuration", "content": {"modified": 2**80}}),
    ("code", {"name": None, "role": "source code", "content": CONTENT}),
    ("child", {"run": None}),
    ("child", {"run": {"id": 3, "experiment": "e"}}),
    ("child", {"run": {"id": "r", "experiment": ["e"]}}),
    ("child", {"run": {"id": "r"}}),
    ("environment", {"packages": {"a": NAN}}),
    ("collector", {"name": "n"}),
    ("collector", {"name": 3, "settings": {}}),
    ("collector", {"name": "n", "settings": json.loads(DEEP * 1)[0] + [NAN]}),
    ("device", {"name": "n", "facts": 3}),
    ("alert", {**ALERT, "collector": 3}),
    ("alert", {**ALERT, "value": "high"}),
    ("alert", {**ALERT, "value": 10**400}),
    ("alert", {**ALERT, "severity": None}),
    ("flops", {**WORKLOAD, "counter": {}}),
    ("flops", {**WORKLOAD, "flops": 1.5}),
    ("flops", {**WORKLOAD, "flops": 10**400, "start": 1}),
    ("flops", {**WORKLOAD, "peak": 10**400}),
    ("flops", {**WORKLOAD, "inputs": [NAN]}),
    ("event", {"name": {}}),
    ("event", {"name": "n", "source": ["x"]}),
    ("event", {"name": "n_started", "metadata": {"a": NAN}}),
    ("summary", {"fields": [{"name": "x"}], "context": ["training"]}),
    ("summary", {"fields": 3, "context": ["training"]}),
    ("summary", {"fields": [], "context": None}),
    ("digest", {"content": CONTENT}),
    ("digest", {"id": 1, "content": 3}),
    ("digest", {"id": 1, "content": {"members": NAN}}),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an ended run with a record of most kinds."""
    store = tmp_path_factory.mktemp("template")
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_param("lr", 0.1)
        run.log_dataset("data", np.arange(3), context="training")
        run.log_event("warm_started", context="training", metadata={"a": 1})
        run.log_metric("loss", 1.0, "training", 1)
        run.log_event("warm_finish", context="training")
        run.log_model("net", {"w": 1}, context="training", step=1)
        run.log_artifact(__file__)
        run.log_environment()
        group = run.metrics("train")
        group.summary_cache.store(x=1)
        group.summary_cache.summarize()
    damaging.remove_checksums(run.path)  # so that a test can add records
    return run.path


@pytest.fixture
def recorded(template: Path, store: Path) -> Path:
    """A copy of the run."""
    return Path(shutil.copytree(template, store / "e" / template.name))


def add_record(run: Path, kind: str, fields: dict[str, Any]) -> None:
    """Append a record to a run's journal."""
    (events,) = run.glob("journal/*.events.jsonl")
    first = json.loads(events.read_text().splitlines()[1])
    with events.open("a") as file:
        json.dump({"record": kind, "time": first.get("time", 10**18), **fields}, file)
        file.write("\n")


def export_run(
    run: Path, detail: str, formats: tuple[str, ...] = ("provjson", "ntriples")
) -> tuple[int, list[str]]:
    """Write a run in some formats. Return the number of skipped records and the names declared."""
    journal = Journal(run)
    mapping = RunMapping(journal, detail)
    for name in formats:
        find_format(name).write(mapping, io.BytesIO())
    names = [str(s.id) for s in mapping.statements() if s.id is not None and s.rows == 1]
    return journal.damage()[REASON], names


@pytest.fixture(scope="module")
def declared(template: Path) -> dict[str, list[str]]:
    """The names that the run declares without damage, by detail."""
    before = {detail: export_run(template, detail) for detail in ("sample", "series")}
    assert {count for count, _ in before.values()} == {0}
    return {detail: names for detail, (_, names) in before.items()}


@pytest.mark.parametrize(("kind", "fields"), DAMAGED)
def test_a_damaged_record_is_skipped_and_counted(
    recorded: Path, declared: dict[str, list[str]], kind: str, fields: dict[str, Any]
) -> None:
    """A damaged record would make a run unreadable, or vanish without a word."""
    add_record(recorded, kind, fields)
    add_record(recorded, kind, fields)
    for detail, names in declared.items():
        count, left = export_run(recorded, detail)
        assert count == 2
        assert set(left) - set(names) == {"run:loss/record%20that%20makes%20no%20sense"}
        assert set(names) <= set(left)


def test_every_kind_of_record_is_tested() -> None:
    """A new kind of record would be trusted."""
    assert {kind for kind, _ in DAMAGED} == {*records.MAPPERS, "digest"}


@pytest.mark.parametrize(
    "value", [LATE, {"$": "NaN1", "type": "decimal"}, json.loads(DEEP), {"$": 1, "type": "repr"}]
)
def test_a_damaged_sample_never_raises(recorded: Path, value: Any) -> None:
    """One damaged value of a metric would make a run unreadable."""
    (events,) = recorded.glob("journal/*.events.jsonl")
    text = events.read_text()
    run = provml.start_run("e", store=recorded.parents[1], formats=())
    run.log_metric("text", "to replace")
    run.end_run()
    (events,) = run.path.glob("journal/*.events.jsonl")
    text = events.read_text()
    # the offsets of later samples stay valid: it is the last one
    assert '"to replace"' in text
    events.write_text(text.replace('"to replace"', json.dumps(value)))
    export_run(run.path, "sample")
    export_run(run.path, "series")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([{"$": "1", "type": "integer"}, {"$": "NaN", "type": "double"}, LATE]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$", "type", "sha256", "path", "name", "modified"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
FIELDS = """
    name value content context step epoch time metadata source of git script settings facts target
    flops counter peak start threshold severity collector fields id inputs argv host
""".split()  # noqa: SIM905


def original_lines(run: Path) -> Iterator[dict[str, Any]]:
    """The records of a run's journal."""
    (events,) = run.glob("journal/*.events.jsonl")
    yield from map(json.loads, events.read_text().splitlines())


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    added=st.lists(
        st.tuples(
            st.sampled_from([*records.MAPPERS, "digest", "window"]),
            st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6),
        ),
        max_size=8,
    )
)
def test_no_record_makes_a_run_unreadable(
    recorded: Path, added: list[tuple[str, dict[str, Any]]]
) -> None:
    """Somebody else's journal could not be exported."""
    (events,) = recorded.glob("journal/*.events.jsonl")
    original = events.read_bytes()
    try:
        for kind, fields in added:
            add_record(recorded, kind, fields)
        for detail, form in (("sample", "ntriples"), ("series", "provjson")):
            count, _ = export_run(recorded, detail, (form,))
            assert count <= len(added)
    finally:
        events.write_bytes(original)


@pytest.mark.parametrize("error", [AttributeError, KeyError, TypeError, ValueError])
@pytest.mark.parametrize("where", ["reading", "stating"])
def test_a_mistake_in_our_code_is_raised(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception], where: str
) -> None:
    """A slip in a mapper would drop statements without a word."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error("a slip")

    name = "content_attributes" if where == "reading" else "relate_versions"
    monkeypatch.setattr(content_records, name, fail)
    with pytest.raises(error, match="a slip"):
        export_run(recorded, "sample")
