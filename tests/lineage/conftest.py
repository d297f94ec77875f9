"""Stores as people have them: a pipeline of four runs, and what it takes to make one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import provml


@dataclass(slots=True)
class Pipeline:
    """Four runs of which each uses what the one before made, and one apart."""

    store: Path
    work: Path
    runs: dict[str, str]


@pytest.fixture
def step(store: Path) -> Callable[..., str]:
    """Record a run that uses some files and makes others; its name in the tables."""

    def record(
        experiment: str,
        inputs: list[Path],
        outputs: list[Path],
        params: dict[str, object] | None = None,
        accuracy: float | None = None,
    ) -> str:
        with provml.start_run(experiment, store=store, formats=()) as run:
            run.log_params(params or {})
            for path in inputs:
                run.log_dataset(path.name, path, context="training")
            if accuracy is not None:
                for number in range(3):
                    run.log_metric("accuracy", accuracy - 0.1 * (2 - number), "validation", number)
            for path in outputs:
                kind = run.log_model if path.suffix == ".bin" else None
                if kind is not None:
                    run.log_model(path.stem, path, context="training", step=2)
                else:
                    run.log_artifact(path, context="training")
        return f"{run.path.parent.name}/{run.path.name}"

    return record


@pytest.fixture
def pipeline(store: Path, tmp_path: Path, step: Callable[..., str]) -> Pipeline:
    """Preprocess, train, fine-tune, evaluate; and another run."""
    work = tmp_path / "work"
    work.mkdir()

    def file(name: str, content: str) -> Path:
        (work / name).write_text(content)
        return work / name

    raw, clean = file("raw.csv", "raw"), file("clean.csv", "clean")
    base, tuned = file("base.bin", "base"), file("tuned.bin", "tuned")
    report, other = file("report.json", "report"), file("other.csv", "other")
    runs = {
        "preprocess": step("preprocess", [raw], [clean], {"rows": 100}),
        "train": step("train", [clean], [base], {"lr": 0.01, "opt": {"name": "adam"}}, 0.9),
        "tune": step("tune", [base], [tuned], {"lr": 0.001, "opt": {"name": "sgd"}}, 0.97),
        "evaluate": step("evaluate", [tuned], [report]),
        "apart": step("apart", [other], [file("apart.bin", "apart")], {"lr": 0.5}, 0.2),
    }
    return Pipeline(store, work, runs)
