"""Trainings with LightGBM are recorded, and give the same result as without provml."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture.scripts import datasets, missed, models, script_done, seen, steps, values

import provml
from provml import Context

pytest.importorskip("lightgbm", reason="lightgbm must be installed")
pytestmark = pytest.mark.slow  # each script imports LightGBM

DATA = """
import hashlib
import numpy as np
import lightgbm as lgb
rng = np.random.default_rng(0)
X, y = rng.normal(size=(80, 3)), rng.integers(0, 2, 80)
"""


def test_an_unchanged_script_is_recorded(tmp_path: Path) -> None:
    """Metrics, parameters or the booster would be missing, or recorded twice."""
    script = """
train = lgb.Dataset(X[:60], y[:60])
valid = lgb.Dataset(X[60:], y[60:], reference=train)
params = {"objective": "binary", "metric": ["binary_logloss", "auc"], "num_leaves": 4}
params["verbose"] = -1
history = {}
booster = lgb.train(
    params, train, 4, valid_sets=[train, valid], valid_names=["train", "valid"],
    callbacks=[lgb.record_evaluation(history), lgb.log_evaluation(1)],
)
booster.save_model("model.txt")
print(hashlib.sha256(booster.model_to_string().encode()).hexdigest())
print([value.hex() for value in history["valid"]["binary_logloss"]])
"""
    done = script_done(tmp_path, DATA + script)
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded) == seen(done.plain)
    run = done.run
    recorded = values(run, "binary_logloss", Context.VALIDATION)
    own = [float(value).hex() for value in recorded]  # type: ignore[arg-type]
    assert own == eval(done.plain.stdout.splitlines()[-1])
    assert steps(run, "auc", Context.TRAINING) == [0, 1, 2, 3]
    assert (run.params["num_leaves"], run.params["num_boost_round"]) == (4, 4)
    names = set(models(run))
    assert names == {"lightgbm", "model.txt"}
    assert missed(run) == []


def test_an_estimator_is_recorded_once(tmp_path: Path) -> None:
    """The fit of an estimator would be recorded by both integrations."""
    pytest.importorskip("sklearn", reason="scikit-learn must be installed")
    script = """
import warnings
warnings.simplefilter("ignore")
model = lgb.LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1)
model.fit(X[:60], y[:60], eval_set=[(X[60:], y[60:])])
print(hashlib.sha256(model.booster_.model_to_string().encode()).hexdigest())
"""
    done = script_done(tmp_path, DATA + script)
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded) == seen(done.plain)
    run = done.run
    assert steps(run, "binary_logloss", Context.VALIDATION) == [0, 1, 2]
    assert run.params["num_leaves"] == 4
    assert models(run) == ["LGBMClassifier"]
    assert [data.context for data in datasets(run)] == [Context.TRAINING, Context.VALIDATION]
    assert missed(run) == []


def test_a_callback_records_without_provml_run(store: Path) -> None:
    """A script that passes the callback would record nothing, or each value twice."""
    import lightgbm
    import numpy as np

    from provml.integrations.lightgbm import autolog, provml_callback

    x, y = np.arange(40.0).reshape(-1, 1), np.arange(40.0)
    params = {"verbose": -1, "metric": "l2"}

    def train() -> None:
        data = lightgbm.Dataset(x, y)
        options = {"valid_sets": [data], "valid_names": ["train"], "callbacks": [provml_callback()]}
        lightgbm.train(params, data, 2, **options)

    with provml.start_run("alone", store=store, formats=()) as alone:
        train()
    autolog()
    try:
        with provml.start_run("both", store=store, formats=()) as both:
            train()
    finally:
        provml.integrations.uninstall()
    for run in (alone, both):
        assert steps(provml.load(run.path), "l2", Context.TRAINING) == [0, 1]
