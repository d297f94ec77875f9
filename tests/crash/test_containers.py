"""Runs in containers: a process that another pid namespace or machine records is not closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import damaging
import pytest
from waiting import LIMIT_S, until

import provml

# a changed first line is damage, which is stated in a warning
pytestmark = pytest.mark.filterwarnings("ignore:the files of run:provml.ProvMLWarning")

_LIVE = """
    import os
    import sys
    import provml

    run = provml.start_run("live", run_id="r", formats=(), sample_interval_s=0)
    print(os.getpid(), flush=True)
    for i in range(5000):
        run.log_metric("m", i, step=i)
    print("logged", flush=True)
    sys.stdin.readline()
    for i in range(5000, 20_000):
        run.log_metric("m", i, step=i)
    run.end_run()
"""
_CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def recover(folder, *options, container=False):
    """Run ``provml recover``; return its exit status and what it printed."""
    done = subprocess.run(
        [
            *(_CONTAINER if container else ()),
            *(sys.executable, "-m", "provml", "recover", str(folder), *options),
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def containers():
    """Skips the test if no pid namespace can be made here."""
    try:
        done = subprocess.run([*_CONTAINER, "true"], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no pid namespace can be made here: {error}")
    if done.returncode:
        pytest.skip(f"no pid namespace can be made here: {done.stderr.strip()}")


@pytest.fixture
def contained(containers, tmp_path):
    """A run that a process in another pid namespace records, and the process."""
    script = tmp_path / "script.py"
    script.write_text(_LIVE.replace("\n    ", "\n"), encoding="utf-8")
    with subprocess.Popen(
        [*_CONTAINER, sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a sync writes checksums, which a test would take for a change by the recovery
        env=os.environ | {"PROVML_SYNC_INTERVAL_S": "0"},
        text=True,
    ) as child:
        try:
            assert int(child.stdout.readline()) < 100, "the process is not in a namespace"
            assert child.stdout.readline() == "logged\n"
            yield child, tmp_path / "store" / "live" / "r"
        finally:
            child.kill()


def go_on(child, folder):
    """Let the process end the run, and check that it lost nothing."""
    _, errors = child.communicate("\n", timeout=LIMIT_S)
    assert (child.returncode, errors) == (0, "")
    run = provml.load(folder)
    assert run.status == "finished"
    assert run.series("m").value.tolist() == list(range(20_000))


def age(folder, moment):
    """Give a run's files another time, as a clock that is wrong would."""
    for path in folder.glob("journal/*"):
        os.utime(path, (moment, moment))


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("moment", [1, 2**33])
def test_a_run_in_a_container_is_not_closed_from_the_host(contained, moment):
    """A training in a container is killed by a recovery outside, whatever its clock says."""
    child, folder = contained
    age(folder, moment)
    before = content(folder)
    for options in ((), ("--force",)):
        status, text = recover(folder, *options)
        assert status == 1
        assert "is still being recorded by process" in text
    assert content(folder) == before
    assert provml.load(folder).status == "running"
    go_on(child, folder)


def test_a_run_on_the_host_is_not_closed_from_a_container(containers, children, tmp_path):
    """A training is killed by a recovery in a container, where its pid means another process."""
    child = children.start(_LIVE)
    assert child.stdout.readline()
    assert child.stdout.readline() == "logged\n"
    folder = tmp_path / "store" / "live" / "r"
    child.send_signal(signal.SIGSTOP)
    age(folder, 1)
    before = content(folder)
    for options in ((), ("--force",)):
        status, text = recover(folder, *options, container=True)
        assert status == 1
        assert "is still being recorded by process" in text
    assert content(folder) == before
    child.send_signal(signal.SIGCONT)
    go_on(child, folder)


def test_a_run_killed_in_a_container_is_closed_from_the_host_at_once(contained):
    """A crashed run waits for its container, which is gone, or for --force."""
    child, folder = contained
    child.kill()
    child.wait(LIMIT_S)
    status, text = recover(folder)
    assert status == 0
    assert "closed the owner's files of process" in text
    run = provml.load(folder)
    assert run.status == "crashed"
    assert run.series("m").value.tolist() == list(range(5000))


def test_without_the_lock_a_run_in_a_container_needs_force(contained):
    """On a file system without locks, a recovery outside closes the run of a live container."""
    child, folder = contained
    (events,) = folder.glob("journal/*.events.jsonl")
    child.kill()
    child.wait(LIMIT_S)
    first, _, rest = events.read_bytes().partition(b"\n")
    events.write_bytes(first.replace(b'"lock":"flock"', b'"lock":null') + b"\n" + rest)
    damaging.seal_again(events)
    before = content(folder)
    status, text = recover(folder)
    assert status == 1
    assert "may still be recording run" in text
    assert "the process ran in another container" in text
    assert "--force" in text
    assert content(folder) == before
    status, text = recover(folder, "--force")
    assert status == 0
    assert "assumed that process" in text
    assert "closed the owner's files" in text


def test_a_run_that_is_closed_by_force_while_it_is_alive_loses_nothing(
    contained: tuple[subprocess.Popen[str], Path],
) -> None:
    """--force kills a training, or loses what it logs afterwards, if the user was wrong."""
    child, folder = contained
    # as on a network file system without locks: the reader sees another file, without a lock
    (events,) = folder.glob("journal/*.events.jsonl")
    (samples,) = folder.glob("journal/*.samples")
    size = samples.stat().st_size
    locked = events.rename(events.with_name("locked"))
    first, _, rest = locked.read_bytes().partition(b"\n")
    events.write_bytes(first.replace(b'"lock":"flock"', b'"lock":null') + b"\n" + rest)
    damaging.seal_again(events)
    status, _ = recover(folder, "--force")
    assert status == 0
    assert samples.stat().st_size == size
    locked.rename(events)
    go_on(child, folder)


def test_files_of_a_command_in_a_container_are_left_to_it(containers, tmp_path):
    """A recovery outside would record other files that happen to have the same paths."""
    source = """
import sys
open("made.txt", "w").write("made")
print("printed", flush=True)
sys.stdin.readline()
"""
    command = [sys.executable, "-m", "provml", "run", "--run-id", "r", "--", sys.executable, "-c"]
    with subprocess.Popen(
        [*_CONTAINER, *command, source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    ) as child:
        assert child.stdout.readline() == "printed\n"
        kept = "store/*/r/artifacts/stdout-*/stdout"  # written by a thread, after the line passed
        until(lambda: any(path.read_bytes() for path in tmp_path.glob(kept)))
        child.kill()
    (folder,) = (tmp_path / "store").glob("*/r")
    notes = {path: path.read_bytes() for path in folder.glob("journal/*.opened")}
    assert notes
    status, text = recover(folder)
    assert status == 0
    assert "stdout: recorded the printed output" in text
    assert "in another container" in text
    assert {path: path.read_bytes() for path in folder.glob("journal/*.opened")} == notes
    assert {one.name for one in provml.load(folder).artifacts()} == {"stdout"}
