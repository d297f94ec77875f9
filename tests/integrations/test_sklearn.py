"""Fits, searches and evaluations of scikit-learn are recorded, and give the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from capture.scripts import Done, datasets, missed, models, script_done, seen, steps, values

from provml import Context

pytest.importorskip("sklearn", reason="scikit-learn must be installed")
pytestmark = pytest.mark.slow  # each script imports scikit-learn

DATA = """
import hashlib, pickle
import numpy as np
np.random.seed(7)
X = np.random.normal(size=(90, 3))
y = (X[:, 0] + X[:, 1] > 0).astype(int)
train, test, y_train, y_test = X[:60], X[60:], y[:60], y[60:]

def show(*models):
    content = pickle.dumps(models) + np.random.get_state()[1].tobytes()
    print(hashlib.sha256(content).hexdigest())
"""


def record(folder: Path, script: str) -> Done:
    """Run a script twice; the results must be the same, and nothing may be missed."""
    done = script_done(folder, DATA + script)
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded) == seen(done.plain)
    assert missed(done.run) == []
    return done


def test_a_pipeline_is_one_fit(tmp_path: Path) -> None:
    """Each step of a pipeline would be a model, or the parameters and the data would be missing."""
    run = record(
        tmp_path,
        """
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(train, y_train)
print(repr(model.score(test, y_test)), repr(accuracy_score(y_train, model.predict(train))))
# these functions fit encoders for themselves
print(classification_report(y_test, model.predict(test), output_dict=True))
print(confusion_matrix(y_test, model.predict(test)))
show(model)
""",
    ).run
    assert run.params["estimator"] == "Pipeline"
    assert run.params["logisticregression__C"] == 0.5
    assert models(run) == ["Pipeline"]
    (data,) = datasets(run)
    assert (data.name, data.context) == ("training data", Context.TRAINING)
    assert len(values(run, "score", Context.EVALUATION)) == 1
    assert len(values(run, "accuracy_score", Context.TRAINING)) == 1


SEARCH = """
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV
search = GridSearchCV(
    LogisticRegression(), {"C": [0.01, 1.0, 100.0]}, cv=3, n_jobs=2,
    scoring=make_scorer(f1_score), return_train_score=True,
).fit(train, y_train)
results = search.cv_results_
print([value.hex() for value in results["mean_test_score"]])
print([value.hex() for value in results["split2_train_score"]], search.best_params_["C"].hex())
show(search.best_estimator_)
"""


def test_each_candidate_of_a_search_is_a_child(tmp_path: Path) -> None:
    """The scores of the candidates would be lost, or the search would choose another model."""
    done = record(tmp_path, SEARCH)
    run = done.run
    children = run.children()
    assert [child.params["C"] for child in children] == [0.01, 1.0, 100.0]
    assert [child.tags["candidate"] for child in children] == [0, 1, 2]
    means, splits, best = eval(done.plain.stdout.splitlines()[0]), *_second_line(done)
    validation = [values(child, "mean_test_score", Context.VALIDATION)[0] for child in children]
    training = [values(child, "split2_train_score", Context.TRAINING)[0] for child in children]
    assert [float(value).hex() for value in validation] == means
    assert [float(value).hex() for value in training] == splits
    assert run.params["best_params.C"] == float.fromhex(best)
    assert models(run) == ["GridSearchCV"]
    assert {child.status for child in children} == {"finished"}
    assert [name for name, _ in run.series_names()] == ["best_score"]


def _second_line(done: Done) -> tuple[list[str], str]:
    line = done.plain.stdout.splitlines()[1]
    splits, _, best = line.rpartition(" ")
    return eval(splits), best


def test_a_candidate_that_fails_is_a_failed_child(tmp_path: Path) -> None:
    """A candidate whose fits fail would look like one with a bad score."""
    run = record(
        tmp_path,
        """
import warnings
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import RandomizedSearchCV
warnings.simplefilter("ignore")

class Picky(ClassifierMixin, BaseEstimator):
    def __init__(self, size=1):
        self.size = size

    def fit(self, X, y):
        if self.size > 1:
            raise ValueError("too large")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.ones(len(X), dtype=int)

