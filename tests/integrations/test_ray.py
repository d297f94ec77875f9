"""The trials of Ray Tune are child runs, recorded by the process that runs the tuner."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture.scripts import missed, script_done, values

from provml import Context

pytest.importorskip("ray.tune", reason="ray[tune] must be installed")
pytestmark = pytest.mark.slow  # starting Ray takes half a minute

SCRIPT = """
import os
import ray
from ray import tune

def train(config):
    for step in range(2):
        tune.report({"loss": config["lr"] * (step + 1)})
    if config["lr"] == 3:
        raise ValueError("bad trial")

options = {"log_to_driver": False, "include_dashboard": False, "configure_logging": False}
ray.init(num_cpus=2, **options)
settings = tune.RunConfig(storage_path=os.path.abspath("results"), verbose=0)
space = {"lr": tune.grid_search([1, 2, 3]), "optimizer": {"name": "sgd"}}
results = tune.Tuner(train, param_space=space, run_config=settings).fit()
print(sorted(result.metrics["loss"] for result in results))
"""


def test_each_trial_is_a_child(tmp_path: Path) -> None:
    """Configurations, reported values or failed trials would be missing."""
    done = script_done(tmp_path, SCRIPT)
    assert done.plain.returncode == 0, done.plain.stderr
    assert done.recorded.stdout.splitlines()[-1:] == done.plain.stdout.splitlines()[-1:]
    children = {child.params["lr"]: child for child in done.run.children()}
    assert sorted(children) == [1, 2, 3]
    assert children[2].params["optimizer.name"] == "sgd"
    for rate, child in children.items():
        assert values(child, "loss", Context.TRAINING) == [rate, 2 * rate]
        assert list(child.series("loss", Context.TRAINING).step) == [1, 2]
    assert [children[rate].status for rate in (1, 2, 3)] == ["finished", "finished", "failed"]
    assert missed(done.run) == []
