"""What a run says as PROV, statement by statement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import provml
from provml.model.statements import Statement


def statements(run: provml.Run, kind: str) -> list[Statement]:
    """Return the statements of a kind."""
    return [s for s in provml.load(run.path).statements() if s.kind == kind]


def pairs(run: provml.Run, kind: str) -> list[tuple[str, ...]]:
    """Return the names that relations of a kind connect."""
    return [
        tuple(str(value) for value in s.arguments.values() if isinstance(value, str))
        for s in statements(run, kind)
    ]


def test_a_checkpoint_is_made_by_the_step_of_its_metrics(run: provml.Run) -> None:
    """A model could not be joined with the loss of its step."""
    for epoch in range(2):
        for step in range(3):
            run.log_metric("loss", 1.0, "training", epoch * 3 + step, epoch=epoch)
    run.log_model("net", {"w": 1}, context="training", step=4)
    run.log_model("told", {"w": 2}, context="training", step=4, epoch=1)
    for epoch in range(2):
        for step in range(3):
            run.log_metric("loss", 1.0, "validation", step, epoch=epoch)
        run.log_model("best", {"w": epoch}, context="validation", step=2)
    run.log_model("alone", {"w": 3}, context="validation", step=7)
    made = dict(pairs(run, "wasGeneratedBy"))
    assert made["run:model/net"] == made["run:model/told"] == "run:step/training/1.4"
    assert made["run:metric/training/loss/4"] == "run:step/training/1.4"
    assert made["run:model/best"] == "run:step/validation/0.2"
    assert made["run:model/best/2"] == "run:step/validation/1.2"
    assert made["run:model/alone"] == "run:step/validation/7"


@pytest.mark.parametrize("detail", ["sample", "series"])
def test_the_step_of_a_model_spans_its_samples(run: provml.Run, detail: str) -> None:
    """A step's interval would differ between the details, or not cover its samples."""
    for time in (10, 20, 30):
        run.log_metric("loss", 1.0, "training", 7, epoch=0, timestamp=time)
    run.log_event("saved", context="training", step=7, timestamp=25)
    (step,) = [
        s
        for s in provml.load(run.path).statements(detail)
        if s.kind == "activity" and str(s.id) == "run:step/training/0.7"
    ]
    times = [step.arguments[f"prov:{end}Time"].time_ns for end in ("start", "end")]
    assert times == [10 * 10**9, 30 * 10**9]


def test_setting_the_same_again_is_no_revision(store: Path, monkeypatch: Any) -> None:
    """Every rank and every restart would seem to change the parameters."""
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        run = provml.start_run("e", store=store, run_id="job", formats=())
        run.log_param("lr", 0.1)
        run.set_tag("kind", "test")
        run.end_run()
    used = [pair for pair in pairs(run, "used") if pair[1].startswith("run:param")]
    assert used == [("run:run", "run:param/lr")] * 2
    assert pairs(run, "wasDerivedFrom") == []
    assert provml.load(run.path).events() == []  # a rank that joins resumes nothing


def test_the_same_content_again_is_an_alternate(run: provml.Run, tmp_path: Path) -> None:
    """Unchanged content would be called a revision, or its second version would be lost."""
    path = tmp_path / "plot.png"
    for content in (b"one", b"one", b"two"):
        path.write_bytes(content)
        run.log_artifact(path)
    assert pairs(run, "alternateOf") == [("run:artifact/plot.png/2", "run:artifact/plot.png")]
    assert pairs(run, "wasDerivedFrom") == [("run:artifact/plot.png/3", "run:artifact/plot.png/2")]
    assert len([p for p in pairs(run, "wasGeneratedBy") if "artifact" in p[0]]) == 3


def test_a_span_belongs_to_where_it_began(run: provml.Run) -> None:
    """A span would be informed by a step that began after the span."""
    run.log_event("epoch_started", context="training", step=0)
    run.log_event("epoch_finish", context="training", step=13)
    informed = [p for p in pairs(run, "wasInformedBy") if p[0].startswith("run:event/")]
    assert [informant for _, informant in informed] == ["run:step/training/0"]


def test_secrets_are_masked_wherever_they_are_logged(run: provml.Run, tmp_path: Path) -> None:
    """A token in a tag, in metadata or in a URL would be shared with the document."""
    leak = "hunter2secret"
    run.set_tag("api_key", leak)
    run.log_params({"db.url": f"postgres://ana:{leak}@host/db", "passwords": [leak, "x"]})
    run.log_params({"nested": [{"password": leak}], "lr": 0.1, "max_tokens": 5})
    run.log_event("call", metadata={"headers": {"Authorization": leak}, "n": 1})
    (tmp_path / "a").write_text("a")
    run.log_artifact(tmp_path / "a", metadata={"token": leak})
    run.log_param("api_keys", {"a": leak, "b": [leak, {"c": leak}]})
    run.log_params({"tokens": leak, "auth": leak, "cmd": f"run --password={leak}"})
    run.log_params({"url": f"https://h/x?a=1&token={leak}", "dsn": f"Server=h;Password={leak};"})
    run.log_dataset("d", f"https://ana:{leak}@host/data")
    run.end_run("failed", exception=RuntimeError(f"at https://u:{leak}@h with Bearer {leak}"))
    text = "".join(p.read_text() for p in run.path.rglob("*") if p.suffix in (".json", ".jsonl"))
    assert leak not in text
    params = provml.load(run.path).params
    assert params["db.url"] == "postgres://***@host/db"
    assert params["passwords"] == ["***", "***"]
    assert params["nested"] == [{"password": "***"}]
    assert (params["lr"], params["max_tokens"]) == (0.1, 5)
    assert json.loads(json.dumps(provml.load(run.path).events()[0].metadata))["n"] == 1


def test_a_folder_that_holds_the_store_leaves_it_out(tmp_path: Path) -> None:
    """Logging a project's folder would copy the store into itself without end."""
    (tmp_path / "code.py").write_text("pass")
    with provml.start_run("e", store=tmp_path / "provenance", formats=()) as run:
        run.log_artifact(tmp_path, "project")
        run.log_artifact(tmp_path, "again", copy=True)
        with pytest.raises(provml.InvalidArgumentError, match="empty"):
            run.log_artifact("")
    first, second = provml.load(run.path).artifacts()
    assert first.sha256 == second.sha256
    assert (first.facts["files"], first.facts["left_out"]) == (1, "provenance")
    copies = sorted(p.name for p in (run.path / second.facts["copy"]).iterdir())
    assert copies == ["code.py"]


def test_changes_of_secret_files_are_not_in_the_diff(run: provml.Run, tmp_path: Path) -> None:
    """The recorded diff would hold what a .env file was changed to."""
    import subprocess

    folder = tmp_path / "code"
    folder.mkdir()
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (folder / ".env").write_text("A=1")
    (folder / "a.py").write_text("1")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*command, *arguments], cwd=folder, check=True)
    (folder / ".env").write_text("A=hunter2")
    (folder / "a.py").write_text("2")
    run.log_source_code(folder / "a.py")
    (diff,) = run.path.glob("artifacts/*/source.diff")
    assert "a.py" in diff.read_text()
    assert "hunter2" not in diff.read_text()


def test_a_code_without_a_file_says_so(run: provml.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook's run would have an empty source without a reason."""
    import sys

    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    run.log_source_code()
    (source,) = [
        dict(s.attributes)
        for s in statements(run, "entity")
        if ("prov:type", "provml:SourceCode") in s.attributes
    ]
    assert "is not in a file" in source["provml:unread"]
