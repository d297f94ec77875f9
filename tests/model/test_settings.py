"""What the graph says of tags, reading summaries and the script."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from plans import NAMES

import provml
from provml.model.names import tag_attribute, tag_of_attribute
from provml.model.statements import Statement

RECORDED = Path(__file__).parent / "recorded"
SUMMARIES = (
    "system.cpu_percent.mean",
    "system.cpu_percent.max",
    "system.memory_percent.mean",
    "system.memory_percent.max",
)


class Gauge:
    """A collector of one share, whose readings do not change."""

    name = "system"
    units = {"load_percent": "%"}
    thresholds = {"load_percent": 20.0}

    def collect(self) -> dict[str, float]:
        return {"load_percent": 30.0}


def statements(path: Path) -> list[Statement]:
    """Return all statements about a run, one by one."""
    return list(provml.load(path).statements("series"))


def elements(path: Path, kind: str) -> dict[str, dict[str, Any]]:
    """The attributes of the elements of a class, by name."""
    return {
        str(s.id): dict(s.attributes)
        for s in statements(path)
        if s.id is not None and ("prov:type", kind) in s.attributes
    }


def pairs(path: Path, kind: str) -> set[tuple[str, str]]:
    """The first two names of the relations of a kind."""
    found = [list(s.arguments.values())[:2] for s in statements(path) if s.kind == kind]
    return {(str(one), str(other)) for one, other in found}


# -- tags -----------------------------------------------------------------------------------------


def test_a_tag_is_an_attribute_of_the_run(store: Path) -> None:
    """The run would seem to have used its own tags."""
    tags = {"kind": "draft", "seed": 7, "share": 0.5, "keep": True, "exact": Decimal("1.50")}
    with provml.start_run("e", store=store, tags=tags, formats=()) as run:
        run.set_tag("kind", "final")
        run.set_tag("at", datetime(2026, 1, 1, tzinfo=UTC))
        run.set_tag("api_key", "hunter2")
    ((_, own),) = elements(run.path, "provml:Run").items()
    assert own["tags:kind"] == "final"
    assert (own["tags:seed"], own["tags:share"], own["tags:keep"]) == (7, 0.5, True)
    assert own["tags:exact"].lexical == "1.50"
    assert own["tags:api_key"] == "***"
    assert not any("kind" in name for pair in pairs(run.path, "used") for name in pair)
    assert provml.load(run.path).tags["kind"] == "final"
    rows = provml.open_store(store).sql(
        "SELECT version, is_last, text FROM params WHERE kind = 'tag' AND name = 'kind'"
    )
    assert [tuple(row.values()) for row in rows] == [(1, False, "draft"), (2, True, "final")]
    (answer,) = provml.load(run.path).query("SELECT ?kind { ?run tags:kind ?kind }")
    assert answer == {"kind": "final"}


@given(NAMES)
def test_the_name_of_a_tag_is_in_its_attribute(name: str) -> None:
    """Two tags would have one attribute, or a name could not be read back."""
    assert tag_of_attribute(tag_attribute(name)) == name


# -- summaries of readings ------------------------------------------------------------------------


def record_with_readings(store: Path, **params: Any) -> provml.Run:
    """Record a run whose machine was read."""
    options: dict[str, Any] = {"sample_interval_s": 1000, "collect": [Gauge()], "formats": ()}
    with provml.start_run("e", store=store, **options) as run:
        run.log_params(params)
    return run


def test_a_summary_of_readings_is_generated_by_the_run(store: Path) -> None:
    """The run would seem to have used figures that were known only at its end."""
    run = record_with_readings(store, lr=0.1)
    recorded = provml.load(run.path)
    assert recorded.params == {"lr": 0.1}
    found = recorded.reading_summaries
    assert found["system.load_percent.mean"] == found["system.load_percent.max"] == 30.0
    assert found["system.alert_count"] > 0
    summaries = elements(run.path, "provml:ReadingSummary")
    assert {own["provml:name"]: own["prov:value"] for own in summaries.values()} == found
    for name in summaries:
        assert (name, "run:run") in pairs(run.path, "wasGeneratedBy")
        assert ("run:results", name) in pairs(run.path, "hadMember")
        assert ("run:run", name) not in pairs(run.path, "used")
    recorded.export("provjson", store / "run.json")
    assert provml.validate(store / "run.json").conforms


def test_summaries_stay_apart_in_comparisons(store: Path) -> None:
    """Two runs would differ in parameters that nobody set."""
    runs = [record_with_readings(store, **{"lr": lr, "system.own": 1}).id for lr in (0.1, 0.2)]
    comparison = provml.open_store(store).diff(*runs)
    assert set(comparison.params) == {"lr", "system.own"}
    assert "system.load_percent.mean" in comparison.resources


def test_conditions_find_summaries_under_both_names(store: Path) -> None:
    """A condition that was written for an early version would find nothing."""
    (store / "digits").parent.mkdir(parents=True)
    shutil.copytree(RECORDED / "digits", store / "digits")
    record_with_readings(store, **{"system.own": 5})
    found = provml.open_store(store)
    for condition, number in {
        'reading_summaries["system.cpu_percent.max"] > 60': 1,
        'params["system.cpu_percent.max"] > 60': 1,
        "params.system.load_percent.mean == 30": 1,
        "reading_summaries.system.load_percent.mean == 30": 1,
        '"system.load_percent.max" in params': 1,
        '"system.load_percent.max" in reading_summaries': 1,
        "params.system.own == 5": 1,
        "reading_summaries.system.own == 5": 0,
        'params["system.cpu_percent.mean"] == 3': 1,  # the user's own comes first
        'reading_summaries["system.cpu_percent.mean"] > 50': 1,
    }.items():
        assert len(list(found.runs(condition))) == number, condition


def test_an_early_run_has_the_same_form(tmp_path: Path) -> None:
    """The summaries of an early run would count as its parameters, or its parameters as those."""
    shutil.copytree(RECORDED / "digits", tmp_path / "digits")
    folder = tmp_path / "digits" / "old"
    recorded = provml.load(folder)
    own = {"lr": 0.1, "system.cpu_percent.mean": 3.0, "system.memory.percent": 4}
    assert recorded.params == own
    assert tuple(recorded.reading_summaries) == SUMMARIES
    assert {a["provml:name"] for a in elements(folder, "provml:Parameter").values()} == set(own)
    summaries = elements(folder, "provml:ReadingSummary")
    assert tuple(a["provml:name"] for a in summaries.values()) == SUMMARIES
    assert recorded.tags == {"kind": "old fixture", "seed": 7}
    for detail in ("sample", "series"):
        recorded.export("provjson", tmp_path / f"{detail}.json", detail)
        report = provml.validate(tmp_path / f"{detail}.json")
        assert report.conforms, report.findings


# -- the script -----------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in a git repository, which this process seems to run."""
    folder = tmp_path / "code"
    folder.mkdir()
    path = folder / "train.py"
    path.write_text("import provml\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(path), raising=False)
    return path


def test_the_script_and_its_source_code_are_one_entity(store: Path, script: Path) -> None:
    """One file would be two things, one with the commit and one that the run followed."""
    with provml.start_run("e", store=store, run_id="r", owner="ada", formats=()) as run:
        run.log_source_code()
        run.log_source_code(script)
    ((name, own),) = elements(run.path, "provml:SourceCode").items()
    assert list(elements(run.path, "provml:Script")) == [name] == ["run:script/train.py"]
    assert len(own["provml:gitCommit"]) == 40 and own["provml:path"] == str(script)
    plans = [s.arguments.get("prov:plan") for s in statements(run.path)]
    assert name in plans
    (row,) = list(provml.open_store(store).sql("SELECT git_commit, script FROM runs"))
    assert row == {"git_commit": own["provml:gitCommit"], "script": str(script)}
    kinds = provml.open_store(store).sql("SELECT kind FROM artifacts")
    assert [row["kind"] for row in kinds] == ["script"]
    provml.load(run.path).export("provjson", store / "run.json")
    assert provml.validate(store / "run.json").conforms


def test_source_code_in_another_state_is_another_entity(store: Path, script: Path) -> None:
    """The script would seem to have two commits."""
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_source_code()
        git(script.parent, "commit", "-q", "--allow-empty", "-m", "two")
        run.log_source_code()
        other = script.with_name("other.py")
        other.write_text(script.read_text())  # the same content in another file
        run.log_source_code(other)
    found = elements(run.path, "provml:SourceCode")
    assert list(found) == ["run:source/train.py/2", "run:source/other.py", "run:script/train.py"]
    assert ("run:source/train.py/2", "run:script/train.py") in pairs(run.path, "alternateOf")
    commits = {own["provml:gitCommit"] for own in found.values()}
    assert len(commits) == 2
