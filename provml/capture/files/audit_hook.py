"""The audit hook: hears of every file that this process opens, moves and removes, and notes it.

Python calls the hook for every audited thing (`id`, `sys._getframe`, an import, ...), so it first
asks what it is. A file that is opened to be read costs a note the first time: nothing is asked of
the system, and whether the rules keep it is looked at when the notes are read. Of one that was read
and is then overwritten, moved or removed the content is hashed right before, up to 64 MiB. An open
relative to a folder's descriptor can't be told from one relative to the working folder. No
exception leaves the hook but those of signals. Imports `rules`, `log`, `joined`.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from time import time_ns
from typing import Any, Final

from provml.capture.files.access_log import Log
from provml.capture.files.ignore_rules import Rules
from provml.capture.outer_run import note_missed

HASHED_AT_ONCE_BYTES: Final = 64 * 2**20
"""What is about to be overwritten is hashed before up to this size, at some 500 MB/s or more."""
MOST_FILES: Final = 100_000
"""So many distinct files are noted in a process; what is beyond is counted."""

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NO_FILE: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0)
_EMPTIED: Final = os.O_TRUNC | os.O_EXCL
_READ, _WRITTEN = 1, 2


class Watch:
    """What one process has opened so far, and the notes of it."""

    def __init__(self, run_folder: str, command: str) -> None:
        """Learn the process's folders. Nothing is written before something is opened."""
        self._started_ns = time_ns()
        self._cwd = _working_folder()
        self._rules = Rules.of_process(run_folder, self._cwd)
        self._log = Log(run_folder, command, lambda: (("F", self._rules.text()), ("C", self._cwd)))
        self._seen: set[str] = set()
        """What was opened to be read, as it was given, since the working folder last changed."""
        self._rewritten: set[str] = set()
        """What was opened to be written, likewise: some programs open a file for each line."""
        self._known: dict[str, int] = {}
        """What else is known, by absolute path."""
        self._beyond = 0
        self._others: dict[str, Callable[..., None]] = {
            "os.chdir": self._on_chdir,
            "os.rename": self._on_rename,
            "os.remove": self._on_remove,
            "os.link": self._on_link,
            "os.truncate": self._on_truncate,
            "sqlite3.connect": self._on_connect,
        }
        self._heard = {"open", *self._others}

    def forked(self) -> None:
        """In a forked child: its notes are its own; what its parent read, it has read."""
        self._log.restart()
        self._beyond = 0

    def stop(self) -> None:
        """Be of no effect from now on."""
        self._heard.clear()

    def hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        """What `sys.addaudithook` takes."""
        watch, heard, log = self, self._heard, self._log
        seen, written = self._seen, self._rewritten

        def hear(event: str, args: tuple[Any, ...]) -> None:
            if event not in heard:
                return
            try:
                if event != "open":
                    watch._others[event](*args)
                    return
                path, _, flags = args
                if path.__class__ is str:
                    if flags & _SPECIAL:
                        if path in written:
                            return
                    elif path in seen:
                        return
                    elif "./" not in path and len(seen) < MOST_FILES:
                        seen.add(path)
                        try:
                            log.write(b"R%d %b\0" % (time_ns(), path.encode()))
                        except ValueError:  # a full file, or a name that is no Unicode
                            log.add("R", path)
                        return
                watch.opened(path, flags)
            except Exception as error:
                watch._fail(error)

        return hear

    def opened(self, path: object, flags: int) -> None:
        """Note that a file is about to be opened: for what Python's audit hook does not hear of.

        Args:
            path: text, bytes or a path-like; whatever else is no file.
            flags: those of `os.open`.
        """
        own = None if flags & _NO_FILE else self._absolute(path)
        if own is None:
            return
        if flags & _WRITING:
            self._write(own, not flags & _EMPTIED)
            is_plain = isinstance(path, str) and path in (own, self._from_cwd(own))
            if is_plain and len(self._rewritten) < MOST_FILES:  # else `_forget` would not find it
                self._rewritten.add(str(path))
        elif self._state(own) is None and self._has_room():
            self._known[own] = _READ
            self._log.add("R", own)

    # -- what is done to files ----------------------------------------------------------------

    def _on_chdir(self, path: object) -> None:
        new = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else None
        new = new or self._absolute(path)
        if new is None or not os.path.isdir(new) or not os.access(new, os.X_OK):
            return  # it stays where it is
        for name in list(self._seen):
            self._known.setdefault(self._cwd + name if name[:1] != "/" else name, _READ)
        self._seen.clear()
        self._rewritten.clear()
        self._cwd = new if new == "/" else f"{new}/"
        self._log.add("C", self._cwd)

    def _on_rename(
        self, source: object, target: object, from_fd: int = -1, to_fd: int = -1
    ) -> None:
        old, new = self._absolute(source, from_fd), self._absolute(target, to_fd)
        if old is None or new is None:
            return
        known = self._known
        within = [] if self._state(old) else self._known_within(old)
        if self._rules.leave_out(new, True):
            # gone for good, as far as is recorded
            for path in (old, *within):
                if self._state(path) or not within:
                    self._remove(path)
            return
        for path in (old, new):
            if self._state(path) == _READ:
                self._keep(path)
        self._forget(old)
        for path in within:
            known[new + path[len(old) :]] = self._forget(path) or _READ
        if not within:
            known[new] = _WRITTEN
        self._log.add("M", f"{old}\0{new}")

    def _known_within(self, folder: str) -> list[str]:
        try:
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                return []
        except OSError:
            return []
        seen = (self._cwd + name if name[:1] != "/" else name for name in list(self._seen))
        paths = dict.fromkeys((*self._known, *seen))
        return [path for path in paths if path.startswith(f"{folder}/")]

    def _on_remove(self, path: object, dir_fd: int = -1) -> None:
        own = self._absolute(path, dir_fd)
        if own is not None:
            self._remove(own)

    def _remove(self, path: str) -> None:
        if self._rules.leave_out(path, True):
            return
        if self._state(path) == _READ:
            self._keep(path)
        self._forget(path)
        self._log.add("D", path)

    def _on_link(self, source: object, target: object, from_fd: int = -1, to_fd: int = -1) -> None:
        own = self._absolute(target, to_fd)
        if own is not None:
            self._write(own, False)

    def _on_truncate(self, path: object, length: int = 0) -> None:
        self.opened(path, os.O_RDWR)

    def _on_connect(self, database: object) -> None:
        if database not in ("", b"", ":memory:") and not str(database).startswith("file:"):
            self.opened(database, os.O_RDWR)

    def _write(self, path: str, keeps: bool) -> None:
        """Note that a file is about to be written.

        Args:
            path: absolute.
            keeps: what is in it stays at first: that is read, too.
        """
        state = self._state(path)
        if state == _WRITTEN or self._rules.leave_out(path, True) or not self._has_room():
            return
        if state == _READ or keeps:
            self._keep(path, state is None)
        self._known[path] = _WRITTEN
        self._log.add("W", f"{int(keeps)} {path}")

    def _keep(self, path: str, unread: bool = False) -> None:
        """Note what is in a file before it is another: its digest, where it is small.

        Args:
            path: of a file that was read, or is to be.
            unread: it was not noted yet that it is read.
        """
        try:
            status = os.stat(path)
        except OSError:
            return
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return
        if unread:
            if status.st_mtime_ns > self._started_ns:
                return  # written by what is not heard of here, as C libraries of this process are
            self._known[path] = _READ  # before it is opened here
            self._log.add("R", path)
        if status.st_size > HASHED_AT_ONCE_BYTES:
            self._log.add("L", f"large {path}")
            return
        from provml.collect.content import digest_file

        try:
            facts = digest_file(path)
            self._log.add("H", f"{facts['sha256']}:{facts['size']} {path}")
        except OSError:
            self._log.add("L", f"unreadable {path}")

    # -- notes --------------------------------------------------------------------------------

    def _state(self, path: str) -> int | None:
        """Whether a file was read or written; None of one that was not opened yet."""
        state = self._known.get(path)
        if state is None and (path in self._seen or self._from_cwd(path) in self._seen):
            return _READ
        return state

    def _forget(self, path: str) -> int | None:
        """Take a file as one that was not opened; what it was before."""
        state = self._state(path)
        self._known.pop(path, None)
        for name in (path, self._from_cwd(path)):
            self._seen.discard(name)
            self._rewritten.discard(name)
        return state

    def _from_cwd(self, path: str) -> str:
        return path[len(self._cwd) :] if path.startswith(self._cwd) else path

    def _has_room(self) -> bool:
        if len(self._known) + len(self._seen) < MOST_FILES:
            return True
        self._count_beyond()
        return False

    def _count_beyond(self) -> None:
        self._beyond += 1
        if not self._beyond & (self._beyond - 1):  # at each power of two: a loop of opens goes on
            self._log.add("B", f"{self._beyond} ")

    def _absolute(self, path: object, dir_fd: int = -1) -> str | None:
        """A path from the root, without ``.`` and ``..``; None of what is none."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return None
        text = os.fsdecode(path)
        if not text or "\0" in text:
            return None
        if text[0] != "/":
            if dir_fd >= 0:
                text = f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{text}"
            else:
                text = f"{self._cwd}{text}"
        return os.path.normpath(text) if "/." in text or "//" in text or text[-1] == "/" else text

    def _fail(self, error: Exception) -> None:
        """Without room on the disk nothing more is noted; other trouble is of one file alone."""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.stop()
        note_missed("files", error)


_SPECIAL: Final = _WRITING | _NO_FILE
_watch: Watch | None = None


def _working_folder() -> str:
    """With a slash at its end; the root where it was removed."""
    try:
        folder = os.getcwd()
    except OSError:
        return "/"
    return folder if folder == "/" else f"{folder}/"


def install(run_folder: str, command: str = "") -> Watch | None:
    """Watch this process; more than once is once. None on a system without such paths."""
    global _watch
    if os.name != "posix":
        note_missed("files", NotImplementedError(f"not watched on {os.name}"))
        return None
    if _watch is not None:
        return _watch
    from provml.capture.files import library_hooks

    _watch = Watch(run_folder, command)
    os.register_at_fork(after_in_child=_watch.forked)
    library_hooks.install(_watch.opened)
    sys.addaudithook(_watch.hook())
    return _watch


def uninstall() -> None:
    """Note nothing from now on; the hook itself stays, as Python has it, and does nothing."""
    from provml.capture.files import library_hooks

    library_hooks.uninstall()
    if _watch is not None:
        _watch.stop()
