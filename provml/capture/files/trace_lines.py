"""Reads what `strace` prints about the files of a command, and works out their absolute paths.

A line names a process, a time and a system call that succeeded:

    905 1796044248.338233 openat(AT_FDCWD</work>, "in.csv", O_RDONLY) = 3</work/in.csv>

strace adds what each descriptor leads to (``-y``). Calls such as ``rename("a", "b")`` have no
descriptor, so `TraceReader` also follows the working folder of each process, from its start to its
end. Everything in a line is text of the command, so nothing here trusts its form or its length.

Imports nothing else from provml.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

TRACED_CALLS: Final = (
    *("open", "openat", "openat2", "creat", "truncate", "execve", "execveat", "chdir", "fchdir"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat"),
    *("fork", "vfork", "clone", "clone3", "io_uring_setup", "open_by_handle_at"),
)
"""The system calls to trace. Each of them stops the command for some microseconds."""
MAX_LINE_BYTES: Final = 64 * 2**10
MAX_PROCESSES: Final = 100_000

_LINE: Final = re.compile(rb"(\d+) +(\d{1,11})\.(\d{6}) (?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)")
_PLACE: Final = rb"<([^>\\]*(?:\\.[^>\\]*)*)>"
_RESULT: Final = re.compile(rb"\) += (\d+)(?:" + _PLACE + rb"(\(deleted\))?)?(?: \(.*\))?$")
_TEXT: Final = re.compile(
    rb"(?:(AT_FDCWD|\d+)(?:" + _PLACE + rb"(?:\(deleted\))?)?, )?"
    rb'"([^"\\]*(?:\\.[^"\\]*)*)"(\.\.\.)?'
)
_DESCRIPTOR: Final = re.compile(rb"(\d+)" + _PLACE)
_PLAIN_OPEN: Final = re.compile(
    rb'(\d+) +(\d{1,11})\.(\d{6}) openat\(AT_FDCWD<([^<>\\"]*)>, "([^"\\]*)", '
    rb"(O_[A-Z_|]+)(?:, 0[0-7]*)?\) += \d+<([^<>\\]*)>"
)
"""The form of most lines. Reading it with one expression is several times faster."""
_FLAGS: Final = re.compile(rb"(?:^|[,=] ?)(O_[A-Z_|0-9a-fx]+)")
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
_END: Final = re.compile(rb"(\d+) +\d+\.\d+ \+\+\+ .* \+\+\+")
_UNFINISHED: Final = b" <unfinished ...>"
_OPENING: Final = frozenset({"open", "openat", "openat2", "creat"})
_STARTING: Final = frozenset({"fork", "vfork", "clone", "clone3"})


class TracedCall(NamedTuple):
    """A system call that opened, changed or executed a file.

    Attributes:
        time_ns: the time, in nanoseconds since the epoch.
        action: ``open``, ``truncate``, ``execute``, ``move``, ``remove``, ``link`` or ``unseen``.
        path: the absolute path of the file, as the command named it.
        flags: the flags for opening the file, as in `os.open`.
        target: the new path if the file was moved or linked.
        resolved: the path of the opened file without links; empty if unknown.
    """

    time_ns: int
    action: str
    path: str
    flags: int = 0
    target: str = ""
    resolved: str = ""


class _WorkingFolder:
    """The working folder of one process and its threads."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


