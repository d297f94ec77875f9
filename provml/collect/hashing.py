"""Hashes large files and folders in background threads.

Several threads hash the files of a folder. A single file is hashed by one thread. Before a fork and
at the end of a run, each thread stops after its current block. After a fork, new threads continue
with the next blocks. Content that changes between the call of `BackgroundHasher.add` and the end of
the hashing gets no digest.

Imports only `content`, `unreadable` and `user_files` from provml.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple

from provml.collect.content import Facts, build_manifest, digest_manifest
from provml.collect.unreadable import UnreadableError
from provml.collect.user_files import (
    CHANGED_BEFORE_HASHED,
    CHANGED_WHILE_HASHED,
    FileState,
    FolderFiles,
    check_unchanged,
    file_state,
    file_time_ns,
    has_fine_timestamps,
    open_user_file,
    wait_for_file_clock,
)

BACKGROUND_BYTES: Final = 64 * 2**20
"""The minimum size of the content that provml hashes in the background."""

DIGEST_PENDING: Final = "its digest was not yet computed when this record was written"

_HASH_BLOCK_BYTES: Final = 4 * 2**20
_MAX_FILES_CHECKED: Final = 1000
_MAX_HASH_THREADS: Final = 4
_HASH_JOIN_S: Final = 0.2

ReportDigest = Callable[[int, Facts], None]
"""A function that receives the number passed to `BackgroundHasher.add` and the facts to record."""


class HashingProgress(NamedTuple):
    """The progress of hashing one file or folder.

    Attributes:
        name: the name of the file or folder, as passed to `BackgroundHasher.add`.
        done: the number of bytes hashed so far.
        total: the size of the file in bytes; None for a folder.
    """

    name: str
    done: int
    total: int | None


def is_large(path: str, leave_out: str | None = None) -> bool:
    """Return True if a file or folder is large enough to be hashed in the background.

    Content is large if its size is at least 64 MiB, or if it contains more than 1,000 files. Stops
    counting after about 1,000 files. Raises OSError if the content can't be read, and
    UnreadableError if links lead to too many files.
    """
    if not os.path.isdir(path):
        return os.path.getsize(path) >= BACKGROUND_BYTES
    total = 0
    for count, file in enumerate(FolderFiles(path, leave_out)):
        total += os.stat(file.path).st_size if file.target is None else 0
        if total >= BACKGROUND_BYTES or count >= _MAX_FILES_CHECKED:
            return True
    return False


class _HashedFile:
    """A file that is hashed block by block."""

    __slots__ = ("_digest", "_file", "_state", "job", "name", "path", "size")

    def __init__(self, job: _HashJob, name: str, path: str) -> None:
        self.job, self.name, self.path = job, name, path
        self.size = 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._state: FileState | None = None

    def advance(self, buffer: bytearray) -> bool:
        """Hash the next block; return True at the end of the file.

        Raises OSError if the file can't be read, and UnreadableError if it has changed since the
        call of `BackgroundHasher.add`.
        """
        if self._file is None or self._state is None:
            self._file = open_user_file(self.path)
            self._state = file_state(os.fstat(self._file.fileno()))
            self.job.check_state(self.name, self._state)
        count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        if count:
            self._digest.update(memoryview(buffer)[:count])
            self.size += count
            return False
        check_unchanged(self._file, self._state)
        self.close()
        if self.size != self._state.size:
            raise UnreadableError(CHANGED_WHILE_HASHED)
        return True

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def sha256(self) -> str:
        """The digest of the blocks hashed so far."""
        return self._digest.hexdigest()


class _HashJob:
    """A file or folder to hash, with the digests computed so far.

    The new job stores the states of the first 1,000 files. One of these files counts as changed if
    its state differs later. Any other file counts as changed if its change time is later than the
    creation of the job.
    """

    def __init__(self, number: int, name: str, path: str, leave_out: str | None) -> None:
        self.number, self.name, self.path = number, name, path
        self.is_folder = os.path.isdir(path)
        self.size = 0
        self.open_files = 0
        self.lines: list[tuple[bytes, str]] = []
        self.is_listed = False
        self.is_over = False
        self._called_ns = file_time_ns()
        self._folder = FolderFiles(path, leave_out) if self.is_folder else None
        self._states: dict[str, FileState] = {}
        self._found: set[str] = set()
        self._is_fine = True
        if self._folder is None:
            self._states[""] = self._read_state(path)
            self.total: int | None = self._states[""].size
            self._files = iter([("", path)])
        else:
            self.total = None
            self._keep_states(self._folder)
            self._files = self._list_files(self._folder)
        latest_ns = max((state.changed_ns for state in self._states.values()), default=0)
        is_recent = latest_ns >= self._called_ns and not self._is_fine
        if is_recent or len(self._states) == _MAX_FILES_CHECKED:
            # a change within the same clock tick would go unnoticed
            wait_for_file_clock(self._called_ns)

    def _keep_states(self, folder: FolderFiles) -> None:
        for file in folder:
            if len(self._states) == _MAX_FILES_CHECKED:
                return
            if file.target is None:
                self._states[file.name] = self._read_state(file.path)

    def _read_state(self, path: str) -> FileState:
        status = os.stat(path)
        self._is_fine = self._is_fine and has_fine_timestamps(status.st_dev)
        return file_state(status)

    def _list_files(self, folder: FolderFiles) -> Iterator[tuple[str, str]]:
        """Yield the names and paths of a folder's files.

        A link that is not followed is not yielded, but added to the folder's digest here. Raises
        UnreadableError if a file was removed.
        """
        for file in folder:
            if file.target is None:
                self._found.add(file.name)
                yield file.name, file.path
            else:
                digest, size = file.digest_link()
                self.lines.append((os.fsencode(file.name), digest))
                self.size += size
        gone = next((name for name in self._states if name not in self._found), None)
        if gone is not None:
            raise UnreadableError(f"{gone!r} was removed after the folder was logged")

    def check_state(self, name: str, state: FileState) -> None:
        """Raise UnreadableError if a file has changed since the job was created."""
        at_call = self._states.get(name)
        if at_call is not None and at_call != state:
            is_changed = True
        else:
            is_changed = at_call is None and state.changed_ns > self._called_ns
        if is_changed:
            subject = f"{name!r} in it" if self.is_folder else "it"
            raise UnreadableError(CHANGED_BEFORE_HASHED.replace("it", subject, 1))

    def next_file(self) -> _HashedFile | None:
        """Return the next file to hash; None if no file is left.

        Raises OSError if a folder can't be read, and UnreadableError if files were removed.
        """
        found = next(self._files, None)
        if found is None:
            self.is_listed = True
            return None
        self.open_files += 1
        return _HashedFile(self, *found)

    def add_digest(self, file: _HashedFile) -> None:
        """Add the digest of a completely hashed file."""
        self.open_files -= 1
        self.lines.append((os.fsencode(file.name), file.sha256))

    def facts(self) -> Facts:
        """Return the digest and size of the content. Call this after all files have been hashed.

        For a folder, the fact ``manifest`` is the content of the folder's manifest, as bytes.
        """
        if self._folder is None:
            return {"sha256": self.lines[0][1], "size": self.size}
        digest = digest_manifest(self.lines)
        facts: Facts = {"sha256": digest, "size": self.size, "files": len(self.lines)}
        manifest = build_manifest(self.lines)
        return facts | self._folder.link_facts() | ({"manifest": manifest} if manifest else {})


class BackgroundHasher:
    """Hashes files and folders in background threads of this process."""

    def __init__(self, report: ReportDigest) -> None:
        """Create the hasher without starting a thread.

        Args:
            report: a function that receives the facts about each file or folder. A background
                thread calls it, so it must not raise an exception.
        """
        self._report = report
        self._lock = threading.Condition()
        self._jobs: deque[_HashJob] = deque()
        self._unfinished: deque[_HashedFile] = deque()
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._finished = False

    def add(self, number: int, name: str, path: str, leave_out: str | None = None) -> None:
        """Start hashing a file or folder in the background.

        Args:
            number: a number that identifies the content when ``report`` is called.
            name: the name to show in the result of `progress`.
            path: the file or folder.
            leave_out: the full path of a subfolder to skip.

        Raises:
            OSError: the file or folder can't be read.
            UnreadableError: links in the folder lead to too many files.
            RuntimeError: no thread can be started.
        """
        job = _HashJob(number, name, path, leave_out)
        with self._lock:
            self._jobs.append(job)
        try:
            self.resume()
        except RuntimeError:
            with self._lock:
                if not self._threads:
                    self._jobs.remove(job)
                    raise

    def progress(self) -> list[HashingProgress]:
        """Return the progress of each file and folder that is not yet completely hashed."""
        with self._lock:
            return [HashingProgress(job.name, job.size, job.total) for job in self._jobs]

    def pause(self) -> None:
        """Stop the threads before a fork. Waits up to 0.2 s for each thread to finish its block."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_HASH_JOIN_S)

    def resume(self) -> None:
        """Start or continue hashing. Uses several threads if a folder is waiting, else one."""
        with self._lock:
            if self._stop.is_set():
                self._stop = threading.Event()
                self._threads = []
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            wanted = 0
            if self._jobs:
                wanted = (
                    min(_MAX_HASH_THREADS, _count_usable_cpus())
                    if any(j.is_folder for j in self._jobs)
                    else 1
                )
            while len(self._threads) < wanted:
                arguments = (self._stop,)
                thread = threading.Thread(
                    target=self._hash_files, args=arguments, name="provml-hash", daemon=True
                )
                thread.start()
                self._threads.append(thread)

    def finish(self, wait_s: float) -> None:
        """Wait for the hashing to finish, then stop. Unfinished content gets no digest.

        Args:
            wait_s: the maximum number of seconds to wait.
        """
        try:
            until = time.monotonic() + wait_s
            with self._lock:
                while self._jobs and (left := until - time.monotonic()) > 0:
                    self._lock.wait(min(left, 1.0))
        finally:
            self._finished = True
            self.pause()
            self.forget()

    def forget(self) -> None:
        """Close and discard the partly hashed files, for example in a forked child process."""
        while self._unfinished:
            self._unfinished.popleft().close()

    def _hash_files(self, stop: threading.Event) -> None:
        buffer = bytearray(_HASH_BLOCK_BYTES)
        while not stop.is_set():
            file = self._next_file()
            if file is None:
                return
            job = file.job
            try:
                done = False
                while not (done or stop.is_set() or job.is_over):
                    before = file.size
                    done = file.advance(buffer)
                    with self._lock:
                        job.size += file.size - before
            except (OSError, UnreadableError) as error:
                file.close()
                self._end_job(job, {"unread": str(error)})
                continue
            if job.is_over or (self._finished and not done):
                file.close()
            elif done:
                self._finish_file(file)
            else:
                with self._lock:
                    self._unfinished.appendleft(file)

    def _next_file(self) -> _HashedFile | None:
        while True:
            with self._lock:
                if self._unfinished:
                    return self._unfinished.popleft()
                job = next((j for j in self._jobs if not j.is_listed and not j.is_over), None)
                if job is None:
                    self._threads = [
                        t for t in self._threads if t is not threading.current_thread()
                    ]
                    return None
                try:
                    file = job.next_file()
                except (OSError, UnreadableError) as error:
                    facts: Facts = {"unread": str(error)}
                else:
                    if file is not None:
                        return file
                    if job.open_files or job.is_over:
                        continue
                    facts = job.facts()
            self._end_job(job, facts)

    def _finish_file(self, file: _HashedFile) -> None:
        job = file.job
        with self._lock:
            job.add_digest(file)
            if not job.is_listed or job.open_files or job.is_over:
                # if this was the last file, but the job is not yet marked as listed, `_next_file`
                # marks the job and ends it
                return
            facts = job.facts()
        self._end_job(job, facts)

    def _end_job(self, job: _HashJob, facts: Facts) -> None:
        with self._lock:
            if job.is_over:
                return
            job.is_over = True
        self._report(job.number, facts)
        with self._lock:
            if job in self._jobs:
                self._jobs.remove(job)
            self._lock.notify_all()


def _count_usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
