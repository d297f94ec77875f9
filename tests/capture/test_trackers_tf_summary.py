"""Values that scripts write with tf.summary and tensorboard.summary.Writer are recorded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, steps, values

from provml import Context

pytest.importorskip("tensorboard", reason="tensorboard must be installed")


def test_a_writer_that_needs_no_framework(tmp_path: Path) -> None:
    """Values of ``tensorboard.summary.Writer`` would be missing, or lose their digits."""
    script = """
    from tensorboard.summary import Writer
    with_name, other = Writer("logs/val"), Writer("logs/exp")
    with_name.add_scalar("loss", 0.1, 3, wall_time=1000.5)
    with_name.add_scalar("loss", 0.2, step=4)
    other.add_scalar("train/loss", 1, 0)
    with_name.close(), other.close()
    """
    done = script_done(tmp_path, script)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.returncode == 0, done.plain.stderr
    losses = done.run.series("loss", Context.VALIDATION)
    assert (list(losses.value), list(losses.step)) == ([0.1, 0.2], [3, 4])
    assert losses.time_ns[0] == 1000_500_000_000
    assert values(done.run, "train/loss", Context.TRAINING) == [1]
    assert missed(done.run) == []


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="tensorflow must be installed")
def test_every_call_of_tf_summary(tmp_path: Path) -> None:
    """Values of ``tf.summary`` would be missing, or in the wrong context, or not be written."""
    script = """
    import os
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hp
    train = tf.summary.create_file_writer("logs/train")
    validation = tf.summary.create_file_writer("logs/val")
    with train.as_default():
        for step in range(3):
            print(bool(tf.summary.scalar("loss", 1 / (step + 1), step=step)))
        tf.summary.text("note", "hello", step=1)
        tf.summary.histogram("weights", [1.0, 2.0], step=2)
        hp.hparams({"lr": 0.1, hp.HParam("batch_size"): 8})
    with validation.as_default(step=7):
        tf.summary.scalar("loss", tf.constant(0.25))
    print(bool(tf.summary.scalar("nowhere", 1, step=1)))
    """
    done = script_done(tmp_path, script)
    assert done.plain.returncode == 0, done.plain.stderr
    assert seen(done.recorded)[:2] == seen(done.plain)[:2]
    run = done.run
    assert values(run, "loss", Context.TRAINING) == [1, 1 / 2, 1 / 3]
    assert (values(run, "loss", Context.VALIDATION), steps(run, "loss", Context.VALIDATION)) == (
        [0.25],
        [7],
    )
    assert {name for name, _ in run.series_names()} == {"loss"}
    assert run.params == {"lr": 0.1, "batch_size": 8}
    (note,) = run.events("note")
    assert (note.metadata, note.step) == ({"text": "hello"}, 1)
    (weights,) = run.events("weights")
    assert weights.metadata == {"kind": "histogram"}
    assert missed(run) == []
