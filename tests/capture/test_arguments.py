"""Settings of unchanged scripts: each library's become parameters, with where they came from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import provml
from provml.capture.arguments.command_line import read_options
from provml.capture.arguments.recorded_settings import SETTINGS_READ


def record(folder: Path, script: str, *arguments: str, options: tuple[str, ...] = ()) -> Any:
    """Run a script under ``provml run``, and return the recorded run."""
    (folder / "script.py").write_text(script)
    quiet = ("--no-files", "--sample-interval", "0", "--formats", "", "--store", "store")
    command = [sys.executable, "-m", "provml", "run", *quiet, *options, "--", sys.executable]
    done = subprocess.run(
        [*command, "script.py", *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return provml.load("latest", folder / "store")


def settings(run: Any) -> list[tuple[str, list[str] | None]]:
    """The library and the given settings of each event."""
    events = run.events(SETTINGS_READ)
    assert run.events("capture missed") == []
    return [(event.metadata["library"], event.metadata.get("given")) for event in events]


_ARGPARSE = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("-b", "--batch-size", type=int, default=32)
parser.add_argument("--api-key")
parser.add_argument("data", nargs="?", default="none")
commands = parser.add_subparsers(dest="command")
train = commands.add_parser("train")
train.add_argument("--decay", type=float, default=0.0)
train.add_argument("--epochs", type=int, default=3)
args = parser.parse_args()
args.lr = 7  # the script's own change is not a setting
"""


def test_argparse(tmp_path: Path) -> None:
    """No condition and no diff would know a hyperparameter of an unchanged script."""
    words = ["--lr", "0.1", "-b64", "--api-key=abc", "digits", "train", "--decay=1e-4"]
    run = record(tmp_path, _ARGPARSE, *words)
    assert run.params == {
        "lr": 0.1,
        "batch_size": 64,
        "api_key": "***",
        "data": "digits",
        "command": "train",
        "decay": 1e-4,
        "epochs": 3,
    }
    given = ["api_key", "batch_size", "command", "data", "decay", "lr"]
    assert settings(run) == [("argparse", given)]
    assert "abc" not in (run.path / "run.json").read_text()


def test_known_arguments_and_a_second_parser(tmp_path: Path) -> None:
    """A script reads its configuration file's name first, and the rest with another parser."""
    script = """
import argparse
first = argparse.ArgumentParser(add_help=False)
first.add_argument("--config", default="base")
known, rest = first.parse_known_args()
second = argparse.ArgumentParser(parents=[first])
second.add_argument("--lr", type=float)
print(second.parse_args())
"""
    run = record(tmp_path, script, "--config", "big", "--lr", "2")
    assert run.params == {"config": "big", "lr": 2.0}
    assert settings(run) == [("argparse", ["config"]), ("argparse", ["lr"])]


def test_a_wrong_argument_ends_the_script_as_ever(tmp_path: Path) -> None:
    """The exit status and message of argparse would change."""
    (tmp_path / "script.py").write_text(_ARGPARSE)
    plain = [sys.executable, "script.py", "--lr", "x"]
    watched = [sys.executable, "-m", "provml", "run", "--store", "store", "--", *plain]
    one, other = (
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        for command in (plain, watched)
    )
    assert (one.returncode, one.stderr) == (other.returncode, other.stderr)
    assert one.returncode == 2


def test_arguments_of_installed_packages_are_not_settings(tmp_path: Path) -> None:
    """What a library parses for itself would mix with the script's hyperparameters."""
    package = tmp_path / "site-packages" / "library"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import argparse\n"
        "def work():\n"
        "    parser = argparse.ArgumentParser()\n"
        "    parser.add_argument('--inner', default=1)\n"
        "    return parser.parse_args([])\n"
    )
    script = "import sys; sys.path.append('site-packages'); import library; library.work()"
    run = record(tmp_path, script)
    assert run.params == {}
    assert settings(run) == []


_SCRIPTS = {
    "click": """
import click
@click.command()
@click.option("--lr", default=0.1)
@click.option("--epochs", default=3)
def main(lr, epochs): print(lr)
main()
""",
    "typer": """
import typer
def main(lr: float = 0.1, epochs: int = 3): print(lr)
typer.run(main)
""",
    "absl": """
from absl import app, flags
flags.DEFINE_float("lr", 0.1, "rate")
flags.DEFINE_integer("epochs", 3, "number")
app.run(lambda _: None)
""",
    "tyro": """
import dataclasses, tyro
@dataclasses.dataclass
class Config:
    lr: float = 0.1
    epochs: int = 3
tyro.cli(Config)
""",
    "fire": """
import fire
def main(lr=0.1, epochs=3): pass
fire.Fire(main)
""",
    "docopt": """
from docopt import docopt
docopt('''Usage: script.py [--lr=<x>] [--epochs=<n>]

Options:
  --lr=<x>      [default: 0.1]
  --epochs=<n>  [default: 3]
''')
""",
    "jsonargparse": """
import jsonargparse
parser = jsonargparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=3)
parser.parse_args()
""",
}


