"""The benchmarks run; what they measure is not asserted on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", sorted(FOLDER.glob("bench_*.py")), ids=lambda path: path.stem)
def test_a_benchmark_prints_its_figures_and_budgets(path: Path) -> None:
    """A figure of the README could not be measured again."""
    done = subprocess.run(
        [sys.executable, str(path), "--quick"], capture_output=True, text=True, check=True
    )
    assert "budget" in done.stdout
    assert done.stderr == ""
    if "is not installed" in done.stdout:
        pytest.skip(done.stdout.strip())


def test_peers_explains_itself() -> None:
    """The comparison with other trackers could not be run."""
    command = [sys.executable, str(FOLDER / "peers.py"), "--help"]
    assert "--provml" in subprocess.check_output(command, text=True)


def test_peers_runs_the_rows_that_need_no_install(tmp_path: Path) -> None:
    """The comparison would fail on its own harness."""
    command = [sys.executable, str(FOLDER / "peers.py"), "--n", "200", "--seconds", "0.2"]
    command += ["--tools", "list,csv", "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "csv" in done.stdout.lower()
