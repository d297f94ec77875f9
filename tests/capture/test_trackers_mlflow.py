"""Values that scripts log to MLflow are recorded, and logged as usual."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, steps, values

from provml import Context

pytestmark = [
    pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed"),
    pytest.mark.slow,  # each script imports mlflow
]

STORE = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
HEAD = """
    import os, sys, pathlib
    import mlflow
    mlflow.set_tracking_uri("file:" + os.path.abspath("mlruns"))
    client = mlflow.MlflowClient()
    def read_back():
        for run in sorted(client.search_runs(["0"]), key=lambda run: run.info.start_time):
            print(run.info.status, sorted(run.data.params.items()))
            for name in sorted(run.data.metrics):
                history = client.get_metric_history(run.info.run_id, name)
                print(name, [(metric.step, metric.value) for metric in history])
            tags = {key: text for key, text in run.data.tags.items() if "mlflow." not in key}
            print(sorted(tags.items()))
            for folder in ("", "data", "notes"):
                print([file.path for file in client.list_artifacts(run.info.run_id, folder)])
            print(sorted(one.dataset.name for one in run.inputs.dataset_inputs))
"""


def test_functions_and_client(tmp_path: Path) -> None:
    """Values given to MLflow would be missing, changed or doubled, or not reach MLflow."""
    script = f"""
    {HEAD}
    with mlflow.start_run(run_name="first", tags={{"team": "x"}}) as run:
        for step in range(3):
            mlflow.log_metric("train_loss", 1 / (step + 1), step=step)
        mlflow.log_metric("final", 3)
        mlflow.log_metrics({{"val/acc": 0.5, "epoch": 2}}, step=1, timestamp=1700000000123)
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({{"bs": 32, "opt": "adam"}})
        mlflow.set_tag("stage", "dev")
        mlflow.set_tags({{"a": "1"}})
        mlflow.log_text("hello", "notes/hello.txt")
        pathlib.Path("f.csv").write_text("a,b")
        mlflow.log_artifact("f.csv", "data")
    with mlflow.start_run(run_name="second"):
        mlflow.log_metric("train_loss", 9.0, step=0)
        mlflow.log_param("lr", 0.2)
    made = client.create_run("0", run_name="by client")
    client.log_metric(made.info.run_id, "m", 1.5, step=4)
    metric = mlflow.entities.Metric("batch", 2.5, 1700000000999, 7)
    client.log_batch(made.info.run_id, metrics=[metric])
    client.set_terminated(made.info.run_id, "FAILED")
    try:
        mlflow.log_metric("bad", "no number")
    except Exception as error:
        print(type(error))
    mlflow.end_run("KILLED")
    read_back()
    raise SystemExit(3)
    """
    done = script_done(tmp_path, script, **STORE)
    assert done.recorded.stdout == done.plain.stdout
    assert done.recorded.returncode == done.plain.returncode == 3, done.plain.stderr
    assert done.recorded.stderr.count("\n") == done.plain.stderr.count("\n")
    run = done.run
    assert values(run, "train_loss", Context.TRAINING) == [1, 1 / 2, 1 / 3]
    assert steps(run, "train_loss", Context.TRAINING) == [0, 1, 2]
    second = Context("second", parent=Context.TRAINING)
    assert values(run, "train_loss", second) == [9.0]
    assert values(run, "final") == [3]
    assert steps(run, "final") == [-(2**63)]
    acc = run.series("val/acc", Context.VALIDATION)
    assert (list(acc.value), list(acc.step), list(acc.epoch)) == ([0.5], [1], [2])
    assert list(acc.time_ns) == [1700000000123 * 10**6]
    assert (values(run, "m"), steps(run, "m")) == ([1.5], [4])
    batch = run.series("batch")
    assert (list(batch.value), list(batch.step)) == ([2.5], [7])
    assert list(batch.time_ns) == [1700000000999 * 10**6]
    assert run.params == {"lr": 0.1, "bs": 32, "opt": "adam", "second/lr": 0.2}
    assert run.tags == {"team": "x", "stage": "dev", "a": "1"}
    contents = {content.name: content for content in run.artifacts()}
    assert set(contents) == {"notes/hello.txt", "data/f.csv"}
    assert (run.path / contents["notes/hello.txt"].facts["copy"]).read_text() == "hello"
    used = [event.metadata for event in run.events("tracker used", source="mlflow")]
    assert [one["label"] for one in used][:3] == ["first", "second", "by client"]
    assert all(one["tracking_uri"].startswith("file:") and one["version"] for one in used)
    ends = [event.metadata["status"] for event in run.events("tracker finished")]
    assert ends == ["FINISHED", "FINISHED", "FAILED", "KILLED"]
    assert missed(run) == []


def test_autolog_models_and_datasets(tmp_path: Path) -> None:
    """Autologged values would be missing, or models and datasets would be mere files."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed")
    script = f"""
    {HEAD}
    import numpy as np, pandas as pd
    from sklearn.linear_model import LogisticRegression
    pd.DataFrame({{"a": [1.0, 2.0], "b": [1.5, 2.5]}}).to_csv("f.csv")
    mlflow.sklearn.autolog(silent=True)
    inputs = np.arange(12.0).reshape(6, 2)
    with mlflow.start_run():
        frame = mlflow.data.from_pandas(pd.read_csv("f.csv"), source="f.csv", name="table")
        mlflow.log_input(frame, context="training")
        model = LogisticRegression(C=0.5).fit(inputs, np.array([0, 0, 0, 1, 1, 1]))
        mlflow.sklearn.log_model(model, name="mine", serialization_format="cloudpickle")
    print(model.coef_.shape)
    read_back()
    """
    done = script_done(tmp_path, script, **STORE)
    assert done.recorded.stdout == done.plain.stdout
    assert done.recorded.returncode == done.plain.returncode == 0, done.plain.stderr
    run = done.run
    assert run.params["C"] == 0.5
    assert values(run, "training_accuracy_score", Context.TRAINING) == [1.0]
    contents = {(content.kind, content.name): content for content in run.artifacts()}
    assert contents["model", "mine"].sha256 is not None
    assert ("model", "model") in contents
    data = [event.metadata["name"] for event in run.events("dataset logged", source="mlflow")]
    assert data == ["table", "dataset"]
    statements = run.to_prov().get_provn()
    assert str(tmp_path / "work" / "f.csv") in statements
    assert missed(run) == []


def test_half_installed(tmp_path: Path) -> None:
    """An MLflow that can't be imported would fail in another way."""
    script = """
    import sys, traceback
    sys.modules["mlflow.tracking.client"] = None
    for _ in range(2):
        try:
            import mlflow
        except ImportError:
            traceback.print_exc()
    """
    done = script_done(tmp_path, script)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.stderr.count("Traceback") == 2
