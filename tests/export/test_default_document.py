"""The document that ``provml export`` writes without -o is a file in the run's folder."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import LIMIT_S
from watched import make_victim, take_snapshot

import provml
from provml.demo import _write_page


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder outside the store that must not change."""
    folder = make_victim(tmp_path / "victim")
    before = take_snapshot(folder)
    yield folder
    assert take_snapshot(folder) == before


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished run without documents."""
    with provml.start_run(
        "x", store=tmp_path / "store", run_id="a", sample_interval_s=0, formats=()
    ) as run:
        run.log_metric("loss", 0.5, step=1)
    return run.path


def _export(run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "provml", "export", str(run), *options]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.mark.parametrize(
    ("format", "name"), [("provjson", "provenance.json"), ("html", "provenance.html")]
)
@pytest.mark.parametrize("target", ["provenance.json", "missing"])
def test_the_default_document_is_not_written_behind_a_link(
    format: str, name: str, target: str, run: Path, victim: Path
) -> None:
    """A store that somebody else made would replace a file such as ~/.bashrc."""
    (run / name).symlink_to(victim / target)
    done = _export(run, "--format", format)
    assert done.returncode == 0, done.stderr
    assert not (run / name).is_symlink()
    assert stat.S_IMODE((run / name).stat().st_mode) == 0o600
    assert sorted(os.listdir(run)) == sorted(["documents.sha256", "journal", "run.json", name])


def test_the_page_of_the_demo_is_not_written_behind_a_link(run: Path, victim: Path) -> None:
    """The demo would replace a file outside the store."""
    (run / "provenance.html").symlink_to(victim / "victim.txt")
    page, missing = _write_page(run)
    assert missing is None
    assert page is not None
    assert not page.is_symlink()


def test_a_folder_in_the_place_of_the_document_stays(run: Path) -> None:
    """The export would delete a folder, or end with a traceback."""
    (run / "provenance.json").mkdir()
    (run / "provenance.json" / "thesis.tex").write_text("years of work")
    done = _export(run)
    assert done.returncode == 1
    assert "provenance.json: Is a directory" in done.stderr
    assert ".part" not in done.stderr
    assert os.listdir(run / "provenance.json") == ["thesis.tex"]
    assert sorted(os.listdir(run)) == ["journal", "provenance.json", "run.json"]


def test_the_file_named_with_o_may_be_a_link(run: Path, tmp_path: Path) -> None:
    """The user's own link would be replaced by a file."""
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    done = _export(run, "-o", str(tmp_path / "link.json"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() != "old"
