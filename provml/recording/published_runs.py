"""Publishes the active runs of this process, so that its worker processes can find them.

A process that starts a run creates an anonymous file in memory (``memfd_create``). The file lists
the active runs of the process, and is rewritten whenever a run starts or ends. A worker process
finds the file through ``/proc``, among the open files of its ancestors: its parent, its
parent's parent, and so on. Nothing is written to the disk or the environment. The file disappears
when its process ends. A worker that outlives one run finds the next run.

The file has a fixed size, which is sealed, so that a reader can map it. It begins with a counter,
which is odd while the file is being written, and the length of the JSON text that follows.

Imports only `safe_open` and `process` from provml.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import time
from typing import Any, Final, NamedTuple

from provml.journal.process import read_parent
from provml.journal.safe_open import avoid_std_fds

_SIZE_BYTES: Final = 65_536
_HEADER: Final = struct.Struct("<QQ")
_COUNTER_BYTES: Final = 8
_MFD_NOEXEC_SEAL: Final = 8  # from <linux/memfd.h>; Python has no name for it
_NAME: Final = "provml-active-runs-{}"
_MAX_RUNS: Final = 100
_MAX_ANCESTORS: Final = 64
_MAX_READS: Final = 100
_SEARCH_INTERVAL_S: Final = 0.1
_PAUSE_FACTOR: Final = 50
_WORKER_MODULES: Final = ("multiprocessing.process", "multiprocess.process")


class PublishedRuns(NamedTuple):
    """The active runs of an ancestor of this process."""

    folders: tuple[str, ...]
    """The folders of the active runs; at most 100."""
    chosen: str | None
    """The folder of the run that worker processes record into; None if that run is unclear."""
    is_disabled: bool
    """Whether the ancestor's runs are disabled."""


class _Publication:
    """The memory file of this process, which is created when the first run starts.

    The process writes the file through a memory mapping. If other code closes the file's
    descriptor, workers can no longer find the file, but the mapping never overwrites another file.
    """

    def __init__(self) -> None:
        self.pid = 0
        self._counter = 0
        self._file: Any = None

    def write(self, text: bytes) -> None:
        """Replace the content of the file; create the file in the first call of each process."""
        if self.pid != os.getpid():  # a forked child must not write its parent's file
            self._file = _create_sealed_file()
            self.pid, self._counter = os.getpid(), 0
        _HEADER.pack_into(self._file, 0, self._counter + 1, len(text))
        self._file[_HEADER.size : _HEADER.size + len(text)] = text
        self._counter += 2
        _HEADER.pack_into(self._file, 0, self._counter, len(text))


def _create_sealed_file() -> mmap.mmap:
    import fcntl

    with avoid_std_fds():
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        name = _NAME.format(os.getpid())
        try:
            fd = os.memfd_create(name, flags | _MFD_NOEXEC_SEAL)
        except OSError:  # the kernel is older than 6.3
            fd = os.memfd_create(name, flags)
        try:
            os.ftruncate(fd, _SIZE_BYTES)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
            return mmap.mmap(fd, _SIZE_BYTES)
        finally:
            os.close(fd)


_publication = _Publication()


def publish(folders: list[str], chosen: str | None, is_disabled: bool) -> None:
    """Publish the active runs of this process, if the operating system supports memory files.

    Costs about 20 microseconds.

    Args:
        folders: the folders of the active runs.
        chosen: the folder of the run that worker processes record into; None if that is unclear.
        is_disabled: whether the active runs are disabled.
    """
    if not folders and not is_disabled and _publication.pid != os.getpid():
        return  # this process has never published a run
    known: list[str] = []
    size = 0
    for folder in folders[:_MAX_RUNS]:
        size += len(json.dumps(folder)) + 2
        if size < _SIZE_BYTES // 2:
            known.append(folder)
    text = json.dumps([known, chosen, is_disabled]).encode("ascii")
    if len(text) > _SIZE_BYTES - _HEADER.size:
        text = b"[[], null, false]"
    try:
        _publication.write(text)
    except (OSError, AttributeError):
        pass  # workers will record nothing, and will warn about that


