"""Passes the signals that ``provml run`` receives on to the command.

These signals are blocked, and the main thread waits for them, so they never interrupt Python code.
If the terminal or another process sends a signal to the whole process group, the command receives
it directly. Only a signal that is sent to this process alone has to be passed on. Imports nothing
else from provml.
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
"""The handled signals that end a process by default."""
_GROUP_DELAY_S: Final = 0.05
"""The maximum time that a signal to the process group takes to reach every process in it."""
_MAX_WITNESS_DEATH_S: Final = 10
"""The maximum time to wait for a signal to kill the witness (see `SignalQueue.start_witness`). The
witness may be stopped when the signal arrives, and dies only after it resumes."""
_PF_EXITING: Final = 0x4
"""The flag in ``/proc/<pid>/stat`` that marks a process as exiting."""
_WITNESS_COMMAND: Final = ("/bin/sh", "-c", "ulimit -c 0; exec cat")


class ReceivedSignal(NamedTuple):
    """A signal that this process has received."""

    number: int
    by_kernel: bool
    """Whether the kernel sent the signal, for example because the user pressed Ctrl-C. The kernel
    sends such a signal to our whole process group."""


class SignalQueue:
    """The signals that this process receives while the command runs.

    Attributes:
        before: the signals that were already blocked when the queue was created.
    """

    def __init__(self) -> None:
        """Block the signals, so that `wait` can receive them.

        Signals that this process already ignores stay ignored.
        """
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignoring SIGCHLD loses exit statuses
        handled = {getattr(signal, name) for name in _HANDLED_NAMES.split()}
        if hasattr(signal, "SIGRTMIN"):
            handled |= set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
        self._handled = {n for n in handled if signal.getsignal(n) != signal.SIG_IGN}
        self.before: set[int] = set(signal.pthread_sigmask(signal.SIG_BLOCK, self._handled))
        self._witness: int | None = None
        self._pipe: tuple[int, int] | None = None

    def wait(self) -> ReceivedSignal:
        """Wait for the next signal, and return it."""
        if sys.platform == "darwin":
            number = signal.sigwait(self._handled)
            return ReceivedSignal(number, number in _TERMINAL_SIGNALS)
        info = signal.sigwaitinfo(self._handled)
        return ReceivedSignal(info.si_signo, info.si_code > 0)

    def list_pending(self) -> set[int]:
        """Return the signals that have arrived but that `wait` has not returned yet."""
        return {int(n) for n in signal.sigpending()} & {int(n) for n in self._handled}

    def release(self) -> None:
        """Stop the witness, and unblock the signals."""
        self.stop_witness()
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)

    def start_witness(self) -> None:
        """Start the witness: a child that dies if our process group gets a terminating signal.

        The witness also ends when this process ends, for whatever reason.
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
        """Stop the witness if it is running."""
        if self._pipe is not None:
            for fd in self._pipe:
                os.close(fd)
            self._pipe = None
        if self._witness is not None:
            self._poll_witness(0)

    def _poll_witness(self, options: int) -> int | None:
        """Return the signal that killed the witness, 0 if it exited, or None if it still runs."""
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
        """Return whether a terminating signal was sent to our whole process group.

        Waits a few hundredths of a second, or longer on a busy machine, to see whether the signal
        kills the witness.
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
        """Return whether the witness has a pending signal or is already exiting."""
        try:
            with open(f"/proc/{self._witness}/status", encoding="ascii", errors="replace") as file:
                status = dict(line.split(":", 1) for line in file if ":" in line)
            with open(f"/proc/{self._witness}/stat", encoding="ascii", errors="replace") as file:
                flags = int(file.read().rpartition(")")[2].split()[6])
        except (OSError, ValueError, IndexError):
            return False  # macOS has no /proc
        pending = [int(status.get(name, "0"), 16) for name in ("SigPnd", "ShdPnd")]
        return any(pending) or bool(flags & _PF_EXITING)


def stop_by_signal(number: int) -> None:
    """Stop this process with a signal such as SIGTSTP. Return when SIGCONT has resumed it.

    The parent of this process sees which signal stopped the process.
    """
    # block the signal first, so that it merges with a pending signal from the terminal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    time.sleep(_GROUP_DELAY_S / 5)  # SIGCONT may reach the other processes later


def die_by_signal(number: int) -> NoReturn:
    """Kill this process with the signal that killed the command. Nothing is cleaned up."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # reached only if the signal does not kill a process by default


def describe_signal(number: int) -> str:
    """Return the name of a signal, such as ``SIGTERM``, or ``signal 40`` if it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def poll_child(pid: int) -> tuple[int, Any] | None:
    """Return a child's status and resource usage, as `os.wait4` does; None if it is still running.

    A stopped child is reported only once.
    """
    found, status, usage = os.wait4(pid, os.WNOHANG | os.WUNTRACED)
    return (status, usage) if found else None
