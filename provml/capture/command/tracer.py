"""Decides whether strace can trace a command without changing how the command runs.

Also builds strace's command line.

strace stops the command only at the system calls that open or change files: a seccomp filter lets
all other calls pass. strace runs in a process that is not the command's parent (``-DDD``), so
the command stays our direct child, and keeps its process group, terminal and exit status.

A traced process can't be traced again, and gains no privileges when it executes a program such as
``sudo``. So a command that names such a program, or a debugger, is not traced.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import struct
import sys
from typing import Final, NamedTuple

from provml.base.executables import find_executable
from provml.capture.command.program import Program
from provml.capture.files.trace_lines import TRACED_CALLS

DEBUGGERS: Final = frozenset(("gdb", "cuda-gdb", "lldb", "strace", "ltrace", "rr", "py-spy"))
PRIVILEGED: Final = frozenset(
    (
        *("sudo", "su", "doas", "pkexec", "ping", "mount", "umount", "fusermount", "fusermount3"),
        *("bwrap", "singularity", "apptainer", "podman", "buildah", "newuidmap", "newgidmap"),
    )
)
_OPTIONS: Final = (
    *("-DDD", "-f", "--seccomp-bpf", "-z", "-ttt", "-q", "-s0", "-I4", "-A", "-esignal=none"),
    f"-etrace={','.join(TRACED_CALLS)}",
)
_PROBE_TIMEOUT_S: Final = 5.0
_SCRIPT_BYTES: Final = 2**20
_MAX_INTERPRETERS: Final = 4
_COMMAND_WORD: Final = (
    rb"(?m)(?:^|[;|&({`!])\s*"
    rb"(?:(?:then|do|else|if|while|until|exec|env|time|nohup|nice|xargs|\w+=\S*)\s+)*"
    rb"(?:(?:/[\w.-]+)*/)?([\w-]+)(?=$|[\s;|&)`])"
)
"""A pattern for the words of a shell script that name a program."""
_QUOTED_WORD: Final = rb"""["'](?:(?:/[\w.-]+)*/)?([\w-]+)(?=["'\s])"""
_COMMENT: Final = rb"(?m)(?:^|(?<=\s))#.*$"
_PYTHON_SUFFIXES: Final = (".py", ".ipynb")
_ELF_INTERPRETER: Final = 3


class TracePlan(NamedTuple):
    """Whether and how to trace a command.

    Attributes:
        strace: the path of strace; None if the command is not traced.
        reason: why the command is not traced; empty if it is traced.
    """

    strace: str | None
    reason: str = ""

    def command_line(self, words: list[str], output: str) -> list[str]:
        """Return the command line that runs a command under strace.

        Args:
            words: the command line of the command to trace.
            output: the path of the file to write the trace to.
        """
        return [self.strace or "strace", *_OPTIONS, "-o", output, "--", *words]


class TracerProbe:
    """A short run of strace that shows whether this system allows tracing.

    The probe takes about 10 ms, and runs while provml opens the run.
    """

    def __init__(self) -> None:
        """Start strace on a program that does nothing, if strace is installed."""
        self._strace = find_executable("strace") if sys.platform == "linux" else None
        self._pid = 0
        self._errors = -1
        true = find_executable("true")
        if self._strace is None or true is None:
            return
        self._errors, writer = os.pipe()
        try:
            self._pid = os.posix_spawn(
                self._strace,
                TracePlan(self._strace).command_line([true], os.devnull),
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, writer, 2),
                ],
                setsigmask=(),
                setsigdef=[signal.SIGPIPE],
            )
        except OSError:
            pass
        finally:
            os.close(writer)

    def finish(self) -> TracePlan:
        """Wait for the probe to end. Return a plan that says whether tracing is possible."""
        if self._strace is None:
            system = "strace is not installed" if sys.platform == "linux" else "strace needs Linux"
            return TracePlan(None, system)
        if not self._pid:
            self.close()
            return TracePlan(None, "strace could not be started")
        message = self._read_errors()
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        if status or message:
            text = message.decode("utf-8", "replace").strip().partition("\n")[0][:200]
            return TracePlan(None, f"this system does not let strace trace programs: {text}")
        return TracePlan(self._strace)

    def _read_errors(self) -> bytes:
        """Return the errors that strace prints. If there are any, or on a timeout, kill strace."""
        import select

        ready, _, _ = select.select([self._errors], [], [], _PROBE_TIMEOUT_S)
        found = os.read(self._errors, 1000) if ready else b"strace does not end"
        if found:
            os.kill(self._pid, signal.SIGKILL)
        self.close()
        return found

    def close(self) -> None:
        """Close the probe's pipe. Idempotent."""
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1


