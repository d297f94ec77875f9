"""A disk that is full, or gone: the training goes on, one warning, every loss counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings

import pytest
from waiting import LIMIT_S

import provml
from provml.journal.store import scan_runs

# as a script: exhausts the disk that it is given, and says how many calls it made
_RLIMIT = """
    import resource, sys, warnings
    import provml

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 2**10, resource.RLIM_INFINITY))
        run = provml.start_run("limited", formats=(), sample_interval_s=0)
        for i in range(20_000):
            run.log_metric("m", i, step=i)
        dropped = run.dropped
        run.end_run()
    print(len(caught), dropped[0], run.path)
"""


@pytest.fixture
def caught():
    """The warnings of a test, every one of them."""
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        yield messages


def kept(run, name):
    recorded = provml.load(run.path)
    known = [series for series, _ in recorded.series_names()]
    return len(recorded.series(name)) if name in known else 0


def test_every_lost_sample_is_counted(small_disk, caught):
    """A full disk would stop the training, kill it with SIGBUS, or lose samples untold."""
    run = provml.start_run("full", store=small_disk.path, formats=(), sample_interval_s=0)
    calls = 120_000  # 3.8 MB of samples for a disk of 2 MiB
    for i in range(calls):
        run.log_metric("m", i, step=i)
    samples, events = run.dropped
    assert samples > 0
    assert events == 0
    run.end_run()
    recorded = provml.load(run.path)
    assert recorded.dropped == (samples, 0)
    assert recorded.status == "finished"
    series = recorded.series("m")
    assert len(series) + samples == calls
    assert series.value.tolist() == series.step.tolist() == list(range(len(series)))
    assert [message.category for message in caught] == [provml.ProvMLWarning]
    assert "the run continues" in str(caught[0].message)


def test_every_verb_loses_and_counts(small_disk, caught):
    """A full disk would make some verb raise, or its loss stay uncounted."""
    run = provml.start_run("full", store=small_disk.path, formats=(), sample_interval_s=0)
    run.log_metric("known", 1.0)
    small_disk.fill()
    samples = events = 1
    while run.dropped[1] == 0:  # the last page of the events file has room yet
        run.log_event("filling", metadata={"x": "x" * 1000})
        samples += 1
    samples = 1
    for i in range(3000):
        run.log_metric("known", float(i))  # two segments hold 4,094
        run.log_metric("new", float(i))
        run.log_metric("text", "x" * 100)
        run.log_metrics({"known": float(i), "new too": 1})
        run.log_param("p", "x" * 100)
        run.log_params({"a": "x" * 100, "b": "x" * 100})
        run.set_tag("t", "x" * 100)
        run.log_event("e", metadata={"x": "x" * 100})
        samples += 5
        events += 5
    dropped = run.dropped
    assert dropped[1] == events
    run.end_run()
    assert dropped[0] + kept(run, "known") + kept(run, "new") + kept(run, "text") == samples
    recorded = provml.load(run.path)
    assert recorded.dropped[0] == dropped[0]
    assert recorded.status == "finished"
    notices = [str(message.message) for message in caught]
    assert sum("the run continues" in notice for notice in notices) == 1


@pytest.mark.parametrize("status", ["finished", "failed", "interrupted"])
def test_how_it_ended_is_kept_without_room_for_the_end_line(small_disk, caught, status):
    """A run on a full disk would read as crashed although it ended in order."""
    run = provml.start_run("full", store=small_disk.path, formats=())
    small_disk.fill()  # so that no third segment is made
    for i in range(2046 + 2048):  # all that two segments hold: cutting the file frees nothing
        run.log_metric("m", i)
    while run.dropped[1] == 0:
        run.log_event("filling", metadata={"x": "x" * 10})
    run.end_run(status)
    (path,) = run.path.glob("journal/*.events.jsonl")
    assert b'"record":"end"' not in path.read_bytes()
    recorded = provml.load(run.path)
    assert recorded.status == status
    assert recorded.ended is not None
    assert recorded.dropped == run.dropped == (0, 2)
    assert len(recorded.series("m")) == 2046 + 2048
    assert recorded.events("filling")[-1].metadata == {"x": "x" * 10}
    small_disk.release()
    recorded.export("provjson", small_disk.path / "out.json")
    lost = [s for s in recorded.statements() if ("provml:name", "events dropped") in s.attributes]
    assert [dict(s.attributes)["provml:count"] for s in lost if s.kind == "activity"] == [2]


def test_recording_resumes_when_room_comes_back(small_disk, caught, until):
    """A run would lose all that comes after the disk was full for a moment."""
    run = provml.start_run("full", store=small_disk.path, formats=(), sample_interval_s=0)
    small_disk.fill()
    calls = 0

    def log():
        nonlocal calls
        run.log_metric("m", calls, step=calls)
        calls += 1

    while run.dropped[0] == 0:
        log()
    while run.dropped[1] == 0:
        run.log_event("filling", metadata={"x": "x" * 100})
    small_disk.release()
    run.log_event("room again")
    until(lambda: (before := run.dropped[0], log(), run.dropped[0] == before)[2], "room to be used")
    for _ in range(5000):
        log()
    dropped = run.dropped
    run.end_run()
    recorded = provml.load(run.path)
    series = recorded.series("m")
    assert len(series) + dropped[0] == calls
    assert series.value[-5001:].tolist() == list(range(calls - 5001, calls))
    assert len(recorded.events("room again")) == 1
    assert recorded.dropped == dropped
    assert dropped[1] == 1
    assert recorded.status == "finished"
    assert len(caught) == 1


@pytest.mark.parametrize("leave_bytes", [0, 4096, 16_384, 40_960, 65_536, 73_728])
def test_a_start_without_room_raises_and_leaves_nothing(small_disk, caught, leave_bytes):
    """A training would start unrecorded, or a folder without a run be left to trip over."""
    small_disk.fill(leave_bytes)
    try:
        run = provml.start_run("full", store=small_disk.path, run_id="mine", formats=())
    except provml.StoreError as error:
        assert str(small_disk.path) in str(error)
        assert list(scan_runs(small_disk.path)) == []
        folder = small_disk.path / "full"
        assert not folder.exists() or list(folder.iterdir()) == []
        assert provml.active_run() is None
        small_disk.release()
        run = provml.start_run("full", store=small_disk.path, run_id="mine", formats=())
    else:
        assert leave_bytes >= 65_536
    run.log_metric("m", 1.0)
    run.end_run()
    assert [entry.state.status for entry in list(scan_runs(small_disk.path))] == ["finished"]


def test_a_document_without_room_is_a_warning(small_disk, caught):
    """The end of a training would raise because its document did not fit on the disk."""
    run = provml.start_run("full", store=small_disk.path)
    for i in range(2046):
        run.log_metric("m", i)
    small_disk.fill(8192)
    run.end_run()
    assert [message.category for message in caught] == [provml.ProvMLWarning]
    assert "provml recover" in str(caught[0].message)
    assert not (run.path / "provenance.json").exists()
    assert [p.name for p in run.path.iterdir() if p.name not in ("run.json", "journal")] == []
    assert provml.load(run.path).status == "finished"


def test_a_forked_child_without_room_goes_on(small_disk):
    """A data loader's process would die of a disk on which it can't open files of its own."""
    source = """
