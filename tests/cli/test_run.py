"""`provml run`: the command behaves as without it, and a run says what it did."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import LIMIT_S, until

import provml
from provml.testing import assert_valid

PROVML = [sys.executable, "-m", "provml", "run"]


class Caller:
    """Calls commands in a folder of its own, with and without `provml run`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.watchdogs: list[threading.Timer] = []

    def environment(self, **variables: str) -> dict[str, str]:
        return {**os.environ, "PROVML_STORE": str(self.store), **variables}

    def script(self, text: str, name: str = "train.py") -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def bare(self, *command: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
            env=self.environment(),
            **options,
        )

    def run(
        self, *command: object, options: tuple[object, ...] = (), **others: Any
    ) -> subprocess.CompletedProcess[bytes]:
        return self.bare(*PROVML, *options, "--", *command, **others)

    def start(self, *command: object, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            list(map(str, [*PROVML, "--", *command])),
            cwd=self.folder,
            env=self.environment(),
            **options,
        )
        # a test that fails waits for what it has started
        watchdog = threading.Timer(2 * LIMIT_S, process.kill)
        watchdog.daemon = True
        watchdog.start()
        self.watchdogs.append(watchdog)
        return process

    @property
    def recorded(self) -> provml.RecordedRun:
        """The only run."""
        (path,) = self.store.glob("*/*/run.json")
        return provml.load(path.parent)

    def kept(self, name: str) -> bytes:
        (content,) = [one for one in self.recorded.artifacts() if one.name == name]
        return (self.recorded.path / content.facts["copy"]).read_bytes()

    def missed(self) -> dict[str, str]:
        events = self.recorded.events("capture missed")
        return {event.metadata["what"]: event.metadata["reason"] for event in events}


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    caller = Caller(tmp_path)
    yield caller
    for watchdog in caller.watchdogs:
        watchdog.cancel()


BYTES = bytes(range(256)) + b"\x1b[31mred\x1b[0m\r50%\r\n\0\xff\xfe last, no line end"
NOISY = f"""
import os, sys
os.write(1, {BYTES!r})
os.write(2, b"progress\\r" * 3)
sys.exit(3)
"""