class TraceReader:
    """A reader of strace's output, which may arrive in pieces of any length."""

    def __init__(self, working_folder: str) -> None:
        """Prepare the reader.

        Args:
            working_folder: the folder in which the command starts.
        """
        self._first = working_folder
        self._folders: dict[int, _WorkingFolder] = {}
        self._unfinished: dict[int, bytes] = {}
        self._rest = b""
        self._running: set[int] = set()
        self._ended: set[int] = set()
        self.damaged = 0
        """The number of lines that could not be read."""

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
        """Yield the calls of the lines that a block completes, in the order in which they ended."""
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = self._rest[:MAX_LINE_BYTES]  # such a line has no result and is damaged
        for line in lines:
            if len(line) <= MAX_LINE_BYTES:
                yield from self._read_line(line)
            else:
                self.damaged += 1

    def _read_line(self, line: bytes) -> Iterator[TracedCall]:
        plain = _PLAIN_OPEN.fullmatch(line)
        if plain is not None and plain[7].startswith(b"/") and plain[4].startswith(b"/"):
            process, seconds, micros, *texts = plain.groups()
            folder, path, _, resolved = map(os.fsdecode, texts)
            pid = int(process[:10])
            self._running.add(pid)
            self._folder_of(pid).path = folder
            flags = _READING.get(texts[2])
            time_ns = int(seconds) * 1_000_000_000 + int(micros) * 1000
            yield self._make_open(time_ns, _join(folder, path), flags, texts[2], resolved)
            return
        found = _LINE.fullmatch(line)
        if found is None:
            ended = _END.fullmatch(line)
            if ended is not None:
                self._follow_end(int(ended[1][:10]))
            else:
                self.damaged += bool(line) and b" --- " not in line
            return
        process, seconds, micros, name_bytes, rest = found.groups()
        pid, name = int(process[:10]), name_bytes.decode("ascii")
        self._running.add(pid)
        if rest.endswith(_UNFINISHED):
            if len(self._unfinished) < MAX_PROCESSES:
                self._unfinished[pid] = line[: -len(_UNFINISHED)]
            return
        if b" resumed>" in line[: len(line) - len(rest)]:
            begun = _LINE.fullmatch(self._unfinished.pop(pid, b""))
            if begun is None or begun[4] != name_bytes:
                self.damaged += 1
                return
            seconds, micros, rest = begun[2], begun[3], begun[5] + rest
        result = _RESULT.search(rest)
        if result is None:
            return
        time_ns = int(seconds) * 1_000_000_000 + int(micros) * 1000
        arguments = rest[: result.start()]
        if name in _STARTING:
            self._follow_start(pid, int(result[1][:10]), b"CLONE_FS" in arguments)
        elif name in ("chdir", "fchdir"):
            self._follow_chdir(pid, name, arguments)
        else:
            yield from self._read_call(pid, name, time_ns, arguments, result)

    # -- working folders ----------------------------------------------------------------------

    def _folder_of(self, pid: int) -> _WorkingFolder:
        folder = self._folders.get(pid)
        if folder is None:
            if len(self._folders) >= MAX_PROCESSES:
                self._folders.clear()
            folder = self._folders[pid] = _WorkingFolder(self._first)
        return folder

    def _follow_start(self, pid: int, child: int, shared: bool) -> None:
        """Give a new process the working folder of its parent, or let a thread share it."""
        parent = self._folder_of(pid)
        if child in self._ended:
            return
        self._running.add(child)
        if shared:
            self._folders[child] = parent
        elif child not in self._folders:  # the child's own lines may come first
            self._folders[child] = _WorkingFolder(parent.path)

    def _follow_end(self, pid: int) -> None:
        self._running.discard(pid)
        self._folders.pop(pid, None)
        self._unfinished.pop(pid, None)
        if len(self._ended) >= MAX_PROCESSES:
            self._ended.clear()
        self._ended.add(pid)

    def _follow_chdir(self, pid: int, name: str, arguments: bytes) -> None:
        folder = self._folder_of(pid)
        if name == "fchdir":
            found = _DESCRIPTOR.match(arguments)
            path = "" if found is None else _decode(found[2])
        else:
            text = _TEXT.match(arguments)
            path = "" if text is None else _join(folder.path, _decode(text[3]))
        if path.startswith("/"):
            folder.path = path

    # -- calls --------------------------------------------------------------------------------

    def _read_call(
        self, pid: int, name: str, time_ns: int, arguments: bytes, result: re.Match[bytes]
    ) -> Iterator[TracedCall]:
        if name in ("io_uring_setup", "open_by_handle_at"):
            yield TracedCall(time_ns, "unseen", name)
            return
        if name in _OPENING and (result[3] or not (result[2] or b"/").startswith(b"/")):
            return  # a pipe, a socket or a file without a name
        paths: list[str] = []
        end = 0
        while len(paths) < 2 and (text := _TEXT.search(arguments, end)) is not None:
            if text[4]:
                self.damaged += 1
                return  # strace has cut the path
            paths.append(self._find_path(pid, text))
            end = text.end()
        if not paths:
            return
        resolved = _decode(result[2] or b"")
        if name in _OPENING:
            flags = _CREATING if name == "creat" else None
            yield self._make_open(time_ns, paths[0], flags, arguments[end:], resolved)
        elif name.startswith("exec"):
            yield TracedCall(time_ns, "execute", paths[0])
        elif name == "truncate":
            yield TracedCall(time_ns, "truncate", paths[0], os.O_RDWR)
        elif name.startswith("unlink"):
            if b"AT_REMOVEDIR" not in arguments[end:]:
                yield TracedCall(time_ns, "remove", paths[0])
        elif len(paths) == 2:
            action = "move" if name.startswith("rename") else "link"
            yield TracedCall(time_ns, action, paths[0], target=paths[1])
            if b"RENAME_EXCHANGE" in arguments[end:]:
                yield TracedCall(time_ns, "move", paths[1], target=paths[0])

    def _make_open(
        self, time_ns: int, path: str, flags: int | None, text: bytes, resolved: str
    ) -> TracedCall:
        if resolved and (path.startswith(("/proc/", "/dev/")) or not path.startswith("/")):
            path = resolved  # such as /dev/stdin, which means another file in every process
        own = _read_flags(text) if flags is None else flags
        return TracedCall(time_ns, "open", path, own, resolved=resolved)

    def _find_path(self, pid: int, text: re.Match[bytes]) -> str:
        """Return the absolute path that an argument means."""
        folder = _decode(text[2] or b"")
        if text[1] == b"AT_FDCWD" and folder.startswith("/"):
            self._folder_of(pid).path = folder
        elif not folder.startswith("/"):
            folder = self._folder_of(pid).path
        return _join(folder, _decode(text[3]))


_CREATING: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
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
    """Return text without the escape sequences of strace, which are those of C."""
    if b"\\" in text:
        text = _ESCAPE.sub(_replace_escape, text)
    return os.fsdecode(text)


def _replace_escape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code.isdigit():
        return bytes([int(code, 8) & 255])
    return _LETTERS.get(code, code)
