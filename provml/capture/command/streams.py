"""Passes the command's output on to wherever it would go without provml.

- The command writes to a pseudo-terminal if our own output goes to a terminal, otherwise to a pipe.
- If standard output and error go to the same place, they share one pipe or pseudo-terminal, which
  keeps the order of the text.
- A thread for each pipe or pseudo-terminal passes the bytes on at once and unchanged, then calls a
  callback with the bytes.
- If the reader of our output goes away, we close our end of the command's pipe. The command's next
  write then fails with a broken pipe, just as it would without provml.

Imports nothing else from provml.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import signal
import stat
import struct
import termios
import threading
import time
from collections.abc import Callable
from typing import Final

_STREAM_BLOCK_BYTES: Final = 2**18
_PIPE_BYTES: Final = 2**20
_TAIL_BYTES: Final = 64
_WAIT_S: Final = 0.5
"""How many seconds to keep reading after the command has ended, because processes that the command
left running may still write."""
_LINE_END: Final = re.compile(rb"\n(?:\x1b\[[0-9;?]*[A-Za-z])*\Z")  # colour codes may follow
_F_SETPIPE_SZ: Final = getattr(fcntl, "F_SETPIPE_SZ", None)

BlockCallback = Callable[[bytes, int], None]
"""A function that receives a block of output and its arrival time, in nanoseconds since the epoch.
"""


class CommandStream:
    """One output stream of the command, and the thread that passes it on.

    Attributes:
        name: ``stdout``, ``stderr``, or ``output`` for both.
        numbers: the command's file descriptors that write to this stream: 1, 2 or both.
        command_fd: the descriptor of the command's end of the pipe or pseudo-terminal.
        is_terminal: whether the stream is a pseudo-terminal rather than a pipe.
        link: the target of the link in ``/proc/<pid>/fd`` for this stream, for example
            ``pipe:[1234]``. It identifies the processes that write to the stream.
        trouble: the error that stopped the thread, for example because provml's own output can't be
            written; None if no error occurred.
        unread: whether a process that the command left running may still write to the stream.
        tail: the end of the last block that was passed on.
        last_block_ns: when the last block arrived, in nanoseconds since the epoch; 0 if no block
            has arrived.
        is_done: whether the thread has finished. As its last act, the thread sends SIGCHLD to this
            process, to wake the main thread, which waits for signals.
    """

    def __init__(self, numbers: tuple[int, ...], name: str) -> None:
        self.name = name
        self.numbers = numbers
        self.trouble: OSError | None = None
        self.unread = False
        self.is_done = False
        self.tail = b""
        self.last_block_ns = 0
        self._sink = numbers[0]
        self.is_terminal = os.isatty(self._sink)
        if self.is_terminal:
            self._source, self.command_fd = os.openpty()
            self._prepare_terminal()
            self.link = os.ttyname(self.command_fd)
        else:
            self._source, self.command_fd = os.pipe()
            self.link = f"pipe:[{os.fstat(self._source).st_ino}]"
            if _F_SETPIPE_SZ is not None:
                try:
                    fcntl.fcntl(self._source, _F_SETPIPE_SZ, _PIPE_BYTES)
                except OSError:
                    pass  # the user's limit is lower: keep the default size
        self._woken, self._waker = os.pipe()
        self._thread: threading.Thread | None = None

    def _prepare_terminal(self) -> None:
        """Copy the settings of the caller's terminal, but turn off echo and output processing."""
        modes = termios.tcgetattr(self._sink)
        modes[1] &= ~termios.OPOST
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(self.command_fd, termios.TCSANOW, modes)
        self.copy_size()

    def copy_size(self) -> None:
        """Give the command's terminal the same size as the caller's terminal."""
        if self.is_terminal:
            try:
                size = fcntl.ioctl(self._sink, termios.TIOCGWINSZ, b"\0" * 8)
                fcntl.ioctl(self._source, termios.TIOCSWINSZ, size)
            except OSError:
                pass  # the caller's terminal is gone

    def start(self, take: BlockCallback) -> None:
        """Start the thread that passes the output on. Call this after the command has started."""
        os.close(self.command_fd)
        self._thread = threading.Thread(
            target=self._run_thread, args=(take,), name=f"provml-{self.name}", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:  # the system allows no more threads
            self.trouble = OSError(f"{error}; a cat process passes it on, and it is not recorded")
            self.hand_over()
            self.is_done = True

    def ends_with_line(self, since_ns: int) -> bool:
        """Return whether the output leaves the cursor at the start of a line.

        Args:
            since_ns: when something else last wrote to the terminal, in nanoseconds since the
                epoch; 0 if nothing did.
        """
        if self.last_block_ns < since_ns:
            return False
        return not self.tail or _LINE_END.search(self.tail) is not None

    def discard(self) -> None:
        """Close all descriptors. Call this method if the command could not be started."""
        for fd in (self._source, self.command_fd, self._woken, self._waker):
            os.close(fd)

    def end(self) -> None:
        """Tell the thread to finish, because the command has ended. Idempotent.

        The thread first passes on everything that the command wrote. It also keeps reading for half
        a second, because processes that the command left running may still write.
        """
        if self._waker >= 0:
            os.close(self._waker)
            self._waker = -1

    def stop(self) -> None:
        """Close our end of the stream. Call this method after the thread has finished.

        Use `hand_over` instead if another process may still write to the stream.
        """
        self._close_source()

    def hand_over(self) -> None:
        """Start a ``cat`` process that passes on the rest of the output.

        The ``cat`` process keeps running after this process has ended.
        """
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

    def _run_thread(self, take: BlockCallback) -> None:
        try:
            self.unread = not self._pass_on_blocks(take)
        except OSError as error:
            self.trouble = error
        finally:
            if not self.unread:
                self._close_source()
            self.is_done = True
            os.kill(os.getpid(), signal.SIGCHLD)  # wake the main thread, which waits for signals

    def _pass_on_blocks(self, take: BlockCallback) -> bool:
        """Pass blocks on until the stream or the command has ended.

        Returns:
            True if the stream has ended; False if other processes may still write to the stream.

        Raises:
            OSError: the output can't be read, or can't be passed on.
        """
        source, sink, woken = self._source, self._sink, self._woken
        poller = select.poll()
        poller.register(source, select.POLLIN)
        poller.register(woken, select.POLLIN)
        poller.register(sink, 0)  # 0: report only errors, such as a reader that has gone
        # reuse one buffer: allocating a new one takes longer than passing on a block
        buffer = memoryview(bytearray(_STREAM_BLOCK_BYTES))
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
                owed, deadline = _count_available(source), time.monotonic() + _WAIT_S
            if source in ready:
                try:
                    size = os.readv(source, [buffer])
                except OSError as error:
                    if error.errno != errno.EIO:  # EIO on Linux: no process has the terminal open
                        raise
                    size = 0
                if not size:
                    return True
                time_ns = time.time_ns()
                self.tail, self.last_block_ns = (
                    bytes(buffer[max(0, size - _TAIL_BYTES) : size]),
                    time_ns,
                )
                _write_all(sink, buffer[:size])
                take(bytes(buffer[:size]), time_ns)
                if owed is not None:
                    owed -= size
            if owed is not None and owed <= 0 and time.monotonic() >= deadline:
                return False


def _count_available(fd: int) -> int:
    """Return the number of bytes that can be read without waiting; 0 if unknown."""
    try:
        found: int = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]
        return found
    except OSError:
        return 0


