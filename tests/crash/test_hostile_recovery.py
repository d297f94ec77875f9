"""`provml recover` and `provml export` on a store that somebody else has prepared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from waiting import LIMIT_S

import provml

_KILLED = """
    import os
    import provml

    run = provml.start_run("x", run_id="a", sample_interval_s=0)
    for i in range(100):
        run.log_metric("m", i, step=i)
    run.log_param("lr", 0.5)
    folder = run.path / "artifacts" / f"stdout-{os.getpid()}-00000000"
    folder.mkdir(parents=True)
    (folder / "stdout").write_bytes(b"printed")
    (run.path / f".provenance.json.{'a' * 16}.part").write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""
_EACH_FILE = {
    "provenance.json": "document",
    "run.json": "run",
    "journal/*.samples": "samples",
    "journal/*.events.jsonl": "events",
    "artifacts/*/stdout": "stdout",
    ".provenance.json.*.part": "part",
}
_EACH_FOLDER = ("journal", "artifacts", "artifacts/*", ".")


@pytest.fixture
def killed(children, tmp_path):
    """The folder of a run whose process was killed, with printed output and half a document."""
    child = children.start(_KILLED)
    child.wait(LIMIT_S)
    return tmp_path / "store" / "x" / "a"


@pytest.fixture
def outside(tmp_path):
    """A folder outside the store."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "thesis.tex").write_text("the only copy")
    return folder


def snapshot(folder):
    """Return everything about a folder that a command could change."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[path] = (content, status.st_mode, status.st_mtime_ns, status.st_size)
    return found


def command(verb, *arguments):
    """Run a command, which must end in time and without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "provml", verb, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1, 2)
    return done.stdout + done.stderr


def use(folder):
    """Run the commands that write into a run's folder."""
    store = folder.parent.parent
    command("recover", folder, "--force")
    command("recover", store)
    command("export", "a", "--store", store)


@pytest.mark.parametrize("pattern", _EACH_FILE)
def test_a_link_to_a_file_is_not_followed(killed, outside, pattern):
    """A command replaces, extends, marks or removes a file outside the store."""
    path = next(iter(killed.glob(pattern)), killed / pattern)
    victim = outside / _EACH_FILE[pattern]
    if path.exists():
        shutil.move(path, victim)
    else:
        victim.write_bytes(b"alias ls='ls --color'\n")
    path.symlink_to(victim)
    before = snapshot(outside)
    use(killed)
    assert snapshot(outside) == before


@pytest.mark.parametrize("pattern", _EACH_FOLDER)
def test_a_link_to_a_folder_is_not_followed(killed, outside, pattern):
    """A command changes a journal, moves a file or removes a folder outside the store."""
    path = next(killed.glob(pattern)) if pattern != "." else killed
    victim = outside / "victim"
    shutil.move(path, victim)
    path.symlink_to(victim)
    before = snapshot(outside)
    use(killed)
    assert snapshot(outside) == before


@pytest.mark.parametrize("pattern", _EACH_FILE)
def test_a_named_pipe_does_not_keep_a_command_waiting(killed, outside, pattern):
    """A command on a store waits for ever."""
    path = next(iter(killed.glob(pattern)), killed / pattern)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    before = snapshot(outside)
    use(killed)
    assert snapshot(outside) == before


def test_the_document_takes_the_place_of_a_link(killed, outside):
    """A link keeps a run from having its document."""
    (killed / "provenance.json").symlink_to(outside / "thesis.tex")
    text = command("recover", killed)
    assert "wrote " in text
    assert not (killed / "provenance.json").is_symlink()
    assert (outside / "thesis.tex").read_text() == "the only copy"
    assert provml.load(killed).status == "crashed"