import os, sys, warnings
import provml

# Python counts threads after a fork, when the thread that syncs is there again
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
run = provml.start_run("full", store=sys.argv[1], formats=())
run.log_metric("m", 0.0)
with open(sys.argv[1] + "/filler", "ab", buffering=0) as file:
    free = os.statvfs(sys.argv[1])
    os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
pid = os.fork()
if pid == 0:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(100):
            run.log_metric("m", 1.0)
            run.log_param("p", i)
    assert [w.category for w in caught] == [provml.ProvMLWarning], caught
    assert run.dropped == (100, 100), run.dropped
    os.unlink(sys.argv[1] + "/filler")
    while run.dropped[0] == (before := run.dropped[0]) and run.dropped != (0, 0):
        run.log_metric("m", 2.0)
        if run.dropped[0] == before:
            break
    run.end_run()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
run.end_run()
print(run.path)
"""
    child = subprocess.run(
        [sys.executable, "-c", source, str(small_disk.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert (child.returncode, child.stderr) == (0, "")
    recorded = provml.load(child.stdout.strip())
    assert recorded.status == "finished"
    assert recorded.dropped[0] >= 100
    assert recorded.dropped[1] == 100
    assert recorded.series("m").value.tolist() == [0.0, 2.0]


def test_a_limit_on_file_sizes(children):
    """A limit on file sizes (ulimit -f) would kill or stop the training."""
    code, out, err = children.run(_RLIMIT)
    assert (code, err) == (0, "")
    warned, dropped, path = out.split()
    recorded = provml.load(path)
    assert warned == "1"
    assert int(dropped) > 0
    assert len(recorded.series("m")) + int(dropped) == 20_000
    assert recorded.dropped == (int(dropped), 0)
    assert recorded.status == "finished"


def test_a_folder_that_is_removed_is_written_again(tmp_path, caught):
    """Cleaning up the wrong folder in the middle of a training would lose the whole run."""
    run = provml.start_run("gone", store=tmp_path, formats=("provjson",))
    run.log_param("before", 1)
    for i in range(3000):
        run.log_metric("m", i, step=i)
    description = json.loads((run.path / "run.json").read_bytes())
    shutil.rmtree(tmp_path / "gone")
    for i in range(3000, 10_000):
        run.log_metric("m", i, step=i)
    run.log_param("after", 2)
    assert run.dropped == (0, 0)
    run.end_run()
    recorded = provml.load(run.path)
    assert recorded.status == "finished"
    assert recorded.params == {"before": 1, "after": 2}
    assert recorded.series("m").step.tolist() == list(range(10_000))
    assert json.loads((run.path / "run.json").read_bytes()) == description
    assert (run.path / "provenance.json").exists()
    assert len(recorded.events("journal removed during the run")) == 1
    assert [message.category for message in caught] == [provml.ProvMLWarning]
    assert "removed" in str(caught[0].message)


def test_one_file_that_is_removed_is_written_again(tmp_path, caught):
    """The loss of one of the two files would go unnoticed until the run is read."""
    for pattern in ("*.samples", "*.jsonl"):
        run = provml.start_run("gone", store=tmp_path, formats=())
        run.log_metric("m", 1.0)
        (path,) = run.path.glob(f"journal/{pattern}")
        path.unlink()
        run.log_metric("m", 2.0)
        run.end_run()
        recorded = provml.load(run.path)
        assert recorded.status == "finished"
        assert recorded.series("m").value.tolist() == [1.0, 2.0]
        assert len(recorded.events("journal removed during the run")) == 1
    assert len(caught) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    """A store without permission would fail with an error that does not say where."""
    tmp_path.chmod(0o500)
    with pytest.raises(provml.StoreError, match=str(tmp_path)):
        provml.start_run("denied", store=tmp_path / "store")


def test_a_store_that_is_a_file(tmp_path):
    """A store that can't be a folder would fail with an error that does not say where."""
    (tmp_path / "store").write_text("")
    with pytest.raises(provml.StoreError, match="store"):
        provml.start_run("denied", store=tmp_path / "store")
    assert provml.active_run() is None