def find_obstacle(program: Program, reads_output: bool = True) -> str | None:
    """Return why strace would change how a command runs; None if it would not.

    Reads the beginning of the executed files, and at most 1 MiB of the program's script.

    Args:
        program: the program that the command runs.
        reads_output: whether this process reads the command's output. If not, strace would keep the
            caller's pipe open as long as any process of the command runs.
    """
    if any(not _is_open(number) for number in (0, 1, 2)):
        return "standard input, output or error is closed"
    if not reads_output and stat.S_ISFIFO(os.fstat(2).st_mode):
        return "strace would keep the pipe of standard error open"
    if "LSAN_OPTIONS" in os.environ or "ASAN_OPTIONS" in os.environ:
        return "the leak sanitizer can't work in a traced process"
    path = find_executable(program.command[0])
    if path is None:
        return "the command was not found"
    obstacle = _check_executable(os.path.realpath(path))
    if obstacle is not None:
        return obstacle
    words = {os.path.basename(word) for word in program.command}
    is_python = program.script is not None and program.script.endswith(_PYTHON_SUFFIXES)
    found = [
        name
        for word in program.command[1:]
        if " " in word
        for name in re.findall(_COMMAND_WORD, word.encode("utf-8", "surrogateescape"))
    ]
    if program.script is not None:
        text = re.sub(_COMMENT, b"", _read_beginning(program.script, _SCRIPT_BYTES))
        found += re.findall(_QUOTED_WORD if is_python else _COMMAND_WORD, text)
    words |= {name.decode("utf-8", "replace") for name in found}
    named = sorted(words & DEBUGGERS)
    if named:
        return f"the command names {named[0]}, and a traced program can't be traced again"
    named = sorted(words & PRIVILEGED)
    if named:
        return f"the command names {named[0]}, and a traced program gains no privileges"
    return None


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _check_executable(path: str) -> str | None:
    """Return why a file may run differently under strace; None if strace makes no difference."""
    for _ in range(_MAX_INTERPRETERS):
        try:
            status = os.stat(path)
        except OSError:
            return f"{path} was not found"
        if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
            return f"{path} can't be executed"
        if status.st_mode & (stat.S_ISUID | stat.S_ISGID) or _has_capabilities(path):
            return f"{path} gains privileges, which a traced program can't"
        head = _read_beginning(path, 4096)
        if not head:
            return f"{path} can't be read"
        if head.startswith(b"#!"):
            words = head[2:].partition(b"\n")[0].split()
            if not words:
                return f"the #! line of {path} names no interpreter"
            path = os.path.realpath(os.fsdecode(words[0]))
        elif _is_native(head):
            return None
        else:
            return f"{path} is not a program for this machine"
    return "the command leads through too many #! lines"


def _has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except (OSError, AttributeError):
        return False


def _is_native(head: bytes) -> bool:
    """Return whether a file is a program for the same platform as this Python, and can be loaded.

    Args:
        head: the first 4096 bytes of the file.
    """
    own = _read_beginning("/proc/self/exe", 64)
    if head[:6] != own[:6] or head[18:20] != own[18:20] or head[4:6] != b"\x02\x01":
        return False
    offset, size, count = *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
    for number in range(count):
        start = offset + number * size
        if start + 40 > len(head):
            return False
        kind, _, place, _, _, length = struct.unpack_from("<IIQQQQ", head, start)
        if kind == _ELF_INTERPRETER:
            loader = head[place : place + length].rstrip(b"\0")
            return place + length <= len(head) and os.path.exists(loader)
    return True


def _read_beginning(path: str, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError:
        return b""
