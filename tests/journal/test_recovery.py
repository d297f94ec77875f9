"""Recovery of runs whose processes were really killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import damaging
import numpy as np
import pytest
from waiting import LIMIT_S

import provml
from provml.errors import JournalError, ProvMLError, ProvMLWarning, StoreError
from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.journal_folder import list_writer_files
from provml.journal.reader import Journal
from provml.journal.recovery import lock_journal, recover

# damage is stated in a warning, which is not what these tests are about
pytestmark = pytest.mark.filterwarnings("ignore:the files of run:provml.ProvMLWarning")

SAMPLES = 5000
START = """
import os, sys, provml
run = provml.start_run("killed", store=sys.argv[1], run_id="dead", resume=True)
for step in range(5000): run.log_metric("loss", step * 0.5, "training", step)
run.log_metric("big", 2**80)
run.log_param("lr", 0.1)
"""
WAIT = "print(os.getpid(), flush=True); sys.stdin.read()"
KILL = "os.kill(os.getpid(), 9)"


def spawn(store: Path, *code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join((START, *code)), str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    """The folder of a run that was killed after 5,001 samples and a parameter."""
    with spawn(tmp_path, KILL) as process:
        process.wait(LIMIT_S)
    return tmp_path / "killed" / "dead"


def owner(folder: Path) -> WriterFiles:
    (files,) = list_writer_files(folder)
    return files


def state_of(folder: Path) -> tuple[str, bool]:
    run = provml.load(folder)
    return run.status, run.ended is not None


def test_it_keeps_every_sample_and_the_length_of_the_file(dead: Path) -> None:
    """Recovery loses a sample, or shrinks a file that another process may have mapped."""
    before = provml.load(dead).series("loss", "training")
    size = owner(dead).samples_path.stat().st_size
    assert owner(dead).find_samples_end() < size
    (line,) = recover(dead)
    after = provml.load(dead).series("loss", "training")
    assert len(after) == SAMPLES
    assert np.array_equal(before.value, after.value)
    assert owner(dead).samples_path.stat().st_size == size
    assert "process" in line
    assert "all records are complete" in line
    (files,) = (journal := Journal(dead)).writers
    assert sum(len(chunk) for chunk in files.chunks()) == SAMPLES + 1
    assert not journal.damage()


def test_the_run_is_crashed_and_ended_at_its_last_record(dead: Path) -> None:
    """A killed run has no end, or ends at the time of its recovery."""
    assert state_of(dead) == ("crashed", False)
    recover(dead)
    assert state_of(dead) == ("crashed", True)
    run = provml.load(dead)
    (events,) = [files.end_record() for files in list_writer_files(dead)]
    (param,) = [r for _, r in owner(dead).records() if r["record"] == "param"]
    assert events["time"] == param["time"]
    assert run.reason is not None
    assert run.reason.endswith("died without ending the run; closed by recovery")
    header = owner(dead).header()
    assert (header.status, header.ended_ns) == ("crashed", param["time"])


def test_the_end_is_not_before_a_sample_dated_later(tmp_path: Path) -> None:
    """A sample in the document is later than its run's end."""
    later = int(time.time()) + 10_000
    with spawn(tmp_path, f"run.log_metric('late', 1.0, timestamp={later})", KILL) as process:
        process.wait(LIMIT_S)
    recover(tmp_path / "killed" / "dead")
    assert owner(tmp_path / "killed" / "dead").end_record()["time"] == later * 10**9


def test_recovery_is_idempotent(dead: Path) -> None:
    """A second recovery writes a second end."""
    recover(dead)
    before = {path: path.read_bytes() for path in dead.rglob("*") if path.is_file()}
    assert recover(dead) == []
    assert {path: path.read_bytes() for path in dead.rglob("*") if path.is_file()} == before


