"""Turns a trace of a command into notes about files, while the command runs.

strace writes the trace to ``journal/<command><start>-<pid>-<random>.strace`` in the run's folder. A
thread reads each new part of the trace and writes a note for each file, as `audit_hook` does in a
Python process. If this process is killed, the trace stays, and `provml recover` reads the rest.

The thread reads the trace a few milliseconds late. By then, the command may have replaced or
removed a file that it had read. So the thread hashes small files as soon as the trace shows that
they were read. It keeps larger files open, because an open file can still be hashed after it was
replaced or removed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from provml.base import store_files
from provml.capture.files.access_log import AccessLog, NoteKind
from provml.capture.files.file_space import free_space, reserve_space
from provml.capture.files.ignore_rules import IgnoreRules
from provml.capture.files.known_files import KnownFile
from provml.capture.files.open_files import (
    find_processes_with_inode,
    find_tracer,
    is_running,
)
from provml.capture.files.trace_lines import TracedCall, TraceReader
from provml.journal import layout

TRACE_SUFFIX: Final = ".strace"
HASHED_AT_ONCE_BYTES: Final = 64 * 2**20
"""The maximum size of a file to hash when the command overwrites, moves or removes the file."""
MAX_NOTES: Final = 500_000
"""The maximum number of notes. Further notes are only counted."""

_HASH_SHARE: Final = 0.05
"""The share of one processor's time to spend on hashing small files while the command runs."""
_HASH_START_S: Final = 0.1
_MAX_OPEN_FILES: Final = 64
_READ_BYTES: Final = 2**20
_SHORT_WAIT_S: Final = 0.005
_LONG_WAIT_S: Final = 0.1
_END_WAIT_S: Final = 30.0
_QUIET_S: Final = 0.3
_LOOK_AFTER_S: Final = 0.05
_LAG_NS: Final = 10_000_000
"""The maximum time by which a file system's timestamps may lag behind the clock."""
_FREED_BYTES: Final = 16 * 2**20
_RESERVED_BYTES: Final = 2**20
_MIN_FREE_BYTES: Final = 8 * 2**20
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EMPTYING: Final = os.O_TRUNC | os.O_EXCL
_NOT_A_FILE: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0)
_READ, _WRITTEN = 1, 2


class _OpenFile(NamedTuple):
    fd: int
    size: int
    modified_ns: int


