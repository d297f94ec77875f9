"""Passes signals from the caller of ``provml run`` on to its command.

The signals are blocked, and the main thread waits for them, so they interrupt nothing in Python.
If the terminal or another process has sent a signal to the whole process group, the command has
it already. A signal that was sent to this process alone is passed on. Imports nothing of provml.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, Final, NamedTuple, NoReturn

_HANDLED_NAMES: Final = (
    "SIGHUP SIGINT SIGQUIT SIGTERM SIGUSR1 SIGUSR2 SIGTSTP SIGCONT SIGWINCH SIGCHLD"
)
_TERMINAL_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP})
TERMINATING_SIGNALS: Final = frozenset(
    {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}
)
"""The signals that by default end a process."""
_GROUP_DELAY_S: Final = 0.05
"""How long after a signal a process of the group has its copy pending at the latest."""
_MAX_WITNESS_DEATH_S: Final = 10
"""How long to wait for a witness with a pending signal. It may be stopped, and never die."""
_PF_EXITING: Final = 0x4
"""The flag of a process that is exiting, in ``/proc/<pid>/stat``."""
_WITNESS_COMMAND: Final = ("/bin/sh", "-c", "ulimit -c 0; exec cat")


class ReceivedSignal(NamedTuple):
    """A signal that this process has received."""

    number: int
    by_kernel: bool
    """Whether the terminal sent it, which sends to the whole foreground process group."""


class SignalQueue:
    """The signals that arrive at this process while the command runs.

    Attributes:
        before: the signals that were blocked before.
    """

    def __init__(self) -> None:
        """Block the signals, so that they queue up for `wait`, except those the caller ignores."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it is ignored, the exit status is lost
        handled = {getattr(signal, name) for name in _HANDLED_NAMES.split()}
        if hasattr(signal, "SIGRTMIN"):
            handled |= set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
        self._handled = {n for n in handled if signal.getsignal(n) != signal.SIG_IGN}
        self.before: set[int] = set(signal.pthread_sigmask(signal.SIG_BLOCK, self._handled))
        self._witness: int | None = None
        self._pipe: tuple[int, int] | None = None

    def wait(self) -> ReceivedSignal:
        """Wait for the next signal."""
        if sys.platform == "darwin":
            number = signal.sigwait(self._handled)
            return ReceivedSignal(number, number in _TERMINAL_SIGNALS)
        info = signal.sigwaitinfo(self._handled)
        return ReceivedSignal(info.si_signo, info.si_code > 0)

    def list_pending(self) -> set[int]:
        """Return the signals that have arrived and were not taken by `wait` yet."""
        return {int(n) for n in signal.sigpending()} & {int(n) for n in self._handled}

    def release(self) -> None:
        """Unblock the signals again."""
        self.stop_witness()
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)

    def start_witness(self) -> None:
        """Start the witness: a process of our group that dies of any signal sent to the group.

        It ends with this process, however that ends.
        """
        self.stop_witness()
        try:
            reader, writer = os.pipe()
        except OSError:
            return
        self._pipe = reader, writer
        try:
            self._witness = os.posix_spawn(
                _WITNESS_COMMAND[0],
                _WITNESS_COMMAND,
                {"PATH": os.defpath},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reader, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsigdef=sorted(self._handled),
                setsigmask=(),
            )
        except OSError:
            self._witness = None

    def stop_witness(self) -> None:
        """Stop the witness."""
        if self._pipe is not None:
            for fd in self._pipe:
                os.close(fd)
            self._pipe = None
        if self._witness is not None:
            self._poll_witness(0)

    def _poll_witness(self, options: int) -> int | None:
        """Return the signal that the witness died of; 0 if it just ended; None while it lives."""
        if self._witness is None:
            return None
        try:
            pid, status = os.waitpid(self._witness, options)
        except ChildProcessError:
            pid, status = self._witness, 0
        if not pid:
            return None
        self._witness = None
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def reached_group(self, came: ReceivedSignal) -> bool:
        """Whether a terminating signal was sent to our whole process group.

        Waits some hundredths of a second to see whether the witness dies of it, longer on a busy
        machine.
        """
        if came.by_kernel:
            return True
        if self._witness is None:
            return False
        started = time.monotonic()
        while (died_of := self._poll_witness(os.WNOHANG)) is None:
            waited_s = time.monotonic() - started
            is_late = waited_s > _GROUP_DELAY_S and not self._is_witness_dying()
            if is_late or waited_s > _MAX_WITNESS_DEATH_S:
                return False
            time.sleep(0.001)
        self.start_witness()
        return died_of == came.number

    def _is_witness_dying(self) -> bool:
        """Whether the witness has a pending signal, but had no time yet to die of it."""
        try:
            with open(f"/proc/{self._witness}/status", encoding="ascii", errors="replace") as file:
                status = dict(line.split(":", 1) for line in file if ":" in line)
            with open(f"/proc/{self._witness}/stat", encoding="ascii", errors="replace") as file:
                flags = int(file.read().rpartition(")")[2].split()[6])
        except (OSError, ValueError, IndexError):
            return False  # there is no /proc on macOS
        pending = [int(status.get(name, "0"), 16) for name in ("SigPnd", "ShdPnd")]
        return any(pending) or bool(flags & _PF_EXITING)


def stop_by_signal(number: int) -> None:
    """Stop this process by a signal, as its caller expects. Returns when it is continued."""
    # blocked first, so that it merges with a signal of the terminal that is already pending
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    time.sleep(_GROUP_DELAY_S / 5)  # the group's processes are continued one after another


def die_by_signal(number: int) -> NoReturn:
    """End this process by a signal, as the command ended. Nothing is cleaned up."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the signal does not end a process


def describe_signal(number: int) -> str:
    """Return the name of a signal: ``SIGTERM``; of a real-time signal, ``signal 40``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def poll_child(pid: int) -> tuple[int, Any] | None:
    """Return the status and resource usage of a child, as `os.wait4` does; None if it still runs.

    That a child has been stopped is reported once.
    """
    found, status, usage = os.wait4(pid, os.WNOHANG | os.WUNTRACED)
    return (status, usage) if found else None
