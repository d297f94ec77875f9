"""Keeps the beginning and the end of a stream, up to a size limit.

The beginning is written to a file under the run's ``artifacts/`` as it arrives. The rest is written
to a second file of fixed size, which serves as a ring buffer. Both files survive if the recording
process is killed. `BoundedLog.finish` joins the two files, and inserts a line that says how many
bytes were left out.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Final

from provml.base import store_files
from provml.journal import layout

DEFAULT_LIMIT_BYTES: Final = 10 * 2**20
_DIGEST_PREFIX_LENGTH: Final = 16
_READ_BYTES: Final = 2**20


class BoundedLog:
    """A log of the beginning and the end of a stream, each up to half of the size limit.

    Not thread-safe: use each log from only one thread at a time.

    Attributes:
        name: the file name of the log.
        total_bytes: the length of the stream so far, in bytes.
        trouble: the error that stopped the writing; None if no error occurred.
    """

    def __init__(self, run_folder: Path, name: str, limit_bytes: int) -> None:
        """Prepare the log. The first call to `write` creates the file.

        Args:
            run_folder: the run's folder.
            name: the file name of the log.
            limit_bytes: the maximum number of bytes to keep; 0 keeps nothing.
        """
        self.name = name
        self.total_bytes = 0
        self.trouble: Exception | None = None
        self._run_folder = run_folder
        self._root = store_files.store_root(run_folder)
        own = f"{name}-{os.getpid()}-{os.urandom(4).hex()}"
        self._folder = run_folder / layout.ARTIFACTS_FOLDER / own
        self._head_limit = limit_bytes - limit_bytes // 2
        self._tail_limit = limit_bytes // 2
        self._head = -1
        self._tail = -1
        self._head_bytes = 0
        self._tail_bytes = 0
        """The number of bytes that came after the head, including bytes that the ring buffer has
        since overwritten."""

    @property
    def left_out_bytes(self) -> int:
        """The number of bytes of the stream that were not kept."""
        return self.total_bytes - self._head_bytes - min(self._tail_bytes, self._tail_limit)

    def write(self, block: bytes) -> None:
        """Add a block to the log. If writing fails, set `trouble` and ignore later blocks."""
        self.total_bytes += len(block)
        if self.trouble is not None or not self._head_limit or not block:
            return
        try:
            if self._head_bytes < self._head_limit:
                if self._head < 0:
                    store_files.make_folder(self._root, self._folder)
                    self._head = self._create_file(self.name)
                first = block[: self._head_limit - self._head_bytes]
                self._head_bytes += _write_at(self._head, first, self._head_bytes)
                block = block[len(first) :]
            if block and self._tail_limit:
                self._write_tail(block)
        except (OSError, MemoryError) as error:
            self.trouble = error

    def _write_tail(self, block: bytes) -> None:
        if self._tail < 0:
            self._tail = self._create_file(f"{self.name}.end")
        size = self._tail_limit
        position = self._tail_bytes
        if len(block) > size:
            position += len(block) - size
            block = block[-size:]
        while block:
            place = position % size
            part = block[: size - place]
            _write_at(self._tail, part, place)
            position += len(part)
            block = block[len(part) :]
            self._tail_bytes = position

    def _create_file(self, name: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        return store_files.open_file(self._root, self._folder / name, flags)

    def finish(self) -> dict[str, Any] | None:
        """Join the two files into one, and describe the result for an artifact record.

        Returns:
            The facts about the joined file, such as its digest and size; None if nothing was kept.

        Raises:
            OSError: the files can't be joined. Both files stay in the run's folder.
        """
        if self._head < 0:
            return None
        try:
            if self._tail >= 0:
                self._append_tail()
        finally:
            for fd in (self._head, self._tail):
                if fd >= 0:
                    os.close(fd)
        root, source = self._root, self._folder / self.name
        digest = hashlib.sha256()
        with store_files.open_to_read(root, source) as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
            size = file.tell()
        sha256 = digest.hexdigest()
        relative = f"{layout.ARTIFACTS_FOLDER}/{sha256[:_DIGEST_PREFIX_LENGTH]}/{self.name}"
        target = self._run_folder / relative
        store_files.make_folder(root, target.parent)
        store_files.move(root, source, target)
        store_files.remove_file(root, self._folder / f"{self.name}.end")
        store_files.remove_empty_folder(root, self._folder)
        return {"kind": "file", "copy": relative, "sha256": sha256, "size": size}

    def _append_tail(self) -> None:
        size, place = self._tail_limit, self._tail_bytes % self._tail_limit
        if self._tail_bytes <= size:
            end = os.pread(self._tail, size, 0)
        else:
            end = os.pread(self._tail, size - place, place) + os.pread(self._tail, place, 0)
        left_out = self.left_out_bytes
        note = f"\n[provml: {left_out:,} bytes are left out here]\n".encode() if left_out else b""
        _write_at(self._head, note + end, self._head_bytes)


def _write_at(fd: int, content: bytes, offset: int) -> int:
    done = 0
    view = memoryview(content)
    while done < len(content):
        done += os.pwrite(fd, view[done:], offset + done)
    return done
