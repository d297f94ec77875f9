"""A small training loop with Accelerate is recorded, and gives the same result."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, steps, values

import provml
from provml import Context

pytestmark = pytest.mark.slow  # each script imports torch and Accelerate
pytest.importorskip("accelerate", reason="accelerate must be installed")

TRAINING = """
import torch
from accelerate import Accelerator
{imports}
torch.manual_seed(1)
accelerator = Accelerator(cpu=True, log_with={tracker}, project_dir="project")
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model, optimizer = accelerator.prepare(model, optimizer)
accelerator.init_trackers("name", {{"lr": 0.1, "batch_size": 4}})
for step in range(6):
    loss = (model(torch.randn(4, 3)) ** 2).mean()
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    accelerator.log({{"train_loss": loss.item(), "epoch": step // 3}}, step=step)
    print(repr(loss.item()))
accelerator.save_state("state")
accelerator.end_training()
print(model.weight.tolist(), torch.rand(1).item())
"""


def _check(run: provml.RecordedRun, printed: str) -> None:
    losses = [float(line) for line in printed.splitlines()[:6]]
    assert values(run, "train_loss", Context.TRAINING) == losses
    assert steps(run, "train_loss", Context.TRAINING) == list(range(6))
    assert list(run.series("train_loss", Context.TRAINING).epoch) == [0, 0, 0, 1, 1, 1]
    assert {name for name, _ in run.series_names()} == {"train_loss"}
    assert (run.params["lr"], run.params["batch_size"]) == (0.1, 4)
    assert missed(run) == []


@pytest.mark.parametrize("way", ["tensorboard", "our tracker"])
def test_a_loop_is_recorded_once(tmp_path: Path, way: str) -> None:
    """Metrics, the configuration or states would be missing or doubled, or weights differ."""
    ours = way == "our tracker"
    imports = "from provml.integrations.accelerate import ProvMLTracker" if ours else ""
    tracker = "ProvMLTracker()" if ours else "'tensorboard'"
    done = script_done(tmp_path, TRAINING.format(imports=imports, tracker=tracker))
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded)[:2] == seen(done.plain)[:2]
    _check(done.run, done.plain.stdout)
    models = [content for content in done.run.artifacts() if content.kind == "model"]
    assert [model.name for model in models] == ["Linear"]
    if ours:
        alone = next((tmp_path / "plain" / "provenance" / "train").iterdir())
        _check(provml.load(alone), done.plain.stdout)
        assert provml.load(alone).status == "finished"