class AccessTracker:
    """Writes notes for the system calls in a trace: the first read and first write of each file."""

    def __init__(
        self,
        log: AccessLog,
        rules: IgnoreRules,
        known: Mapping[str, KnownFile],
        script: str | None = None,
        live: bool = True,
    ) -> None:
        """Prepare the tracker.

        Args:
            log: the log to write the notes to.
            rules: the rules that decide which files need a digest.
            known: the files that were hashed before the command started, by path.
            script: the script that the command runs. Reads of the script are not noted, because the
                script is recorded as source code.
            live: whether the command is still running. If not, no file is hashed.
        """
        self._log, self._rules, self._known_files = log, rules, known
        self._script, self._live = script, live
        self._states: dict[str, int] = {}
        self._hashed: set[str] = set()
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()
        self._started_s = time.monotonic()
        self._hashing_s = 0.0
        self._notes = 0
        self._not_noted = 0
        self.unseen: set[str] = set()
        """The system calls with which the command may have opened files that the trace does not
        show."""
        self.privileged: set[str] = set()
        """The set-user-ID and set-group-ID programs that the command executed. strace prevents them
        from gaining privileges."""
        self._actions: dict[str, Callable[[TracedCall], None]] = {
            "open": self._on_open,
            "truncate": self._on_open,
            "execute": self._on_execute,
            "move": self._on_move,
            "remove": self._on_remove,
            "link": self._on_link,
            "unseen": lambda call: self.unseen.add(call.path),
        }

    def follow(self, call: TracedCall) -> None:
        """Write the notes for one system call."""
        self._actions[call.action](call)

    def close(self) -> None:
        """Close all files that are kept open. Note how many notes were left out."""
        while self._open:
            os.close(self._open.popitem()[1].fd)
        if self._not_noted:
            self._log.add(NoteKind.NOT_NOTED, f"{self._not_noted} ")

    # -- calls --------------------------------------------------------------------------------

    def _on_open(self, call: TracedCall) -> None:
        path = call.path
        if call.flags & _NOT_A_FILE or not path.startswith("/"):
            return
        if not call.flags & _WRITING:
            self._note_read(path, call.time_ns, real=call.resolved)
        elif self._states.get(path) != _WRITTEN:
            self._note_write(path, call.time_ns, not call.flags & _EMPTYING)

    def _on_execute(self, call: TracedCall) -> None:
        self._note_read(call.path, call.time_ns, NoteKind.EXECUTE)
        if self._live:
            try:
                mode = os.stat(call.path).st_mode
            except OSError:
                return
            if mode & (stat.S_ISUID | stat.S_ISGID) and mode & stat.S_IXUSR:
                self.privileged.add(call.path)

    def _on_remove(self, call: TracedCall) -> None:
        if call.path in self._states:
            self._note_loss(call.path, call.time_ns)
            self._forget(call.path)
            self._add(NoteKind.REMOVE, call.path, call.time_ns)

    def _on_move(self, call: TracedCall) -> None:
        old, new = call.path, call.target
        within = [] if old in self._states else self._find_below(old)
        for path in (old, new):
            self._note_loss(path, call.time_ns)
        if self._rules.ignores(new, True):
            # the files count as removed, because the new path is ignored
            for path in within or [old]:
                if path in self._states:
                    self._note_loss(path, call.time_ns)
                    self._forget(path)
                    self._add(NoteKind.REMOVE, path, call.time_ns)
            return
        self._forget(old)
        self._forget(new)
        for path in within:
            state = self._states.get(path, _READ)
            self._forget(path)
            self._states[new + path[len(old) :]] = state
        if not within:
            self._states[new] = _WRITTEN
        self._add(NoteKind.MOVE, f"{old}\0{new}", call.time_ns)

    def _find_below(self, folder: str) -> list[str]:
        try:
            if self._live and not (os.path.isdir(folder) or not os.path.lexists(folder)):
                return []
        except ValueError:
            return []
        return [path for path in self._states if path.startswith(f"{folder}/")]

    def _on_link(self, call: TracedCall) -> None:
        if not call.path.startswith("/proc/"):  # this call only gives a temporary file its name
            self._note_read(call.path, call.time_ns)
        self._note_write(call.target, call.time_ns, False)

    # -- notes --------------------------------------------------------------------------------

    def _add(self, kind: str, rest: str, at_ns: int) -> None:
        if self._notes < MAX_NOTES:
            self._notes += 1
            self._log.add(kind, rest, at_ns)
        else:
            self._not_noted += 1

    def _note_read(self, path: str, at_ns: int, kind: str = NoteKind.READ, real: str = "") -> None:
        if path in self._states or path == self._script:
            return
        self._states[path] = _READ
        self._add(kind, path, at_ns)
        if self._live and not self._rules.ignores(path):
            self._keep_content(path, at_ns, real or path)

    def _note_write(self, path: str, at_ns: int, keeps: bool) -> None:
        if self._states.get(path) == _READ:
            self._note_loss(path, at_ns)
        elif keeps and not self._rules.ignores(path, True):
            self._note_existing(path, at_ns)
        self._states[path] = _WRITTEN
        self._add(NoteKind.WRITE, f"{int(keeps)} {path}", at_ns)

    def _note_existing(self, path: str, at_ns: int) -> None:
        """Record that a file was read, and record its digest.

        Call this if a file was opened for writing in a mode that keeps the existing content. Does
        nothing if the file was empty, or if its old content is no longer known.
        """
        known = self._known_files.get(path)
        if known is not None:
            if known.size:
                self._add(NoteKind.READ, path, at_ns)
                self._note_digest(path, known.sha256, known.size, at_ns)
            return
        if not self._live:
            return
        found = self._open_unchanged(path, at_ns - _LAG_NS)
        if found is not None:
            if found.size:
                self._add(NoteKind.READ, path, at_ns)
                self._open[path] = found
                self._note_loss(path, at_ns)
            else:
                os.close(found.fd)

    def _note_digest(self, path: str, sha256: str, size: int, at_ns: int) -> None:
        self._hashed.add(path)
        self._add(NoteKind.DIGEST, f"{sha256}:{size} {path}", at_ns)

    def _keep_content(self, path: str, at_ns: int, real: str) -> None:
        """Hash a file that was read, or keep it open in case the command replaces it.

        Args:
            path: the path that the command used.
            at_ns: the time at which the command opened the file.
            real: the file's path without the symbolic links that the command created, because the
                command may have removed these links since.
        """
        known = self._known_files.get(path) or self._known_files.get(real)
        if known is not None:
            self._note_digest(path, known.sha256, known.size, at_ns)
            return
        found = self._open_unchanged(real, at_ns)
        if found is None:
            return
        self._open[path] = found
        allowed_s = _HASH_START_S + _HASH_SHARE * (time.monotonic() - self._started_s)
        expected_s = found.size / 1e9
        if self._hashing_s + expected_s < allowed_s:
            started_s = time.thread_time()
            self._note_loss(path, at_ns)
            self._hashing_s += time.thread_time() - started_s
        elif len(self._open) > _MAX_OPEN_FILES:
            os.close(self._open.popitem(last=False)[1].fd)

    def _open_unchanged(self, path: str, until_ns: int) -> _OpenFile | None:
        """Open a regular file. Return None if it can't be opened, or if it has changed.

        A file that was changed after ``until_ns`` counts as changed.
        """
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                return None
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_mtime_ns > until_ns:
            os.close(fd)
            return None
        return _OpenFile(fd, status.st_size, status.st_mtime_ns)

    def _note_loss(self, path: str, at_ns: int) -> None:
        """Hash a file that is kept open, note the digest, and close the file.

        A file larger than `HASHED_AT_ONCE_BYTES` is not hashed. If such a file has been removed,
        a note says that it was too large.
        """
        found = self._open.pop(path, None)
        if found is None or path in self._hashed:
            return
        try:
            if found.size <= HASHED_AT_ONCE_BYTES:
                sha256 = _hash_unchanged(found)
                if sha256 is not None:
                    self._note_digest(path, sha256, found.size, at_ns)
            elif os.fstat(found.fd).st_nlink:
                return
            else:
                self._add(NoteKind.NO_DIGEST, f"large {path}", at_ns)
        except OSError:
            pass
        finally:
            os.close(found.fd)

    def _forget(self, path: str) -> None:
        self._states.pop(path, None)
        self._hashed.discard(path)
        found = self._open.pop(path, None)
        if found is not None:
            os.close(found.fd)


