"""A small training with skorch is recorded, and gives the same result as without provml."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, steps, values

import provml
from provml import Context

pytestmark = pytest.mark.slow  # each script imports torch and skorch
pytest.importorskip("skorch", reason="skorch must be installed")

TRAINING = """
import json
import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint
{imports}
torch.manual_seed(0)
np.random.seed(0)
x = np.random.randn(60, 4).astype("float32")
y = (x.sum(1) > 0).astype("int64")

class Net(torch.nn.Module):
    def __init__(self, hidden=5):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, hidden), torch.nn.Linear(hidden, 2), torch.nn.Softmax(-1)
        )

    def forward(self, x):
        return self.layers(x)

net = NeuralNetClassifier(
    Net, module__hidden=6, lr=0.1, max_epochs=3, batch_size=16, verbose=0, callbacks=[{callback}]
)
net.fit(x, y)
print(json.dumps([float(row["valid_loss"]) for row in net.history]))
print(net.predict_proba(x[:3]).tolist(), torch.rand(1).item(), np.random.rand())
"""


@pytest.mark.parametrize("way", ["unchanged", "our callback"])
def test_a_net_is_recorded_once(tmp_path: Path, way: str) -> None:
    """Metrics, parameters or checkpoints would be missing or doubled, or predictions differ."""
    ours = way == "our callback"
    imports = "from provml.integrations.skorch import ProvMLCallback" if ours else ""
    callback = "ProvMLCallback()" if ours else "Checkpoint(dirname='saved', monitor=None)"
    done = script_done(tmp_path, TRAINING.format(imports=imports, callback=callback))
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded)[:2] == seen(done.plain)[:2]
    runs = [done.run]
    if ours:
        runs.append(provml.load(next((tmp_path / "plain" / "provenance" / "train").iterdir())))
    else:
        models = [content for content in done.run.artifacts() if content.kind == "model"]
        assert [(model.name, model.epoch) for model in models] == [
            ("Net", 1),
            ("Net", 2),
            ("Net", 3),
        ]
    for run in runs:
        losses = json.loads(done.plain.stdout.splitlines()[0])
        assert values(run, "valid_loss", Context.VALIDATION) == losses
        assert steps(run, "train_loss", Context.TRAINING) == [3, 6, 9]
        assert list(run.series("train_loss", Context.TRAINING).epoch) == [1, 2, 3]
        names = {name for name, _ in run.series_names()}
        assert names == {"train_loss", "valid_loss", "valid_acc", "dur"}
        assert (run.params["lr"], run.params["module__hidden"]) == (0.1, 6)
        assert missed(run) == []
