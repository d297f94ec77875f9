"""Values that scripts write for TensorBoard are recorded, and written as usual."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from capture.scripts import logged_params, missed, script_done, seen, steps, values

from provml import Context, RecordedContent, RecordedRun

pytestmark = pytest.mark.slow  # each script imports TensorFlow's or torch's writer

PACKAGES = [
    pytest.param(
        package,
        marks=pytest.mark.skipif(
            any(find_spec(name) is None for name in needs),
            reason=f"{' and '.join(needs)} must be installed",
        ),
    )
    for package, needs in (
        ("torch.utils.tensorboard", ("torch", "tensorboard")),
        ("tensorboardX", ("tensorboardX", "tensorboard")),
    )
]
READ_BACK = """
import glob, re
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
def read_back():
    for path in sorted(glob.glob("**/*tfevents*", recursive=True)):
        for event in LegacyEventFileLoader(path).Load():
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                kept = value.simple_value if kind == "simple_value" else len(str(value))
                folder = re.sub(r"[0-9.]{12,}", "TIME", path.rpartition("/")[0])
                print(folder, event.step, value.tag, kind, kept)
                if event.wall_time < 2000:
                    print(event.wall_time)
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_call_of_a_writer(tmp_path: Path, package: str) -> None:
    """Values given to TensorBoard would be missing or changed, or not reach TensorBoard."""
    script = f"""
    import numpy as np
    from {package} import SummaryWriter
    {_indented(READ_BACK)}
    with SummaryWriter("runs/exp1") as writer:
        for step in range(5):
            writer.add_scalar("train/loss", 1 / (step + 1), step)
            writer.add_scalar("Loss/test", np.float32(0.1), np.int64(step))
        writer.add_scalar("lr", 3)
        writer.add_scalar(tag="acc", scalar_value=np.array([0.7]), global_step=9, walltime=1000.25)
        writer.add_scalars("pair", {{"a": 1.5, "val": 2.5}}, 3, walltime=1001)
        writer.add_scalar("nan", float("nan"), 1)
        writer.add_text("note", "hello", 2)
        writer.add_histogram("weights", np.arange(100), 1)
        writer.add_image("picture", np.zeros((3, 4, 4)), 7, 1002.5)
        writer.add_images("pictures", np.zeros((2, 3, 4, 4)), global_step=8)
        writer.add_pr_curve("curve", np.array([0, 1]), np.array([0.2, 0.7]), 6)
        boxes = np.array([[0, 0, 1, 1]])
        writer.add_image_with_boxes("boxes", np.zeros((3, 4, 4)), boxes, 5)
        writer.add_histogram_raw("raw", 0, 9, 2, 9, 81, [1, 10], [1, 1], np.int64(4))
        writer.add_hparams({{"bs": 8, "name": "x", "flag": True}}, {{"hparam/acc": 0.5}})
    read_back()
    """
    done = script_done(tmp_path, script)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.returncode == 0, done.plain.stderr
    assert done.plain.stdout.count("train/loss simple_value") == 5
    run = done.run
    assert values(run, "train/loss", Context.TRAINING) == [1 / (step + 1) for step in range(5)]
    assert steps(run, "train/loss", Context.TRAINING) == list(range(5))
    tests = values(run, "Loss/test", Context.EVALUATION)
    assert tests == [pytest.approx(0.1)] * 5  # 32 bits, exactly
    assert steps(run, "Loss/test", Context.EVALUATION) == list(range(5))
    assert values(run, "lr") == [3]
    acc = run.series("acc")
    assert (list(acc.value), list(acc.step), list(acc.time_ns)) == ([0.7], [9], [1000_250_000_000])
    assert values(run, "pair/a") == [1.5]
    assert values(run, "pair/val", Context.VALIDATION) == [2.5]
    assert values(run, "nan") != values(run, "nan")
    assert logged_params(run) == {"bs": 8, "name": "x", "flag": True}
    assert values(run, "hparam/acc") == [0.5]
    (note,) = run.events("note")
    assert (note.metadata, note.step, note.source) == ({"text": "hello"}, 2, "tensorboard")
    (curve,) = run.events("curve")
    assert (curve.metadata, curve.step) == ({"kind": "pr_curve"}, 6)
    contents = {content.name: content for content in run.artifacts()}
    assert set(contents) == {"picture", "pictures", "boxes", "weights", "raw"}
    weights, raw = contents["weights"], contents["raw"]
    assert (weights.metadata["num"], weights.metadata["max"], weights.step) == (100, 99, 1)
    assert sum(_json_of(run, weights)["bucket"]) == 100
    assert (raw.metadata["sum"], raw.step) == (9, 4)
    assert _json_of(run, raw)["bucket"] == [1, 1]
    assert contents["boxes"].step == 5
    assert (contents["picture"].step, contents["picture"].time_ns) == (7, 1002_500_000_000)
    assert "path" not in contents["picture"].facts
    copy = run.path / contents["picture"].facts["copy"]
    assert copy.read_bytes().startswith(b"\x89PNG")
    (used,) = run.events("tracker used")
    assert used.metadata["log_dir"] == "runs/exp1"
    assert used.metadata["version"]
    assert missed(run) == []


def _json_of(run: RecordedRun, content: RecordedContent) -> Any:
    return json.loads((run.path / content.facts["copy"]).read_bytes())


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