def _hash_unchanged(file: _OpenFile) -> str | None:
    """Return the digest of an open file; None if the file has changed since it was opened."""
    digest = hashlib.sha256()
    position = 0
    while block := os.pread(file.fd, _READ_BYTES, position):
        digest.update(block)
        position += len(block)
    status = os.fstat(file.fd)
    if (position, status.st_size, status.st_mtime_ns) != (file.size, file.size, file.modified_ns):
        return None
    return digest.hexdigest()


def has_room_for_trace(run_folder: Path) -> bool:
    """Return whether the disk has enough room for a trace.

    If the disk is full, strace prints an error for each line of the trace, in the middle of the
    command's own errors.
    """
    try:
        status = os.statvfs(run_folder)
    except OSError:
        return True
    return status.f_bavail * status.f_frsize >= _MIN_FREE_BYTES


class TraceFollower:
    """Reads a trace in a separate thread while the command runs.

    Reserves disk space for the next part of the trace, so that a disk that fills up does not stop
    strace. If the disk is full, frees the space of the part that was already read.
    """

    def __init__(self, run_folder: Path, command: str, tracker: AccessTracker) -> None:
        """Create the file for the trace.

        Raises OSError if the file can't be created.
        """
        self._root = store_files.store_root(run_folder)
        own = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}"
        name = f"{command}{own}{TRACE_SUFFIX}"
        self._path = run_folder / layout.JOURNAL_FOLDER / name
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        self._fd = store_files.open_file(self._root, self._path, flags)
        self._reader = TraceReader(_working_folder())
        self._tracker = tracker
        self._offset = 0
        self._freed = 0
        self._reserved = 0
        self._awake = threading.Event()
        self._is_over = False
        self._pid = 0
        self._tracer = 0
        self._thread = threading.Thread(target=self._work, name="provml-trace", daemon=True)
        self.trouble: Exception | None = None

    @property
    def output(self) -> str:
        """The path that strace writes to.

        The path leads to a file that this process has open, so it works for every store folder.
        """
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @property
    def damage(self) -> str:
        """The number of unreadable lines, with the first one, as text; empty if there are none."""
        if not self._reader.damaged:
            return ""
        return f"{self._reader.damaged:,} lines, such as {self._reader.first_damaged!r}"

    @property
    def tracer(self) -> int:
        """The process id of strace; 0 if it is unknown."""
        for pid in (self._pid, *self._reader.running):
            self._tracer = self._tracer or find_tracer(pid)
        return self._tracer

    def start(self, pid: int) -> None:
        """Start the thread. Call this after the command has started.

        Args:
            pid: the process id of the command.
        """
        self._pid = pid
        self._thread.start()

    def finish(self) -> bool:
        """Read the rest of the trace, and remove the trace.

        Returns:
            Whether strace has ended. strace runs as long as any process of the command runs.
        """
        started_s = time.monotonic()
        quiet_s, size = started_s, -1
        while not (ended := self._reader.is_over):
            # strace usually writes the command's end at once, and looking for strace is slow
            is_late = time.monotonic() > started_s + _LOOK_AFTER_S
            if (is_late or self._tracer) and (ended := not self._is_traced()):
                break
            now = os.fstat(self._fd).st_size
            if now != size:
                size, quiet_s = now, time.monotonic()
            # strace may be late on a busy machine, but it always writes the command's end
            wait_s = _QUIET_S if self._reader.has_ended(self._pid) else _END_WAIT_S
            until_s = min(quiet_s + wait_s, started_s + _END_WAIT_S)
            if time.monotonic() > until_s or self.trouble is not None:
                break
            self._awake.set()
            time.sleep(_SHORT_WAIT_S if is_late else _SHORT_WAIT_S / 5)
        self._is_over = True
        self._awake.set()
        self._thread.join()
        self._tracker.close()
        os.close(self._fd)
        store_files.remove_file(self._root, self._path)  # strace can still write to the open file
        return ended

    def _is_traced(self) -> bool:
        """Return whether strace is still running."""
        if self.tracer:
            return is_running(self._tracer)
        status = os.fstat(self._fd)
        return bool(find_processes_with_inode(status.st_dev, status.st_ino))

    def discard(self) -> None:
        """Remove the trace, because the command was not started."""
        os.close(self._fd)
        store_files.remove_file(self._root, self._path)

    def _work(self) -> None:
        wait_s = _SHORT_WAIT_S
        while True:
            is_last = self._is_over
            try:
                found = self._read_new()
                if is_last:
                    for call in self._reader.finish():
                        self._tracker.follow(call)
            except Exception as error:
                self.trouble = error
                return
            if is_last:
                return
            wait_s = _SHORT_WAIT_S if found else min(wait_s * 1.5, _LONG_WAIT_S)
            if self._awake.wait(wait_s):
                self._awake.clear()

    def _read_new(self) -> bool:
        """Read what strace has added to the trace. Return False if strace has added nothing."""
        if not self._tracer:
            self._tracer = find_tracer(self._pid)
        found = False
        while block := os.pread(self._fd, _READ_BYTES, self._offset):
            found = True
            self._offset += len(block)
            for call in self._reader.feed(block):
                self._tracker.follow(call)
        if self._offset - self._freed >= _FREED_BYTES:
            self._free_space()
        # a short trace fits into the room that `has_room_for_trace` has found
        if self._offset > _RESERVED_BYTES // 4 and self._reserved < self._offset + _RESERVED_BYTES:
            self._reserve_space()
        return found

    def _reserve_space(self) -> None:
        """Allocate disk space after the end of the trace, if possible."""
        size = 2 * _RESERVED_BYTES
        if not reserve_space(self._fd, self._offset, size):
            self._free_space()
            reserve_space(self._fd, self._offset, size)
        # set this even if the file system can't reserve space, so as not to ask again at once
        self._reserved = self._offset + size

    def _free_space(self) -> None:
        """Free the disk space of the part that was read, if possible. The file keeps its length."""
        free_space(self._fd, self._offset)
        self._freed = self._offset


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"
