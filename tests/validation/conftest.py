"""Fixtures: a run with everything that a document can state."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import provml

if TYPE_CHECKING:
    import rdflib

_GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")


def _repository(folder: Path) -> Path:
    """Create a git repository with a commit, a remote, a long diff and many untracked files."""
    folder.mkdir()
    (folder / "train.py").write_text("pass\n")
    commands: list[tuple[str, ...]] = [("init", "-q"), ("add", "."), ("commit", "-q", "-m", "one")]
    commands.append(("remote", "add", "origin", "https://example.org/code.git"))
    for command in commands:
        subprocess.run([*_GIT, *command], cwd=folder, check=True)
    (folder / "train.py").write_text(f"# {'long ' * 200}\n" * 11_000)
    for number in range(1001):
        (folder / f"untracked{number}.txt").touch()
    return folder


class _Fixed:
    """A collector whose values do not change."""

    def __init__(self, name: str, **more: Any) -> None:
        self.name = name
        self.thresholds = {"high_percent": 50.0}
        self.__dict__ |= more

    def collect(self) -> dict[str, Any]:
        return {"high_percent": 55.5, "count": 3, "nested": {"list": [1.5, 2]}}


_COLLECTORS = [
    _Fixed("system", missing={"load_average": "denied"}),
    _Fixed("process", settings={"pid": 1}),
    _Fixed(
        "gpu",
        devices=[
            {"name": "GPU", "index": 0, "uuid": "GPU-1", "driver": "550", "memory_bytes": 2**36}
        ],
    ),
    _Fixed("energy"),
    _Fixed("weather"),
]


def _record(run: provml.Run, folder: Path) -> None:
    import pandas

    training = provml.Context.TRAINING
    inner = provml.Context("warm-up", parent=training)
    for step in range(4):
        run.log_metric("loss", 1 / (step + 1), training, step, epoch=step // 2, unit="nat")
    run.log_metric("loss", float("nan"), inner, 0)
    run.log_metric("accuracy", 3, provml.Context.VALIDATION, epoch=1)
    run.log_metric("accuracy", 2**70, provml.Context.VALIDATION, 7)
    run.update_metadata("hyperparams", {"fc_layers": 3})
    run.update_metadata("hyperparams", {"fc_layers": 4})
    run.update_metadata("secret_key", "hunter2")
    run.update_metadata("function", len)
    run.metrics("eval").log(loss=0.5)
    run.metrics.log(epoch=1, step=2, system={"memory": 1.5}).flush()
    cache = run.metrics("train").summary_cache
    for keep_raw in (True, False):
        cache.keep_raw = keep_raw
        cache.store(loss=0.25, accuracy=1)
        cache.store(loss=float("nan"))
        cache.set(epoch=1, lr=0.1)
        cache.summarize(clear=not keep_raw)
    for value in (2**70, "text", b"\x00", Decimal("1E+20000"), Decimal("1.5"), np.zeros(2)):
        run.log_metric("odd", value)
    provml.start_run("part", formats=(), parent=run, sample_interval_s=0).end_run()
    run.log_params({"lr": 0.1, "f": len, "api_key": "hunter2", "nested": {"a": [1, None]}})
    run.log_param("lr", 0.2)
    run.set_tag("kind", "test")
    run.log_dataset("array", np.arange(6).reshape(2, 3), context=training)
    run.log_dataset("arrays", {"x": np.zeros(2), "y": np.ones(2)})
    run.log_dataset("unread", iter([]))
    run.log_dataset("listed", range(5))
    run.log_dataset("elsewhere", "s3://bucket/data")
    run.log_dataset("objects", np.array([None], dtype=object))
    run.log_dataset("frame", pandas.DataFrame({"x": [1.5, None], "y": ["a", "b"]}))
    hub = SimpleNamespace(_fingerprint="0123456789abcdef", features={"text": "string"})
    run.log_dataset("hugging face", hub)
    large = folder / "large.bin"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    run.log_dataset("large", large)
    linked = folder / "linked"
    linked.mkdir()
    (linked / "data").symlink_to(large)
    (linked / "nowhere").symlink_to(folder / "absent")
    run.log_dataset("linked", linked)
    run.log_input({"layers": [3, 4]}, "config", role="configuration", context=training)
    run.log_input(large, role="base model")
    run.log_event("epoch_started", source="callback", metadata={"n": 1}, context=training, step=1)
    run.log_event("epoch_finish", source="callback", metadata={"n": 2}, context=training, step=1)
    run.log_event("noticed", context=training, step=3)
    run.log_event("never_started")
    artifact = folder / "plot.svg"
    artifact.write_text("<svg/>")
    run.log_artifact(artifact, metadata={"dpi": 300}, context=training, step=3)
    run.log_artifact(artifact)
    run.log_artifact(folder, "with the store")
    run.log_model("object", {"w": 1})
    run.log_model("net", SimpleNamespace(state_dict=lambda: {"w": np.zeros((2, 2))}), step=3)
    run.log_model("net", artifact)
    run.use_model("net", context=provml.Context.EVALUATION)
    for of in ("net", ("artifact", "plot.svg")):
        run.log_metric("accuracy", 0.75, provml.Context.EVALUATION, of=of)
        run.log_metric("verdict", "good", of=of)
        run.log_event("served", source="elsewhere", of=of)
    run.log_model("no pickle", SimpleNamespace(f=lambda: None), context=inner)
    run.log_model("hub", "hf://group/model")
    source = _repository(folder / "repository")
    run.log_source_code(source / "train.py")
    run.log_source_code(source)
    (folder / "alone.py").write_text("password = 'hunter2'")
    run.log_source_code(folder / "alone.py")
    facts = {"kind": "file", "path": "/code/a.yaml", "size": 2, "sha256": "1" * 64}
    code = {"record": "code", "time": time.time_ns(), "name": "a.yaml", "found_by": "opened"}
    run._append(code | {"role": "configuration", "content": facts | {"uncopied": "disk full"}})
    facts |= {"path": "/code/b.py", "copy": "artifacts/1/b.py"}
    run._append(code | {"name": "b.py", "role": "source code", "content": facts})
    run.log_environment()
    # what takes a GPU, a container and a notebook
    machine = {"gpus": ["NVIDIA H100"], "cuda": {"driver": "550.1"}, "container": {"id": "c"}}
    environment = {"record": "environment", "time": time.time_ns(), "python": "3.13"}
    run._append(environment | {"packages": {}, "variables": {}} | machine)
    cells = {"kind": "file", "path": "notebook.py", "unread": "", "cells": 3}
    source_record = {"record": "source", "time": time.time_ns(), "git": {"unread": "no git"}}
    run._append(source_record | {"content": cells, "modules": {"a.py": {"kind": "file"}}})
    if importlib.util.find_spec("torch") is not None:
        _record_with_torch(run, training)
    # what takes a GPU whose peak is known
    flops = {"record": "flops", "time": time.time_ns(), "target": 99, "name": "gpu flops"}
    flops |= {"unit": "batch", "passes": "forward", "counter": "torch 2.0", "context": None}
    run._append(flops | {"flops": 7, "device": "NVIDIA H100 80GB HBM3", "peak": 989.4e12})
    for number in range(2):
        for kind, value in (("flops", 7), ("cumulative-flops", 7 * (number + 1))):
            key = (kind, "gpu flops", None, "FLOP", "i64", 99)
            run._open_writer().sample(key, flops["time"] + 1000 * number, None, None, value)
    # what no verb does (yet): samples of another kind, and losses without a full disk
    writer = run._open_writer()
    writer.sample(("system load", "cpu", None, "%", "f64"), time.time_ns(), None, None, 0.5)
    writer.add_dropped(samples=3, events=1)


def _record_with_torch(run: provml.Run, training: provml.Context) -> None:
    import torch
    from torch.utils.data import DataLoader, Subset, TensorDataset

    tensors = TensorDataset(torch.zeros(4, 3), torch.arange(4))
    tensors.transform = torch.nn.ReLU()  # type: ignore[attr-defined]
    run.log_dataset("loader", DataLoader(Subset(tensors, [1, 2]), batch_size=2))
    run.log_dataset("tensors", tensors)
    net = torch.nn.Linear(3, 2)
    run.log_model("linear", net)
    run.log_flops_per_batch("batch flops", training, 1, batch=torch.zeros(4, 3), backward=False)
    for step in range(2):
        run.log_flops_per_epoch("epoch flops", 6, training, step, epoch=0)
    with run.count_flops("block flops", training, 1):
        torch.nn.functional.relu(net(torch.zeros(4, 3)))


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> provml.RecordedRun:
    """A failed run with every kind of record, at rank 1 of a distributed job."""
    folder = tmp_path_factory.mktemp("everything")
    store = folder / "provenance"
    os.environ["RANK"] = "1"
    options: dict[str, Any] = {"store": store, "formats": (), "project": "p", "owner": "o"}
    options |= {"external_id": "x-1", "framework": "pytorch", "task": "detection"}
    try:
        with provml.start_run("exp/é", tags={"t": "🦉"}, sample_interval_s=0, **options) as run:
            run.log_metric("loss", 1.0, provml.Context.TRAINING, 0, epoch=0)
        options |= {"run_id": run.id, "resume": True}
        options |= {"sample_interval_s": 1000, "collect": _COLLECTORS}
        with pytest.raises(RuntimeError), provml.start_run("exp/é", **options) as run:
            _record(run, folder)
            raise RuntimeError("the end")
    finally:
        del os.environ["RANK"]
    return provml.load(run.path)


def _graph(run: provml.RecordedRun, detail: str | None = None) -> rdflib.Graph:
    import rdflib

    sink = io.BytesIO()
    run.export("ntriples", sink, detail)
    return rdflib.Graph().parse(data=sink.getvalue(), format="nt11")


@pytest.fixture(scope="session")
def graph_of() -> Callable[..., rdflib.Graph]:
    """The run as an RDF graph."""
    return _graph


def _json(run: provml.RecordedRun, detail: str | None = None) -> Any:
    sink = io.BytesIO()
    run.export("provjson", sink, detail)
    return json.loads(sink.getvalue())


@pytest.fixture(scope="session")
def json_of() -> Callable[..., Any]:
    """The run as parsed PROV-JSON."""
    return _json