@pytest.mark.parametrize("package", PACKAGES)
def test_writers_of_one_script_are_told_apart(tmp_path: Path, package: str) -> None:
    """The usual pair of writers, train and val, would be mixed in one series."""
    script = f"""
    from {package} import SummaryWriter
    for number, folder in enumerate(("runs/a/train", "runs/a/val", "runs/b/train", "runs/c")):
        writer = SummaryWriter(folder)
        writer.add_scalar("loss", number, 0)
        writer.add_scalar("val_acc", number, 0)
        writer.close()
    again = SummaryWriter("runs/a/train")
    again.add_scalar("loss", 9, 1)
    print("end")
    """
    done = script_done(tmp_path, script)
    assert seen(done.recorded) == seen(done.plain)
    recorded = {
        (name, str(context)): values(done.run, name, context)
        for name, context in done.run.series_names()
    }
    assert recorded == {
        ("loss", "training"): [0, 9],
        ("loss", "validation"): [1],
        ("loss", f"training/tensorboard {tmp_path}/work/runs/b/train"): [2],
        ("loss", "None"): [3],
        ("val_acc", "validation"): [0],
        ("val_acc", "validation/val"): [1],
        ("val_acc", f"validation/tensorboard {tmp_path}/work/runs/b/train"): [2],
        ("val_acc", "validation/c"): [3],
    }
    assert len(done.run.events("tracker used")) == 4


@pytest.mark.parametrize("package", PACKAGES)
def test_trials_are_told_apart(tmp_path: Path, package: str) -> None:
    """The parameters of one trial would count as revisions of another's."""
    script = f"""
    from {package} import SummaryWriter
    writer = SummaryWriter("runs")
    for number in range(3):
        writer.add_hparams({{"lr": number / 10, "bs": 8}}, {{"hparam/acc": number}})
    """
    done = script_done(tmp_path, script)
    assert seen(done.recorded) == seen(done.plain)
    assert logged_params(done.run) == {
        "lr": 0.0,
        "bs": 8,
        "trial 2/lr": 0.1,
        "trial 2/bs": 8,
        "trial 3/lr": 0.2,
        "trial 3/bs": 8,
    }
    assert values(done.run, "hparam/acc", Context("trial 3")) == [2]


@pytest.mark.parametrize("package", PACKAGES)
def test_mistakes_of_the_script_stay_its_own(tmp_path: Path, package: str) -> None:
    """An exception of the writer would not reach the script, or look different."""
    script = f"""
    import sys, traceback
    from {package} import SummaryWriter
    writer = SummaryWriter("runs")
    for call in (lambda: writer.add_scalar("a", "no number"), lambda: writer.add_scalar(),
                 lambda: writer.add_scalar("a", [1.0, 2.0], 0),
                 lambda: writer.add_hparams([], {{}})):
        try:
            call()
        except BaseException:
            traceback.print_exc()
    class Mine(SummaryWriter):
        def add_scalar(self, tag, *args, **kwargs):
            return super().add_scalar("mine/" + tag, *args, **kwargs)
    with Mine("runs/mine") as mine:
        mine.add_scalar("m", 1.0, 1)
    writer.add_scalar("b", object(), 0)
    """
    done = script_done(tmp_path, script)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.returncode == 1
    told = done.plain.stderr.partition("Exception ignored in atexit")[0]  # tensorboardX's, on 3.12
    assert told.count("Traceback") == 5
    assert [name for name, _ in done.run.series_names()] == ["mine/m"]
    assert missed(done.run) == []


def test_tensors_as_they_are(tmp_path: Path) -> None:
    """A tensor's value would be rounded, or its autograd graph would change."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    script = """
    import torch
    from torch.utils.tensorboard import SummaryWriter
    torch.manual_seed(0)
    writer = SummaryWriter("runs")
    weight = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    loss = weight * 3
    for step in range(3):
        writer.add_scalar("loss", loss, torch.tensor(step))
    writer.add_scalar("half", torch.tensor(0.5, dtype=torch.bfloat16))
    writer.add_scalar("flag", torch.tensor(True))
    loss.backward()
    print(weight.grad, torch.rand(1))
    """
    done = script_done(tmp_path, script)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.returncode == 0, done.plain.stderr
    assert values(done.run, "loss") == [0.1 * 3] * 3
    assert steps(done.run, "loss") == [0, 1, 2]
    assert values(done.run, "half") == [0.5]
    assert values(done.run, "flag") == [1]


def test_half_installed(tmp_path: Path) -> None:
    """Torch without tensorboard would fail in another way, or only once."""
    pytest.importorskip("torch", reason="torch is not installed")
    script = """
    import sys, traceback
    sys.modules["tensorboard"] = None
    for _ in range(2):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            traceback.print_exc()
    names = ("tensorboard", "torch.utils.tensorboard")
    print([name for name in sys.modules if name.startswith(names)])
    """
    done = script_done(tmp_path, script)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.stderr.count("Traceback") == 2


@pytest.mark.parametrize("package", PACKAGES)
def test_threads_and_sudden_ends(tmp_path: Path, package: str) -> None:
    """Samples of threads, or before a sudden end, would be lost."""
    script = f"""
    import os, threading
    from {package} import SummaryWriter
    writer = SummaryWriter("runs")
    def work(number):
        for step in range(100):
            writer.add_scalar(f"m{{number}}", step, step)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    os._exit(5)
    """
    done = script_done(tmp_path, script)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.returncode == 5
    for number in range(16):
        assert steps(done.run, f"m{number}") == list(range(100))
