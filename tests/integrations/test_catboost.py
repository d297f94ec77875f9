"""Trainings with CatBoost are recorded, and give the same result as without provml."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture.scripts import datasets, missed, models, script_done, seen, steps, values

from provml import Context

pytest.importorskip("catboost", reason="catboost must be installed")
pytestmark = pytest.mark.slow  # each script imports CatBoost

SCRIPT = """
import hashlib
import numpy as np
from catboost import CatBoostClassifier, Pool
rng = np.random.default_rng(0)
X, y = rng.normal(size=(80, 3)), rng.integers(0, 2, 80)
model = CatBoostClassifier(
    iterations=4, depth=2, random_seed=0, allow_writing_files=False, verbose=False, thread_count=1
)
model.fit(X[:60], y[:60], eval_set=(X[60:], y[60:]))
model.save_model("model.cbm")
pool = Pool(X[:40], y[:40])
model.copy().fit(pool, eval_set=Pool(X[40:], y[40:]))
print(hashlib.sha256(model.predict_proba(X).tobytes()).hexdigest())
print([value.hex() for value in model.get_evals_result()["validation"]["Logloss"]])
"""


def test_an_unchanged_script_is_recorded(tmp_path: Path) -> None:
    """Metrics, parameters or the model would be missing, or the predictions would differ."""
    done = script_done(tmp_path, SCRIPT)
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded) == seen(done.plain)
    run = done.run
    recorded = [float(value).hex() for value in values(run, "Logloss", Context.VALIDATION)]  # type: ignore[arg-type]
    assert recorded == eval(done.plain.stdout.splitlines()[-1])
    assert steps(run, "Logloss", Context.TRAINING) == [0, 1, 2, 3]
    assert (run.params["iterations"], run.params["depth"]) == (4, 2)
    names = models(run)
    assert sorted(names) == ["CatBoostClassifier", "CatBoostClassifier 2", "model.cbm"]
    assert [data.context for data in datasets(run)] == 2 * [Context.TRAINING, Context.VALIDATION]
    assert missed(run) == []
