"""What a run used that is no dataset: base models, checkpoints, tokenizers, configurations."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import provml
from provml.collect.inputs import describe_input


@dataclass
class Settings:
    """A configuration as a script would define it."""

    lr: float = 0.1
    layers: tuple[int, ...] = (3, 4)


class Network:
    """A model as a script would define it."""

    weights = (0.1, 0.2)


def relations(run: provml.Run, kind: str) -> set[tuple[str, ...]]:
    """The names that the relations of a kind connect."""
    return {
        tuple(str(value) for value in s.arguments.values() if isinstance(value, str))
        for s in provml.load(run.path).statements()
        if s.kind == kind
    }


def attributes(run: provml.Run, name: str) -> dict[str, Any]:
    """The attributes of an element."""
    (own,) = [s for s in provml.load(run.path).statements() if s.id == name]
    return dict(own.attributes)


def check_document(run: provml.Run) -> None:
    """Check the document by the schemas, the shapes and the constraints."""
    for detail in ("sample", "series"):
        document = run.path / f"{detail}.json"
        provml.load(run.path).export("provjson", document, detail)
        report = provml.validate(document)
        assert report.conforms, report.findings


def test_fine_tuning_is_traced_from_the_base_model_to_the_result(
    store: Path, tmp_path: Path
) -> None:
    """Nobody could find out which models were tuned from a base model, or what a model is from."""
    base, tuned = tmp_path / "base.bin", tmp_path / "tuned.bin"
    base.write_bytes(b"base weights")
    tuned.write_bytes(b"tuned weights")
    with provml.start_run("tune", store=store, run_id="tune", formats=()) as tune:
        provml.use_model(base, role="base model", context="training")
        provml.log_input({"lr": 0.1}, "config", role="configuration")
        tune.log_model("net", tuned, "training", 3)
    with provml.start_run("evaluate", store=store, run_id="evaluate", formats=()) as evaluate:
        moved = tmp_path / "elsewhere.bin"
        tuned.rename(moved)
        provml.use_model(moved, "candidate", context="evaluation")
        report = tmp_path / "report.txt"
        report.write_text("good")
        evaluate.log_artifact(report, context="evaluation")
    assert ("run:context/training", "run:input/base.bin") in relations(tune, "used")
    assert ("run:run", "run:input/config") in relations(tune, "used")
    assert ("run:model/net", "run:input/base.bin") in relations(tune, "wasDerivedFrom")
    assert attributes(tune, "run:input/base.bin")["provml:role"] == "base model"
    assert not any("input" in one for one, _, *_ in relations(tune, "wasGeneratedBy"))
    check_document(tune)
    check_document(evaluate)
    up = provml.open_store(store).lineage(report)
    names = {place["name"] for c in up.contents.values() for place in c.places}
    assert names >= {"report.txt", "candidate", "net", "base.bin", "config"}
    down = provml.open_store(store).lineage(base, "down")
    assert {run["id"] for run in down.runs.values()} == {"tune", "evaluate"}
    (row,) = list(
        provml.open_store(store).sql("SELECT role, input_role FROM artifacts WHERE name='base.bin'")
    )
    assert row == {"role": "in", "input_role": "base model"}


def test_a_model_of_the_run_is_used_in_its_latest_version(run: provml.Run, tmp_path: Path) -> None:
    """The evaluation of a checkpoint would be of any version, or of a copy of it."""
    report = tmp_path / "report.txt"
    for version in (1, 2):
        run.log_model("net", {"weights": version}, "training", version)
        run.use_model("net", context="evaluation")
        report.write_text(f"version {version}")
        run.log_artifact(report, context="evaluation")
    run.end_run()
    used = relations(run, "used")
    assert {("run:context/evaluation", f"run:model/net{end}") for end in ("", "/2")} <= used
    assert not any("input" in name for pair in used for name in pair)
    derived = relations(run, "wasDerivedFrom")
    assert ("run:artifact/report.txt", "run:model/net") in derived
    assert ("run:artifact/report.txt/2", "run:model/net/2") in derived
    assert ("run:artifact/report.txt", "run:model/net/2") not in derived
    check_document(run)
    uses = [c for c in provml.load(run.path).artifacts() if c.kind == "input"]
    models = [c for c in provml.load(run.path).artifacts() if c.kind == "model"]
    assert [use.sha256 for use in uses] == [model.sha256 for model in models]
    assert {(use.name, use.role) for use in uses} == {("net", "model")}


def test_a_model_is_named_or_found_or_refused(
    run: provml.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error would become a model that does not exist."""
    monkeypatch.chdir(tmp_path)
    for wrong in ("net", "no/such/file", tmp_path / "absent"):
        with pytest.raises(provml.ContentNotFoundError, match="neither the name of a model"):
            run.use_model(wrong)
    for bad in (None, 3, 0.5, True, b"weights"):
        with pytest.raises(provml.InvalidArgumentError, match="can't be an input: pass a path"):
            run.use_model(bad)
    for anonymous in ({"a": 1}, [1], (1,)):
        with pytest.raises(provml.InvalidArgumentError, match="needs a name: pass name="):
            run.log_input(anonymous)
    with pytest.raises(provml.InvalidArgumentError, match="role"):
        run.log_input("https://example.org/m", role=7)  # type: ignore[arg-type]
    assert provml.load(run.path).artifacts() == []
    run.use_model("https://example.org/models/base", context="training")
    (Path("net")).write_bytes(b"a file")
    run.use_model("net")
    network = Network()
    run.log_model("logged", network)
    run.use_model(network)
    kinds = [(c.kind, c.name, c.role) for c in provml.load(run.path).artifacts()]
    assert kinds == [
        ("input", "base", "model"),
        ("input", "net", "model"),
        ("model", "logged", None),
        ("input", "logged", "model"),
    ]