_NO_DESCRIPTORS = """
    import os, resource
    import provml

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    run = provml.start_run("few", run_id="r", formats=(), sample_interval_s=0)
    run.log_metric("m", 0, step=0)
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for i in range(1, 300_000):
        run.log_metric("m", i, step=i)
    for fd in held:
        os.close(fd)
    run.end_run()
"""


def test_without_descriptors_every_sample_is_kept(children, tmp_path):
    """A training that has used up its descriptors would lose all but its first samples."""
    assert children.run(_NO_DESCRIPTORS) == (0, "", "")
    recorded = provml.load(tmp_path / "store" / "few" / "r")
    assert recorded.dropped == (0, 0)
    assert recorded.series("m").value.tolist() == list(range(300_000))


_LOSS = """
    import shutil
    import provml

    run = provml.start_run("loss", formats=(), sample_interval_s=0)
    shutil.rmtree(run.path)
    run.end_run()
"""


@pytest.mark.parametrize("options", [(), ("-W", "error"), ("-W", "error::UserWarning")])
def test_the_notice_of_a_loss_reaches_standard_error_whatever_the_filters(children, options):
    """With warnings as errors, samples would be lost without a word, or the training would end."""
    status, out, err = children.run(_LOSS, options=options)
    assert (status, out) == (0, "")
    assert err.startswith("provml:1: ProvMLWarning: there was a problem while recording: ")
    assert err.count("ProvMLWarning") == 1


def test_a_closed_standard_error_stops_nothing(children):
    """The notice itself would end the training."""
    source = _LOSS.replace("shutil.rmtree", "import sys; sys.stderr = None; shutil.rmtree")
    assert children.run(source, options=("-W", "error")) == (0, "", "")


_FILLING = """
    import os, subprocess, sys

    def open_often(path):
        for _ in range(10_000):
            os.close(os.open(path, os.O_RDONLY))

    disk = sys.argv[1]
    if len(sys.argv) == 2:
        run = [sys.executable, "-m", "provml", "run", "--store", disk + "/store", "--"]
        done = subprocess.run([*run, sys.executable, __file__, disk, "fill"])
        sys.exit(done.returncode)
    open_often(__file__)
    with open(disk + "/filler", "wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            print("full")
    open_often(disk)
    print("done", file=sys.stderr)
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_strace_adds_nothing_to_the_errors_of_a_command_that_fills_the_disk(children, large_disk):
    """The errors of a training would be followed by one line of strace's for each open file."""
    code, out, err = children.run(_FILLING, large_disk.path)
    assert (code, out) == (0, "full\n"), err
    lines = err.splitlines()
    assert lines[0] == "done"
    assert all(line.startswith("provml: ") for line in lines[1:])
    assert not list(large_disk.path.glob("store/*/*/journal/*.strace"))