search = RandomizedSearchCV(Picky(), {"size": [1, 2]}, n_iter=2, cv=2, random_state=0)
search.fit(train, y_train)
show(search.best_params_)
""",
    ).run
    statuses = {child.params["size"]: child.status for child in run.children()}
    assert statuses == {1: "finished", 2: "failed"}


def test_nested_fits_do_not_flood(tmp_path: Path) -> None:
    """A forest would record each of its trees, and a cross-validation each of its fits."""
    run = record(
        tmp_path,
        """
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier
forest = RandomForestClassifier(n_estimators=4, random_state=0, n_jobs=2, oob_score=True)
forest.fit(train, y_train)
bag = BaggingClassifier(DecisionTreeClassifier(), n_estimators=3, random_state=0)
bag.fit(train, y_train)
print(cross_val_score(forest, train, y_train, cv=3, n_jobs=2).tolist())
show(forest, bag)
""",
    ).run
    assert models(run) == ["RandomForestClassifier", "BaggingClassifier"]
    assert run.params["n_estimators"] == 4
    assert run.params["BaggingClassifier.n_estimators"] == 3
    assert len(values(run, "oob_score", Context.VALIDATION)) == 1
    assert steps(run, "test_score", Context.VALIDATION) == [0, 1, 2]
    assert len(datasets(run)) == 1


def test_curves_that_an_estimator_keeps_are_metrics(tmp_path: Path) -> None:
    """The loss of each iteration would have to be logged by hand."""
    done = record(
        tmp_path,
        """
import warnings
from sklearn.neural_network import MLPClassifier
warnings.simplefilter("ignore")
model = MLPClassifier((4,), max_iter=5, random_state=0).fit(train, y_train)
print([value.hex() for value in model.loss_curve_])
show(model.coefs_)
""",
    )
    recorded = [float(value).hex() for value in values(done.run, "loss", Context.TRAINING)]  # type: ignore[arg-type]
    assert recorded == eval(done.plain.stdout.splitlines()[0])


def test_scores_that_a_callback_keeps_are_metrics(tmp_path: Path) -> None:
    """The scores that scikit-learn's own callback computes in each iteration would be lost."""
    pytest.importorskip("sklearn.callback", reason="scikit-learn must have callbacks")
    done = record(
        tmp_path,
        """
import warnings
from sklearn.callback import ScoringMonitor
from sklearn.linear_model import LogisticRegression
warnings.simplefilter("ignore")
monitor = ScoringMonitor(scoring=["accuracy"])
model = LogisticRegression(max_iter=4).set_callbacks(monitor).fit(train, y_train)
rows = [row for row in monitor.get_logs().data if len(row["task_id_path"]) == 2]
print([float(row["accuracy"]).hex() for row in rows])
show(model.coef_)
""",
    )
    recorded = values(done.run, "accuracy", Context.TRAINING)
    expected = eval(done.plain.stdout.splitlines()[0])
    assert [float(value).hex() for value in recorded] == expected  # type: ignore[arg-type]
    assert steps(done.run, "accuracy", Context.TRAINING) == list(range(len(expected)))


def test_estimators_still_work_with_all_of_scikit_learn(tmp_path: Path) -> None:
    """A wrapped class or function could not be cloned, pickled or inspected."""
    record(
        tmp_path,
        """
import inspect, io, joblib, sklearn.metrics
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score, get_scorer, make_scorer

class Own(ClassifierMixin, BaseEstimator):
    def __init__(self, size=1):
        self.size = size

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

print(inspect.signature(Own.fit), inspect.signature(Ridge.fit), inspect.signature(f1_score))
print(clone(Own(3)).get_params(), is_classifier(Own()), Own().__sklearn_tags__().estimator_type)
print(hasattr(Own(), "set_fit_request"), Own.fit.__qualname__, Ridge.fit.__module__)
assert pickle.loads(pickle.dumps(f1_score)) is f1_score
file = io.BytesIO()
joblib.dump([Own(2).fit(train, y_train), make_scorer(f1_score), get_scorer("f1")], file)
file.seek(0)
print(joblib.load(file))
try:
    Ridge().fit(train, y_train[:3])
except ValueError as error:
    print(error, len(inspect.getinnerframes(error.__traceback__)))
""",
    )


def test_autolog_records_a_script_with_verbs(store: Path) -> None:
    """Somebody who does not use ``provml run`` would have to log each fit by hand."""
    import numpy as np
    from sklearn.linear_model import LinearRegression

    import provml.integrations.sklearn

    provml.integrations.sklearn.autolog()
    try:
        options: dict[str, Any] = {"formats": (), "sample_interval_s": 0}
        with provml.start_run("fits", store=store, **options) as run:
            model = LinearRegression().fit(np.arange(6.0).reshape(-1, 1), np.arange(6.0))
        with provml.start_run("loop", store=store, **options) as loop:
            for _ in range(40):
                model.fit(np.zeros((2, 1)), np.zeros(2))
    finally:
        provml.integrations.uninstall()
    model.fit(np.zeros((2, 1)), np.zeros(2))
    recorded = provml.load(run.path)
    assert models(recorded) == ["LinearRegression"]
    assert recorded.params["fit_intercept"] is True
    (event,) = provml.load(loop.path).events("fits left out", source="sklearn")
    assert event.metadata == {"kind": "LinearRegression", "recorded": 30}
    assert len(models(provml.load(loop.path))) == 30