def test_another_role_is_another_entity(run: provml.Run) -> None:
    """A file would seem to have been used for one thing alone, or its role would be lost."""
    for role in ("teacher", "teacher", "student", None):
        run.log_input({"a": 1}, "weights", role=role)
    run.log_input({"a": 2}, "weights")
    names = [f"run:input/weights{end}" for end in ("", "/2", "/3", "/4")]
    assert relations(run, "alternateOf") == {(names[1], names[0]), (names[2], names[1])}
    assert relations(run, "wasDerivedFrom") == {(names[3], names[2])}
    assert [attributes(run, name).get("provml:role") for name in names] == [
        "teacher",
        "student",
        None,
        None,
    ]


def test_settings_have_one_digest_in_every_form(tmp_path: Path) -> None:
    """The same configuration would differ between a dataclass, a namespace and a mapping."""
    forms: list[object] = [
        Settings(),
        {"lr": 0.1, "layers": [3, 4]},
        {"layers": (3, 4), "lr": 0.1},
        argparse.Namespace(lr=0.1, layers=[3, 4]),
        SimpleNamespace(layers=(3, 4), lr=0.1),
    ]
    digests = {describe_input(form, tmp_path)["sha256"] for form in forms}
    assert len(digests) == 1
    for other in (Settings(lr=0.2), {"lr": 0.1}, {"lr": "0.1", "layers": [3, 4]}, [0.1, [3, 4]]):
        assert describe_input(other, tmp_path)["sha256"] not in digests


class Odd:
    """An object that can't be read."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


def test_an_object_that_cant_be_read_says_why(tmp_path: Path) -> None:
    """A library's own error, or an endless recursion, would end the training."""
    nested: dict[str, Any] = {}
    nested["self"] = nested
    assert describe_input(nested, tmp_path).keys() & {"sha256", "unread"}
    assert "RuntimeError" in describe_input(Odd(), tmp_path)["unread"]


def test_a_large_input_is_hashed_in_the_background(run: provml.Run, tmp_path: Path) -> None:
    """A checkpoint of many gigabytes would hold up the training."""
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    run.use_model(large)
    run.end_run()
    (content,) = provml.load(run.path).artifacts()
    assert content.sha256 is not None and "unread" not in content.facts
    assert attributes(run, "run:input/large.bin")["provml:sha256"] == content.sha256


def test_a_disabled_run_uses_nothing(tmp_path: Path) -> None:
    """A script would fail, or read files, although recording is switched off."""
    with provml.start_run("e", store=tmp_path / "store", disabled=True):
        provml.log_input("no such file")
        provml.use_model("no such model")
    assert not (tmp_path / "store").exists()