def _write_all(fd: int, view: memoryview) -> None:
    """Write a whole block to a descriptor. If the descriptor is non-blocking, wait as needed.

    Raises:
        OSError: the block can't be written.
    """
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll()


def open_streams() -> list[CommandStream]:
    """Create the streams for the command's output; none for an output that the caller has closed.

    Raises:
        OSError: the system has no free descriptors or pseudo-terminals.
    """
    known = {number: _identify_output(number) for number in (1, 2)}
    names = {1: "stdout", 2: "stderr"}
    if known[1] is not None and known[1] == known[2]:
        return [CommandStream((1, 2), "output")]
    return [CommandStream((n,), names[n]) for n in (1, 2) if known[n] is not None or _is_open(n)]


def _is_open(number: int) -> bool:
    """Return whether the caller passed us this descriptor.

    Descriptors that we opened ourselves are not inheritable.
    """
    try:
        return os.get_inheritable(number)
    except OSError:
        return False


def _identify_output(number: int) -> tuple[int, ...] | None:
    """Return a key that identifies the file, pipe or terminal that a descriptor writes to.

    Returns None if the descriptor is closed. Also returns None for a device that is not a
    terminal, such as ``/dev/null``, because the order of the text does not matter there.
    """
    if not _is_open(number):
        return None
    status = os.fstat(number)
    if stat.S_ISCHR(status.st_mode):
        return (status.st_rdev,) if os.isatty(number) else None
    return status.st_dev, status.st_ino