class TestTheCommandIsAsWithout:
    def test_bytes_and_exit_status_pass(self, caller: Caller) -> None:
        """A script that reads the command's output, or its status, gets something else."""
        script = caller.script(NOISY)
        bare, ours = caller.bare(sys.executable, script), caller.run(sys.executable, script)
        assert (ours.stdout, ours.stderr, ours.returncode) == (
            bare.stdout,
            bare.stderr,
            bare.returncode,
        )
        assert ours.stdout == BYTES
        assert caller.kept("stdout") == BYTES
        assert caller.kept("stderr") == b"progress\r" * 3
        assert (caller.recorded.status, caller.recorded.reason) == ("failed", "exit status 3")

    def test_output_comes_at_once(self, caller: Caller) -> None:
        """What waits for a line of the command, or for a part of one, waits for ever."""
        script = caller.script(
            """
            import os, sys
            for word in ("one", "two"):
                os.write(1, word.encode())
                assert sys.stdin.readline() == word + "\\n"
            """
        )
        with caller.start(
            sys.executable, script, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for word in (b"one", b"two"):
                assert os.read(process.stdout.fileno(), 100) == word
                process.stdin.write(word + b"\n")
                process.stdin.flush()
            assert process.wait(LIMIT_S) == 0
        assert caller.kept("stdout") == b"onetwo"

    def test_order_of_two_streams_in_one_file(self, caller: Caller) -> None:
        """In a log of both streams an error stands where it did not happen."""
        script = caller.script(
            "import os\nfor i in range(5000): os.write(1 + i % 2, b'%d\\n' % i)\n"
        )
        log = caller.folder / "log"
        with open(log, "wb") as file:
            caller.start(sys.executable, script, stdout=file, stderr=file).wait(LIMIT_S)
        assert log.read_bytes() == b"".join(b"%d\n" % i for i in range(5000))
        assert caller.kept("output") == log.read_bytes()

    def test_buffering_is_left_alone(self, caller: Caller) -> None:
        """A script that prints much gets slower, or its lines are torn where they were whole."""
        text = "import os, sys; print(sys.stdout.line_buffering, os.getenv('PYTHONUNBUFFERED'))"
        bare = caller.bare(sys.executable, "-c", text)
        assert caller.run(sys.executable, "-c", text).stdout == bare.stdout

    @pytest.mark.parametrize(
        "command",
        [
            ["no-such-command"],
            ["./no-such-file"],
            [sys.executable, "no-such-script.py"],
            [sys.executable, "-m", "no_such_module"],
            ["/"],
            ["./plain-text"],
            ["sh", "-c", "exit 200"],
            [sys.executable, "not-python.py"],
        ],
        ids=lambda command: " ".join(command[-1:]),
    )
    def test_what_a_shell_says_of_a_command(self, caller: Caller, command: list[str]) -> None:
        """A launcher can't tell a missing command from a failing one."""
        (caller.folder / "plain-text").write_text("not executable")
        (caller.folder / "not-python.py").write_bytes(b"\x7fELF\0\xff")
        bare = caller.bare("sh", "-c", '"$@"', "sh", *command)
        ours = caller.run(*command)
        assert ours.returncode == bare.returncode
        assert ours.stdout == bare.stdout
        if bare.returncode not in (126, 127):
            assert ours.stderr == bare.stderr
        else:
            assert ours.stderr.startswith(b"provml: " + command[0].encode())
            assert ours.stderr.count(b"\n") == 1
        assert caller.recorded.status == "failed"

    def test_a_file_without_an_interpreter_line_is_the_shells(self, caller: Caller) -> None:
        """A shell script without a first line runs alone but not recorded."""
        caller.script("echo $1\n", "tool").chmod(0o755)
        assert caller.run("./tool", "word").stdout == b"word\n"

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
    def test_death_by_a_signal(self, caller: Caller, number: signal.Signals) -> None:
        """A scheduler takes a killed training for one that failed by itself."""
        done = caller.run(sys.executable, "-c", f"import os; os.kill(os.getpid(), {number:d})")
        assert done.returncode == -number
        assert caller.recorded.reason == f"killed by {number.name}"
        assert caller.recorded.status == "failed"

    def test_closed_and_odd_descriptors(self, caller: Caller) -> None:
        """A command finds streams that its caller has closed, or misses what it was given."""
        script = caller.script(
            """
            import os, sys
            def is_open(fd):
                try:
                    return bool(os.fstat(fd))
                except OSError:
                    return False
            found = [is_open(fd) for fd in range(10)]
            open(sys.argv[1], "w").write(str((found, sys.stdout is None, os.getpgrp())))
            """
        )
        words = f"{sys.executable} {script} {caller.folder}/"
        shell = "exec 7</dev/null; {} >&-; {} 2>&-; {} <&-"
        # what records files inside has one of its own open
        ours = " ".join([*PROVML, "--no-files", "--no-trackers", "-- "])
        for wrap, name in (("", "bare"), (ours, "ours")):
            calls = [f"{wrap}{words}{name}{i}" for i in range(3)]
            caller.bare("sh", "-c", shell.format(*calls))
        for i in range(3):
            found = {n: (caller.folder / f"{n}{i}").read_text() for n in ("ours", "bare")}
            assert found["ours"].rpartition(",")[0] == found["bare"].rpartition(",")[0], i

    def test_stdin_is_the_callers(self, caller: Caller) -> None:
        """A command that reads a pipe gets nothing, or not all of it."""
        content = os.urandom(300_000)
        done = caller.run("cat", input=content)
        assert done.stdout == content

    def test_a_reader_that_goes_away(self, caller: Caller) -> None:
        """`provml run -- yes | head -1` never ends."""
        text = f'{" ".join(PROVML)} -- yes | head -1; echo "${{PIPESTATUS[0]}}"'
        done = caller.bare("bash", "-c", text)
        assert done.stdout == b"y\n%d\n" % (128 + signal.SIGPIPE)
        assert caller.recorded.reason == "killed by SIGPIPE"
        assert "stdout" in caller.missed()

    def test_the_first_write_after_the_reader_has_gone(self, caller: Caller) -> None:
        """A command goes on writing where nobody reads, and learns it late."""
        script = caller.script(
            """
            import os, sys
            os.write(1, b"first")
            sys.stdin.readline()
            try:
                os.write(1, b"second")
            except BrokenPipeError:
                sys.exit(9)
            """
        )
        process = caller.start(
            sys.executable, script, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert os.read(process.stdout.fileno(), 100) == b"first"
            process.stdout.close()
            (child,) = _children(process.pid, "train.py")
            until(lambda: not _reads_pipe_of(process.pid, child))
            process.stdin.write(b"\n")
            process.stdin.close()
            assert process.wait(LIMIT_S) == 9

    def test_what_is_left_running_keeps_its_output(self, caller: Caller) -> None:
        """A daemon that the command starts dies at its next line, or the caller waits for it."""
        go = caller.folder / "go"
        os.mkfifo(go)
        log = caller.folder / "log"
        script = f"echo before; (read line < {go}; echo after; echo end > {log}.done) & "
        with open(log, "wb") as file:
            process = caller.start("sh", "-c", script, stdout=file)
            assert process.wait(LIMIT_S) == 0
        go.write_text("go\n")
        until((caller.folder / "log.done").exists)
        until(lambda: log.read_bytes() == b"before\nafter\n")
        assert caller.kept("stdout") == b"before\n"
        assert "left running" in caller.missed()["stdout"]

    def test_variables_and_path_of_a_python_script(self, caller: Caller) -> None:
        """A script imports another module than without, by a path that is not its own."""
        script = caller.script("import sys; print(sys.path, sys.argv, sys.flags, __name__)")
        bare = caller.bare(sys.executable, script, "a b", "")
        assert caller.run(sys.executable, script, "a b", "").stdout == bare.stdout

    def test_threads_forks_closed_and_replaced_streams(self, caller: Caller) -> None:
        """Lines of a script that does what scripts do are lost or doubled."""
        script = caller.script(
            """
            import io, os, sys, threading, warnings
            # Python's own: a thread that was joined may not have left the system yet
            warnings.simplefilter("ignore", DeprecationWarning)
            def work(number):
                for i in range(200):
                    os.write(1, b"%d %d\\n" % (number, i))
            threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            if os.fork() == 0:
                os.write(1, b"child\\n")
                os._exit(0)
            os.wait()
            before, sys.stdout = sys.stdout, io.StringIO()
            print("nowhere")
            sys.stdout = before
            print("back", flush=True)
            os.close(1)
            os.write(2, b"still here\\n")
            """
        )
        done = caller.run(sys.executable, script)
        assert done.returncode == caller.bare(sys.executable, script).returncode
        lines = done.stdout.splitlines()
        own = [b"%d %d" % (n, i) for n in range(16) for i in range(200)]
        assert sorted(lines) == sorted([*own, b"child", b"back"])
        assert done.stderr.startswith(b"still here\n")
        assert caller.kept("stdout") == done.stdout


def _children(pid: int, word: str = "") -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    found = [int(number) for number in text.split()]
    return [p for p in found if word.encode() in Path(f"/proc/{p}/cmdline").read_bytes()]


def _reads_pipe_of(pid: int, child: int) -> bool:
    """Whether a process has the pipe open that is a child's standard output."""
    pipe = os.readlink(f"/proc/{child}/fd/1")
    own = Path(f"/proc/{pid}/fd")
    return any(os.readlink(fd) == pipe for fd in own.iterdir() if fd.is_symlink())


class Terminal:
    """A terminal with a process group in the foreground, as a shell makes it."""

    def __init__(self, *command: object, environment: dict[str, str], folder: Path) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
            words = list(map(str, command))
            os.execvpe(words[0], words, environment)
        self.shown = b""

    def read_until(self, text: bytes) -> None:
        deadline = time.monotonic() + LIMIT_S
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self.master], [], [], 1)[0]:
                self.shown += os.read(self.master, 65536)

    def write(self, text: bytes) -> None:
        os.write(self.master, text)

    def wait(self) -> int:
        """Read to the end; the exit status, negative for a signal."""
        while True:
            try:
                block = os.read(self.master, 65536)
            except OSError:
                break
            if not block:
                break
            self.shown += block
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(caller: Caller) -> Callable[..., Terminal]:
    def start(*command: object) -> Terminal:
        return Terminal(*command, environment=caller.environment(), folder=caller.folder)

    return start


