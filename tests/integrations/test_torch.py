"""Plain torch: the settings that decide results are recorded, and norms if a model is watched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, values

import provml
from provml import Context, integrations

torch = pytest.importorskip("torch", reason="torch must be installed")

SCRIPT = """
    import random
    import numpy as np
    import torch
    random.seed(5); np.random.seed(6); torch.manual_seed(7)
    torch.use_deterministic_algorithms(True)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    for step in range(3):
        optimizer.zero_grad()
        (model(torch.randn(4, 3)) ** 2).mean().backward()
        optimizer.step()
    torch.set_default_dtype(torch.float64)
    print(model.weight.tolist(), torch.rand(1).item(), random.random(), np.random.rand())
"""


def test_what_decides_the_results_is_recorded(tmp_path: Path) -> None:
    """A run could not be repeated, or reading its settings would change its results."""
    done = script_done(tmp_path, SCRIPT)
    assert seen(done.recorded) == seen(done.plain)
    params = done.run.params
    assert (params["seed.random"], params["seed.numpy"], params["torch.seed"]) == (5, 6, 7)
    assert params["torch.deterministic_algorithms"] is True
    assert params["torch.default_dtype"] == "float64", "the setting at the end of the run"
    assert (params["optimizer.name"], params["optimizer.lr"]) == ("AdamW", 0.05)
    assert missed(done.run) == []


@pytest.fixture
def recorded_torch() -> Iterator[None]:
    """Records torch in this process, as ``provml run`` does in the process of a script."""
    provml.autolog("torch")
    yield
    integrations.uninstall()


def _create_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.1)


def test_a_parameter_of_the_script_stays(recorded_torch: None, tmp_path: Path) -> None:
    """A setting that the framework reports would replace the script's own of the same name."""
    with provml.start_run("x", store=tmp_path) as run:
        provml.log_params({"optimizer.lr": "0.5 / batch", "optimizer.name": "SGD"})
        _create_optimizer()
        params = dict(run.params)
    assert (params["optimizer.lr"], params["torch.optimizer.lr"]) == ("0.5 / batch", 0.1)
    assert params["optimizer.name"] == "SGD"
    assert "torch.optimizer.name" not in params


def _train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    torch.manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(torch.randn(4, 3)) ** 2).mean().backward()
        optimizer.step()


def test_watch_records_norms_and_rates(tmp_path: Path) -> None:
    """Norms would be wrong or taken too often, or watching would change the training."""
    results = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with provml.start_run("x", store=tmp_path, disabled=not watched) as run:
            if watched:
                watch = provml.watch(model, optimizer, every=3, per_parameter=True)
            _train(model, optimizer, 7)
            gradients = [own.grad for own in model.parameters()]
            expected = math.sqrt(sum(float((own**2).sum()) for own in gradients if own is not None))
            weights = math.sqrt(sum(float((own.detach() ** 2).sum()) for own in model.parameters()))
            if watched:
                watch.remove()
            _train(model, optimizer, 3)
        results.append([*(own.tolist() for own in model.parameters()), torch.rand(1).item()])
    assert results[0] == results[1]
    recorded = provml.load(run.path)
    norms = recorded.series("gradient_norm", Context.TRAINING)
    assert list(norms.step) == [0, 3, 6]
    assert norms.value[-1] == pytest.approx(expected, rel=1e-5)
    assert values(recorded, "weight_norm", Context.TRAINING)[-1] == pytest.approx(weights, rel=1e-5)
    assert values(recorded, "learning_rate", Context.TRAINING) == [0.1] * 3
    assert len(values(recorded, "gradient_norm/1.bias", Context.TRAINING)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "every= must be a positive whole number, not 0"),
        ({"model": 3}, "watch takes a torch module that has parameters, not int"),
        ({"model": torch.nn.ReLU()}, "watch takes a torch module that has parameters, not ReLU"),
        ({"optimizer": None}, "watch takes a torch optimizer as its second argument, not NoneType"),
    ],
)
def test_misuse_of_watch(arguments: dict[str, object], message: str) -> None:
    """A mistake would show only in the middle of a training."""
    model = torch.nn.Linear(1, 1)
    right = {"model": model, "optimizer": torch.optim.SGD(model.parameters())}
    with pytest.raises(provml.InvalidArgumentError, match=message):
        provml.watch(**(right | arguments))


def test_autolog_records_until_it_is_undone(tmp_path: Path) -> None:
    """`autolog` would record nothing, or its hooks would stay in torch."""
    original = torch.optim.Optimizer.__init__
    provml.autolog("torch")
    provml.autolog("torch")
    try:
        with provml.start_run("x", store=tmp_path) as run:
            _create_optimizer()
            assert run.params["optimizer.lr"] == 0.1
    finally:
        integrations.uninstall()
    assert torch.optim.Optimizer.__init__ is original


def test_autolog_of_an_unknown_framework() -> None:
    """A misspelt name would record nothing without a word."""
    with pytest.raises(
        provml.InvalidArgumentError, match="no integration for 'tourch'; it has acc"
    ):
        provml.autolog("tourch")
