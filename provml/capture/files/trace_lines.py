"""Parses the output of `strace`, and works out the absolute path of each file that a line names.

A line names a process, a time and a system call that succeeded:

    905 1796044248.338233 openat(AT_FDCWD, "in.csv", O_RDONLY|O_CLOEXEC) = 3

strace could print the path of each descriptor (``-y``), but that makes every call about twice as
slow. So `TraceReader` keeps track of the working folder and the descriptors of each process. A
command can put any text into a line, so this module trusts neither the form nor the length of a
line.

Imports nothing else from provml.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

TRACED_CALLS: Final = (
    *("open", "openat", "openat2", "creat", "truncate", "execve", "execveat", "chdir", "fchdir"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat", "symlink"),
    *("symlinkat",),
    *("fork", "vfork", "clone", "clone3", "io_uring_setup", "open_by_handle_at"),
)
"""The system calls to trace. Tracing delays each of these calls by a few microseconds."""
MAX_LINE_BYTES: Final = 64 * 2**10
MAX_PROCESSES: Final = 100_000
MAX_DESCRIPTORS: Final = 1_000
"""The maximum number of descriptors to follow in a process."""
_MAX_WAITING_BYTES: Final = 16 * 2**20

_LINE: Final = re.compile(rb"(\d+) +(\d{1,11})\.(\d{6}) (?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)")
_RESULT: Final = re.compile(rb"\) += (\d+)(?: \(.*\))?$")
_TEXT: Final = re.compile(
    rb'(?:(AT_FDCWD|\d+), )?"([^"\\]*(?:\\.[^"\\]*)*)"(\.\.\.)?',
)
_DESCRIPTOR: Final = re.compile(rb"(\d+)")
_OWN_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/(?:self|thread-self|\d+))/fd/(\d+)")
_PLAIN_OPEN: Final = re.compile(
    rb'(\d+) +(\d{1,11})\.(\d{6}) openat\(AT_FDCWD, "([^"\\]*)", '
    rb"(O_[A-Z_|]+)(?:, 0[0-7]*)?\) += (\d+)"
)
"""Matches most lines, and parses them several times faster than the other expressions do."""
_FLAGS: Final = re.compile(rb"(?:^|[,=] ?)(O_[A-Z_|0-9a-fx]+)")
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
_END: Final = re.compile(rb"(\d+) +(\d{1,11})\.(\d{6}) \+\+\+ .* \+\+\+")
_UNFINISHED: Final = b" <unfinished ...>"
_OPENING: Final = frozenset({"open", "openat", "openat2", "creat"})
_STARTING: Final = frozenset({"fork", "vfork", "clone", "clone3"})


class TracedCall(NamedTuple):
    """A system call that opened, changed or executed a file.

    Attributes:
        time_ns: the time, in nanoseconds since the epoch.
        action: ``open``, ``truncate``, ``execute``, ``move``, ``remove``, ``link`` or ``unseen``.
            ``unseen`` means that the call may open files that the trace does not show.
        path: the absolute path of the file; symbolic links are not resolved. If the action is
            ``unseen``, the name of the system call.
        flags: the flags for opening the file, as in `os.open`.
        target: the new path if the file was moved or linked; otherwise empty.
        resolved: the target of the path, if the path is a symbolic link that the command itself
            created; otherwise empty.
    """

    time_ns: int
    action: str
    path: str
    flags: int = 0
    target: str = ""
    resolved: str = ""


class _Process:
    """The working folder and the open files of one process and its threads."""

    __slots__ = ("descriptors", "folder")

    def __init__(self, folder: str, descriptors: dict[int, str]) -> None:
        self.folder = folder
        self.descriptors = descriptors


class TraceReader:
    """Parses strace's output, which may arrive in pieces of any length.

    On a busy machine, strace may print the first calls of a new process before it prints the call
    with which the parent started the process. Without the parent, the working folder of the new
    process is unknown. So the lines of the new process wait until the parent's line arrives, unless
    ``/proc`` names the parent.
    """

    def __init__(self, working_folder: str) -> None:
        """Prepare the reader.

        Args:
            working_folder: the folder in which the command starts.
        """
        self._first = working_folder
        self._processes: dict[int, _Process] = {}
        self._links: dict[str, str] = {}
        self._unfinished: dict[int, bytes] = {}
        self._last_unfinished = -1
        self._waiting: dict[int, list[bytes]] = {}
        self._waiting_bytes = 0
        self._rest = b""
        self._running: set[int] = set()
        self.last_ns = 0
        """The time at which a process last ended, in nanoseconds since the epoch."""
        self._ended: set[int] = set()
        self.damaged = 0
        """The number of lines that could not be read."""
        self.first_damaged = ""
        """The beginning of the first line that could not be read."""

    @property
    def running(self) -> list[int]:
        """The ids of the processes and threads that have not ended."""
        return list(self._running)

    @property
    def is_over(self) -> bool:
        """Whether every process in the trace has ended."""
        return bool(self._ended) and not self._running

    def has_ended(self, pid: int) -> bool:
        """Return whether a process has ended, according to the trace."""
        return pid in self._ended

    def feed(self, block: bytes) -> Iterator[TracedCall]:
        """Parse a block of the trace, and yield the system calls in its complete lines.

        An incomplete last line is kept for the next block.
        """
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = self._rest[:MAX_LINE_BYTES]  # the line is damaged
        for line in lines:
            if len(line) <= MAX_LINE_BYTES:
                yield from self._read_line(line)
            else:
                self._add_damaged(line)

    def finish(self) -> Iterator[TracedCall]:
        """Yield the calls of the processes whose start is missing in the trace.

        Call this method after the whole trace has been passed to `feed`.
        """
        while self._waiting:
            yield from self._read_waiting(next(iter(self._waiting)))

    def _add_damaged(self, line: bytes) -> None:
        self.damaged += 1
        self.first_damaged = self.first_damaged or line[:100].decode("utf-8", "backslashreplace")

    def _read_line(self, line: bytes) -> Iterator[TracedCall]:
        plain = _PLAIN_OPEN.fullmatch(line)
        if plain is not None:
            process, seconds, micros, path, flags, result = plain.groups()
            pid = int(process[:10])
            self._running.add(pid)
            if pid not in self._processes and self._must_wait(pid, line):
                return
            time_ns = int(seconds) * 1_000_000_000 + int(micros) * 1000
            folder = self._find_process(pid).folder
            own = _READING.get(flags)
            own = _read_flags(flags) if own is None else own
            yield from self._open(pid, time_ns, _join(folder, os.fsdecode(path)), own, result)
            return
        found = _LINE.fullmatch(line)
        if found is None:
            ended = _END.fullmatch(line)
            if ended is not None:
                pid = int(ended[1][:10])
                if pid in self._waiting and self._must_wait(pid, line):
                    return
                self.last_ns = int(ended[2]) * 1_000_000_000 + int(ended[3]) * 1000
                self._follow_end(pid)
            else:
                begun_line = self._unfinished.pop(self._last_unfinished, None)
                if begun_line is not None and b" --- " not in line:
                    # with `-z`, strace may print the end of a call alone on the next line
                    self._last_unfinished = -1
                    yield from self._read_line(begun_line + line)
                elif line and b" --- " not in line:
                    self._add_damaged(line)
            return
        process, seconds, micros, name_bytes, rest = found.groups()
        pid, name = int(process[:10]), name_bytes.decode("ascii")
        self._running.add(pid)
        if pid not in self._processes and self._must_wait(pid, line):
            return
        if rest.endswith(_UNFINISHED):
            if len(self._unfinished) < MAX_PROCESSES:
                self._unfinished[pid] = line[: -len(_UNFINISHED)]
                self._last_unfinished = pid
            return
        if b" resumed>" in line[: len(line) - len(rest)]:
            begun = _LINE.fullmatch(self._unfinished.pop(pid, b""))
            if begun is not None and begun[4] == name_bytes:
                seconds, micros, rest = begun[2], begun[3], begun[5] + rest
            elif name not in _STARTING:
                self._add_damaged(line)
                return
        result = _RESULT.search(rest)
        if result is None:
            return
        time_ns = int(seconds) * 1_000_000_000 + int(micros) * 1000
        arguments = rest[: result.start()]
        if name in _STARTING:
            child = int(result[1][:10])
            self._follow_start(pid, child, b"CLONE_FS" in arguments)
            if child in self._waiting:
                yield from self._read_waiting(child)
        elif name in ("chdir", "fchdir"):
            self._follow_chdir(pid, name, arguments)
        else:
            yield from self._read_call(pid, name, time_ns, arguments, result)

    # -- processes ----------------------------------------------------------------------------

    def _must_wait(self, pid: int, line: bytes) -> bool:
        """Return whether a line must wait, because the parent of its process is not known yet.

        If so, keeps the line. Only the first process of a trace has no parent.
        """
        if pid not in self._waiting:
            if not self._processes or self._adopt(pid):
                return False
            if self._waiting_bytes >= _MAX_WAITING_BYTES or len(self._waiting) >= MAX_PROCESSES:
                return False
            self._waiting[pid] = []
        self._waiting[pid].append(line)
        self._waiting_bytes += len(line)
        return True

    def _adopt(self, pid: int) -> bool:
        """Look up the parent of a new process in ``/proc``. Return whether the parent is traced.

        If so, the new process gets the working folder and descriptors of the parent. Returns False
        also if the process has ended.
        """
        found: dict[bytes, int] = {}
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                for line in file:
                    name, _, value = line.partition(b":")
                    if name in (b"Tgid", b"PPid"):
                        found[name] = int(value)
        except (OSError, ValueError):
            return False
        leader = found.get(b"Tgid", pid)
        parent = found.get(b"PPid", 0) if leader == pid else leader
        if parent not in self._processes:
            return False
        self._follow_start(parent, pid, shared=leader != pid)
        return True

    def _read_waiting(self, pid: int) -> Iterator[TracedCall]:
        """Read the lines of a process that had to wait, and yield the calls in these lines."""
        self._find_process(pid)
        lines = self._waiting.pop(pid)
        self._waiting_bytes -= sum(map(len, lines))
        for line in lines:
            yield from self._read_line(line)

    def _find_process(self, pid: int) -> _Process:
        process = self._processes.get(pid)
        if process is None:
            if len(self._processes) >= MAX_PROCESSES:
                self._processes.clear()
            process = self._processes[pid] = _Process(self._first, {})
        return process

    def _follow_start(self, pid: int, child: int, shared: bool) -> None:
        """Give a new process a copy of its parent's working folder and descriptors.

        A new thread shares the working folder and the descriptors with its process.
        """
        parent = self._find_process(pid)
        self._ended.discard(child)  # the system has reused the id of an ended process
        self._running.add(child)
        if shared:
            self._processes[child] = parent
        elif child not in self._processes:  # `_adopt` may have found the child already
            self._processes[child] = _Process(parent.folder, dict(parent.descriptors))

    def _follow_end(self, pid: int) -> None:
        self._running.discard(pid)
        self._processes.pop(pid, None)
        self._unfinished.pop(pid, None)
        if len(self._ended) >= MAX_PROCESSES:
            self._ended.clear()
        self._ended.add(pid)

    def _follow_chdir(self, pid: int, name: str, arguments: bytes) -> None:
        process = self._find_process(pid)
        if name == "fchdir":
            found = _DESCRIPTOR.match(arguments)
            path = "" if found is None else self._find_folder(pid, int(found[1][:10]))
        else:
            text = _TEXT.match(arguments)
            path = "" if text is None else _join(process.folder, _decode(text[2]))
        if path:
            process.folder = path

    def _find_folder(self, pid: int, number: int) -> str:
        """Return the folder that a descriptor leads to; an empty string if it is unknown.

        The trace does not show descriptors that the command has duplicated. As long as the process
        runs, ``/proc`` shows where such a descriptor leads.
        """
        path = self._find_process(pid).descriptors.get(number, "")
        if not os.path.isdir(path):
            try:
                path = os.readlink(f"/proc/{pid}/fd/{number}")
            except OSError:
                return path
        return path if path.startswith("/") else ""

    # -- calls --------------------------------------------------------------------------------

    def _read_call(
        self, pid: int, name: str, time_ns: int, arguments: bytes, result: re.Match[bytes]
    ) -> Iterator[TracedCall]:
        if name in ("io_uring_setup", "open_by_handle_at"):
            yield TracedCall(time_ns, "unseen", name)
            return
        if name.startswith("symlink"):
            self._follow_symlink(pid, arguments)
            return
        paths: list[str] = []
        end = 0
        while len(paths) < 2 and (text := _TEXT.search(arguments, end)) is not None:
            if text[3]:
                self._add_damaged(arguments)
                return  # strace has cut the path
            paths.append(self._find_path(pid, text))
            end = text.end()
        if not paths or "" in paths:
            return
        if name in _OPENING:
            flags = _CREATING if name == "creat" else _read_flags(arguments[end:])
            yield from self._open(pid, time_ns, paths[0], flags, result[1])
        elif name.startswith("exec"):
            yield TracedCall(time_ns, "execute", paths[0])
        elif name == "truncate":
            yield TracedCall(time_ns, "truncate", paths[0], os.O_RDWR)
        elif name.startswith("unlink"):
            self._links.pop(paths[0], None)
            if b"AT_REMOVEDIR" not in arguments[end:]:
                yield TracedCall(time_ns, "remove", paths[0])
        elif len(paths) == 2:
            action = "move" if name.startswith("rename") else "link"
            yield TracedCall(time_ns, action, paths[0], target=paths[1])
            if b"RENAME_EXCHANGE" in arguments[end:]:
                yield TracedCall(time_ns, "move", paths[1], target=paths[0])

    def _open(
        self, pid: int, time_ns: int, path: str, flags: int, result: bytes
    ) -> Iterator[TracedCall]:
        """Remember which path a new descriptor leads to, and yield the call.

        A path such as ``/dev/fd/63`` means the file that descriptor 63 leads to.
        """
        descriptors = self._find_process(pid).descriptors
        if path.startswith(("/dev/", "/proc/")):
            path = _STANDARD.get(path, path)
            own = _OWN_DESCRIPTOR.fullmatch(path)
            if own is not None:
                path = descriptors.get(int(own[1][:10]), "")
        number = int(result[:10])
        if flags & _UNNAMED == _UNNAMED or not path:
            descriptors.pop(number, None)
            return  # the file has no name, or is a pipe
        if len(descriptors) < MAX_DESCRIPTORS:
            descriptors[number] = path
        yield TracedCall(time_ns, "open", path, flags, resolved=self._links.get(path, ""))

    def _follow_symlink(self, pid: int, arguments: bytes) -> None:
        """Remember the target of a new symbolic link: the command may remove the link soon."""
        target = _TEXT.match(arguments)
        place = None if target is None else _TEXT.search(arguments, target.end())
        if target is not None and place is not None and len(self._links) < MAX_PROCESSES:
            path = self._find_path(pid, place)
            self._links[path] = _join(os.path.dirname(path), _decode(target[2]))

    def _find_path(self, pid: int, text: re.Match[bytes]) -> str:
        """Return the absolute path of a path argument; an empty string if its folder is unknown."""
        path = _decode(text[2])
        if path.startswith("/"):
            return _join("/", path)
        is_relative = text[1] is None or text[1] == b"AT_FDCWD"
        folder = (
            self._find_process(pid).folder
            if is_relative
            else self._find_folder(pid, int(text[1][:10]))
        )
        return _join(folder, path) if folder else ""


_CREATING: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_UNNAMED: Final = getattr(os, "O_TMPFILE", -1)
_STANDARD: Final = {
    "/dev/stdin": "/dev/fd/0",
    "/dev/stdout": "/dev/fd/1",
    "/dev/stderr": "/dev/fd/2",
}
_READING: Final = {b"O_RDONLY": os.O_RDONLY, b"O_RDONLY|O_CLOEXEC": os.O_RDONLY}


def _read_flags(arguments: bytes) -> int:
    found = _FLAGS.search(arguments)
    names = [] if found is None else found[1].decode("ascii", "replace").split("|")
    flags = 0
    for name in names:
        flags |= getattr(os, name, 0)
    return flags


def _join(folder: str, path: str) -> str:
    if not path.startswith("/"):
        path = f"{folder}/{path}" if path else folder
    return os.path.normpath(path) if "/." in path or "//" in path or path[-1] == "/" else path


def _decode(text: bytes) -> str:
    """Decode text that strace has printed with the escape sequences of C."""
    if b"\\" in text:
        text = _ESCAPE.sub(_replace_escape, text)
    return os.fsdecode(text)


def _replace_escape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code.isdigit():
        return bytes([int(code, 8) & 255])
    return _LETTERS.get(code, code)
