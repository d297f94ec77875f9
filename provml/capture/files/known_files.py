"""Finds the files that a command line names, and compares folders before and after the command.

The named files are hashed before the command starts, because the command may overwrite them, as
``sort -o data.csv data.csv`` does. If nothing else watches the command, comparing the folders finds
the files that the command wrote.

The number of files, the number of bytes and the time are limited, because the command has to wait.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from provml.capture.files.ignore_rules import IgnoreRules

MAX_NAMED_FILES: Final = 200
MAX_NAMED_BYTES: Final = 32 * 2**20
"""The maximum number of bytes to hash before the command starts: at 1 GB/s, this takes 30 ms."""
MAX_ENTRIES_BEFORE: Final = 5_000
MAX_ENTRIES_AFTER: Final = 50_000
MAX_DEPTH: Final = 16

_BEFORE_S: Final = 0.05
_AFTER_S: Final = 2.0
_MAX_SCRIPT_BYTES: Final = 2**20
_MAX_WORDS: Final = 5_000
_SHELL_SUFFIXES: Final = (".sh", ".bash", ".zsh", ".ksh")
_SEPARATORS: Final = re.compile(r"[\s;|&<>()\"'`{}$=,]+")
_READ_BYTES: Final = 2**20


class KnownFile(NamedTuple):
    """A file's digest, size and time of change, taken before the command started.

    Attributes:
        sha256: the SHA-256 digest of the file's content.
        size: the size in bytes.
        modified_ns: the time of the last change, in nanoseconds since the epoch.
    """

    sha256: str
    size: int
    modified_ns: int


class FileState(NamedTuple):
    """The properties of a file that show whether it has changed."""

    size: int
    modified_ns: int
    inode: int


class NamedPaths(NamedTuple):
    """The existing files and folders that a command names, as absolute paths."""

    files: list[str]
    folders: list[str]


def find_named_paths(words: Iterable[str], script: str | None) -> NamedPaths:
    """Find the files and folders that a command line or its shell script names.

    Args:
        words: the arguments of the command. Each may be a path, an option with a path, such as
            ``--data=x``, or shell code, such as ``sort x > y``.
        script: the script that the command runs; None if there is none. If it is a shell script,
            its first MiB is searched too. The result does not contain the script itself.
    """
    texts = list(words)
    if script is not None and script.endswith(_SHELL_SUFFIXES):
        texts.append(_read_script(script))
    files: dict[str, None] = {}
    folders: dict[str, None] = {}
    for word in _split_words(texts):
        path = os.path.abspath(os.path.expanduser(word))
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(mode) and len(files) < MAX_NAMED_FILES:
            files[path] = None
        elif stat.S_ISDIR(mode) and len(folders) < MAX_NAMED_FILES:
            folders[path] = None
    if script is not None:
        files.pop(os.path.abspath(script), None)
    return NamedPaths(list(files), list(folders))


def _split_words(texts: list[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        for word in (text, *_SEPARATORS.split(text)):
            if word and word not in seen and len(word) < 4096 and "\0" not in word:
                if len(seen) == _MAX_WORDS:
                    return
                seen.add(word)
                yield word


def _read_script(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(_MAX_SCRIPT_BYTES))
    except OSError:
        return ""


def hash_known_files(paths: Iterable[str], rules: IgnoreRules) -> dict[str, KnownFile]:
    """Hash files before a command starts, and return the results by path.

    Skips files that the rules leave out. Hashes at most `MAX_NAMED_BYTES` in total, and skips files
    that would exceed this limit.
    """
    known: dict[str, KnownFile] = {}
    left = MAX_NAMED_BYTES
    for path in paths:
        if rules.ignores(path):
            continue
        try:
            with open(path, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                if status.st_size > left:
                    continue
                left -= status.st_size
                digest = hashlib.sha256()
                while block := file.read(_READ_BYTES):
                    digest.update(block)
                after = os.fstat(file.fileno())
        except OSError:
            continue
        if (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
            known[path] = KnownFile(digest.hexdigest(), status.st_size, status.st_mtime_ns)
    return known


class FolderSnapshot:
    """The state that each file in a set of folders has when the snapshot is taken.

    Attributes:
        states: the state of each file, by absolute path.
        is_complete: False if files may be missing, because a limit on entries or time was reached.
    """

    def __init__(self, folders: Iterable[str], rules: IgnoreRules, before: bool = True) -> None:
        """List the files in folders and in their subfolders.

        Args:
            folders: the folders.
            rules: the rules that decide which subfolders to skip. The rules are applied to the
                files only later, so that the ignored files can be counted.
            before: whether the command has not started yet. If so, the limits are lower, because
                the command has to wait.
        """
        self.states: dict[str, FileState] = {}
        self.is_complete = True
        self._left = MAX_ENTRIES_BEFORE if before else MAX_ENTRIES_AFTER
        self._until_s = time.monotonic() + (_BEFORE_S if before else _AFTER_S)
        self._rules = rules
        waiting = [(os.path.abspath(folder), 0) for folder in reversed(list(folders))]
        seen: set[str] = set()
        while waiting and self.is_complete:
            folder, depth = waiting.pop()
            if folder not in seen:
                seen.add(folder)
                inner = self._list(folder)
                if depth < MAX_DEPTH:
                    waiting += [(path, depth + 1) for path in reversed(inner)]

    def add(self, paths: Iterable[str]) -> None:
        """Add single files to the snapshot. Skip paths that don't exist."""
        for path in paths:
            try:
                self._add_state(path, os.lstat(path))
            except OSError:
                continue

    def _add_state(self, path: str, status: os.stat_result) -> None:
        self.states[path] = FileState(status.st_size, status.st_mtime_ns, status.st_ino)

    def _list(self, folder: str) -> list[str]:
        """Add the files in a folder to the snapshot, and return the folder's subfolders."""
        inner: list[str] = []
        try:
            entries = os.scandir(folder)
        except OSError:
            return inner
        with entries:
            for entry in entries:
                self._left -= 1
                if self._left < 0 or time.monotonic() > self._until_s:
                    self.is_complete = False
                    return inner
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if not self._rules.ignores(f"{entry.path}/", True):
                            inner.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        self._add_state(entry.path, entry.stat(follow_symlinks=False))
                except OSError:
                    continue
        return sorted(inner)

    def find_changes(self, later: FolderSnapshot, since_ns: int) -> list[str]:
        """Return the files that are new or changed in a later snapshot.

        Args:
            later: the later snapshot of the same folders.
            since_ns: the time of this snapshot. If this snapshot is not complete, a file that is
                missing in it counts as new only if the file was changed at this time or later.
        """
        return [
            path
            for path, state in later.states.items()
            if (old := self.states.get(path)) != state
            and (old is not None or self.is_complete or state.modified_ns >= since_ns)
        ]

    def find_removed(self, later: FolderSnapshot) -> list[str]:
        """Return the files that a later snapshot lacks; no files if that snapshot is incomplete."""
        if not later.is_complete:
            return []
        return [path for path in self.states if path not in later.states]
