"""Finds the files that a command line names, and compares folders before and after the command.

Hashing the named files before the command starts keeps the digest of a file that the command then
overwrites, such as ``sort -o data.csv data.csv``. Comparing folders finds the files that a command
wrote, if nothing else watches the command.

The number of files and bytes and the time are limited, because the command has to wait.
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
"""The number of bytes to hash before the command starts: at 1 GB/s, this takes 30 ms."""
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
    """The content of a file before the command started.

    Attributes:
        sha256: the digest.
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
        words: the arguments of the command. Each may be a path, an option such as ``--data=x``, or
            a shell script of its own.
        script: the script that the command runs. Only a shell script is read, up to 1 MiB.
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
    """Hash files before a command starts. Skip what the rules leave out, and what is too large."""
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
    """The files of some folders at one time.

    Attributes:
        states: the size, time and inode of each file, by its absolute path.
        is_complete: whether no file was left out because there were too many.
    """

    def __init__(self, folders: Iterable[str], rules: IgnoreRules, before: bool = True) -> None:
        """List the files of folders, and of the folders in them.

        Args:
            folders: the folders.
            rules: the rules for folders to leave out. The rules for files apply later, so that
                what they leave out can be counted.
            before: whether the command waits; if so, the list is shorter.
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
        """Add single files, if they exist."""
        for path in paths:
            try:
                self._add_state(path, os.lstat(path))
            except OSError:
                continue

    def _add_state(self, path: str, status: os.stat_result) -> None:
        self.states[path] = FileState(status.st_size, status.st_mtime_ns, status.st_ino)

    def _list(self, folder: str) -> list[str]:
        """Add the files of a folder, and return the folders in it."""
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
                missing here is new only if it was changed after this time.
        """
        return [
            path
            for path, state in later.states.items()
            if (old := self.states.get(path)) != state
            and (old is not None or self.is_complete or state.modified_ns >= since_ns)
        ]

    def find_removed(self, later: FolderSnapshot) -> list[str]:
        """Return the files that are missing in a later snapshot, if that snapshot is complete."""
        if not later.is_complete:
            return []
        return [path for path in self.states if path not in later.states]
