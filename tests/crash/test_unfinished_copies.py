"""A process that dies while it copies a file or folder into its run's folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from waiting import LIMIT_S

import provml
from provml.base import store_files
from provml.export import sweep_run_folder

_COPIES = """
    import os, signal
    import provml
    from provml.collect.copies import copy_folder, write_copy
    from provml.collect.user_files import FolderFiles

    os.makedirs("data")
    open("data/part.csv", "w").write("1,2\\n")
    open(".kept.0123456789abcdef.part", "w").write("a user's file")
    run = provml.start_run("killed", run_id="r", formats=(), sample_interval_s=0)
    run.log_artifact(".kept.0123456789abcdef.part")
    with write_copy(run.path, "artifacts/" + "a" * 16 + "/weights.pt") as sink:
        sink.write(b"half")
        sink.flush()
        with copy_folder(FolderFiles("data"), run.path, "artifacts/" + "b" * 16 + "/data"):
            {act}
"""


def call(*arguments):
    """Run the command line; return its exit status and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "provml", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def list_artifacts(path):
    """The files and folders in the run's folder of artifacts, without the digests."""
    found = [entry.name for entry in (path / "artifacts").glob("*/*")]
    return sorted(name for name in found if not name.startswith("script"))


def test_unfinished_copies_are_removed(children, tmp_path):
    """A killed training would leave parts of copies that nobody removes, or lose a user's file."""
    child = children.start(_COPIES.replace("{act}", "os.kill(os.getpid(), signal.SIGKILL)"))
    assert child.wait(LIMIT_S) == -9
    path = tmp_path / "store" / "killed" / "r"
    assert len(list_artifacts(path)) == 3
    status, text = call("recover", path)
    assert (status, text.count("removed an unfinished file: ")) == (0, 2)
    assert list_artifacts(path) == ["%2Ekept.0123456789abcdef.part"]
    assert not {"a" * 16, "b" * 16} & set(os.listdir(path / "artifacts"))
    assert provml.load(path).status == "crashed"
    assert call("check", path)[0] == 0


def test_copies_that_are_being_written_are_left_alone(children, tmp_path):
    """An export during the training would remove the copy that the training is writing."""
    act = "print('ready', flush=True); input()"
    child = children.start(_COPIES.replace("{act}", act))
    path = tmp_path / "store" / "killed" / "r"
    assert child.stdout.readline() == "ready\n"
    assert sweep_run_folder(path) == []
    assert len(list_artifacts(path)) == 3
    child.kill()
    child.wait(LIMIT_S)


@pytest.mark.parametrize("name", [".model.0123456789abcdef.part", ".0123456789abcdef.part"])
def test_only_entries_that_provml_could_have_named_are_removed(tmp_path, name):
    """A sweep would remove what stands in a folder that provml did not make."""
    with provml.start_run("x", run_id="r", store=tmp_path, formats=()) as run:
        pass
    other = run.path / "artifacts" / "mine"
    other.mkdir(parents=True)
    (other / name).write_bytes(b"a user's")
    (run.path / "artifacts" / ("a" * 16)).mkdir()
    os.symlink(tmp_path, run.path / "artifacts" / ("a" * 16) / name)
    assert sweep_run_folder(run.path) == []
    assert store_files.is_file(tmp_path, other / name)