def test_concurrent_recoveries_are_safe(dead: Path) -> None:
    """Two people who recover a run at the same moment damage it."""
    code = (
        "import sys; from pathlib import Path; from provml.journal.recovery import recover\n"
        "sys.stdin.readline(); print(len(recover(Path(sys.argv[1]))))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(dead)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    closed = [process.communicate("\n", timeout=LIMIT_S)[0].strip() for process in processes]
    assert sorted(closed) == ["0", "0", "0", "1"]
    kinds = [record["record"] for _, record in owner(dead).records()]
    assert kinds.count("end") == 1
    assert len(provml.load(dead).series("loss", "training")) == SAMPLES


def test_a_torn_last_line_stays_alone(dead: Path) -> None:
    """The end is appended to half a line, and both are lost."""
    with owner(dead).events_path.open("ab") as file:
        file.write(b'{"record":"param","name":"x","val')
    (line,) = recover(dead)
    assert "incomplete last line" in line
    assert state_of(dead) == ("crashed", True)
    assert provml.load(dead).params == {"lr": 0.1}


@pytest.mark.parametrize("length", [1, 31])
def test_part_of_a_record_and_slots_never_committed_are_skipped(dead: Path, length: int) -> None:
    """Bytes at the file's end are mistaken for a record."""
    path = owner(dead).samples_path
    end = owner(dead).find_samples_end()
    with path.open("r+b") as file:
        file.seek(end)
        file.write(struct.pack("<qqdiI", 1, 2, 3.0, 4, 0))  # all but the series: not committed
        file.seek(0, os.SEEK_END)
        file.write(b"\xff" * length)
    recover(dead)
    assert len(provml.load(dead).series("loss", "training")) == SAMPLES


def test_a_hole_before_the_last_record_stays(dead: Path) -> None:
    """The samples after the first hole are lost."""
    path = owner(dead).samples_path
    with path.open("r+b") as file:
        file.seek(layout.HEADER_SIZE)
        file.write(bytes(100 * layout.RECORD_SIZE))
    recover(dead)
    assert len(provml.load(dead).series("loss", "training")) == SAMPLES - 100


def break_magic(files: WriterFiles) -> None:
    with files.samples_path.open("r+b") as file:
        file.write(b"?")


def shorten_header(files: WriterFiles) -> None:
    os.truncate(files.samples_path, 20)


def empty_samples(files: WriterFiles) -> None:
    os.truncate(files.samples_path, 0)


def remove_samples(files: WriterFiles) -> None:
    files.samples_path.unlink()


@pytest.mark.parametrize("damage", [break_magic, shorten_header, empty_samples, remove_samples])
def test_a_damaged_header_is_left_alone_but_the_run_ends(
    dead: Path, damage: Callable[[WriterFiles], None]
) -> None:
    """A flipped bit keeps a run from being closed, or makes recovery write a header of its own."""
    files = owner(dead)
    damage(files)
    before = files.samples_path.read_bytes() if files.samples_path.exists() else None
    assert len(recover(dead)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProvMLWarning)
        assert state_of(dead) == ("crashed", True)
    assert recover(dead) == []
    after = files.samples_path.read_bytes() if files.samples_path.exists() else None
    assert before == after


def test_without_an_events_file_the_header_has_the_end(dead: Path) -> None:
    """A run whose events were removed can't be closed."""
    owner(dead).events_path.unlink()
    assert len(recover(dead)) == 1
    assert state_of(dead) == ("crashed", True)
    assert recover(dead) == []


def test_random_damage_never_raises(dead: Path) -> None:
    """A bad disk makes recovery print a traceback."""
    random = np.random.default_rng(3)
    files = owner(dead)
    whole = {path: path.read_bytes() for path in (files.samples_path, files.events_path)}
    for _ in range(60):
        for path, content in whole.items():
            broken = bytearray(content)
            for place in random.integers(0, min(len(broken), 600), 4):
                broken[place] ^= 1 << int(random.integers(8))
            path.write_bytes(broken[: int(random.integers(len(broken)))])
        try:
            recover(dead)
        except ProvMLError:
            continue  # it now looks newer, or as if another host wrote it just now


def test_a_live_run_is_rejected_and_unchanged(tmp_path: Path) -> None:
    """Recovery closes the files of a living process."""
    with spawn(tmp_path, WAIT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        folder = tmp_path / "killed" / "dead"
        before = owner(folder).samples_path.stat().st_size
        with pytest.raises(JournalError, match=f"process {pid} on "):
            recover(folder)
        assert owner(folder).samples_path.stat().st_size == before
        process.kill()
    assert len(recover(folder)) == 1


FORK = """
if os.fork() == 0:
    run.log_metric("child", 1.5)
    print(os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
"""


def test_a_living_helper_is_left_alone(tmp_path: Path) -> None:
    """Recovery closes the files of a child that outlives its killed parent."""
    with spawn(tmp_path, FORK, "os.read(0, 1)") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        folder = tmp_path / "killed" / "dead"
        (line,) = recover(folder)
        assert "owner's" in line
        helper = next(f for f in list_writer_files(folder) if f.first_record()["pid"] == child)
        assert helper.header().status is None
        assert helper.samples_path.stat().st_size > layout.HEADER_SIZE + layout.RECORD_SIZE
        assert state_of(folder) == ("crashed", True)
        os.kill(child, signal.SIGKILL)


def test_a_dead_helper_is_closed_with_its_owner(tmp_path: Path) -> None:
    """A killed worker's files stay open for ever."""
    killed = "\nif os.fork() == 0:\n    run.log_metric('child', 1.5)\n    os.kill(os.getpid(), 9)\n"
    with spawn(tmp_path, killed, "os.wait()", KILL) as process:
        process.wait(LIMIT_S)
    folder = tmp_path / "killed" / "dead"
    lines = recover(folder)
    assert ["helper's" in line for line in lines] == [True, False]
    assert sorted(files.header().status or "" for files in list_writer_files(folder)) == [
        "crashed",
        "helper closed",
    ]
    assert provml.load(folder).series("child").value.tolist() == [1.5]
    assert state_of(folder) == ("crashed", True)


def test_an_ended_run_is_unchanged(tmp_path: Path) -> None:
    """A finished run turns into a crashed one."""
    with provml.start_run("done", store=tmp_path) as run:
        run.log_metric("loss", 1.0)
    assert recover(run.path) == []
    assert provml.load(run.path).status == "finished"


def test_a_helper_whose_first_line_is_damaged_does_not_end_the_run(tmp_path: Path) -> None:
    """A flipped bit in a worker's file turns a finished run into a crashed one."""
    killed = "\nif os.fork() == 0:\n    run.log_metric('child', 1.5)\n    os.kill(os.getpid(), 9)\n"
    with spawn(tmp_path, killed, "os.wait(); run.end_run()") as process:
        assert process.wait(LIMIT_S) == 0
    folder = tmp_path / "killed" / "dead"
    helper = list_writer_files(folder)[1]
    with helper.events_path.open("r+b") as file:
        file.write(b"?")
    os.utime(helper.events_path, (1, 1))
    assert recover(folder) == []
    with pytest.warns(ProvMLWarning, match="line 1 is damaged or missing"):
        assert provml.load(folder).status == "finished"


def test_earlier_files_of_a_resumed_run_are_closed_too(dead: Path) -> None:
    """The first half of a resumed run stays open for ever, or its end becomes the run's."""
    with provml.start_run("killed", store=dead.parent.parent, run_id="dead", resume=True) as run:
        run.log_metric("loss", 1.0, "training")
    assert len(recover(dead)) == 1
    assert provml.load(dead).status == "finished"
    assert recover(dead) == []


def rewrite_first_line(folder: Path, **changes: object) -> Path:
    """Change facts in the writer line, and return the path of the file."""
    path = owner(folder).events_path
    first, _, rest = path.read_bytes().partition(b"\n")
    writer = {k: v for k, v in (json.loads(first) | changes).items() if v is not None}
    path.write_bytes(json.dumps(writer).encode() + b"\n" + rest)
    damaging.seal_again(path)
    return path


ELSEWHERE = {"host": "elsewhere", "boot_id": "another boot"}
IN_A_CONTAINER = {"lock": None, "pid_namespace": 1}
ON_ANOTHER_MOUNT = {"file_system": 1, "pid_namespace": 1}
SAME_NAME = {"boot_id": "another boot", "machine_id": "another machine"}
CONTAINER_WITH_THE_SAME_ID = {"boot_id": "another boot", "pid_namespace": 1}


@pytest.mark.parametrize(
    "changes", [ELSEWHERE, IN_A_CONTAINER, ON_ANOTHER_MOUNT, SAME_NAME, CONTAINER_WITH_THE_SAME_ID]
)
def test_a_writer_that_cant_be_checked_is_left_alone(
    dead: Path, changes: dict[str, object]
) -> None:
    """A reader on another machine, or whose clock is wrong, closes the files of a live training."""
    path = rewrite_first_line(dead, **changes)
    for moment in (1, time.time(), time.time() + 10**6):
        os.utime(path, (moment, moment))
        before = path.read_bytes()
        with pytest.raises(JournalError, match=r"can't be checked from here.* --force"):
            recover(dead)
        assert path.read_bytes() == before
    assumed, closed = recover(dead, force=True)
    assert "because of --force" in assumed
    assert "closed the owner's files" in closed
    assert state_of(dead) == ("crashed", True)
    assert recover(dead, force=True) == []


def test_a_writer_whose_first_line_is_damaged_is_left_alone(dead: Path) -> None:
    """A bad disk makes recovery close the files of a process that it can't name."""
    path = owner(dead).events_path
    with path.open("r+b") as file:
        file.write(b"?")
    os.utime(path, (1, 1))
    with pytest.raises(JournalError, match=r"the unknown process that wrote .* is damaged"):
        recover(dead)
    assert len(recover(dead, force=True)) == 2


@pytest.mark.parametrize("content", [b"", b'{"record":"wri'])
def test_a_writer_that_wrote_nothing_is_dead(dead: Path, content: bytes) -> None:
    """A run that an early version left with an empty file waits for --force."""
    path = owner(dead).events_path
    path.write_bytes(content)
    os.utime(path, (1, 1))
    assert "None" not in str(provml.load(dead).reason)
    (line,) = recover(dead)
    assert "the unknown process that wrote " in line


def test_a_machine_that_has_restarted_runs_no_writer(dead: Path) -> None:
    """After a power loss, each run wants --force."""
    if owner(dead).first_record()["pid_namespace"] != 0xEFFFFFFC:
        pytest.skip("the tests run in a container, where restarts can't be told from other hosts")
    rewrite_first_line(dead, boot_id="the boot before")
    assert len(recover(dead)) == 1


def test_force_never_closes_a_living_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--force kills a training that can be checked from here."""
    monkeypatch.setenv("PROVML_SYNC_INTERVAL_S", "0")  # a sync writes checksums
    with spawn(tmp_path, WAIT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        folder = tmp_path / "killed" / "dead"
        before = owner(folder).events_path.read_bytes()
        with pytest.raises(JournalError, match="end that process first"):
            recover(folder, force=True)
        assert owner(folder).events_path.read_bytes() == before
        process.kill()


def test_a_live_run_that_was_closed_by_force_loses_nothing(tmp_path: Path) -> None:
    """Text that is logged after --force reads as another text, or the run stays crashed."""
    code = (
        "print('ready', flush=True)\nsys.stdin.read()\nrun.log_metric('big', 2**90)\nrun.end_run()"
    )
    with spawn(tmp_path, code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        folder = tmp_path / "killed" / "dead"
        path = owner(folder).events_path
        live = path.with_name("live")
        os.rename(path, live)  # so that the process keeps its file, and recovery sees a copy
        path.write_bytes(live.read_bytes())
        rewrite_first_line(folder, **ELSEWHERE)
        written = len(path.read_bytes().splitlines())
        recover(folder, force=True)
        added = path.read_bytes().splitlines(keepends=True)[written:]
        with live.open("ab") as file:
            file.writelines(added)
        os.replace(live, path)
        process.communicate("", timeout=LIMIT_S)
        assert process.returncode == 0
    assert provml.load(folder).series("big").value.tolist() == [2**80, 2**90]
    assert provml.load(folder).status == "finished"


def test_a_newer_version_is_rejected(dead: Path) -> None:
    """Recovery changes files of an unknown format."""
    with owner(dead).samples_path.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack("<H", layout.FORMAT_VERSION + 1))
    before = owner(dead).samples_path.read_bytes()
    with pytest.raises(JournalError, match="upgrade"):
        recover(dead)
    assert owner(dead).samples_path.read_bytes() == before


def test_a_folder_without_a_journal_has_nothing_to_close(tmp_path: Path) -> None:
    """A run whose journal was removed prints a traceback."""
    assert recover(tmp_path) == []


def test_a_journal_that_is_a_link_is_refused(dead: Path, tmp_path: Path) -> None:
    """Recovery writes into a journal outside the store."""
    outside = tmp_path / "outside"
    (dead / "journal").rename(outside)
    (dead / "journal").symlink_to(outside)
    before = {path: path.read_bytes() for path in outside.iterdir()}
    with pytest.raises(StoreError, match="symbolic link"):
        recover(dead)
    assert {path: path.read_bytes() for path in outside.iterdir()} == before


@pytest.mark.parametrize("which", ["samples_path", "events_path"])
def test_a_file_that_is_a_link_stays_unchanged(dead: Path, tmp_path: Path, which: str) -> None:
    """Recovery appends an end line to a file outside the store, or marks it as ended."""
    path = getattr(owner(dead), which)
    outside = tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    before = outside.read_bytes()
    recover(dead)
    assert outside.read_bytes() == before


def test_the_end_of_a_sparse_file_is_found_at_once(dead: Path) -> None:
    """A samples file with a hole of 300 GB keeps a command busy for minutes."""
    path = owner(dead).samples_path
    end = owner(dead).find_samples_end()
    os.truncate(path, 300 * 10**9)
    assert owner(dead).find_samples_end() == end
    with path.open("r+b") as file:
        file.seek(layout.HEADER_SIZE + (2**30 + 1) * layout.RECORD_SIZE)
        file.write(b"\x01" * layout.RECORD_SIZE)
    assert owner(dead).find_samples_end() == layout.HEADER_SIZE + (2**30 + 2) * layout.RECORD_SIZE


def test_a_recovery_that_is_stopped_does_not_block_others_for_ever(dead: Path) -> None:
    """A command, or the end of a training, waits as long as another process is stopped."""
    held = os.open(dead / "journal", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        message = r"locked .*/journal for more than 0\.1 s"
        with pytest.raises(StoreError, match=message), lock_journal(dead, wait_s=0.1):
            pass
    finally:
        os.close(held)
    with lock_journal(dead, wait_s=0):
        pass
