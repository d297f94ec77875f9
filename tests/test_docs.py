"""What the command line says of itself, and what the README says of it."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from provml.base.format_names import format_names
from provml.cli._program import BUILT_IN, load_built_in
from provml.export import find_format

README = Path(__file__).parents[1] / "README.md"
COMMANDS = sorted(BUILT_IN)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    """An option has to be guessed at."""
    _, command = load_built_in(name)
    assert command.help
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    """A command nobody hears of."""
    assert f"provml {name}" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", format_names())
def test_every_format_is_in_the_readme(name: str) -> None:
    """A format nobody hears of, or with another ending than it has."""
    (line,) = re.findall(rf"^\| `{name}` \|.*$", README.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    module = find_format(name)
    assert cells[1] == f"`{module.suffix}`"
    assert bool(cells[2]) == module.holds_several_runs


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's first ten lines would fail."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, str(README), "exec"), {"__name__": "__main__"})
    # what questions over many runs are answered from lies beside the runs
    left = {path.name for path in (tmp_path / "provenance").iterdir()}
    assert left == {"digits", ".tables", ".provml"}