# A signal that comes just before a blocking read would be handled only after it. The wakeup pipe
# makes `select` return for such a signal, too.
WAITING = """
import os, select, signal, sys
count = 0
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
def on_signal(number, frame):
    global count
    count += 1
    os.write(1, b"got %d\\n" % number)
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), on_signal)
print("ready", flush=True)
while 0 not in select.select([0, reader], [], [])[0]:
    os.read(reader, 100)
print("count", count, flush=True)
"""


class TestOnATerminal:
    def test_a_terminal_stays_one(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """Progress bars and colours are gone, lines are stairs, the width is wrong."""
        script = caller.script(
            """
            import os, sys
            print([os.isatty(n) for n in range(3)], *os.get_terminal_size(1))
            print(*os.get_terminal_size(2), file=sys.stderr)
            os.write(1, b"a\\x1b[31mb\\x1b[0m\\rc\\n")
            """
        )
        bare = terminal(sys.executable, script)
        assert bare.wait() == 0
        ours = terminal(*PROVML, "--quiet", "--", sys.executable, script)
        assert ours.wait() == 0
        assert b"[True, True, True] 111 33\r\n111 33\r\n" in ours.shown
        assert ours.shown == bare.shown
        assert caller.kept("output") == bare.shown.replace(b"\r\n", b"\n")

    def test_one_stream_of_two(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """`provml run -- train > log` writes colours to the file, or none to the terminal."""
        text = "import sys; print(sys.stdout.isatty(), sys.stderr.isatty(), file=sys.stderr)"
        script = caller.script(text)
        words = " ".join([*PROVML, "--quiet", "--", sys.executable, str(script)])
        ours = terminal("sh", "-c", f"{words} > log")
        assert ours.wait() == 0
        assert ours.shown == b"False True\r\n"

    def test_a_new_size_is_told(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """After a change of the window the progress bars are broken."""
        script = caller.script(
            """
            import os, signal, sys
            def changed(number, frame):
                if os.get_terminal_size(1).columns == 55:
                    os.write(1, b"changed\\n")
            signal.signal(signal.SIGWINCH, changed)
            print("ready", flush=True)
            sys.stdin.readline()
            """
        )
        ours = terminal(*PROVML, "--", sys.executable, script)
        ours.read_until(b"ready")
        fcntl.ioctl(ours.master, termios.TIOCSWINSZ, struct.pack("HHHH", 22, 55, 0, 0))
        ours.read_until(b"changed")
        ours.write(b"\n")
        assert ours.wait() == 0

    def test_ctrl_c_arrives_once(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """A script that saves at the first Ctrl-C takes it for the second, and stops at once."""
        ours = terminal(*PROVML, "--", sys.executable, caller.script(WAITING), "SIGINT")
        ours.read_until(b"ready")
        ours.write(b"\x03")
        ours.read_until(b"got 2")
        ours.write(b"\n")
        assert ours.wait() == 0
        assert b"count 1" in ours.shown
        assert caller.recorded.status == "finished"

    def test_ctrl_c_ends_it(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """A shell's loop goes on after Ctrl-C, or the run reads as crashed."""
        ours = terminal(*PROVML, "--", sys.executable, caller.script(WAITING))
        ours.read_until(b"ready")
        ours.write(b"\x03")
        assert ours.wait() == -signal.SIGINT
        assert b"KeyboardInterrupt" in ours.shown
        assert caller.recorded.status == "interrupted"


class TestTheSummary:
    TRAIN = """
    import sys, provml
    with provml.start_run("inner"):
        for step in range(3):
            provml.log_metric("loss", 0.5 / (step + 1), "training", step)
            provml.log_metric("loss", 0.75 / (step + 1), "validation", step)
        provml.log_metric("count", 10**30)
        provml.log_metric("\x1b[2Jtoken=ghp_" + "a1B2" * 9, 1.0)
    open("model.pt", "w").write(open("data.csv").read())
    sys.stderr.write(sys.argv[1])
    sys.exit(int(sys.argv[2]))
    """

    def lines_of(self, shown: bytes) -> list[str]:
        text = shown.decode()
        assert text.count("provml: ") == 1
        return text[text.index("provml: ") :].splitlines()

    def test_it_names_what_was_recorded(
        self, caller: Caller, terminal: Callable[..., Terminal]
    ) -> None:
        """A person learns only later, or never, that a training gave no metrics or files."""
        (caller.folder / "data.csv").write_text("a,b")
        ours = terminal(*PROVML, "--", sys.executable, caller.script(self.TRAIN), "50%", "0")
        assert ours.wait() == 0
        assert b"50%\r\nprovml: " in ours.shown  # on a line of its own
        first, metrics, files = self.lines_of(ours.shown)
        assert first.startswith(f"provml: train/{caller.recorded.id} finished after ")
        assert "training: loss 0.1667; validation: loss 0.25" in metrics
        assert "count 1000000000000000000000000000000" in metrics
        assert "read data.csv; wrote model.pt" in files
        assert "\x1b[2J" not in metrics
        assert "ghp_a1B2" not in metrics
        assert max(map(len, (first, metrics, files))) <= 111

    def test_a_command_that_fails(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """The summary calls a failed training finished, or hides its exit status."""
        (caller.folder / "data.csv").write_text("a,b")
        ours = terminal(*PROVML, "--", sys.executable, caller.script(self.TRAIN), "", "3")
        assert ours.wait() == 3
        assert self.lines_of(ours.shown)[0].endswith(": exit status 3")

    def test_ctrl_c(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """After Ctrl-C nothing says what became of the run, or it follows ^C on one line."""
        ours = terminal(*PROVML, "--", "sh", "-c", "echo ready; sleep 100")
        ours.read_until(b"ready")
        ours.write(b"\x03")
        assert ours.wait() == -signal.SIGINT
        assert b"\r\nprovml: sh/" in ours.shown
        first, second = self.lines_of(ours.shown)
        assert " interrupted after " in first
        assert second.startswith("  no metrics; no files")

    def test_lines_that_look_like_metrics(
        self, caller: Caller, terminal: Callable[..., Terminal]
    ) -> None:
        """A person does not learn which pattern would read the metrics that were printed."""
        script = caller.script(
            """
            for n in range(5):
                print(f"energy: {1 / (n + 3):.4f}; magnetization: {1 / (n + 7):.4f}")
            """
        )
        ours = terminal(*PROVML, "--", sys.executable, script)
        assert ours.wait() == 0
        lines = self.lines_of(ours.shown)
        assert len(lines) <= 3
        hint = "--pattern 'energy: {energy}; magnetization: {magnetization}'"
        assert lines[-1] == f"  5 more lines look like metrics; to record them: {hint}"

    def test_quiet(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """A script that shows its own summary can't have the terminal to itself."""
        ours = terminal(*PROVML, "--quiet", "--", "echo", "done")
        assert ours.wait() == 0
        assert ours.shown == b"done\r\n"

    def test_standard_error_that_is_no_terminal(
        self, caller: Caller, terminal: Callable[..., Terminal]
    ) -> None:
        """A log of standard error, or what reads it, gets lines that the command did not write."""
        ours = terminal("sh", "-c", " ".join([*PROVML, "--", "echo", "done", "2>", "log"]))
        assert ours.wait() == 0
        assert ours.shown == b"done\r\n"
        assert (caller.folder / "log").read_bytes() == b""

    def test_ctrl_z_and_fg(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """Ctrl-Z hangs the terminal, or what it stopped can't be continued."""
        ours = terminal("bash", "--norc", "--noprofile", "-i")
        words = " ".join([*PROVML, "--", sys.executable, str(caller.script(WAITING)), "SIGUSR1"])
        ours.write(f"PS1=; {words}; echo status=$?\n".encode())
        ours.read_until(b"ready\r\n")
        ours.write(b"\x1a")
        ours.read_until(b"Stopped")
        ours.write(b"kill -0 %1 && echo still=there; fg; echo status=$?\n")
        ours.read_until(b"still=there")
        ours.write(b"\n")
        ours.read_until(b"count 0")
        ours.read_until(b"status=0")
        ours.write(b"exit\n")
        ours.wait()
        assert caller.recorded.status == "finished"


class TestSignals:
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"])
    def test_one_sent_to_provml_alone_is_passed_on(self, caller: Caller, name: str) -> None:
        """A scheduler's signal ends provml, and the training is killed without having saved."""
        done = self._signalled(caller, name, group=False)
        assert done == b"got %d\ncount 1\n" % getattr(signal, name)

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_one_sent_to_the_group_arrives_once(self, caller: Caller, name: str) -> None:
        """A signal to a job's process group is handled twice by the script."""
        done = self._signalled(caller, name, group=True)
        assert done == b"got %d\ncount 1\n" % getattr(signal, name)

    def _signalled(self, caller: Caller, name: str, group: bool) -> bytes:
        process = caller.start(
            sys.executable,
            caller.script(WAITING),
            name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            until(lambda: len(_children(process.pid)) == 2)  # the witness, too
            (witness,) = set(_children(process.pid)) - set(_children(process.pid, "train.py"))
            until(lambda: b"cat" in Path(f"/proc/{witness}/cmdline").read_bytes())
            send = os.killpg if group else os.kill
            send(process.pid, getattr(signal, name))
            first = process.stdout.readline()
            if group:  # a second one would come by then
                until(lambda: not Path(f"/proc/{witness}").exists())
                until(lambda: len(_children(process.pid)) == 2)
            process.stdin.write(b"\n")
            process.stdin.flush()
            rest = process.stdout.read()
            assert process.wait(LIMIT_S) == 0
        return first + rest

    def test_a_slow_witness_is_waited_for(self) -> None:
        """On a busy machine, a signal to the group arrives at the script twice."""
        code = """
import os, signal, threading
from provml.capture.command.signals import ReceivedSignal, SignalQueue
signals = SignalQueue()
signals.start_witness()
witness = signals._witness
os.kill(witness, signal.SIGSTOP)
os.waitid(os.P_PID, witness, os.WSTOPPED)
os.kill(witness, signal.SIGTERM)  # pending: a stopped process does not die of it
threading.Timer(0.3, os.kill, (witness, signal.SIGCONT)).start()
print(signals.reached_group(ReceivedSignal(signal.SIGTERM, by_kernel=False)))
print(signals.reached_group(ReceivedSignal(signal.SIGTERM, by_kernel=False)))
signals.release()
"""
        shown = subprocess.check_output([sys.executable, "-c", code], timeout=LIMIT_S)
        assert shown == b"True\nFalse\n"

    def test_what_the_caller_ignores_stays_ignored(self, caller: Caller) -> None:
        """Under nohup, a training ends with the terminal."""
        text = "import signal; print([signal.getsignal(s) == signal.SIG_IGN for s in (1, 2, 13)])"
        words = " ".join([*PROVML, "--", sys.executable, str(caller.script(text))])
        bare = " ".join([sys.executable, str(caller.script(text))])
        ignoring = "trap '' HUP INT; "
        assert (
            caller.bare("sh", "-c", ignoring + words).stdout
            == caller.bare("sh", "-c", ignoring + bare).stdout
        )

    def test_sigterm_ends_both(self, caller: Caller) -> None:
        """The caller is told another end than the command's."""
        process = caller.start(
            sys.executable,
            caller.script(WAITING),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.terminate()
            assert process.wait(LIMIT_S) == -signal.SIGTERM
        assert caller.recorded.reason == "killed by SIGTERM"

    def test_sigkill_of_provml(self, caller: Caller) -> None:
        """What was recorded until provml was killed is lost, or reads as if it went on."""
        process = caller.start(
            sys.executable,
            caller.script(WAITING),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == b"ready\n"
            pattern = "*/*/artifacts/stdout-*/stdout"
            until(lambda: [p.read_bytes() for p in caller.store.glob(pattern)] == [b"ready\n"])
            process.kill()
            process.wait(LIMIT_S)
            process.stdin.close()
            assert process.stdout.read() == b""
        assert caller.recorded.status == "crashed"
        assert len(caller.recorded.events("command_started")) == 1

    def test_what_a_killed_run_left_is_recovered(self, caller: Caller) -> None:
        """A job that is killed as a whole would have neither its output nor its files recorded."""
        (caller.folder / "in.csv").write_text("data")
        script = """
            import os, signal, sys
            open("made.txt", "w").write(open("in.csv").read())
            open("late.txt", "w").write("before")
            print('{"metric": "loss", "value": 0.5}')
            sys.stdout.flush()
            sys.stdin.readline()
            os.kill(os.getpid(), signal.SIGKILL)
        """
        process = caller.start(
            sys.executable, caller.script(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        pattern = "*/*/artifacts/stdout-*/stdout"
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b'{"metric": "loss", "value": 0.5}\n'
            until(lambda: any(p.stat().st_size for p in caller.store.glob(pattern)))
            until(lambda: caller.recorded.series_names())
            process.kill()
            process.wait(LIMIT_S)
            process.stdin.close()
            assert process.stdout.read() == b""
        run = caller.recorded.path
        assert run.is_dir()
        recover = [sys.executable, "-m", "provml", "recover", run]
        until(lambda: b"stdout: recorded" in caller.bare(*recover).stdout)
        again = caller.bare(*recover)
        assert again.stdout.startswith(b"already recovered")
        assert caller.recorded.status == "crashed"
        assert caller.kept("stdout") == b'{"metric": "loss", "value": 0.5}\n'
        contents = {one.name: one for one in caller.recorded.artifacts()}
        assert contents["made.txt"].kind == "artifact"
        assert contents["in.csv"].sha256 == hashlib.sha256(b"data").hexdigest()
        assert not list(caller.store.glob(pattern))
        checked = caller.bare(sys.executable, "-m", "provml", "validate", run)
        assert checked.returncode == 0, checked.stdout


class TestTheRecord:
    def test_a_run_of_a_script(self, caller: Caller) -> None:
        """A run does not say what was run, on what, with which code."""
        caller.bare("git", "init", "-q")
        script = caller.script("print(1)")
        options = ("--project", "p", "--owner", "o", "--tag", "k=v=w", "--run-id", "mine")
        done = caller.run(sys.executable, "train.py", "--api-key=x", "--lr", "1", options=options)
        assert done.stdout == b"1\n"
        run = caller.recorded
        assert (run.id, run.experiment, run.status) == ("mine", "train", "finished")
        assert run.tags == {"k": "v=w"}
        document = run.to_prov()
        (activity,) = [r for r in document.get_records() if r.label == "train mine"]
        facts = {str(name): value for name, value in activity.attributes}
        assert "--api-key=***" in str(facts["provml:commandLine"])
        assert facts["provml:workingFolder"] == str(caller.folder)
        text = document.serialize(format="provn")
        assert "provml:SourceCode" in text
        assert "provml:gitRoot" in text
        assert "provml:packages" in text
        plan = [r for r in document.get_records() if str(r.get_type()) == "prov:Association"]
        assert any("script/train.py" in str(r) for r in plan)
        (_, finished) = (run.events(name)[0] for name in ("command_started", "command_finished"))
        assert finished.metadata["exit_status"] == 0
        assert finished.metadata["peak_memory_bytes"] > 2**20
        assert (run.path / "provenance.json").exists()
        assert script.exists()
        assert_valid(run)

    def test_start_run_in_the_script_joins(self, caller: Caller) -> None:
        """A script that records by itself makes a second run."""
        script = caller.script(
            """
            import provml
            with provml.start_run("inner", formats=()) as run:
                provml.log_metric("loss", 0.25, provml.Context.TRAINING, 1)
            """
        )
        done = caller.run(sys.executable, script)
        assert (done.returncode, done.stderr) == (0, b"")
        assert caller.recorded.series("loss", provml.Context.TRAINING).value.tolist() == [0.25]
        assert caller.recorded.status == "finished"

    def test_the_worse_status_counts(self, caller: Caller) -> None:
        """A failure that the script tells, but not its exit status, is lost."""
        script = caller.script(
            """
            import provml, subprocess, sys
            try:
                with provml.start_run("inner"):
                    raise ValueError("too hot")
            except ValueError:
                pass
            """
        )
        assert caller.run(sys.executable, script).returncode == 0
        run = caller.recorded
        assert (run.status, run.reason) == ("failed", "uncaught ValueError")
        assert run.exception is not None
        assert run.exception["message"] == "too hot"

    def test_another_pythons_failure_is_not_the_runs(self, caller: Caller) -> None:
        """A script that tries something in a process of its own is taken to have failed."""
        script = caller.script(
            """
            import subprocess, sys
            text = "from provml.capture import outer_run as o; o.get_outer_run(); raise ValueError"
            assert subprocess.run([sys.executable, "-c", text], stderr=-3).returncode == 1
            """
        )
        assert caller.run(sys.executable, script).returncode == 0
        assert caller.recorded.status == "finished"

    def test_what_is_cut_is_said(self, caller: Caller) -> None:
        """A log that was cut reads as if it were whole, or fills the disk."""
        text = "for i in range(100_000): print(i)"
        done = caller.run(sys.executable, "-c", text, options=("--output-limit", 2000 / 2**20))
        assert len(done.stdout) == 588_890
        kept = caller.kept("stdout")
        head, note, tail = kept.partition(b"\n[provml: 586,890 bytes are left out here]\n")
        assert note
        assert head == done.stdout[:1000]
        assert tail == done.stdout[-1000:]
        (record,) = [r for r in _records(caller.recorded) if r.get("record") == "artifact"]
        assert record["metadata"] == {"bytes": 588_890, "bytes_left_out": 586_890}

    def test_lines_that_are_metrics(self, caller: Caller) -> None:
        """The metrics that a script prints are in its log alone."""
        script = caller.script(
            """
            import json, sys
            for step in range(3):
                print(json.dumps({"metric": "val_loss", "value": 1 / (step + 1), "step": step}))
                print(f"epoch {step} acc {step / 4}", file=sys.stderr)
            """
        )
        options = ("--pattern", "epoch {epoch} acc {acc}")
        caller.run(sys.executable, script, options=options)
        loss = caller.recorded.series("val_loss", provml.Context.VALIDATION)
        assert loss.value.tolist() == [1, 1 / 2, 1 / 3]
        assert loss.step.tolist() == [0, 1, 2]
        assert caller.recorded.series("acc").value.tolist() == [0, 0.25, 0.5]

    def test_without_output(self, caller: Caller, terminal: Callable[..., Terminal]) -> None:
        """A program that controls its terminal can't be recorded at all."""
        script = caller.script("import os; print(os.ttyname(0) == os.ttyname(1))")
        ours = terminal(*PROVML, "--no-output", "--quiet", "--", sys.executable, script)
        assert ours.wait() == 0
        assert ours.shown == b"True\r\n"
        assert caller.recorded.artifacts() == []

    def test_nothing_inside_is_said(self, caller: Caller) -> None:
        """Where nothing of a script could be captured the record reads as if there was nothing."""
        caller.run(sys.executable, "-I", "-c", "pass")
        assert "did not import" in caller.missed()["calls and files of the script"]

    def test_the_commands_processes_are_read(self, caller: Caller) -> None:
        """The readings are of provml's own process."""
        script = caller.script(
            """
            import subprocess, sys, time
            block = bytearray(300_000_000)
            while time.process_time() < 1.5: pass
            """
        )
        words = (sys.executable, script)
        caller.run("sh", "-c", f"{words[0]} {words[1]}; true", options=("--sample-interval", 0.2))
        run = caller.recorded
        assert max(run.series("memory_rss", kind="process").value) > 250e6
        assert max(run.series("cpu_time_s", kind="process").value) > 0.5

    def test_ranks_share_a_run(self, caller: Caller) -> None:
        """Of a launcher's processes, each recorded by itself, one gets the run."""
        script = caller.script(
            """
            import os, provml
            with provml.start_run("inner"):
                provml.log_metric("loss", float(os.environ["RANK"]))
            """
        )
        processes = [
            subprocess.Popen(
                [*PROVML, "--run-id", "job", "--", sys.executable, str(script)],
                env=caller.environment(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank)),
                stderr=subprocess.PIPE,
            )
            for rank in range(2)
        ]
        for process in processes:
            assert process.communicate(timeout=LIMIT_S)[1] == b""
            assert process.returncode == 0
        run = caller.recorded
        assert run.status == "finished"
        assert sorted(float(run.series("loss", rank=r).value[0]) for r in range(2)) == [0, 1]

    def test_a_file_of_python_without_python(self, caller: Caller) -> None:
        """`provml run -- train.py` is refused although it is clear what is meant."""
        caller.script("import sys; print(sys.argv)")
        assert caller.run("train.py", "x").stdout == b"['train.py', 'x']\n"
        assert caller.recorded.experiment == "train"


def _records(run: provml.RecordedRun) -> list[dict[str, Any]]:
    from provml.journal.reader import Journal

    return [record for _, _, record in Journal(run.path).records()]


class TestTroubleWithTheStore:
    @pytest.mark.parametrize("kind", ["a file", "full", "newer"])
    def test_the_command_runs_all_the_same(
        self, caller: Caller, kind: str, request: pytest.FixtureRequest
    ) -> None:
        """A training does not start for the sake of its record."""
        options: tuple[object, ...] = ()
        if kind == "a file":
            caller.store.write_text("")
        elif kind == "full":
            caller.store = Path("/dev/full/store")
        else:
            (caller.store / "train" / "old").mkdir(parents=True)
            (caller.store / "train" / "old" / "run.json").write_text('{"format": 99}')
            options = ("--run-id", "old", "--resume")
        script = caller.script(NOISY)
        bare, ours = (
            caller.bare(sys.executable, script),
            caller.run(sys.executable, script, options=options),
        )
        assert (ours.stdout, ours.returncode) == (bare.stdout, bare.returncode)
        first, _, rest = ours.stderr.partition(b"\n")
        assert first.startswith(b"provml: not recording: ")
        assert rest == bare.stderr

    def test_missing_commands_are_missing_then_too(self, caller: Caller) -> None:
        """A missing command ends in a traceback where the store is in trouble as well."""
        caller.store.write_text("")
        done = caller.run("no-such-command")
        assert done.returncode == 127
        assert b"Traceback" not in done.stderr

    def test_switched_off(self, caller: Caller) -> None:
        """PROVML_DISABLED=1 has no effect, or stops the command."""
        done = subprocess.run(
            [*PROVML, "--", "echo", "hi"],
            env=caller.environment(PROVML_DISABLED="1"),
            capture_output=True,
            check=True,
        )
        assert done.stdout == b"hi\n"
        assert not caller.store.exists()

    @pytest.mark.parametrize(
        "options",
        [
            ("--tag", "novalue"),
            ("--formats", "nosuch"),
            ("--run-id", "../x"),
            ("--sample-interval", "-1"),
            ("--namespace", "no iri"),
            ("--nosuch",),
            ("--pattern", "(?P<"),
        ],
    )
    def test_misuse_stops_before_the_command(
        self, caller: Caller, options: tuple[str, ...]
    ) -> None:
        """A training of days runs with an option that has no effect."""
        done = caller.run("touch", "started", options=options)
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
        assert done.stderr.startswith(b"provml: error: ")
        assert not (caller.folder / "started").exists()

    def test_a_run_id_that_is_taken(self, caller: Caller) -> None:
        """Two trainings are recorded into one run."""
        assert caller.run("true", options=("--run-id", "one")).returncode == 0
        done = caller.run("touch", "started", options=("--run-id", "one", "--experiment", "true"))
        assert done.returncode == 2
        assert b"--resume" in done.stderr
        assert not (caller.folder / "started").exists()
        again = ("--run-id", "one", "--resume", "--experiment", "true")
        assert caller.run("false", options=again).returncode == 1
        assert caller.recorded.status == "failed"


class TestMuchOutput:
    def test_a_line_of_64_mib(self, caller: Caller) -> None:
        """A line without an end takes the memory of the whole line, or hangs."""
        script = caller.script(
            """
            import os
            for _ in range(64):
                os.write(1, b"x" * 2**20)
            """
        )
        peak = caller.script(
            """
            import os, subprocess, sys
            process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            print(status, usage.ru_maxrss // 1024)
            """,
            "peak.py",
        )
        words = [*PROVML, "--formats", "", "--", sys.executable, script]
        done = caller.bare(sys.executable, peak, *words)
        status, mebibytes = map(int, done.stdout.split())
        assert status == 0
        assert mebibytes < 200
        assert len(caller.kept("stdout")) < 11 * 2**20


def _notebook(path: Path, *cells: str) -> None:
    import nbformat

    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
    nbformat.write(notebook, path)


class TestNotebooks:
    def test_cells_are_run_and_kept(self, caller: Caller) -> None:
        """A notebook's outputs are lost, or its start_run makes a run of its own."""
        _notebook(
            caller.folder / "train.ipynb",
            "print('hello'); 6 * 7",
            """
            import provml
            with provml.start_run("inner"):
                provml.log_metric("loss", 0.5)
            """,
        )
        done = caller.run("train.ipynb")
        assert (done.returncode, done.stdout) == (0, b"hello\n42\n")
        run = caller.recorded
        assert (run.experiment, run.status) == ("train", "finished")
        assert run.series("loss").value.tolist() == [0.5]
        (started,) = run._records("start")
        assert started["command"] == ["train.ipynb"]
        assert b'"42"' in caller.kept("executed train.ipynb")

    def test_a_cell_that_fails(self, caller: Caller) -> None:
        """A notebook that fails reads as one that went through."""
        _notebook(caller.folder / "train.ipynb", "1 / 0", "print('never')")
        done = caller.run("train.ipynb")
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"ZeroDivisionError" in done.stderr
        run = caller.recorded
        assert run.status == "failed"
        assert run.exception is not None
        assert run.exception["type"] == "ZeroDivisionError"
        assert b"ZeroDivisionError" in caller.kept("executed train.ipynb")

    def test_ctrl_c_interrupts_the_cell(self, caller: Caller) -> None:
        """After Ctrl-C a kernel goes on by itself, or the notebook is lost."""
        _notebook(
            caller.folder / "train.ipynb",
            "print('ready', flush=True)\nwhile True: pass",
        )
        process = caller.start("train.ipynb", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=LIMIT_S)
            assert process.returncode == -signal.SIGINT, errors
        assert caller.recorded.status == "interrupted"
        assert b"KeyboardInterrupt" in caller.kept("executed train.ipynb")

    @pytest.mark.parametrize("content", [None, "no notebook", '{"cells": 5}'])
    def test_what_is_no_notebook(self, caller: Caller, content: str | None) -> None:
        """A file that is no notebook ends in a traceback of ours."""
        if content is not None:
            (caller.folder / "train.ipynb").write_text(content)
        done = caller.run("./train.ipynb")
        assert done.returncode == (2 if content is None else 1)
        assert b"Traceback" not in done.stderr
        assert caller.recorded.status == "failed"

    def test_arguments_of_a_notebook_are_refused(self, caller: Caller) -> None:
        """Arguments that a notebook can't be given are swallowed."""
        done = caller.run("train.ipynb", "--lr", "1")
        assert done.returncode == 2
        assert b"can't take arguments" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_short_output_that_could_not_be_written_is_told(caller: Caller) -> None:
    """A command whose output fits a buffer would seem to have written it."""
    with open("/dev/full", "wb") as full:
        words = [*PROVML, "--", "echo", "hello"]
        done = subprocess.run(
            words,
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=caller.folder,
            env=caller.environment(),
            check=False,
            timeout=LIMIT_S,
        )
    assert done.returncode == 1
    assert done.stderr == b"provml: stdout: No space left on device\n"


def test_a_damaged_run_is_gone_on_with(caller: Caller) -> None:
    """A command would not run because the record of the one before can't be read."""
    options = ("--run-id", "r", "--experiment", "e", "--resume")
    assert caller.run("true", options=options).returncode == 0
    for path in (caller.store / "e" / "r" / "journal").iterdir():
        path.write_bytes(b"")
        os.utime(path, (0, 0))
    done = caller.run("echo", "hi", options=options)
    assert (done.returncode, done.stdout) == (0, b"hi\n")
    assert provml.load(caller.store / "e" / "r").status == "finished"
