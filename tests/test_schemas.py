"""What is written is what the schemas say, and the schemas refuse what is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import provml
from provml.base.schema_files import read_schema


def schema(name: str) -> Draft202012Validator:
    """A schema as the installed package ships it."""
    text = read_schema(name).decode()
    content = json.loads(text)
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content)


class _Warm:
    """A collector with a device and an alert."""

    name = "room"
    units = {"humidity": "%"}
    thresholds = {"temperature": 20}
    devices = ({"name": "thermometer", "uuid": "1"},)

    def collect(self) -> dict[str, float]:
        return {"temperature": 30.5, "humidity": 40.0}


@pytest.fixture
def lines(store: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every kind of line that is written."""
    pytest.importorskip("torch", reason="torch is not installed")  # for a line of FLOPs
    monkeypatch.delenv("PROVML_CODE")
    options: dict[str, Any] = {"store": store, "sample_interval_s": 1000, "collect": [_Warm()]}
    with pytest.raises(RuntimeError), provml.start_run("e", tags={"a": 1}, **options) as run:
        run.log_metric("m", 0.5, provml.Context("in", provml.Context.TRAINING), 1, unit="s")
        run.log_metric("m", 1)
        with provml.start_run("part", formats=(), sample_interval_s=0):
            pass
        for value in (2**70, "text", b"\x00", Decimal("1.5"), np.array([1.0, float("inf")])):
            run.log_metric("odd", value, step=-1, epoch=3)
        run.log_params({"a": {"b": [1, None, True, float("nan")]}, "api_key": "x", "f": len})
        run.log_event("e", source="s", metadata={"$": {"$": 1}}, step=2)
        run.log_dataset("d", {"x": np.zeros(2)}, context="training")
        run.log_dataset("u", "s3://bucket/x")
        run.log_dataset("g", iter([]))
        run.log_dataset("b", {"x": np.zeros(2), "names": ["a", "b"]})
        links = store / "links"
        links.mkdir()
        (links / "to").symlink_to(__file__)
        (links / "nowhere").symlink_to("nowhere")
        run.log_dataset("f", links)
        large = store / "large.bin"
        with large.open("wb") as file:
            file.truncate(64 * 2**20)
        run.log_dataset("l", large)
        run.log_input(large)
        run.log_input({"a": 1}, "config", role="configuration", context="training")
        run._finish_hashing(60)
        run.log_artifact(__file__, metadata={"k": 1})
        run.log_model("m", {"w": 1})
        run.use_model("m", context="evaluation")
        run.update_metadata("hyperparams", {"fc_layers": 3})
        run.log_metric("accuracy", 0.5, of="m")
        run.log_event("served", of=("artifact", "test_schemas.py"))
        run.metrics("train").log(loss=0.5)
        cache = run.metrics("train").summary_cache
        cache.keep_raw = True
        cache.store(loss=1)
        cache.set(epoch=1)
        run.log_source_code(__file__)
        run.log_environment()
        with run.count_flops("f", None):
            pass
        raise RuntimeError("x")
    return list(read_lines(run.path))


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The journal's lines, plainly."""
    for file in path.glob("journal/*.events.jsonl"):
        yield from map(json.loads, file.read_text("utf-8").splitlines())


def test_every_line_is_as_the_schema_says(lines: list[dict[str, Any]]) -> None:
    """A reader written from the schema would not understand a journal."""
    validator = schema("journal.schema.json")
    for line in lines:
        errors = [error.message for error in validator.iter_errors(line)]
        assert not errors, (line, errors)
    kinds = set(validator.schema["properties"]["record"]["enum"])
    assert {line["record"] for line in lines} == kinds


def test_a_line_without_what_it_needs_is_refused(lines: list[dict[str, Any]]) -> None:
    """The schema would accept anything."""
    validator = schema("journal.schema.json")
    rules = {
        rule["if"]["properties"]["record"]["const"]: rule["then"]["required"]
        for rule in validator.schema["allOf"]
    }
    for line in lines:
        for key in ("record", *rules[line["record"]]):
            broken = copy.deepcopy(line)
            del broken[key]
            assert not validator.is_valid(broken), (key, line)
            broken[key] = {"$": 1, "type": "no such type"}
            assert not validator.is_valid(broken), (key, line)


def test_store_json_is_as_its_schema_says(store: Path) -> None:
    """Another program could not find out which store a run belongs to."""
    with provml.start_run("e", store=store) as run:
        pass
    content = json.loads((store / "store.json").read_bytes())
    schema("store.schema.json").validate(content)
    assert json.loads((run.path / "run.json").read_bytes())["store_id"] == content["id"]


def test_run_json_is_as_its_schema_says(store: Path) -> None:
    """What identifies a run could not be read by another program."""
    options = {"project": "p", "owner": "o", "namespace": "https://example.org/"}
    options |= {"external_id": "1", "framework": "pytorch", "task": "detection"}
    for given in ({}, options):
        run = provml.start_run("e", store=store, **given)  # type: ignore[arg-type]
        with run, provml.start_run("part", formats=()) as child:
            pass
        part = json.loads((child.path / "run.json").read_bytes())
        content = json.loads((run.path / "run.json").read_bytes())
        schema("run.schema.json").validate(part)
        schema("run.schema.json").validate(content)
        assert content["id"] == part["parent"]["id"] == run.id
