"""A small training with Lightning is recorded, and gives the same result as without provml."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, steps, values

from provml import Context

pytestmark = pytest.mark.slow  # each script imports torch and Lightning

PACKAGES = [
    pytest.param(
        package,
        marks=pytest.mark.skipif(
            find_spec(package.partition(".")[0]) is None, reason=f"{package} must be installed"
        ),
    )
    for package in ("lightning.pytorch", "pytorch_lightning")
]
MODEL = """
import hashlib
import torch
import {package} as pl
from torch.utils.data import DataLoader, TensorDataset

class Net(pl.LightningModule):
    def __init__(self, lr=0.1, hidden=4):
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(torch.nn.Linear(3, hidden), torch.nn.Linear(hidden, 1))
        self.seen = []

    def loss(self, batch):
        return (self.net(batch[0]) ** 2).mean()

    def training_step(self, batch, index):
        loss = self.loss(batch)
        self.log("train_loss", loss)
        self.log("twice", loss * 2, on_step=False, on_epoch=True)
        self.seen.append(loss.item())
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch, index):
        self.log("loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

pl.seed_everything(1)
data = DataLoader(TensorDataset(torch.randn(8, 3)), batch_size=2)
model = Net()
options = dict(max_epochs=2, log_every_n_steps=1, accelerator="cpu", enable_progress_bar=False)
"""
RESULT = """
weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
print(hashlib.sha256(weights).hexdigest(), torch.rand(1).item())
print(*map(repr, model.seen))
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unchanged_script_is_recorded(tmp_path: Path, package: str) -> None:
    """Metrics, settings or checkpoints would be missing, or the weights would differ."""
    script = MODEL.format(package=package) + "trainer = pl.Trainer(**options)"
    script += "\ntrainer.fit(model, data, data)\ntrainer.test(model, data)" + RESULT
    done = script_done(tmp_path, script)
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded)[:2] == seen(done.plain)[:2]
    run = done.run
    losses = [float(word) for word in done.plain.stdout.splitlines()[-1].split()]
    recorded = run.series("train_loss", Context.TRAINING)
    assert list(recorded.value) == losses
    assert list(recorded.step) == list(range(8))
    assert list(recorded.epoch) == [0] * 4 + [1] * 4
    assert steps(run, "val_loss", Context.VALIDATION) == [3, 7]
    assert len(values(run, "twice", Context.TRAINING)) == 2
    assert len(values(run, "loss", Context.EVALUATION)) == 1
    assert {name for name, _ in run.series_names()} == {"train_loss", "val_loss", "twice", "loss"}
    assert (run.params["lr"], run.params["hidden"]) == (0.1, 4)
    assert run.params["trainer.max_epochs"] == 2
    models = [content for content in run.artifacts() if content.kind == "model"]
    assert [(model.name, model.step) for model in models] == [("Net", 4), ("Net", 8)]
    data = {content.name for content in run.artifacts() if content.kind == "dataset"}
    assert data == {"train", "validation", "test"}
    assert missed(run) == []


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("way", ["logger=ProvMLLogger()", "callbacks=[ProvMLCallback()]"])
def test_a_logger_or_callback_records_once(tmp_path: Path, package: str, way: str) -> None:
    """A script that uses our logger would be recorded twice, or not in its own run."""
    name = "lightning" if package == "lightning.pytorch" else package
    script = (
        MODEL.format(package=package)
        + f"""
import provml
from provml.integrations.{name} import ProvMLCallback, ProvMLLogger
trainer = pl.Trainer({way}, **options)
trainer.fit(model, data, data)
"""
        + RESULT
    )
    done = script_done(tmp_path, script)
    assert done.plain.returncode == 0, done.plain.stderr
    alone = next((tmp_path / "plain" / "provenance" / "train").iterdir())
    import provml

    for run in (done.run, provml.load(alone)):
        losses = [float(word) for word in done.plain.stdout.splitlines()[-1].split()]
        assert values(run, "train_loss", Context.TRAINING) == losses
        assert steps(run, "val_loss", Context.VALIDATION) == [3, 7]
        assert run.params["lr"] == 0.1
        models = [content for content in run.artifacts() if content.kind == "model"]
        assert [(model.name, model.step) for model in models] == [("Net", 4), ("Net", 8)]
        assert missed(run) == []
    assert seen(done.recorded)[1] == seen(done.plain)[1]
