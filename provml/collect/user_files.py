"""Lists and opens the files that a user logs, and detects changes to them.

Follows symbolic links to files and folders, as in a snapshot from the Hugging Face Hub, and records
the target of each link. Never opens a named pipe, socket or device. Imports only `base.text` and
`unreadable` from provml.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO, Final, NamedTuple

from provml.base.text import printable_path
from provml.collect.unreadable import UnreadableError

CHANGED_WHILE_HASHED: Final = "it changed while it was being hashed"
CHANGED_BEFORE_HASHED: Final = "it changed after it was logged, before it was hashed"

_MAX_LINK_DEPTH: Final = 16
_MAX_LINKED_FILES: Final = 2_000_000
_MAX_LINKED_BYTES: Final = 2**42
_MAX_RECORDED: Final = 1000
_CLOCK_REALTIME_COARSE: Final = 5
"""The id of the clock from which Linux takes the timestamps of files."""
_MAX_TICK_S: Final = 0.02
_FINE_SINCE: Final = (6, 13)
_FINE_FILE_SYSTEMS: Final = ("ext4", "xfs", "btrfs", "tmpfs")
_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
)


class FileState(NamedTuple):
    """The size, times and inode of a file. A change to the content also changes this state.

    If two changes happen within one clock tick, the second change may leave the state as it was;
    see `wait_for_file_clock`.
    """

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


def file_state(status: os.stat_result) -> FileState:
    """Return the state of a file from its `os.stat_result`."""
    return FileState(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def file_time_ns() -> int:
    """Return the timestamp that a file would get if it changed now, in ns since the epoch."""
    try:
        return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
    except (AttributeError, OSError):  # only Linux provides this clock
        return time.time_ns()


def wait_for_file_clock(since_ns: int) -> None:
    """Wait until any file changed from now on would get a timestamp later than ``since_ns``.

    The clock for the timestamps of files advances in ticks of 1 to 10 ms, so two changes within one
    tick get the same timestamp. Waits at most 20 ms.
    """
    deadline = time.monotonic() + _MAX_TICK_S
    while file_time_ns() <= since_ns and time.monotonic() < deadline:
        time.sleep(0.001)


def has_fine_timestamps(device: int) -> bool:
    """Return whether a file system gives a file a new timestamp at each change.

    From version 6.13 on, Linux does this on some file systems: if a file's timestamps have been
    read since its last change, the next change gets an exact time instead of the time of a tick.

    Args:
        device: the number of the file system, as `os.stat` returns it.
    """
    return device in _list_fine_devices()


@lru_cache(maxsize=1)
def _list_fine_devices() -> frozenset[int]:
    numbers = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < _FINE_SINCE:
        return frozenset()
    found: set[int] = set()
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                mount, _, kind = line.partition(" - ")
                if kind.partition(" ")[0] in _FINE_FILE_SYSTEMS:
                    major, _, minor = mount.split()[2].partition(":")
                    found.add(os.makedev(int(major), int(minor)))
    except (OSError, ValueError, IndexError):
        return frozenset()
    return frozenset(found)


def open_user_file(path: str) -> BinaryIO:
    """Open a regular file for unbuffered reading. Never blocks, even if the path is a named pipe.

    Raises OSError if the file can't be opened, or if the path now leads to a named pipe or device.
    """
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is no longer a regular file")
    return open(fd, "rb", buffering=0)


def check_unchanged(file: BinaryIO, before: FileState, reason: str = CHANGED_WHILE_HASHED) -> None:
    """Raise UnreadableError with this reason if an open file's state differs from ``before``."""
    if file_state(os.fstat(file.fileno())) != before:
        raise UnreadableError(reason)


class FolderFile(NamedTuple):
    """A file in a folder, or a link that is not followed.

    Attributes:
        name: the path relative to the folder, with ``/`` between its parts.
        path: the path to open.
        target: the target path stored in a link that is not followed; None for a file.
    """

    name: str
    path: str
    target: str | None = None

    def digest_link(self) -> tuple[str, int]:
        """Return the SHA-256 digest and the length of the target path stored in the link."""
        content = os.fsencode(self.target or "")
        return hashlib.sha256(content).hexdigest(), len(content)


