"""A small training with Keras is recorded, and gives the same result as without provml."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, steps, values

import provml
from provml import Context

pytestmark = pytest.mark.slow  # each script imports torch and Keras
pytest.importorskip("torch", reason="torch must be installed, as Keras's backend")
if find_spec("keras") is None:
    pytest.skip("keras must be installed", allow_module_level=True)

TRAINING = """
import json
from importlib.util import find_spec
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np
keras.utils.set_random_seed(2)
x = np.random.rand(40, 3).astype("float32")
y = x.sum(1, keepdims=True)
model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)], name="net")
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
history = model.fit(x, y, batch_size=8, epochs=3, validation_data=(x[:8], y[:8]), {options})
print(json.dumps(history.history))
print(json.dumps(model.evaluate(x, y, verbose=0)))
print([own.tolist() for own in model.get_weights()], np.random.rand())
"""


def _check(run: provml.RecordedRun, printed: str) -> None:
    lines = printed.splitlines()
    history, (loss, mae) = json.loads(lines[-3]), json.loads(lines[-2])
    assert values(run, "loss", Context.TRAINING) == history["loss"]
    assert values(run, "mae", Context.TRAINING) == history["mae"]
    assert values(run, "val_loss", Context.VALIDATION) == history["val_loss"]
    assert steps(run, "val_loss", Context.VALIDATION) == [5, 10, 15]
    assert list(run.series("loss", Context.TRAINING).epoch) == [0, 1, 2]
    assert values(run, "loss", Context.EVALUATION) == [loss]
    assert values(run, "mae", Context.EVALUATION) == [mae]
    assert {name for name, _ in run.series_names()} == {"loss", "mae", "val_loss", "val_mae"}
    assert run.params["optimizer.name"] == "Adam"
    assert run.params["optimizer.learning_rate"] == pytest.approx(0.01)
    assert run.params["fit.epochs"] == 3
    assert missed(run) == []


def test_an_unchanged_script_is_recorded(tmp_path: Path) -> None:
    """Metrics, settings or saved models would be missing, or the weights would differ."""
    options = "verbose=0, callbacks=[keras.callbacks.ModelCheckpoint('{epoch}.keras')]"
    done = script_done(tmp_path, TRAINING.replace("{options}", options))
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded)[:2] == seen(done.plain)[:2]
    _check(done.run, done.plain.stdout)
    contents = done.run.artifacts()
    models = [(own.name, own.step, own.epoch) for own in contents if own.kind == "model"]
    assert models == [("net", 5, 0), ("net", 10, 1), ("net", 15, 2)]
    assert {own.name for own in contents if own.kind == "dataset"} == {"train", "validation"}


def test_a_callback_records_once(tmp_path: Path) -> None:
    """A script that uses our callback would be recorded twice, or not in its own run."""
    script = TRAINING.replace("{options}", "verbose=0, callbacks=[ProvMLCallback()]").replace(
        "import numpy", "from provml.integrations.keras import ProvMLCallback\nimport numpy"
    )
    done = script_done(tmp_path, script)
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded)[:2] == seen(done.plain)[:2]
    alone = next((tmp_path / "plain" / "provenance" / "train").iterdir())
    for run in (done.run, provml.load(alone)):
        run_evaluated = run.series_names()
        assert ("loss", Context.TRAINING) in run_evaluated
        assert steps(run, "val_loss", Context.VALIDATION) == [5, 10, 15]
        assert run.params["fit.epochs"] == 3
