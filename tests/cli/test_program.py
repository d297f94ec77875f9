"""The command ``provml``: groups in the help, and commands of other packages."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest
from waiting import LIMIT_S

import provml.cli
from provml.cli._program import BUILT_IN, load_built_in, program

GROUPS = ["Record", "Look", "Compare", "Ask", "Documents", "Store", "Try it"]

MODULE = """
import click

@click.command("greet")
@click.argument("name")
def greet(name):
    "Greet somebody from another package."
    click.echo(f"hello {name}")

show = click.Command("show", callback=lambda: click.echo("not ours"))
number = 3
"""
ENTRY_POINTS = """
[provml.commands]
greet = acme_commands:greet
show = acme_commands:show
broken = acme_missing:command
number = acme_commands:number
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with an installed package that adds four commands, two of which can't be loaded."""
    (tmp_path / "acme_commands.py").write_text(MODULE)
    info = tmp_path / "acme_tools-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tools\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def call(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in 80 columns, with a folder on the module search path."""
    environment = os.environ | {"COLUMNS": "80"}
    if path is not None:
        search_path = [str(path), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, search_path))
    command = [sys.executable, "-m", "provml", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LIMIT_S, check=False
    )


def test_help_lists_every_command_in_its_group() -> None:
    """A command is missing from the help, or the groups are in another order."""
    lines = call("--help").stdout.splitlines()
    headings = [line.rstrip(":") for line in lines if line.endswith(":") and line[0] != " "]
    assert headings == ["Options", *GROUPS]
    for name in BUILT_IN:
        assert any(line.startswith(f"  {name} ") for line in lines), name


def test_help_fits_80_columns() -> None:
    """A line of the help wraps, or the summary of a command is cut."""
    lines = call("--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.endswith("...") and line[:2] == "  "] == []


def test_every_module_of_commands_is_listed() -> None:
    """A new module's commands can't be called."""
    modules = {module.name for module in pkgutil.iter_modules(provml.cli.__path__)}
    assert {name for name in modules if not name.startswith("_")} == set(BUILT_IN.values())
    for name in BUILT_IN:
        group, command = load_built_in(name)
        assert group in GROUPS and command.name == name


def test_a_call_imports_its_own_command_only() -> None:
    """`provml run` takes longer to start with every command that is added."""
    code = (
        "import sys; from provml.cli import execute; execute(['run', '--help']); "
        "print(sorted({'provml.cli.show', 'provml.cli.lineage', 'importlib.metadata'} "
        "& sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_of_another_package_runs(package: Path) -> None:
    """Nobody else can add a command."""
    done = call("greet", "Ada", path=package)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello Ada\n", "")
    shown = call("--help", path=package).stdout
    assert "From other packages:" in shown
    assert "greet     Greet somebody from another package." in shown


def test_our_commands_win(package: Path) -> None:
    """Another package replaces `provml show`."""
    assert "not ours" not in call("show", "--help", path=package).stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken", "No module named 'acme_missing'"),
        ("number", "must be a click.Command, but its type is int"),
    ],
)
def test_a_command_that_cant_be_loaded_names_its_package(
    package: Path, name: str, reason: str
) -> None:
    """One broken package breaks the help, or its error doesn't say where it comes from."""
    done = call(name, path=package)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "acme-tools 1.5" in done.stderr and reason in done.stderr
    shown = call("--help", path=package)
    assert shown.returncode == 0
    assert f"the command '{name}' of acme-tools 1.5" in " ".join(shown.stdout.split())


def test_commands_run_from_a_zip_file(tmp_path: Path) -> None:
    """Commands are searched for in a folder, and a zip file has none."""
    source = Path(provml.__file__).parent
    with zipfile.ZipFile(tmp_path / "provml.zip", "w") as archive:
        for file in source.rglob("*.py"):
            archive.write(file, f"provml/{file.relative_to(source)}")
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop()); import provml.cli; "
        "assert '.zip' in provml.__file__; provml.cli.main()"
    )
    command = [sys.executable, "-P", "-c", code, "run", "--help", str(tmp_path / "provml.zip")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: provml run" in done.stdout


def test_the_program_is_a_click_command() -> None:
    """Tools that document click commands can't read ours."""
    context = click.Context(program)
    assert isinstance(program, click.Group)
    assert program.get_command(context, "runs") is not None
    assert program.get_command(context, "nothing") is None