class FolderFiles:
    """The files in a folder tree, in any order. Each iteration reads the tree again.

    Links to files and folders are followed, except for links that

    - have no existing target, or lead to a named pipe, socket or device;
    - lead to a folder that contains the link itself;
    - lead to a folder, and are already inside 16 nested linked folders.

    Attributes:
        folders: the relative paths of the folders found so far.
        links: the target of each followed link, keyed by the link's relative path.
        skipped: why each link was not followed, and what kind each special file has, keyed by the
            relative path.
    """

    def __init__(self, root: str, leave_out: str | None = None) -> None:
        """Store the paths. The folder is read during the iteration.

        Args:
            root: the folder to list.
            leave_out: the full path of a folder inside ``root`` to skip.
        """
        self.root = root
        self.folders: list[str] = []
        self.links: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self._leave_out = leave_out
        self._linked_files = 0
        self._linked_bytes = 0

    def __iter__(self) -> Iterator[FolderFile]:
        """Yield the files in the tree, and the links that are not followed.

        Raises:
            OSError: a folder can't be read.
            UnreadableError: links lead to more than 2 million files, or more than 4 TiB.
        """
        self.folders, self.links, self.skipped = [], {}, {}
        self._linked_files = self._linked_bytes = 0
        left_out = None if self._leave_out is None else _folder_identity(self._leave_out)
        waiting = [("", _list_identities(self.root), 0)]
        while waiting:
            relative, ancestors, depth = waiting.pop()
            if relative:
                self.folders.append(relative)
            with os.scandir(os.path.join(self.root, relative)) as entries:
                for entry in entries:
                    name = f"{relative}/{entry.name}" if relative else entry.name
                    is_link = entry.is_symlink()
                    try:
                        status = entry.stat()
                    except OSError as error:
                        if not is_link:
                            raise
                        yield self._skip_link(name, entry.path, _explain_broken_link(error))
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        own = (status.st_dev, status.st_ino)
                        if own == left_out:
                            continue
                        if own in ancestors:
                            why = "the link leads to a folder that contains it"
                        elif is_link and depth >= _MAX_LINK_DEPTH:
                            why = f"it is behind {_MAX_LINK_DEPTH} links to folders"
                        else:
                            if is_link:
                                self.links[name] = _real_path(entry.path)
                            waiting.append((name, ancestors | {own}, depth + is_link))
                            continue
                        if is_link:
                            yield self._skip_link(name, entry.path, why)
                    elif stat.S_ISREG(status.st_mode):
                        if is_link:
                            self.links[name] = _real_path(entry.path)
                        if is_link or depth:
                            self._count_linked(status.st_size)
                        yield FolderFile(name, entry.path)
                    elif is_link:
                        kind = _describe_kind(status.st_mode)
                        yield self._skip_link(name, entry.path, f"the link leads to {kind}")
                    else:
                        self.skipped[printable_path(name)] = _describe_kind(status.st_mode)

    def _skip_link(self, name: str, path: str, why: str) -> FolderFile:
        self.skipped[printable_path(name)] = why
        return FolderFile(name, path, os.readlink(path))

    def _count_linked(self, size: int) -> None:
        self._linked_files += 1
        self._linked_bytes += size
        if self._linked_files > _MAX_LINKED_FILES or self._linked_bytes > _MAX_LINKED_BYTES:
            raise UnreadableError(
                f"its links lead to more than {_MAX_LINKED_FILES:,} files or "
                f"{_MAX_LINKED_BYTES >> 40} TiB: log the linked files instead"
            )

    def link_facts(self) -> dict[str, dict[str, str]]:
        """Return the facts to record about links and skipped files, for at most 1,000 of each."""
        links = {printable_path(name): target for name, target in self.links.items()}
        if os.path.islink(self.root):
            links["."] = _real_path(self.root)
        found = {"links": _shorten(links), "skipped": _shorten(self.skipped)}
        return {name: fact for name, fact in found.items() if fact}


def _explain_broken_link(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "the link leads nowhere"
    return f"the link can't be followed: {error.strerror}"


def _shorten(found: dict[str, str]) -> dict[str, str]:
    kept = dict(sorted(found.items())[:_MAX_RECORDED])
    if len(found) > len(kept):
        kept["..."] = f"and {len(found) - len(kept):,} more"
    return kept


def _real_path(path: str) -> str:
    return printable_path(os.path.realpath(path))


def _folder_identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _list_identities(path: str) -> frozenset[tuple[int, int]]:
    """Return the device and inode numbers of a folder and of all folders that contain it."""
    real = os.path.realpath(path)
    found = {_folder_identity(real)}
    while os.path.dirname(real) != real:
        real = os.path.dirname(real)
        found.add(_folder_identity(real))
    return frozenset(own for own in found if own is not None)


def _describe_kind(mode: int) -> str:
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "a device")
