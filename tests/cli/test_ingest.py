"""``provml ingest``: a run of a log, of a pipe, and of a log that grows."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import provml
from provml.cli import execute as run_command
from provml.journal.store import find_run

PROVML = [sys.executable, "-c", "import provml.cli; provml.cli.main()"]
LINE = '{"metric": "loss", "value": 0.5, "step": 3}\n'


def latest(store: Path) -> provml.RecordedRun:
    """The run made last."""
    return provml.load(find_run("latest", store))


def test_a_file(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log would have to be read by a program of one's own."""
    log = tmp_path / "digits.log"
    log.write_text(LINE + "epoch 4 acc 0.75\nEpoch 2/2\n5/5 - 1s - loss: 0.25 - val_loss: 0.125\n")
    command = ["ingest", str(log), "--store", str(store), "--pattern", "epoch {epoch} acc {acc}"]
    assert run_command(command) == 0
    out, err = capsys.readouterr()
    recorded = latest(store)
    assert (out, err) == ("", f"run digits/{recorded.id}: 4 samples\n")
    assert recorded.status == "finished"
    assert recorded.series("loss").value.tolist() == [0.5]
    assert recorded.series("acc").epoch.tolist() == [4]
    assert recorded.series("val_loss", "validation").step.tolist() == [2]
    (used,) = recorded.artifacts()
    assert used.name == "digits.log"
    assert used.sha256 == hashlib.sha256(log.read_bytes()).hexdigest()
    assert (recorded.path / "provenance.json").exists()


