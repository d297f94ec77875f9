"""Printed output is recorded, and the script can't tell."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import LIMIT_S

import provml

LINE = '{"metric": "loss", "value": 0.5, "step": 3}'


def values(run: provml.Run, name: str = "loss") -> list[float]:
    """End the run, and return the values of a metric without a context."""
    run.end_run()
    return [float(value) for value in provml.load(run.path).series(name).value]


def in_script(store: Path, script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a script whose standard streams are pipes."""
    command = [sys.executable, "-c", f"import sys, provml\nSTORE = {str(store)!r}\n{script}"]
    return subprocess.run(command, capture_output=True, check=False)


def test_prints_are_recorded_and_pass(run: provml.Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A printed metric would be lost, or its line."""
    with provml.capture_output(patterns=["epoch {epoch} acc {acc}"]):
        print(LINE)
        print("epoch", 3, "acc", 0.25, flush=True)
        print('{"metric": "err", "value": 1}', file=sys.stderr)
        sys.stdout.writelines(["plain\n", LINE.replace("0.5", "0.75") + "\n"])
        print("epoch 4 acc 0.5", end="")
    print(LINE)
    out, err = capsys.readouterr()
    assert out == (
        f"{LINE}\nepoch 3 acc 0.25\nplain\n{LINE.replace('0.5', '0.75')}\nepoch 4 acc 0.5{LINE}\n"
    )
    assert err == '{"metric": "err", "value": 1}\n'
    assert values(run) == [0.5, 0.75]
    acc = provml.load(run.path).series("acc")
    assert (acc.value.tolist(), acc.epoch.tolist()) == ([0.25, 0.5], [3, 4])
    assert len(provml.load(run.path).series("err").value) == 1


def test_one_of_the_two(run: provml.Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A stream that should be ignored would be read."""
    before = sys.stdout
    with provml.capture_output(run, stdout=False):
        assert sys.stdout is before
        print(LINE)
        print(LINE, file=sys.stderr)
    assert values(run) == [0.5]


def test_needs_a_run() -> None:
    """Without a run, output would silently not be recorded."""
    with pytest.raises(provml.NoActiveRunError, match="capture_output"), provml.capture_output():
        pass
    with pytest.raises(provml.InvalidArgumentError, match="not a valid regular expression"):
        provml.capture_output(patterns=["(?P<a>"])


def test_streams_are_as_they_were(store: Path) -> None:
    """A script that inspects its streams would behave differently."""
    script = """
import io, os
def facts():
    return [(isinstance(s, io.TextIOWrapper), s.fileno(), s.isatty(), s.encoding, s.errors,
             s.name, s.line_buffering, s.closed, s.writable(), s.mode, repr(s),
             isinstance(s, io.TextIOBase),
             isinstance(s.buffer, io.BufferedWriter), s.buffer.fileno(), hasattr(s, "nothing"))
            for s in (sys.stdout, sys.stderr)]
before, streams = facts(), (sys.stdout, sys.stderr)
with provml.start_run("a", store=STORE, formats=()):
    with provml.capture_output():
        assert facts() == before
        sys.stdout.reconfigure(line_buffering=True)
        sys.stdout.mine = 7
        import subprocess
        subprocess.run(["echo", "child"], stdout=sys.stdout, check=True)
        with sys.stdout as stream:
            assert stream is sys.stdout
            with open(os.devnull, "w") as sys.stdout:
                print("unseen")
            sys.stdout = stream
            stream.buffer.write(b"bytes \\xff\\n")
            stream.buffer.flush()
            os.dup2(os.dup(1), 1)
            sys.exit(3)
"""
    done = in_script(store, script)
    assert done.stderr == b""
    assert (done.returncode, done.stdout) == (3, b"child\nbytes \xff\n")


@pytest.mark.parametrize("flags", [[], ["-u"], ["-X", "utf8=0"]])
def test_bytes_and_text(store: Path, flags: list[str]) -> None:
    """Bytes written to the buffer would be missed, or text would be read twice."""
    script = f"""
import sys, io, provml
with provml.start_run("a", store={str(store)!r}, formats=()) as run:
    with provml.capture_output(stderr=False):
        sys.stdout.buffer.write(b'{{"metric": "loss", "value": 1}}\\n')
        sys.stdout.buffer.flush()
        print('{{"metric": "loss", "value": 2}}')
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", line_buffering=True)
        print('{{"metric": "loss", "value": 3}}')
    print('{{"metric": "loss", "value": 4}}')
    path = str(run.path)
print(path, file=sys.stderr)
"""
    command = [sys.executable, *flags, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [1, 2, 3, 4]
    recorded = provml.load(done.stderr.strip())
    assert [int(value) for value in recorded.series("loss").value] == [1, 2, 3]


def test_a_stream_that_another_replaced(run: provml.Run) -> None:
    """Leaving the block would remove or break a replacement by other code."""
    original = sys.stdout
    own = io.StringIO()
    with contextlib.redirect_stdout(own):
        with provml.capture_output(run):
            captured = sys.stdout
            inner = io.StringIO()
            sys.stdout = inner
            print(LINE)
        assert sys.stdout is inner
        sys.stdout = captured
        print("after", LINE)
    assert sys.stdout is original
    assert own.getvalue() == f"after {LINE}\n"
    run.end_run()
    assert provml.load(run.path).series_names() == []


def test_a_method_that_another_replaced(run: provml.Run) -> None:
    """A tool that patches the stream's write would be removed, or call itself."""
    seen: list[str] = []
    own = io.StringIO()
    with contextlib.redirect_stdout(own):
        with provml.capture_output(run):
            write = sys.stdout.write

            def spy(text: str) -> int:
                seen.append(text)
                return write(text)

            sys.stdout.write = spy  # type: ignore[method-assign]
            print(LINE)
        print("after")
        del sys.stdout.write
        print("later")
    assert "".join(seen) == f"{LINE}\nafter\n"
    assert own.getvalue() == f"{LINE}\nafter\nlater\n"
    assert values(run) == [0.5]


def test_handlers_that_keep_the_stream(run: provml.Run) -> None:
    """A log handler created in the block would fail, or record, after the block."""
    own = io.StringIO()
    logger = logging.Logger("own")
    with contextlib.redirect_stderr(own):
        with provml.capture_output(run):
            logger.addHandler(logging.StreamHandler())
            logger.warning(LINE)
        logger.warning(LINE)
    assert own.getvalue() == f"{LINE}\n{LINE}\n"
    assert values(run) == [0.5]


def test_nested(run: provml.Run, store: Path) -> None:
    """In nested blocks, a line would be recorded more than once."""
    with provml.start_run("other", store=store, formats=()) as other:
        with (
            contextlib.redirect_stdout(io.StringIO()) as own,
            provml.capture_output(run),
            provml.capture_output(other),
        ):
            with provml.capture_output(run, ["x {x}"]):
                print(LINE)
                print("x 1")
            print(LINE)
            print("x 2")
        assert own.getvalue() == f"{LINE}\nx 1\n{LINE}\nx 2\n"
    assert values(other) == [0.5, 0.5]
    assert values(run) == [0.5, 0.5]
    assert values(run, "x") == [1]


def test_again(run: provml.Run) -> None:
    """A capture that is entered twice would record only the first time."""
    capture = provml.capture_output(run, stderr=False)
    with contextlib.redirect_stdout(io.StringIO()):
        for _ in range(2):
            with capture:
                print(LINE)
        with capture, capture:
            print(LINE)
    assert values(run) == [0.5, 0.5, 0.5]


def test_exceptions_pass(run: provml.Run) -> None:
    """An error of the script would change, or the output before it would be lost."""
    with contextlib.redirect_stdout(io.StringIO()):
        with pytest.raises(KeyError, match="mine"), provml.capture_output(run):
            print(LINE)
            raise KeyError("mine")
        with provml.capture_output(run):
            with pytest.raises(TypeError):
                sys.stdout.write(7)  # type: ignore[arg-type]
            with pytest.raises(AttributeError):
                sys.stdout.nothing  # type: ignore[attr-defined]
    assert values(run) == [0.5]


def test_a_closed_stream(run: provml.Run) -> None:
    """A script that closed its output would fail in another way."""
    with contextlib.redirect_stdout(io.StringIO()), provml.capture_output(run):
        sys.stdout.close()
        with pytest.raises(ValueError, match="closed"):
            print(LINE)


def test_no_streams_at_all(run: provml.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without a console would fail."""
    monkeypatch.setattr(sys, "stdout", None)
    with provml.capture_output(run):
        assert sys.stdout is None
        print(LINE)


def test_threads(run: provml.Run) -> None:
    """Lines that threads print at the same time would be lost or mixed up."""

    def log(thread: int) -> None:
        for number in range(200):
            print(json.dumps({"metric": f"m{thread}", "value": number}))

    with contextlib.redirect_stdout(io.StringIO()) as own, provml.capture_output(run):
        threads = [threading.Thread(target=log, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert own.getvalue().count("\n") == 3200
    run.end_run()
    recorded = provml.load(run.path)
    for number in range(16):
        assert recorded.series(f"m{number}").value.tolist() == list(range(200))
    assert recorded.events() == []


def test_fork(store: Path) -> None:
    """A forked child would wait for ever for a lock that a thread of its parent held."""
    script = """
import os, threading
run = provml.start_run("a", store=STORE, formats=())
with provml.capture_output():
    stop = threading.Event()
    def busy():
        while not stop.is_set():
            print('{"metric": "busy", "value": 1}')
    thread = threading.Thread(target=busy)
    thread.start()
    for number in range(20):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            sys.stdout.write('{"metric": "child", "value": %d}\\n' % number)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    thread.join()
run.end_run()
print(run.path, file=sys.stderr)
"""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        f"import sys, provml\nSTORE={str(store)!r}\n{script}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    child = provml.load(done.stderr.strip()).series("child").value.tolist()
    assert sorted(child) == list(range(20))


def test_a_signal_handler_that_prints(run: provml.Run) -> None:
    """A signal handler that prints while a line is read would deadlock."""

    def handle(number: int, frame: object) -> None:
        print('{"metric": "signal", "value": 1}')

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as own, provml.capture_output(run):
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            for _ in range(5000):
                print(LINE)
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    run.end_run()
    recorded = provml.load(run.path)
    assert own.getvalue().count("signal") > 0
    assert len(recorded.series("signal").value) > 0
    assert len(recorded.series("loss").value) > 4000


def test_disabled(capsys: pytest.CaptureFixture[str]) -> None:
    """A disabled run would replace the streams."""
    before = sys.stdout
    with provml.start_run("none", disabled=True), provml.capture_output():
        assert sys.stdout is before


def test_under_provml_run(run: provml.Run) -> None:
    """Under `provml run`, the built-in formats would be recorded twice."""
    script = """
import provml, sys
with provml.start_run("mine"):
    with provml.capture_output():
        assert sys.stdout is sys.__stdout__
    with provml.capture_output(patterns=["x {x}"]):
        print('{"metric": "loss", "value": 1}')
        print("x 7")
"""
    environment = {**os.environ, "PROVML_JOINED_RUN": str(run.path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert values(run, "x") == [7]
    assert provml.load(run.path).series_names() == [("x", None)]
