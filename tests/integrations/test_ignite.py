"""A small training with Ignite is recorded, and gives the same result as without provml."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, steps, values

import provml
from provml import Context

pytestmark = pytest.mark.slow  # each script imports torch and Ignite
pytest.importorskip("ignite.engine", reason="pytorch-ignite must be installed")

TRAINING = """
import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import Checkpoint, DiskSaver, global_step_from_engine
from ignite.metrics import MeanSquaredError
torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = torch.nn.MSELoss()
data = [(torch.randn(4, 3), torch.randn(4, 1)) for _ in range(5)]
trainer = create_supervised_trainer(model, optimizer, criterion)
evaluator = create_supervised_evaluator(model, metrics={"mse": MeanSquaredError()})

@trainer.on(Events.ITERATION_COMPLETED)
def show(engine):
    print(repr(engine.state.output))

@trainer.on(Events.EPOCH_COMPLETED)
def validate(engine):
    evaluator.run(data)

"""
RUN = """
trainer.run(data, max_epochs=2)
print(model.weight.tolist(), torch.rand(1).item())
"""


def test_an_unchanged_script_is_recorded(tmp_path: Path) -> None:
    """Metrics or checkpoints would be missing or in the wrong context, or the weights differ."""
    save = """
saver = DiskSaver("saved", require_empty=False)
trainer.add_event_handler(Events.EPOCH_COMPLETED, Checkpoint({"model": model}, saver, n_saved=2))
"""
    done = script_done(tmp_path, TRAINING + save + RUN + "evaluator.run(data)\n")
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded) == seen(done.plain)
    run = done.run
    outputs = [float(line) for line in done.plain.stdout.splitlines()[:10]]
    assert values(run, "output", Context.TRAINING) == outputs
    assert steps(run, "output", Context.TRAINING) == list(range(1, 11))
    assert steps(run, "mse", Context.VALIDATION) == [5, 10]
    assert list(run.series("mse", Context.VALIDATION).epoch) == [1, 2]
    assert len(values(run, "mse", Context.EVALUATION)) == 1
    models = [content for content in run.artifacts() if content.kind == "model"]
    assert [(model.name, model.step) for model in models] == [("model", 5), ("model", 10)]
    assert missed(run) == []


def test_a_logger_records_once(tmp_path: Path) -> None:
    """A script that attaches our logger would be recorded twice, or not in its own run."""
    attach = """
from provml.integrations.ignite import ProvMLLogger
logger = ProvMLLogger()
logger.attach_output_handler(
    trainer, Events.ITERATION_COMPLETED, tag="training",
    output_transform=lambda loss: {"loss": loss},
)
logger.attach_output_handler(
    evaluator, Events.COMPLETED, tag="validation", metric_names="all",
    global_step_transform=global_step_from_engine(trainer),
)
logger.attach_opt_params_handler(trainer, Events.EPOCH_COMPLETED, optimizer=optimizer)
"""
    done = script_done(tmp_path, TRAINING + attach + RUN + "logger.close()\n")
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded)[:2] == seen(done.plain)[:2]
    alone = provml.load(next((tmp_path / "plain" / "provenance" / "train").iterdir()))
    outputs = [float(line) for line in done.plain.stdout.splitlines()[:10]]
    for run in (done.run, alone):
        assert values(run, "training/loss", Context.TRAINING) == outputs
        assert steps(run, "validation/mse", Context.VALIDATION) == [1, 2]
        assert values(run, "lr/group_0", Context.TRAINING) == [0.1, 0.1]
        names = {name for name, _ in run.series_names()}
        assert names == {"training/loss", "validation/mse", "lr/group_0"}
        assert missed(run) == []
