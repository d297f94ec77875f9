"""Uses a Python audit hook to note each file that this process opens, moves or removes.

Python calls the hook for every audited event (`id`, `sys._getframe`, imports, ...), so the hook
checks the event's name first. When a file is first opened for reading, the hook writes a note
without a system call: the ignore rules are applied later, when the notes are read. Before a file
that was read is overwritten, moved or removed, the hook hashes the file, unless the file is larger
than 64 MiB.

A path may be relative to an open folder, but Python does not tell the hook to which one. So the
hook treats every relative path as relative to the working folder. The hook ignores the names that
provml itself opens in the store: these names are `folder_entries.EntryName` objects.

The hook raises no exceptions of its own, but exceptions from signal handlers pass through it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Sequence
from time import time_ns
from typing import Any, Final

from provml.base.folder_entries import EntryName
from provml.capture.files.access_log import AccessLog, NoteKind
from provml.capture.files.ignore_rules import IgnoreRules
from provml.capture.outer_run import note_missed
from provml.capture.state import STATE

HASHED_AT_ONCE_BYTES: Final = 64 * 2**20
"""The maximum size of a file to hash before it is overwritten. Hashing reads at least 500 MB/s."""
MAX_FILES: Final = 100_000
"""The maximum number of distinct files to note per process. Any further files are only counted."""

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NOT_A_FILE: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0)
_EMPTYING: Final = os.O_TRUNC | os.O_EXCL
_READ, _WRITTEN = 1, 2


class FileWatch:
    """Watches the files that this process opens. Notes the first read and write of each file."""

    def __init__(
        self,
        run_folder: str,
        command: str,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> None:
        """Find the folders to ignore, and prepare the log. The first note creates the log file."""
        self._started_ns = time_ns()
        self._cwd = _cwd_with_slash()
        self._rules = IgnoreRules.for_this_process(run_folder, self._cwd, include, exclude)
        self._log = AccessLog(
            run_folder,
            command,
            lambda: ((NoteKind.RULES, self._rules.text()), (NoteKind.WORKING_FOLDER, self._cwd)),
        )
        self._seen: set[str] = set()
        """The paths opened for reading since the working folder last changed, exactly as the script
        passed them."""
        self._rewritten: set[str] = set()
        """The paths opened for writing since the working folder last changed. This set keeps the
        hook fast if a program reopens a file for each line that the program writes."""
        self._known: dict[str, int] = {}
        """The state, `_READ` or `_WRITTEN`, of each opened file that is not in `_seen`, by absolute
        path."""
        self._not_noted_count = 0
        self._handlers: dict[str, Callable[..., None]] = {
            "os.chdir": self._on_chdir,
            "os.rename": self._on_rename,
            "os.remove": self._on_remove,
            "os.link": self._on_link,
            "os.truncate": self._on_truncate,
            "sqlite3.connect": self._on_connect,
        }
        self._events = {"open", *self._handlers}

    def after_fork_in_child(self) -> None:
        """Continue in a new log file, because this process is a forked child.

        The files that the parent has read or written still count as read or written.
        """
        self._log.restart()
        self._not_noted_count = 0

    def stop(self) -> None:
        """Ignore all events from now on."""
        self._events.clear()

    def hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        """Return the function to pass to `sys.addaudithook`."""
        watch, heard, log = self, self._events, self._log
        seen, written = self._seen, self._rewritten

        def hear(event: str, args: tuple[Any, ...]) -> None:
            if event not in heard:
                return
            try:
                if event != "open":
                    watch._handlers[event](*args)
                    return
                path, _, flags = args
                if path.__class__ is str:
                    if flags & _SPECIAL:
                        if path in written:
                            return
                    elif path in seen:
                        return
                    elif "./" not in path and len(seen) < MAX_FILES:
                        seen.add(path)
                        try:
                            log.write(b"R%d %b\0" % (time_ns(), path.encode()))
                        except ValueError:  # the log file is full, or the path is not UTF-8
                            log.add(NoteKind.READ, path)
                        return
                watch.note_open(path, flags)
            except Exception as error:
                watch._handle_error(error)

        return hear

    def note_open(self, path: object, flags: int) -> None:
        """Note that a file is about to be opened.

        Args:
            path: a str, bytes or path-like object. Anything else, such as a descriptor, is ignored.
            flags: the flags for opening the file, as in `os.open`.
        """
        if path.__class__ is EntryName:
            return
        own = None if flags & _NOT_A_FILE else self._absolute_path(path)
        if own is None:
            return
        if flags & _WRITING:
            self._note_write(own, not flags & _EMPTYING)
            is_plain = isinstance(path, str) and path in (own, self._relative_to_cwd(own))
            if is_plain and len(self._rewritten) < MAX_FILES:  # `_forget` removes only such paths
                self._rewritten.add(str(path))
        elif self._find_state(own) is None and self._has_room():
            self._known[own] = _READ
            self._log.add(NoteKind.READ, own)

    # -- events -------------------------------------------------------------------------------

    def _on_chdir(self, path: object) -> None:
        new = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else None
        new = new or self._absolute_path(path)
        if new is None or not os.path.isdir(new) or not os.access(new, os.X_OK):
            return  # `os.chdir` will fail
        for name in list(self._seen):
            self._known.setdefault(self._cwd + name if name[:1] != "/" else name, _READ)
        self._seen.clear()
        self._rewritten.clear()
        self._cwd = new if new == "/" else f"{new}/"
        self._log.add(NoteKind.WORKING_FOLDER, self._cwd)

    def _on_rename(
        self, source: object, target: object, from_fd: int = -1, to_fd: int = -1
    ) -> None:
        old, new = self._absolute_path(source, from_fd), self._absolute_path(target, to_fd)
        if old is None or new is None:
            return
        known = self._known
        within = [] if self._find_state(old) else self._known_below(old)
        if self._rules.ignores(new, True):
            # treat the files as removed, because the new path is ignored
            for path in (old, *within):
                if self._find_state(path) or not within:
                    self._note_removal(path)
            return
        for path in (old, new):
            if self._find_state(path) == _READ:
                self._note_content(path)
        self._forget(old)
        for path in within:
            known[new + path[len(old) :]] = self._forget(path) or _READ
        if not within:
            known[new] = _WRITTEN
        self._log.add(NoteKind.MOVE, f"{old}\0{new}")

    def _known_below(self, folder: str) -> list[str]:
        try:
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                return []
        except OSError:
            return []
        seen = (self._cwd + name if name[:1] != "/" else name for name in list(self._seen))
        paths = dict.fromkeys((*self._known, *seen))
        return [path for path in paths if path.startswith(f"{folder}/")]

    def _on_remove(self, path: object, dir_fd: int = -1) -> None:
        own = self._absolute_path(path, dir_fd)
        if own is not None:
            self._note_removal(own)

    def _note_removal(self, path: str) -> None:
        if self._rules.ignores(path, True):
            return
        if self._find_state(path) == _READ:
            self._note_content(path)
        self._forget(path)
        self._log.add(NoteKind.REMOVE, path)

    def _on_link(self, source: object, target: object, from_fd: int = -1, to_fd: int = -1) -> None:
        own = self._absolute_path(target, to_fd)
        if own is not None:
            self._note_write(own, False)

    def _on_truncate(self, path: object, length: int = 0) -> None:
        self.note_open(path, os.O_RDWR)

    def _on_connect(self, database: object) -> None:
        if database not in ("", b"", ":memory:") and not str(database).startswith("file:"):
            self.note_open(database, os.O_RDWR)

    def _note_write(self, path: str, keeps: bool) -> None:
        """Note that a file is about to be written.

        Args:
            path: the absolute path.
            keeps: whether opening the file keeps its content. If so, the file also counts as read.
        """
        state = self._find_state(path)
        if state == _WRITTEN or not self._has_room():
            return
        if (state == _READ or keeps) and not self._rules.ignores(path, True):
            self._note_content(path, state is None)
        self._known[path] = _WRITTEN
        self._log.add(NoteKind.WRITE, f"{int(keeps)} {path}")

    def _note_content(self, path: str, unread: bool = False) -> None:
        """Note the digest of a file before its content changes. Large files are not hashed.

        Args:
            path: a file that was read, or that is being opened for reading and writing.
            unread: True if the file has not yet been noted as read.
        """
        try:
            status = os.stat(path)
        except OSError:
            return
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return
        if unread:
            if status.st_mtime_ns > self._started_ns:
                return  # the file was written while this process ran, perhaps by C code
            # do this first, because hashing opens the file, which calls the hook
            self._known[path] = _READ
            self._log.add(NoteKind.READ, path)
        if status.st_size > HASHED_AT_ONCE_BYTES:
            self._log.add(NoteKind.NO_DIGEST, f"large {path}")
            return
        from provml.collect.content import digest_file

        try:
            facts = digest_file(path)
            self._log.add(NoteKind.DIGEST, f"{facts['sha256']}:{facts['size']} {path}")
        except OSError:
            self._log.add(NoteKind.NO_DIGEST, f"unreadable {path}")

    # -- notes --------------------------------------------------------------------------------

    def _find_state(self, path: str) -> int | None:
        """Return a file's state, `_READ` or `_WRITTEN`; None if it has not been opened yet."""
        state = self._known.get(path)
        if state is None and (path in self._seen or self._relative_to_cwd(path) in self._seen):
            return _READ
        return state

    def _forget(self, path: str) -> int | None:
        """Forget that a file was ever opened; return the file's previous state."""
        state = self._find_state(path)
        self._known.pop(path, None)
        for name in (path, self._relative_to_cwd(path)):
            self._seen.discard(name)
            self._rewritten.discard(name)
        return state

    def _relative_to_cwd(self, path: str) -> str:
        return path[len(self._cwd) :] if path.startswith(self._cwd) else path

    def _has_room(self) -> bool:
        if len(self._known) + len(self._seen) < MAX_FILES:
            return True
        self._count_not_noted()
        return False

    def _count_not_noted(self) -> None:
        self._not_noted_count += 1
        # note only counts that are powers of two, so that opening files in a loop stays fast
        if not self._not_noted_count & (self._not_noted_count - 1):
            self._log.add(NoteKind.NOT_NOTED, f"{self._not_noted_count} ")

    def _absolute_path(self, path: object, dir_fd: int = -1) -> str | None:
        """Return a path in absolute, normalized form; None if the argument is not a path."""
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

    def _handle_error(self, error: Exception) -> None:
        """Note in the run that files were missed. If the disk is full, write no more notes."""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.stop()
        note_missed("files", error)


