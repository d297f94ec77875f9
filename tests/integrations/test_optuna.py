"""The trials of Optuna are child runs, and a study gives the same result as without provml."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, values

import provml
from provml import Context

pytest.importorskip("optuna", reason="optuna must be installed")
pytestmark = pytest.mark.slow  # each script imports Optuna

STUDY = """
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)

def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    if trial.number == 4:
        raise ValueError("bad luck")
    for step in range(3):
        trial.report(x * x + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return x * x

sampler = optuna.samplers.TPESampler(seed=0)
pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
study = optuna.create_study(study_name="search", sampler=sampler, pruner=pruner)
study.optimize(objective, n_trials=6, n_jobs=JOBS, catch=(ValueError,))
rows = sorted((t.number, t.state.name, t.value, t.params["x"]) for t in study.trials)
"""


def test_each_trial_is_a_child(tmp_path: Path) -> None:
    """Parameters, intermediate values, pruned or failed trials would be missing."""
    done = script_done(tmp_path, STUDY.replace("JOBS", "1") + "print(rows, study.best_params)")
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded) == seen(done.plain)
    run = done.run
    rows = eval(done.plain.stdout.rpartition(" {")[0])
    children = run.children()
    assert [child.tags["trial"] for child in children] == [row[0] for row in rows]
    assert [child.params["x"] for child in children] == [row[3] for row in rows]
    expected = {"COMPLETE": "finished", "PRUNED": "interrupted", "FAIL": "failed"}
    assert [child.status for child in children] == [expected[row[1]] for row in rows]
    assert {"finished", "interrupted", "failed"} == {child.status for child in children}
    completed = [row[2] for row in rows if row[1] == "COMPLETE"]
    assert values(run, "value", Context.VALIDATION) == completed
    first = children[0]
    x = first.params["x"]
    reports = values(first, "intermediate_value", Context.VALIDATION)
    assert reports == [x * x + step for step in range(3)]
    (failed,) = [child for child in children if child.status == "failed"]
    assert failed.exception is not None and failed.exception.message == "bad luck"
    assert all("pruned at step" in str(c.reason) for c in children if c.status == "interrupted")
    assert run.params["optuna.sampler"] == "TPESampler"
    assert run.params["best_params.x"] in [row[3] for row in rows]
    assert missed(run) == []


def test_trials_in_threads_stay_apart(tmp_path: Path) -> None:
    """With ``n_jobs``, what one trial records would belong to another one."""
    import optuna

    import provml.integrations

    def objective(trial: optuna.Trial) -> float:
        provml.log_metric("inner", trial.number)
        return float(trial.suggest_float("x", 0, 1))

    def note(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        provml.log_metric("after", trial.number)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    provml.integrations.autolog("optuna")
    store = tmp_path / "store"
    try:
        with provml.start_run("e", store=store, formats=(), sample_interval_s=0) as run:
            optuna.create_study().optimize(objective, n_trials=6, n_jobs=2, callbacks=[note])
    finally:
        provml.integrations.uninstall()
    recorded = provml.load(run.path)
    assert sorted(values(recorded, "after")) == list(range(6))  # type: ignore[type-var]
    children = {child.tags["trial"]: child for child in recorded.children()}
    assert sorted(children) == list(range(6))
    for number, child in children.items():
        assert values(child, "inner") == [number]
        assert "x" in child.params


def test_ask_and_tell_are_recorded(store: Path) -> None:
    """The trials of a script with a loop of its own would be missing."""
    import optuna

    from provml.integrations.optuna import ProvMLCallback

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    with provml.start_run("e", store=store, formats=(), sample_interval_s=0) as run:
        study.optimize(lambda t: t.suggest_int("n", 1, 3), n_trials=2, callbacks=[ProvMLCallback()])
        provml.integrations.autolog("optuna")
        try:
            trial = study.ask()
            trial.suggest_int("n", 1, 3)
            study.tell(trial, 5.0)
        finally:
            provml.integrations.uninstall()
    children = provml.load(run.path).children()
    assert [child.tags["trial"] for child in children] == [0, 1, 2]
    assert values(children[2], "value", Context.VALIDATION) == [5.0]
    assert all(child.params["n"] in (1, 2, 3) for child in children)
