"""A SIGKILL in the middle of writing a file under a temporary name leaves nothing that breaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import provml
from provml.journal.store import list_run_folders

_KILLED = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path

    sys.path.insert(0, sys.argv[3])
    store, left = Path(sys.argv[1]), int(sys.argv[2])


    def kill_before_renaming(event, arguments):
        global left
        if event == "os.rename":
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)


    sys.addaudithook(kill_before_renaming)
    from test_written_files import record

    record(store)
""")
_RENAMES = [
    "run.json",
    "the events file",
    "a copied file",
    "the digests of a folder's files",
    "a copied folder",
    "captured bytes",
    "printed output",
]


@pytest.mark.parametrize("number", range(1, len(_RENAMES) + 1), ids=_RENAMES)
def test_a_kill_before_a_file_gets_its_name(number: int, tmp_path: Path) -> None:
    """A half-written file would stop the run's reading, its resumption, or the next run."""
    store = tmp_path / "store"
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(tests)}
    line = [sys.executable, "-c", _KILLED, str(store), str(number), str(tests / "recording")]
    done = subprocess.run(line, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [*store.rglob("*.part"), *store.rglob("stdout-*")]
    for run_id, resume in (("a", True), ("b", False)):
        with provml.start_run(
            "x", store=store, run_id=run_id, resume=resume, sample_interval_s=0, formats=()
        ) as run:
            run.log_artifact(tmp_path / "content" / "folder")
            run.log_metric("loss", 0.25)
    for folder in list_run_folders(store):
        recorded = provml.load(folder)
        assert recorded.series("loss").value.tolist()[-1] == 0.25
        copies = [folder / a.facts["copy"] for a in recorded.artifacts() if a.name == "folder"]
        assert copies
        assert all(os.listdir(copy) == ["file"] for copy in copies)


def test_no_other_file_is_renamed(tmp_path: Path) -> None:
    """A new temporary file would not be tested."""
    tests = Path(__file__).parent.parent
    line = [sys.executable, "-c", _KILLED, str(tmp_path / "store"), str(len(_RENAMES) + 1)]
    line.append(str(tests / "recording"))
    subprocess.run(line, env={**os.environ, "PYTHONPATH": str(tests)}, check=True)
