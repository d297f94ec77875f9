"""The command's standard output and error on their way to where they would go without us.

A stream that leads to a terminal is a pseudo-terminal for the command, any other one a pipe; two
that lead to one place share one, which keeps their order. A thread for each passes on what comes,
at once and byte for byte, and then hands it to `take`. Where the one that reads our output goes
away, so do we: the command meets a broken pipe at its next write, as it would without us.
Imports nothing of provml.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import stat
import struct
import termios
import threading
import time
from collections.abc import Callable
from typing import Final

_BLOCK_BYTES: Final = 2**18
_PIPE_BYTES: Final = 2**20
_WAIT_S: Final = 0.5
"""For how long after the command's end what it left running is still listened to."""
_F_SETPIPE_SZ: Final = getattr(fcntl, "F_SETPIPE_SZ", None)

Take = Callable[[bytes, int], None]
"""Given each block, and when it came."""


class Stream:
    """One way from the command to where its output goes.

    Attributes:
        name: ``stdout``, ``stderr``, or ``output`` for both.
        numbers: the command's descriptors that lead to it.
        given: the descriptor that the command gets for them.
        is_terminal: whether that is one of a terminal.
        trouble: what went wrong with the passing on, as where our own output can't be written.
        unread: whether something that the command left running goes on writing.
        is_done: whether nothing more will be passed on here; said before SIGCHLD is sent to this
            process, which tells the thread that waits for signals.
    """

    def __init__(self, numbers: tuple[int, ...], name: str) -> None:
        self.name = name
        self.numbers = numbers
        self.trouble: OSError | None = None
        self.unread = False
        self.is_done = False
        self._sink = numbers[0]
        self.is_terminal = os.isatty(self._sink)
        if self.is_terminal:
            self._source, self.given = os.openpty()
            self._prepare_terminal()
        else:
            self._source, self.given = os.pipe()
            if _F_SETPIPE_SZ is not None:
                try:
                    fcntl.fcntl(self._source, _F_SETPIPE_SZ, _PIPE_BYTES)
                except OSError:
                    pass  # more than this user may have
        self._woken, self._waker = os.pipe()
        self._thread: threading.Thread | None = None

    def _prepare_terminal(self) -> None:
        """Make it like the caller's, but with bytes as they are: the caller's will change them."""
        modes = termios.tcgetattr(self._sink)
        modes[1] &= ~termios.OPOST
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(self.given, termios.TCSANOW, modes)
        self.copy_size()

    def copy_size(self) -> None:
        """Give the command's terminal the size of the caller's."""
        if self.is_terminal:
            try:
                size = fcntl.ioctl(self._sink, termios.TIOCGWINSZ, b"\0" * 8)
                fcntl.ioctl(self._source, termios.TIOCSWINSZ, size)
            except OSError:
                pass  # the caller's terminal is gone

    def start(self, take: Take) -> None:
        """Pass on what comes, in a thread; the command has its end by now."""
        os.close(self.given)
        self._thread = threading.Thread(
            target=self._run, args=(take,), name=f"provml-{self.name}", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:  # the system allows no more threads
            self.trouble = OSError(f"{error}: passed on by another process, and not recorded")
            self.hand_over()
            self.is_done = True

    def discard(self) -> None:
        """Let go: there is no command."""
        for fd in (self._source, self.given, self._woken, self._waker):
            os.close(fd)

    def end(self) -> None:
        """Told that the command has ended: the thread ends soon after. Twice is once.

        What the command wrote is passed on to its last byte; what it left running is listened to
        for half a second more.
        """
        if self._waker >= 0:
            os.close(self._waker)
            self._waker = -1

    def hand_over(self) -> None:
        """Have a process of its own pass on what comes now, as nobody here does any more."""
        try:
            os.posix_spawnp(
                "cat",
                ["cat"],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, self._source, 0),
                    (os.POSIX_SPAWN_DUP2, self._sink, 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsigdef=[signal.SIGPIPE],
                setsigmask=(),
            )
        except OSError as error:
            self.trouble = error
        self._close_source()

    def _close_source(self) -> None:
        os.close(self._source)

    def _run(self, take: Take) -> None:
        try:
            self.unread = not self._pass_on(take)
        except OSError as error:
            self.trouble = error
        finally:
            if not self.unread:
                self._close_source()
            self.is_done = True
            os.kill(os.getpid(), signal.SIGCHLD)  # the main thread waits for signals

    def _pass_on(self, take: Take) -> bool:
        """Until the stream's end; whether it came to one. Raises OSError of our own output."""
        source, sink, woken = self._source, self._sink, self._woken
        poller = select.poll()
        poller.register(source, select.POLLIN)
        poller.register(woken, select.POLLIN)
        poller.register(sink, 0)  # a reader that goes away is told without being asked for
        # one buffer for all: new ones for each block take longer than the passing on
        buffer = memoryview(bytearray(_BLOCK_BYTES))
        owed: int | None = None
        deadline = 0.0
        while True:
            wait_ms = None if owed is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = dict(poller.poll(wait_ms))
            if sink in ready:
                if ready[sink] & select.POLLNVAL:
                    poller.unregister(sink)
                else:
                    raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
            if woken in ready:
                poller.unregister(woken)
                owed, deadline = _available(source), time.monotonic() + _WAIT_S
            if source in ready:
                try:
                    size = os.readv(source, [buffer])
                except OSError as error:
                    if error.errno != errno.EIO:  # Linux: nobody has the terminal open any more
                        raise
                    size = 0
                if not size:
                    return True
                time_ns = time.time_ns()
                _write(sink, buffer[:size])
                take(bytes(buffer[:size]), time_ns)
                if owed is not None:
                    owed -= size
            if owed is not None and owed <= 0 and time.monotonic() >= deadline:
                return False


def _available(fd: int) -> int:
    """How many bytes wait to be read."""
    try:
        found: int = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]
        return found
    except OSError:
        return 0


def _write(fd: int, view: memoryview) -> None:
    """Write all of a block, also to what does not wait. Raises OSError."""
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll()


def open_streams() -> list[Stream]:
    """The ways for the command's output; none for what the caller has closed.

    Raises OSError where the system has no more descriptors or terminals.
    """
    known = {number: _identity(number) for number in (1, 2)}
    names = {1: "stdout", 2: "stderr"}
    if known[1] is not None and known[1] == known[2]:
        return [Stream((1, 2), "output")]
    return [Stream((n,), names[n]) for n in (1, 2) if known[n] is not None or _is_open(n)]


def _is_open(number: int) -> bool:
    """Whether the caller gave us this descriptor; what we opened ourselves is not inherited."""
    try:
        return os.get_inheritable(number)
    except OSError:
        return False


def _identity(number: int) -> tuple[int, ...] | None:
    """What a descriptor leads to; None where order does not matter there: the null device."""
    if not _is_open(number):
        return None
    status = os.fstat(number)
    if stat.S_ISCHR(status.st_mode):
        return (status.st_rdev,) if os.isatty(number) else None
    return status.st_dev, status.st_ino