class AncestorRuns:
    """Reads the published runs of the nearest ancestor that has active runs.

    Attributes:
        found: the result of the last call of `read`.
    """

    def __init__(self) -> None:
        # each file, with the counter that it had when it was read
        self._files: tuple[tuple[mmap.mmap, bytes], ...] = ()
        self.found: PublishedRuns | None = None
        self._next_search_s = -1.0

    def is_unchanged(self) -> bool:
        """Return whether the last result of `read` is still valid and no new search is due."""
        if time.monotonic() >= self._next_search_s:
            return False
        for file, counter in self._files:  # noqa: SIM110 - a generator would double the cost
            if file[:_COUNTER_BYTES] != counter:
                return False
        return True

    def read(self) -> PublishedRuns | None:
        """Return the active runs of the nearest ancestor that has any; None if no ancestor has any.

        Returns the same object as long as nothing changes. Looking for the memory files takes
        about 100 microseconds per ancestor. The search is repeated every 0.1 s, or less often
        if it is slow, so that it takes at most 2 % of the time.
        """
        if self.is_unchanged():
            return self.found
        files = [file for file, _ in self._files]
        start_s = time.monotonic()
        if start_s >= self._next_search_s:
            files = _open_files_of_ancestors()
            end_s = time.monotonic()
            pause_s = max(_SEARCH_INTERVAL_S, _PAUSE_FACTOR * (end_s - start_s))
            self._next_search_s = end_s + pause_s
        # read the counters before the content, so that a change in between is noticed
        counters = [file[:_COUNTER_BYTES] for file in files]
        found = next(filter(None, map(_read_file, files)), None)
        if found != self.found:
            self.found = found
        self._files = tuple(zip(files, counters, strict=True))
        return self.found


def _read_file(file: mmap.mmap) -> PublishedRuns | None:
    """Return the active runs that a memory file lists; None if the file lists no runs."""
    for _ in range(_MAX_READS):
        counter, length = _HEADER.unpack_from(file)
        text = file[_HEADER.size : _HEADER.size + length]
        if counter % 2 or file[:_COUNTER_BYTES] != counter.to_bytes(_COUNTER_BYTES, "little"):
            time.sleep(0)  # let the writer finish
            continue
        try:
            folders, chosen, is_disabled = json.loads(text)
        except ValueError:
            return None
        if not folders and not is_disabled and chosen is None:
            return None
        return PublishedRuns(tuple(folders), chosen, bool(is_disabled))
    return None


def _open_files_of_ancestors() -> list[mmap.mmap]:
    """Map the memory file of each ancestor that has one, the nearest ancestor first."""
    files: list[mmap.mmap] = []
    pid = os.getppid()
    for _ in range(_MAX_ANCESTORS):
        if pid < 1:  # 0 means no parent, or a parent outside the pid namespace
            break
        file = _open_file_of(pid)
        if file is not None:
            files.append(file)
        pid = read_parent(pid)
    return files


def _open_file_of(pid: int) -> mmap.mmap | None:
    target = f"/memfd:{_NAME.format(pid)} (deleted)"
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            if _read_link(f"{folder}/{name}") == target:
                with avoid_std_fds():
                    return _map_sealed_file(f"{folder}/{name}")
    except OSError:
        pass  # the process has ended, or belongs to another user
    return None


def _map_sealed_file(path: str) -> mmap.mmap | None:
    import fcntl

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        is_sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        if not is_sealed or os.fstat(fd).st_size != _SIZE_BYTES:
            return None  # the process has not finished creating the file
        return mmap.mmap(fd, _SIZE_BYTES, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)


def _read_link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None  # the file was closed in the meantime


def is_worker_process() -> bool:
    """Return whether ``multiprocessing``, or a library that builds on it, started this process."""
    modules = (sys.modules.get(name) for name in _WORKER_MODULES)
    return any(module is not None and module.parent_process() for module in modules)
