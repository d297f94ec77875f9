"""The demo, as a library and as the command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from prov.model import ProvDocument
from waiting import LIMIT_S

import provml
from provml.demo import Epoch, run_demo


def test_it_records_what_it_trains(tmp_path: Path) -> None:
    """The demo shows other numbers than it recorded."""
    epochs: list[Epoch] = []
    done = run_demo(2, tmp_path, epochs.append)
    run = provml.load(done.path)
    assert run.status == "finished"
    assert [epoch.number for epoch in epochs] == [1, 2]
    assert run.params["model.random_state"] == run.params["seed"]
    training = run.series("loss", provml.Context.TRAINING)
    assert training.value[-1] == epochs[-1].loss
    assert run.series("accuracy", "evaluation").value[0] == done.results["accuracy"]
    _, _, evaluated = [c for c in run.artifacts() if c.kind == "dataset"]
    assert evaluated.time_ns > training.time_ns[-1], "the evaluation would span the training"
    assert {content.kind for content in run.artifacts()} == {"dataset", "model"}
    assert 0 < done.recording_s < done.loop_s
    document = ProvDocument.deserialize(str(done.document))
    assert len(list(document.get_records())) > done.entities + done.activities


def test_it_learns_the_same_each_time(tmp_path: Path) -> None:
    """Two people who try the demo see different results."""
    results = [run_demo(1, tmp_path).results for _ in range(2)]
    assert results[0] == results[1]
    assert results[0]["accuracy"] > 0.5


def test_the_copy_of_the_model_is_the_model_that_was_trained(tmp_path: Path) -> None:
    """The model kept is not the one that the digest is of."""
    done = run_demo(1, tmp_path)
    (model,) = [c for c in provml.load(done.path).artifacts() if c.kind == "model"]
    copy = done.path / model.facts["copy"]
    assert copy.stat().st_size == model.facts["size"]


def demo(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "provml", "demo", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | variables,
        timeout=LIMIT_S,
        check=False,
    )


def test_the_commands_it_suggests_work(tmp_path: Path) -> None:
    """The first commands that a newcomer copies fail."""
    done = demo("--epochs", "4", "--store", str(tmp_path / "my runs"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "epoch  4 of 4" in done.stdout
    assert "% of the training loop" in done.stdout
    assert re.search(r"^results +evaluation loss [.\d]+, accuracy [.\d]+$", done.stdout, re.M)
    commands = done.stdout.partition("next:\n")[2].partition("\n\n")[0].splitlines()
    assert len(commands) == 6
    for command in commands:
        ran = subprocess.run(
            command,
            shell=True,
            executable="/bin/bash",
            capture_output=True,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            timeout=LIMIT_S,
            check=False,
        )
        assert ran.returncode == 0, (command, ran.stderr)
        assert ran.stdout or ran.stderr


def test_it_ends_with_a_page_to_open(tmp_path: Path) -> None:
    """A newcomer has nothing to look at."""
    pytest.importorskip("mpld3", reason="mpld3 is not installed")
    done = demo("--epochs", "1", "--store", str(tmp_path / "my runs"))
    opener, path = shlex.split(done.stdout.splitlines()[-1])
    assert opener in ("xdg-open", "open")
    page = Path(path).read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "digits-demo" in page


def test_without_what_draws_the_page_it_names_the_command_that_installs_it(tmp_path: Path) -> None:
    """The demo of a small installation ends in a traceback."""
    broken = tmp_path / "mpld3-0.0.dist-info"  # an installation without its files
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: mpld3\nVersion: 0.0\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = demo("--epochs", "1", "--store", str(tmp_path / "runs"), PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert "pip install 'provml[html]'" in done.stdout.splitlines()[-1]


def test_without_scikit_learn_it_names_the_command_that_installs_it(tmp_path: Path) -> None:
    """A newcomer meets a traceback about sklearn."""
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text("raise ImportError('absent')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = demo("--store", str(tmp_path / "runs"), PYTHONPATH=path)
    assert done.returncode == 2
    assert done.stderr == (
        "provml: error: the demo needs scikit-learn: pip install 'provml[demo]'\n"
    )
    assert not (tmp_path / "runs").exists()


def test_a_disabled_recording_is_misuse(tmp_path: Path) -> None:
    """The demo claims to have recorded what it did not."""
    done = demo("--store", str(tmp_path), PROVML_DISABLED="1")
    assert done.returncode == 2
    assert "PROVML_DISABLED" in done.stderr


@pytest.mark.parametrize("epochs", ["0", "-1", "x"])
def test_the_number_of_epochs_is_checked(epochs: str, tmp_path: Path) -> None:
    """A demo of no epochs divides by zero."""
    assert demo(f"--epochs={epochs}", "--store", str(tmp_path)).returncode == 2