@pytest.mark.parametrize("library", sorted(_SCRIPTS))
def test_a_librarys_settings_are_parameters(tmp_path: Path, library: str) -> None:
    """A script that uses this library would have no parameters."""
    pytest.importorskip(library)
    run = record(tmp_path, _SCRIPTS[library], "--lr", "0.5")
    assert {key: float(value) for key, value in run.params.items()} == {"lr": 0.5, "epochs": 3}
    name = {"typer": "click"}.get(library, library)
    assert settings(run) == [(name, ["lr"])]


def test_sub_commands_of_jsonargparse(tmp_path: Path) -> None:
    """All settings of a sub-command, as in Lightning's CLI, would look as if they were given."""
    pytest.importorskip("jsonargparse")
    script = """
import jsonargparse
parser, fit = jsonargparse.ArgumentParser(), jsonargparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=1)
fit.add_argument("--model.lr", type=float, default=0.1)
fit.add_argument("--model.hidden", type=int, default=4)
parser.add_subcommands().add_subcommand("fit", fit)
parser.parse_args()
"""
    run = record(tmp_path, script, "fit", "--model.lr", "0.5")
    assert run.params == {
        "subcommand": "fit",
        "seed": 1,
        "fit.model.lr": 0.5,
        "fit.model.hidden": 4,
    }
    assert settings(run) == [("jsonargparse", ["fit.model.lr", "subcommand"])]


def test_hydra(tmp_path: Path) -> None:
    """The configuration of a Hydra application would be lost."""
    pytest.importorskip("hydra")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("lr: 0.1\nopt:\n  name: adam\nout: ???\n")
    script = """
import hydra
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config): pass
main()
"""
    run = record(tmp_path, script, "lr=0.5", "+extra=1")
    assert run.params == {"lr": 0.5, "opt.name": "adam", "out": "???", "extra": 1}
    assert settings(run) == [("hydra", ["extra", "lr"])]


def test_pydantic_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings from environment variables would be lost."""
    pytest.importorskip("pydantic_settings")
    monkeypatch.setenv("LR", "0.5")
    script = """
from pydantic_settings import BaseSettings
class Config(BaseSettings):
    lr: float = 0.1
    epochs: int = 3
Config()
"""
    run = record(tmp_path, script)
    assert run.params == {"lr": 0.5, "epochs": 3}
    assert settings(run) == [("pydantic-settings", ["lr"])]


def test_hugging_face_arguments(tmp_path: Path) -> None:
    """The commonest way to configure a transformers training would give no parameters."""
    pytest.importorskip("transformers")
    script = """
import dataclasses
from transformers import HfArgumentParser
@dataclasses.dataclass
class Config:
    lr: float = 0.1
    epochs: int = 3
HfArgumentParser(Config).parse_args_into_dataclasses()
"""
    run = record(tmp_path, script, "--lr", "0.5")
    assert run.params == {"lr": 0.5, "epochs": 3}
    assert settings(run) == [("argparse", ["lr"])]


def test_the_command_line_is_read_if_no_library_is_used(tmp_path: Path) -> None:
    """A script that reads sys.argv itself, or uses fire, would have no parameters."""
    run = record(tmp_path, "print('done')", "--lr", "0.5", "--fast", "--epochs=3", "data.csv")
    assert run.params == {"lr": 0.5, "fast": True, "epochs": 3}
    assert settings(run) == [("command line", ["epochs", "fast", "lr"])]


def test_settings_can_be_left_out(tmp_path: Path) -> None:
    """``--no-settings`` would record them all the same."""
    run = record(tmp_path, _ARGPARSE, "--lr", "1", options=("--no-settings",))
    assert run.params == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--lr", "-0.5"], {"lr": -0.5}),
        (["--a", "1", "--a", "2"], {"a": [1, 2]}),
        (["-v", "--out-dir", "x"], {"v": True, "out_dir": "x"}),
        (["--name=a=b", "--", "--no"], {"name": "a=b"}),
        (["word", "-1", "--"], {}),
        (["--id", "007", "--rate=1e-4"], {"id": "007", "rate": 1e-4}),
        (["--big", "12345678901234567890"], {"big": 12345678901234567890}),
    ],
)
def test_options_of_a_command_line(words: list[str], expected: dict[str, Any]) -> None:
    """An option would get the value of another one."""
    assert read_options(words) == expected
