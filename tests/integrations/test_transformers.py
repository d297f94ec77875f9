"""A small training with Hugging Face transformers is recorded, and gives the same result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, steps, values

import provml
from provml import Context

pytestmark = pytest.mark.slow  # each script imports torch and transformers
pytest.importorskip("transformers", reason="transformers must be installed")
pytest.importorskip("accelerate", reason="transformers trains only with accelerate")

TRAINING = """
import hashlib
import json
import torch
from transformers import BertConfig, BertForSequenceClassification
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
{imports}
set_seed(3)
config = BertConfig(
    vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
)
model = BertForSequenceClassification(config)

class Data(torch.utils.data.Dataset):
    def __init__(self):
        self.data = torch.randint(0, 40, (20, 6))
        self.labels = torch.randint(0, 2, (20,))

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return {{"input_ids": self.data[index], "labels": self.labels[index]}}

class Quiet(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **_):
        for key in [key for key in logs if "_runtime" in key or "_per_second" in key]:
            del logs[key]  # they differ from run to run

arguments = TrainingArguments(
    "out", num_train_epochs=2, per_device_train_batch_size=4, logging_steps=2, use_cpu=True,
    eval_strategy="epoch", save_strategy="epoch", disable_tqdm=True, report_to={report_to!r},
)
trainer = Trainer(
    model=model, args=arguments, train_dataset=Data(), eval_dataset=Data(), callbacks=[Quiet()]
)
trainer.callback_handler.callbacks.sort(key=lambda callback: not isinstance(callback, Quiet))
trainer.train()
trainer.save_model("final")
weights = b"".join(own.detach().numpy().tobytes() for own in model.parameters())
print(hashlib.sha256(weights).hexdigest(), torch.rand(1).item())
losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
evals = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
print(json.dumps({{"loss": losses, "eval_loss": evals}}))
"""


def _check(run: provml.RecordedRun, printed: str) -> None:
    logged = json.loads(printed.splitlines()[-1])
    assert values(run, "loss", Context.TRAINING) == logged["loss"]
    assert steps(run, "loss", Context.TRAINING) == [2, 4, 6, 8, 10]
    assert list(run.series("loss", Context.TRAINING).epoch) == [0, 0, 1, 1, 2]
    assert values(run, "eval_loss", Context.EVALUATION) == logged["eval_loss"]
    assert steps(run, "eval_loss", Context.EVALUATION) == [5, 10]
    assert list(run.series("eval_loss", Context.EVALUATION).epoch) == [1, 2]
    assert run.params["learning_rate"] == 5e-05
    assert run.params["per_device_train_batch_size"] == 4
    assert run.params["model.hidden_size"] == 8
    kinds = {(content.kind, content.name, content.step) for content in run.artifacts()}
    name = "BertForSequenceClassification"
    assert {("model", name, 5), ("model", name, 10), ("dataset", "train", None)} <= kinds
    assert missed(run) == []


def test_an_unchanged_script_is_recorded(tmp_path: Path) -> None:
    """Metrics, arguments or checkpoints would be missing, or the weights would differ."""
    script = TRAINING.format(imports="", report_to=["tensorboard"])
    done = script_done(tmp_path, script)
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded)[1].splitlines()[-2:] == seen(done.plain)[1].splitlines()[-2:]
    _check(done.run, done.plain.stdout)
    models = [content for content in done.run.artifacts() if content.kind == "model"]
    assert [model.facts["path"] for model in models][-1].endswith("final/model.safetensors")
    assert len(models) == 3


def test_report_to_provml_records_once(tmp_path: Path) -> None:
    """``report_to="provml"`` would be refused, or record twice under ``provml run``."""
    imports = "import provml.integrations.transformers"
    done = script_done(tmp_path, TRAINING.format(imports=imports, report_to="provml"))
    assert done.plain.returncode == 0, done.plain.stderr
    alone = next((tmp_path / "plain" / "provenance" / "train").iterdir())
    for run in (done.run, provml.load(alone)):
        _check(run, done.plain.stdout)