_SPECIAL: Final = _WRITING | _NOT_A_FILE


class _InstalledWatch:
    """The `FileWatch` of this process; None until `install` is called."""

    def __init__(self) -> None:
        self.watch: FileWatch | None = None

    def after_fork_in_child(self) -> None:
        """Call `FileWatch.after_fork_in_child`, if there is a watch."""
        if self.watch is not None:
            self.watch.after_fork_in_child()


def _cwd_with_slash() -> str:
    """Return the working folder with a trailing slash; ``/`` if the folder was removed."""
    try:
        folder = os.getcwd()
    except OSError:
        return "/"
    return folder if folder == "/" else f"{folder}/"


def install(
    run_folder: str, command: str = "", include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> FileWatch | None:
    """Start writing notes about the files that this process opens. Idempotent.

    Args:
        run_folder: the run's folder.
        command: the value of ``PROVML_COMMAND``.
        include: patterns of the files to record even if the ignore rules leave them out.
        exclude: patterns of the files to leave out even if they match ``include``.

    Returns:
        The watch; None on Windows, where this module can't record files.
    """
    installed = STATE.part(_InstalledWatch)
    if os.name != "posix":
        note_missed("files", NotImplementedError(f"files are not recorded on {os.name}"))
        return None
    if installed.watch is not None:
        return installed.watch
    from provml.capture.files import library_hooks

    watch = FileWatch(run_folder, command, include, exclude)
    installed.watch = watch
    library_hooks.install(watch.note_open)
    sys.addaudithook(watch.hook())
    return watch


def uninstall() -> None:
    """Stop writing notes. Python can't remove an audit hook, so the hook stays but does nothing."""
    from provml.capture.files import library_hooks

    library_hooks.uninstall()
    watch = STATE.part(_InstalledWatch).watch
    if watch is not None:
        watch.stop()