def test_suggest_records_nothing(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user could not see what a log would give before it is recorded."""
    log = tmp_path / "digits.log"
    log.write_text(LINE + "epoch 1 | loss 0.5\nepoch 2 | loss 0.4\n")
    assert run_command(["ingest", "--suggest", str(log), "--store", str(store)]) == 0
    out = capsys.readouterr().out
    assert "epoch {epoch} | loss {loss}\n  lines    2\n" in out
    assert "  records  loss = 0.5, epoch 1\n" in out
    assert not store.exists()
    assert run_command(["ingest", "--suggest", "--follow", str(log)]) == 2


def test_adds_to_a_run(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a run's log has could not be put where it belongs, or would say that it went well."""
    with pytest.raises(ValueError), provml.start_run("digits", store=store) as run:
        provml.log_metric("own", 1)
        raise ValueError("too hot")
    log = tmp_path / "out.log"
    log.write_text(LINE)
    assert run_command(["ingest", str(log), "--run", run.id, "--store", str(store)]) == 0
    recorded = latest(store)
    assert (recorded.id, recorded.status) == (run.id, "failed")
    assert recorded.series("own").value.tolist() == [1]
    assert recorded.series("loss").value.tolist() == [0.5]
    assert run_command(["ingest", str(log), "--run", "none", "--store", str(store)]) == 2
    assert "run 'none' not found" in capsys.readouterr().err


def test_rejected_lines_are_told(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost metrics would be found out when a curve is missing."""
    log = tmp_path / "a.log"
    log.write_text('{"metric": "a", "value": null}\n')
    assert run_command(["ingest", str(log), "--store", str(store), "--experiment", "x"]) == 0
    assert ": 0 samples, 1 rejected (see the event 'lines rejected')" in capsys.readouterr().err
    assert latest(store).experiment == "x"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nothing.log"], 1, "there is no file 'nothing.log'"),
        (["."], 2, "'.' is a folder"),
        (["binary"], 2, "not text: it contains a NUL byte at offset 1"),
        (["a.log", "--pattern", "x"], 2, "names no metric"),
        (["-", "--follow"], 2, "--follow needs a file"),
        (
            ["a.log", "--run", "latest", "--experiment", "x"],
            2,
            "--experiment can't be used with --run",
        ),
        (["a\0b"], 2, "not a valid path"),
    ],
)
def test_misuse(
    tmp_path: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    """A mistake would make an empty run, or a traceback."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(b"\x7f\0ELF")
    (tmp_path / "a.log").write_text(LINE)
    assert run_command(["ingest", *arguments, "--store", str(store)]) == status
    _, err = capsys.readouterr()
    assert err.startswith("provml: error: ") and message in err and err.count("\n") == 1
    assert not store.exists()


def test_an_unreadable_file(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run would be made of nothing."""
    log = tmp_path / "a.log"
    log.write_text(LINE)
    log.chmod(0)
    if os.access(log, os.R_OK):
        pytest.skip("this user may read everything")
    assert run_command(["ingest", str(log), "--store", str(store)]) == 1
    assert capsys.readouterr().err == f"provml: error: {log}: Permission denied\n"
    assert not store.exists()


def test_a_pipe_passes_on(store: Path) -> None:
    """What a program prints would not be seen, or not as it was."""
    text = b"\xff\x00plain\r50%\r" + LINE.encode() + b"end"
    done = subprocess.run(
        [*PROVML, "ingest", "-", "--store", str(store)],
        input=text,
        capture_output=True,
        check=True,
    )
    recorded = latest(store)
    assert done.stdout == text
    assert done.stderr.decode() == f"run stdin/{recorded.id}: 1 samples\n"
    assert recorded.series("loss").value.tolist() == [0.5]
    quiet = [*PROVML, "ingest", "-", "--quiet", "--store", str(store)]
    assert subprocess.run(quiet, input=text, capture_output=True, check=True).stdout == b""


def test_a_pipe_is_live(store: Path) -> None:
    """A line would be shown, or recorded, only at the end."""
    with subprocess.Popen(
        [*PROVML, "ingest", "-", "--store", str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(LINE.encode() + b"unfinished")
        process.stdin.flush()
        shown = b""
        while not shown.endswith(b"unfinished"):
            shown += os.read(process.stdout.fileno(), 1000)
        process.stdin.write(LINE.encode())
        process.stdin.flush()
        process.stdout.read(len(LINE))
        # the line is passed on before it is read; the next one is passed on after that
        process.stdin.write(b".")
        process.stdin.flush()
        process.stdout.read(1)
        recorded = latest(store)
        assert recorded.status == "running"
        assert recorded.series("loss").value.tolist() == [0.5]
        process.stdin.close()
        assert process.wait() == 0


def test_nobody_reads_on(store: Path) -> None:
    """``| head`` would end the recording, and with it the program before the pipe."""
    process = subprocess.Popen(
        [*PROVML, "ingest", "-", "--store", str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdin is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(LINE.encode() * 10_000)
    assert (process.returncode, err.count(b"\n")) == (0, 1)
    assert len(latest(store).series("loss").value) == 10_000


def test_ctrl_c_reads_to_the_end(store: Path) -> None:
    """What a program prints when it is stopped would be lost."""
    with subprocess.Popen(
        [*PROVML, "ingest", "-", "--store", str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"started\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdin.write(LINE.encode())
        process.stdin.close()
        assert process.wait() == 130
    recorded = latest(store)
    assert recorded.status == "interrupted"
    assert recorded.series("loss").value.tolist() == [0.5]


def test_sigterm_stops(store: Path) -> None:
    """A run would be left without its end."""
    with subprocess.Popen(
        [*PROVML, "ingest", "-", "--store", str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"started\n")
        process.stdin.flush()
        process.stdout.readline()
        process.terminate()
        assert process.wait() == 143
    assert latest(store).status == "interrupted"


def test_closed_standard_input(store: Path) -> None:
    """The run's own files would be read as what comes in."""
    command = 'exec "$@" <&-'
    done = subprocess.run(
        ["sh", "-c", command, "sh", *PROVML, "ingest", "-", "--store", str(store)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "provml: error: standard input is closed: pipe log lines to it, or name a file\n"
    )
    assert not store.exists()


def test_follow(tmp_path: Path, store: Path) -> None:
    """A log that is being written would be read up to now; one begun anew, or moved, not at all."""
    log = tmp_path / "grows.log"
    log.write_text(LINE + "a longer line that is not there again when the log begins anew\n")
    with subprocess.Popen(
        [*PROVML, "ingest", str(log), "--follow", "--store", str(store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:

        def wait_for(count: int) -> None:
            while True:
                assert process.poll() is None
                try:
                    if len(latest(store).series("loss").value) == count:
                        return
                except (provml.RunNotFoundError, provml.SeriesNotFoundError):
                    pass

        wait_for(1)
        with log.open("a") as file:
            file.write(LINE)
        wait_for(2)
        log.write_text(LINE)
        wait_for(3)
        log.rename(tmp_path / "grows.log.1")
        log.write_text(LINE * 2)
        wait_for(5)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    recorded = latest(store)
    assert recorded.status == "finished"
    (used,) = recorded.artifacts()
    assert used.sha256 == hashlib.sha256(log.read_bytes()).hexdigest()


ROTATES = """
import logging, logging.handlers, sys
handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=500, backupCount=500)
logger = logging.getLogger()
logger.addHandler(handler)
for step in range(1000):
    logger.warning('{"metric": "loss", "value": %d, "step": %d}', step, step)
"""


def test_follow_finds_what_was_moved_away_meanwhile(tmp_path: Path, store: Path) -> None:
    """A log that is rotated faster than it is looked at would lose whole files."""
    log = tmp_path / "turns.log"
    log.write_text(LINE)
    (tmp_path / "turns.log.1").write_text(LINE)  # from before: read by whoever wanted it
    (tmp_path / "turns.logger").write_text(LINE)
    with subprocess.Popen(
        [*PROVML, "ingest", str(log), "--follow", "--store", str(store)], stderr=subprocess.PIPE
    ) as process:

        def steps() -> list[int]:
            assert process.poll() is None
            try:
                return [int(step) for step in latest(store).series("loss").step[1:]]
            except (provml.RunNotFoundError, provml.SeriesNotFoundError):
                return [-1]

        while steps():
            pass
        subprocess.run([sys.executable, "-c", ROTATES, str(log)], check=True)
        while len(steps()) < 1000:
            pass
        assert steps() == list(range(1000))
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def test_a_full_disk_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that can't be written would end in a traceback."""
    log = tmp_path / "a.log"
    log.write_text(LINE)
    (tmp_path / "store").write_text("a file")
    assert run_command(["ingest", str(log), "--store", str(tmp_path / "store")]) == 1
    assert "can't create the run's folder" in capsys.readouterr().err


def test_a_pipe_passes_on_where_nothing_can_be_recorded(tmp_path: Path) -> None:
    """A training before the pipe would die because its record can't be written."""
    (tmp_path / "store").write_text("a file")
    done = subprocess.run(
        [*PROVML, "ingest", "-", "--store", str(tmp_path / "store")],
        input=LINE.encode() * 10_000,
        capture_output=True,
        check=False,
    )
    assert done.stdout == LINE.encode() * 10_000
    assert done.returncode == 1
    assert done.stderr.startswith(b"not recording: can't create the run's folder")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_output_that_takes_nothing(store: Path) -> None:
    """A full disk behind standard output would end the recording."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROVML, "ingest", "-", "--store", str(store)],
            input=LINE.encode() * 10_000,
            stdout=full,
            stderr=subprocess.PIPE,
            check=True,
        )
    assert done.stderr.count(b"\n") == 1
    assert len(latest(store).series("loss").value) == 10_000


def test_a_named_pipe(tmp_path: Path, store: Path) -> None:
    """``<(command)`` could not be read."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with subprocess.Popen(
        [*PROVML, "ingest", str(path), "--store", str(store)], stderr=subprocess.PIPE
    ) as process:
        path.write_text(LINE)
        assert process.wait() == 0
    assert latest(store).series("loss").value.tolist() == [0.5]
    assert latest(store).artifacts() == []
