"""Whether a run still goes on, as another process sees it."""

from __future__ import annotations

import json
import os
import signal

import pytest
from waiting import LIMIT_S

import provml
from provml.journal.store import scan_runs

# a changed first line is damage, which is stated in a warning
pytestmark = pytest.mark.filterwarnings("ignore:the files of run:provml.ProvMLWarning")

_LIVE = """
    import sys
    import provml

    run = provml.start_run("live", formats=())
    print(run.path, flush=True)
    for i, line in enumerate(sys.stdin):
        run.log_metric("m", i, step=i)
        run.log_param(f"p{i}", i)
        print("logged", flush=True)
    run.end_run()
"""


@pytest.fixture
def live(children):
    """A run in another process that logs a sample for each line it is sent."""
    child = children.start(_LIVE)
    path = child.stdout.readline().strip()
    assert path, child.stderr.read()
    return child, provml.load(path)


def rewrite_first_line(run, **changes):
    """Put a copy, which has no lock, in the place of an events file; return its path."""
    (path,) = run.path.glob("journal/*.events.jsonl")
    line, _, rest = path.read_bytes().partition(b"\n")
    writer = json.loads(line) | changes
    copy = path.with_name("copy")
    copy.write_bytes(json.dumps(writer).encode() + b"\n" + rest)
    os.replace(copy, path)
    return path


def test_a_run_is_read_while_it_goes_on(live):
    """What another process logs would be seen late, or its run as ended or crashed."""
    child, run = live
    assert run.status == "running"
    assert run.ended is None
    for i in range(20):
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "logged\n"
        assert run.series("m").step.tolist() == list(range(i + 1))
        assert len(run.params) == i + 1
        assert len(list(run.statements("sample"))) > 0
    child.stdin.close()
    assert child.wait(LIMIT_S) == 0
    assert run.status == "finished"


def test_a_killed_run_reads_as_crashed(live, tmp_path):
    """A killed training would seem to go on for ever."""
    child, run = live
    child.kill()
    # not waited for yet: the process is a zombie, with its number and its start
    while not (status := os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)):
        pass
    assert status.si_status == signal.SIGKILL
    assert run.status == "crashed"
    child.wait(LIMIT_S)
    assert run.status == "crashed"
    assert f"process {child.pid}" in run.reason
    assert [entry.state.status for entry in list(scan_runs(tmp_path / "store"))] == ["crashed"]


def test_a_stopped_process_is_alive_however_long_it_is_silent(live):
    """A training that is paused would read as crashed, and a recovery would close its files."""
    child, run = live
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    for path in run.path.glob("journal/*"):
        os.utime(path, (1, 1))
    assert run.status == "running"
    child.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("field", "value"), [("start_ticks", 1), ("boot_id", "another boot"), ("pid", 2**22 + 1)]
)
def test_a_process_that_has_taken_the_number_is_another(live, field, value):
    """A dead run would seem alive once another process, or another boot, has its number."""
    child, run = live
    rewrite_first_line(run, lock=None)
    assert run.status == "running"
    rewrite_first_line(run, lock=None, **{field: value})
    assert child.poll() is None
    assert run.status == "crashed"


def test_a_writer_on_another_host_is_known_by_its_files(live):
    """A run on another host would seem dead at once, or alive for ever."""
    _, run = live
    path = rewrite_first_line(run, host="another", boot_id="another boot")
    assert run.status == "running"
    now_ns = os.stat(path).st_mtime_ns
    for shift_s, status in ((100, "running"), (-100, "running"), (-3600, "crashed")):
        for file in run.path.glob("journal/*"):
            os.utime(file, ns=(now_ns + shift_s * 10**9, now_ns + shift_s * 10**9))
        assert run.status == status
        assert "can't be checked from here: the process ran on another" in run.reason


def test_a_killed_run_can_be_resumed_and_a_live_one_not(live, tmp_path):
    """Resuming would mix two processes in one run, or refuse to go on after a kill."""
    child, run = live
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "logged\n"
    options = {"store": tmp_path / "store", "run_id": run.id, "formats": ()}
    with pytest.raises(provml.RunExistsError, match="being recorded"):
        provml.start_run("live", resume=True, **options)
    child.kill()
    child.wait(LIMIT_S)
    with pytest.raises(provml.RunExistsError, match="resume=True"):
        provml.start_run("live", **options)
    with provml.start_run("live", resume=True, **options) as again:
        assert run.status == "running"
        again.log_metric("m", 1, step=1)
    assert again.path == run.path
    assert run.status == "finished"
    assert run.series("m").value.tolist() == [0, 1]
