"""Values that scripts log to Weights & Biases are recorded, and logged as usual."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from capture.scripts import missed, script_done, steps, values

from provml import Context

pytestmark = [
    pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed"),
    pytest.mark.slow,  # each script imports wandb
]

READ_BACK = """
import glob
from wandb.proto import wandb_internal_pb2
def records(path):  # blocks of 32 KiB, of parts: checksum (4), length (2), kind (1), content
    data, at, whole = open(path, "rb").read(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""
for path in sorted(glob.glob("wandb/offline-run-*/*.wandb")):
    for data in records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = {item.key or "/".join(item.nested_key): item.value_json
                     for item in record.history.item}
            for own in ("_timestamp", "_runtime", "img"):
                items.pop(own, None)
            print(kind, record.history.step.num, sorted(items.items()))
        elif kind == "config":
            print(kind, sorted((item.key, item.value_json) for item in
                  record.config.update if item.key != "_wandb"))
        elif kind in ("artifact", "files", "exit"):
            print(kind)
"""


def _written(folder: Path) -> str:
    """The values in W&B's own files."""
    command = [sys.executable, "-c", READ_BACK]
    return subprocess.check_output(command, cwd=folder, text=True)


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_every_call_of_a_run(tmp_path: Path, mode: str) -> None:
    """Values given to W&B would be missing or changed, or not reach W&B."""
    script = f"""
    import numpy as np
    import pathlib, sys, traceback
    import wandb
    settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
    config = {{"lr": 0.1, "nested": {{"a": 1}}, "api_key": "secret-text"}}
    run = wandb.init(project="p", mode={mode!r}, config=config, name="mine", settings=settings)
    wandb.config.update({{"bs": 8}})
    wandb.config.extra = 3
    for epoch in range(3):
        wandb.log({{"epoch": epoch, "train/loss": 1 / (epoch + 1)}})
    wandb.log({{"parted": 1}}, commit=False)
    run.log({{"parted too": np.float32(0.5), "deep": {{"val_x": 1.5}}}})
    wandb.log({{"none": None, "text": "words", "flag": True, "histogram": wandb.Histogram([1, 2]),
               "list": [1, 2]}}, step=20)
    wandb.log({{"after": 1}})
    wandb.run.summary["best"] = 0.75
    wandb.summary.update({{"best2": 0.5}})
    pathlib.Path("m.txt").write_text("content")
    artifact = wandb.Artifact("ds", type="dataset")
    artifact.add_file("m.txt")
    wandb.log_artifact(artifact)
    wandb.save("m.txt", base_path=".")
    wandb.run.log_model("m.txt", "net")
    for call in (lambda: wandb.log([1]), lambda: wandb.log()):
        try:
            print(call())
        except Exception as error:
            print(type(error), error)
    wandb.finish()
    try:
        wandb.log({{"late": 1}})
    except Exception as error:
        print(type(error))
    sys.exit(4)
    """
    home = tmp_path / "home"
    home.mkdir()
    variables = {"HOME": str(home), "WANDB_DIR": ".", "WANDB_ERROR_REPORTING": "false"}
    done = script_done(tmp_path, script, **variables)
    assert done.recorded.stdout == done.plain.stdout
    assert done.recorded.stderr == done.plain.stderr
    assert done.recorded.returncode == done.plain.returncode == 4, done.plain.stderr
    assert _written(tmp_path / "work") == _written(tmp_path / "plain")
    assert _written(tmp_path / "plain").count("history") == (5 if mode == "offline" else 0)
    run = done.run
    loss = run.series("train/loss", Context.TRAINING)
    assert list(loss.value) == [1, 1 / 2, 1 / 3]
    assert (list(loss.step), list(loss.epoch)) == ([0, 1, 2], [0, 1, 2])
    assert (values(run, "parted"), steps(run, "parted")) == ([1], [3])
    assert (values(run, "parted too"), steps(run, "parted too")) == ([0.5], [3])
    assert values(run, "deep.val_x") == [1.5]
    assert (values(run, "text"), steps(run, "text")) == (["words"], [20])
    assert values(run, "flag") == [1]
    assert steps(run, "after") == [20]
    assert values(run, "best", Context("summary")) == [0.75]
    assert values(run, "best2", Context("summary")) == [0.5]
    others = {event.metadata["name"]: event.metadata for event in run.events("tracker value")}
    assert set(others) == {"none", "histogram", "list"}
    assert others["histogram"]["type"].endswith("Histogram")
    assert others["list"]["value"] == "[1, 2]"
    assert run.params == {"lr": 0.1, "nested.a": 1, "api_key": "***", "bs": 8, "extra": 3}
    kept = {(content.kind, content.name) for content in run.artifacts()}
    assert kept == {("artifact", "ds/m.txt"), ("artifact", "m.txt"), ("model", "net")}
    (used,) = run.events("tracker used")
    assert (used.source, used.metadata["label"], used.metadata["project"]) == ("wandb", "mine", "p")
    assert used.metadata["mode"] == mode
    assert len(run.events("tracker finished")) == 1
    assert missed(run) == []


def test_an_end_without_finish(tmp_path: Path) -> None:
    """Values logged at exit would be lost, or a failed script would look finished."""
    script = """
    import wandb
    settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
    with wandb.init(mode="offline", settings=settings) as run:
        run.log({"m": 1})
        run.log({"img": wandb.Html("<p>")})
        raise ValueError("too hot")
    """
    done = script_done(tmp_path, script, WANDB_DIR=".", WANDB_ERROR_REPORTING="false")
    assert done.recorded.stderr == done.plain.stderr
    assert done.recorded.returncode == done.plain.returncode == 1
    assert values(done.run, "m") == [1]
    (content,) = done.run.artifacts()
    assert (content.name, content.metadata["type"], content.step) == ("img", "wandb.Html", 1)
    (end,) = done.run.events("tracker finished")
    assert end.metadata["exit_code"] == 1
