"""Trainings with XGBoost are recorded, and give the same result as without provml."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture.scripts import datasets, missed, models, script_done, seen, steps, values

import provml
from provml import Context

pytest.importorskip("xgboost", reason="xgboost must be installed")
pytestmark = pytest.mark.slow  # each script imports XGBoost

DATA = """
import hashlib
import numpy as np
import xgboost as xgb
rng = np.random.default_rng(0)
X, y = rng.normal(size=(80, 3)), rng.integers(0, 2, 80)
"""


def test_an_unchanged_script_is_recorded(tmp_path: Path) -> None:
    """Metrics, parameters or the booster would be missing, or recorded twice."""
    script = """
    train, valid = xgb.DMatrix(X[:60], y[:60]), xgb.DMatrix(X[60:], y[60:])
    params = {"objective": "binary:logistic", "max_depth": 2, "eval_metric": ["logloss", "auc"]}
    history = {}
    evals = [(train, "train"), (valid, "valid")]
    booster = xgb.train(params, train, 4, evals=evals, evals_result=history, verbose_eval=2)
    booster.save_model("model.json")
    print(hashlib.sha256(booster.save_raw()).hexdigest())
    print([value.hex() for value in history["valid"]["logloss"]])
    """
    done = script_done(tmp_path, DATA + _dedent(script))
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded) == seen(done.plain)
    run = done.run
    recorded = [float(value).hex() for value in values(run, "logloss", Context.VALIDATION)]  # type: ignore[arg-type]
    assert recorded == eval(done.plain.stdout.splitlines()[-1])
    assert steps(run, "auc", Context.TRAINING) == [0, 1, 2, 3]
    assert (run.params["max_depth"], run.params["num_boost_round"]) == (2, 4)
    names = set(models(run))
    assert names == {"xgboost", "model.json"}
    assert [data.context for data in datasets(run)] == [Context.TRAINING, Context.VALIDATION]
    assert missed(run) == []


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # of text files
def test_the_data_of_a_matrix_is_the_data_it_was_built_from(store: Path, tmp_path: Path) -> None:
    """The training's data would be unknown, or would not be the data that other runs recorded."""
    import numpy as np
    import xgboost

    from provml.integrations.xgboost import autolog

    features, target = np.arange(8.0).reshape(-1, 1), np.arange(8.0)
    file = tmp_path / "train.txt"
    file.write_text("".join(f"{y} 0:{y}\n" for y in range(8)))
    autolog()
    try:
        with provml.start_run("arrays", store=store, formats=()) as arrays:
            xgboost.train({}, xgboost.DMatrix(features, target), 1)
            provml.log_dataset("by hand", {"X": features, "y": target})
        with provml.start_run("temporary", store=store, formats=()) as temporary:
            xgboost.train({}, xgboost.DMatrix(features.copy(), target.copy()), 1)
        with provml.start_run("file", store=store, formats=()) as from_file:
            xgboost.train({}, xgboost.DMatrix(f"{file}?format=libsvm"), 1)
    finally:
        provml.integrations.uninstall()
    by_matrix, by_hand = datasets(provml.load(arrays.path))
    assert by_matrix.sha256 == by_hand.sha256 is not None
    (copied,) = datasets(provml.load(temporary.path))
    assert copied.sha256 is not None
    (of_file,) = datasets(provml.load(from_file.path))
    assert of_file.facts["path"] == str(file)


def test_an_estimator_is_recorded_once(tmp_path: Path) -> None:
    """The fit of an estimator would be recorded by both integrations, or flood in a search."""
    script = """
    from sklearn.model_selection import GridSearchCV
    model = xgb.XGBClassifier(n_estimators=3, max_depth=2)
    model.fit(X[:60], y[:60], eval_set=[(X[60:], y[60:])], verbose=False)
    search = GridSearchCV(xgb.XGBClassifier(n_estimators=2), {"max_depth": [1, 2]}, cv=2)
    search.fit(X, y)
    print(hashlib.sha256(model.get_booster().save_raw()).hexdigest(), search.best_params_)
    """
    pytest.importorskip("sklearn", reason="scikit-learn must be installed")
    done = script_done(tmp_path, DATA + _dedent(script))
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded) == seen(done.plain)
    run = done.run
    assert steps(run, "logloss", Context.VALIDATION) == [0, 1, 2]
    assert run.params["n_estimators"] == 3
    assert models(run) == ["XGBClassifier", "GridSearchCV"]
    assert [child.params["max_depth"] for child in run.children()] == [1, 2]
    assert {name for name, _ in run.series_names()} == {"logloss", "best_score"}
    assert missed(run) == []


def test_a_callback_records_without_provml_run(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that passes the callback would record nothing, or each value twice."""
    import numpy as np
    import xgboost

    from provml.integrations.xgboost import ProvMLCallback, autolog

    monkeypatch.setenv("PROVML_STORE", str(store))
    data = xgboost.DMatrix(np.arange(8.0).reshape(-1, 1), np.arange(8.0))
    callback = ProvMLCallback("by hand")
    try:
        xgboost.train({}, data, 2, evals=[(data, "train")], callbacks=[callback])
        autolog()
        with provml.start_run("both", formats=()) as both:
            xgboost.train({}, data, 2, evals=[(data, "train")], callbacks=[ProvMLCallback()])
    finally:
        provml.integrations.uninstall()
        run = provml.active_run()
        provml.end_run()
    assert run is not None
    for recorded in (provml.load(run.path), provml.load(both.path)):
        assert steps(recorded, "rmse", Context.TRAINING) == [0, 1]
        assert models(recorded) == ["xgboost"]
    assert run.experiment == "by hand"


def _dedent(script: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in script.splitlines())
