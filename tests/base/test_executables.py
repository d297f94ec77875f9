"""The program that a command line names is the one that the shell would execute."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from provml.base.executables import find_executable


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders of the search path, with programs, a folder and a file that is no program."""
    for folder in ("first", "second"):
        (tmp_path / folder / "place").mkdir(parents=True)
        for name in ("tool", "both"):
            (tmp_path / folder / name).write_text("#!/bin/sh\n")
    (tmp_path / "first" / "both").chmod(0o755)
    for name in ("tool", "both"):
        (tmp_path / "second" / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/first:{tmp_path}/missing:second")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["tool", "both", "place", "none", "first/both", "first/tool", "./second/tool", "", "/", "a\nb"],
)
def test_it_finds_what_shutil_finds(tools: Path, name: str) -> None:
    """`provml run` would describe or trace another program than the one that runs."""
    assert find_executable(name) == shutil.which(name)


@pytest.mark.parametrize("path", [None, "", ":", "/usr/bin::/bin"])
def test_any_search_path(tools: Path, monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    """A command without PATH, or with an empty folder in it, would be said to be missing."""
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path)
    os.chdir(tools / "second")
    for name in ("tool", "sh", "none"):
        assert find_executable(name) == shutil.which(name)
