"""The command line's help, and the README and documentation: every block runs, all is described."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click
import pytest
from doc_blocks import (
    ROOT,
    SHELL,
    STORY,
    Block,
    Page,
    anonymize,
    check_call,
    find_blocks,
    missing_words,
    pages,
    provml_calls,
    record_story,
)

import provml
from provml.base.format_names import format_names
from provml.cli._program import BUILT_IN, load_built_in
from provml.export import find_format

COMMANDS = sorted(BUILT_IN)
FORMATS_PAGE = ROOT / "docs" / "reference" / "file-formats.md"
API_PAGES = ROOT / "docs" / "reference" / "api"
NEEDED = ("duckdb", "jsonschema", "matplotlib", "mpld3", "pandas", "pyoxigraph", "pyshacl", "torch")
CLI_PAGE = ROOT / "docs" / "reference" / "cli.md"


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    """An option has to be guessed at."""
    _, command = load_built_in(name)
    assert command.help
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    """Nobody hears of a command."""
    assert f":command: {name}\n" in CLI_PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(dir(provml)))
def test_every_public_name_is_documented(name: str) -> None:
    """Somebody finds a name in an editor and nothing about it in the reference."""
    if name in vars(provml.errors):
        return  # all of this module is on one page
    pages = "".join(path.read_text(encoding="utf-8") for path in API_PAGES.glob("*.md"))
    described = rf"^::: provml\.{name}\b|\[`provml\.{name}`\]\[provml\.Run\.{name}\]"
    assert re.search(described, pages, re.MULTILINE) or name == "__version__"


@pytest.mark.parametrize("name", format_names())
def test_every_format_is_documented(name: str) -> None:
    """Nobody hears of a format, or the page gives it another ending than it has."""
    (line,) = re.findall(
        rf"^\| `{name}` \|.*$", FORMATS_PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    module = find_format(name)
    assert cells[1] == f"`{module.suffix}`"
    assert bool(cells[2]) == module.holds_several_runs


def test_the_readme_is_short() -> None:
    """A newcomer has to read for an hour before the first picture."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("![") for line in lines[:15]), "the first picture comes too late"


def test_the_tutorial_shows_the_scripts_that_the_tests_run() -> None:
    """The pages' output comes from other scripts than the reader has copied."""
    page = ROOT / "docs" / "tutorials" / "record-a-training.md"
    shown = {block.title: block.code for block in find_blocks(page) if block.title}
    assert shown == {path.name: path.read_text(encoding="utf-8") for path in STORY.glob("*.py")}


@pytest.fixture(scope="session")
def recorded_story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs that the pages speak of."""
    folder = tmp_path_factory.mktemp("story")
    record_story(folder)
    return folder


def runnable_pages() -> list[Path]:
    return [path for path in pages() if any(_runs(block) for block in find_blocks(path))]


def _runs(block: Block) -> bool:
    return block.reason is None and block.language in ("python", *SHELL)


@pytest.mark.parametrize("path", runnable_pages(), ids=page_name)
def test_the_blocks_of_a_page_run(
    path: Path, recorded_story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody copies a block from the documentation and it fails, or prints something else."""
    folder = tmp_path / "work"
    for module in NEEDED:
        pytest.importorskip(module, reason=f"{module} is not installed")
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    page = Page(path)
    if page.needs_store:
        shutil.copytree(recorded_story, folder)
    else:
        folder.mkdir()
    monkeypatch.chdir(folder)
    for block, outputs in page.run():
        shown = [block.code] if block.is_output else [_shown(c.shown) for c in block.commands]
        for text, output in zip(shown, outputs, strict=True):
            assert missing_words(text, anonymize(output)) == [], (
                f"{block} shows what is not printed: {output}"
            )


def _shown(lines: list[str]) -> str:
    return "\n".join(lines)


@pytest.mark.parametrize("path", pages(), ids=page_name)
def test_commands_and_options_exist(path: Path) -> None:
    """A page names a command or an option that does not exist, also in a block that is not run."""
    for block in find_blocks(path):
        if block.language in SHELL:
            for command in block.commands:
                for call in provml_calls(command.line):
                    check_call(call)
    for call in re.findall(r"`(provml [a-z]+)[^`]*`", path.read_text(encoding="utf-8")):
        check_call(call.split()[1:])


@pytest.mark.parametrize("path", pages(), ids=page_name)
def test_blocks_have_a_language_and_extras_exist(path: Path) -> None:
    """A block is neither run nor known not to be, or an extra can't be installed."""
    text = path.read_text(encoding="utf-8")
    fences = re.findall(r"^ *```(.*)$", text, re.MULTILINE)
    assert all(fence for fence in fences[::2]), "a fence without a language"
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for names in re.findall(r"provml\[([a-z, ]+)\]", text):
        for name in names.split(","):
            assert re.search(rf"^{name.strip()} = \[", extras, re.MULTILINE), name
