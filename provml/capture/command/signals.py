"""Signals between the caller, ``provml run`` and its command.

They are blocked and waited for, so that nothing of Python's own is interrupted. What the terminal
or anybody else sent to the whole process group has reached the command already; what was sent to
this process alone is passed on. Imports nothing of provml.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, Final, NamedTuple, NoReturn

_NAMES: Final = "SIGHUP SIGINT SIGQUIT SIGTERM SIGUSR1 SIGUSR2 SIGTSTP SIGCONT SIGWINCH SIGCHLD"
_OF_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP})
ENDING: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
"""What ends a process that does nothing about it."""
_SETTLE_S: Final = 0.05
"""How long after a signal a process of the group has its copy pending at the latest."""
_DEATH_S: Final = 10
"""How long to wait for a witness that has a signal pending: it may be stopped and never die."""
_PF_EXITING: Final = 0x4
"""The flag of a process that is exiting, in ``/proc/<pid>/stat``."""
_WITNESS: Final = ("/bin/sh", "-c", "ulimit -c 0; exec cat")


class Signal(NamedTuple):
    """A signal that came."""

    number: int
    by_kernel: bool
    """Sent by the terminal, which sends to its foreground process group."""


class Signals:
    """The signals of this process while it stands between its caller and a command."""

    def __init__(self) -> None:
        """Block them: from now on they wait to be asked for. What the caller ignores stays so."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an ignored one would hide how it ended
        own = {getattr(signal, name) for name in _NAMES.split()}
        if hasattr(signal, "SIGRTMIN"):
            own |= set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
        self._own = {n for n in own if signal.getsignal(n) != signal.SIG_IGN}
        self.before: set[int] = set(signal.pthread_sigmask(signal.SIG_BLOCK, self._own))
        self._witness: int | None = None
        self._pipe: tuple[int, int] | None = None

    def wait(self) -> Signal:
        """The next signal."""
        if sys.platform == "darwin":
            number = signal.sigwait(self._own)
            return Signal(number, number in _OF_TERMINAL)
        info = signal.sigwaitinfo(self._own)
        return Signal(info.si_signo, info.si_code > 0)

    def waiting(self) -> set[int]:
        """Signals that came and were not asked for yet."""
        return {int(n) for n in signal.sigpending()} & {int(n) for n in self._own}

    def release(self) -> None:
        """Let them do again what they did."""
        self.dismiss_witness()
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)

    def post_witness(self) -> None:
        """Start a process that stands in our process group and dies of what is sent to it.

        It ends with this process, however that ends.
        """
        self.dismiss_witness()
        try:
            reader, writer = os.pipe()
        except OSError:
            return
        self._pipe = reader, writer
        try:
            self._witness = os.posix_spawn(
                _WITNESS[0],
                _WITNESS,
                {"PATH": os.defpath},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reader, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsigdef=sorted(self._own),
                setsigmask=(),
            )
        except OSError:
            self._witness = None

    def dismiss_witness(self) -> None:
        """Let the witness go."""
        if self._pipe is not None:
            for fd in self._pipe:
                os.close(fd)
            self._pipe = None
        if self._witness is not None:
            self._reap(0)

    def _reap(self, options: int) -> int | None:
        """The signal that the witness died of; 0 where it just ended, None while it lives."""
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

    def reached_group(self, came: Signal) -> bool:
        """Whether a signal that would end a process was sent to our whole process group.

        Waits some hundredths of a second to see it, on a busy machine longer.
        """
        if came.by_kernel:
            return True
        if self._witness is None:
            return False
        started = time.monotonic()
        while (died_of := self._reap(os.WNOHANG)) is None:
            waited_s = time.monotonic() - started
            if waited_s > _DEATH_S or (waited_s > _SETTLE_S and not self._witness_is_dying()):
                return False
            time.sleep(0.001)
        self.post_witness()
        return died_of == came.number

    def _witness_is_dying(self) -> bool:
        """Whether the witness has a signal that it had no time to die of: the machine is busy."""
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
    """Stop this process by a signal, as its caller expects; returns when it is continued."""
    # held back until it is let through: one of the terminal's that waits already is the same one
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    time.sleep(_SETTLE_S / 5)  # the others of the group are continued one after another


def die_by_signal(number: int) -> NoReturn:
    """End this process by a signal, as a command did; nothing that is left is cleaned up."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # a signal that ends nothing


def signal_name(number: int) -> str:
    """``SIGTERM``; real-time signals by their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reap(pid: int) -> tuple[int, Any] | None:
    """How a child stands: its status as `os.wait4` gives it, with what it used; None: it runs on.

    A stop is told once.
    """
    found, status, usage = os.wait4(pid, os.WNOHANG | os.WUNTRACED)
    return (status, usage) if found else None
