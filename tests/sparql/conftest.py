"""Fixtures: runs to query."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import provml

TRAINING = provml.Context.TRAINING


def record(store: Path, number: int, **options: object) -> Path:
    """Record a run with one thing of each kind; its values depend on the number."""
    with provml.start_run(
        "digits", store=store, formats=(), run_id=f"run{number}", owner="ann", **options
    ) as run:
        run.log_params({"lr": 0.1 * number, "layers": 3})
        run.log_dataset("shared", np.arange(5), context=TRAINING)
        run.log_dataset("own", np.arange(10 + number))
        for step in range(20):
            run.log_metric("loss", abs(step - 7) * 0.5 + number, TRAINING, step, epoch=step // 10)
            run.log_metric("level", 5, TRAINING, step)
        run.log_metric("accuracy", 0.9, provml.Context.EVALUATION)
        run.log_event("save_started", source="trainer", context=TRAINING, step=3)
        run.log_event("save_finish", source="trainer", context=TRAINING, step=3)
        run.log_event("pause", metadata={"n": 1})
        run.log_model("net", {"w": float(number)}, context=TRAINING, step=19)
    return run.path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two runs."""
    place = tmp_path / "provenance"
    record(place, 1)
    record(place, 2)
    return place
