"""Writes ``*.events.jsonl`` files: one line for each record, and one write() call for each line.

Each line has a number and a checksum, as `checksums` describes. Imports only `checksums`, `layout`,
`safe_open`, `writer_lock`, `base.store_files` and `errors` from provml.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from provml.base import store_files
from provml.errors import InvalidArgumentError
from provml.journal import checksums, layout
from provml.journal.safe_open import avoid_std_fds
from provml.journal.writer_lock import acquire_lock

_encode_line = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_POSITIONED = ("sample", "closed")
"""The kinds of records whose lines contain their own offset in the file."""


class EventsFile:
    """The events file of one process. Not thread-safe: call its methods under a lock."""

    def __init__(self, root: Path, path: Path, writer: dict[str, Any]) -> None:
        """Create the events file, write its first line, and lock the file until it is closed.

        The file gets its final name only after it is locked and contains its first line, so readers
        never see it in an earlier state. Raises OSError if the file can't be created.

        Args:
            root: the store's root.
            path: the path of the file, below the root.
            writer: the content of the first record, to which facts about the lock are added.
        """
        self.path = path
        temporary = path.with_name(
            f".{path.name}.{os.urandom(8).hex()}{store_files.PARTIAL_SUFFIX}"
        )
        with avoid_std_fds():
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._fd = store_files.open_file(root, temporary, flags)
        self._seed = checksums.seed_of(path.name.removesuffix(layout.EVENTS_SUFFIX))
        self._length = 0
        self._lines = 0
        self._torn = False
        try:
            self.append(writer | acquire_lock(self._fd))
            store_files.move(root, temporary, path)
        except OSError:
            self.close()
            with suppress(OSError):
                store_files.remove_file(root, temporary)
            raise

    @property
    def fd(self) -> int:
        """The descriptor of the open file."""
        return self._fd

    def append(self, record: dict[str, Any]) -> int:
        """Write a record as one line, and return the line's offset in the file.

        Raises:
            OSError: the line could not be written completely.
            InvalidArgumentError: the line is longer than `layout.MAX_EVENT_LINE_BYTES`.
        """
        start = os.lseek(self._fd, 0, os.SEEK_END)
        if start != self._length:
            self._count_other_lines(start)
        offset = start + self._torn
        if record["record"] in _POSITIONED:
            record = {**record, "at": offset}
        content = _encode_line(record).encode("ascii")
        line = checksums.seal_line(content, self._lines + 1, self._seed, self._torn)
        if len(line) > layout.MAX_EVENT_LINE_BYTES:
            raise InvalidArgumentError(
                f"the record is {len(line):,} bytes long, but the limit is "
                f"{layout.MAX_EVENT_LINE_BYTES:,} bytes: write the content to a file, and log "
                "that file with log_artifact"
            )
        if self._torn:  # a full disk cut the previous line short, so end it first
            line = b"\n" + line
        written = os.write(self._fd, line)
        self._length = start + written
        self._torn = written < len(line)
        # if only the line feed is missing, the next call writes it, so this line already counts
        self._lines += written >= len(line) - 1
        if self._torn:
            raise OSError(f"only {written} of {len(line)} bytes were written: is the disk full?")
        return offset

    def _count_other_lines(self, end: int) -> None:
        """Count the lines in the file that no call of `append` has counted.

        A forced recovery may have added lines. Or `append` may have written a line, but not counted
        it, because a signal handler that ends the run interrupted the call.
        """
        added = os.pread(self._fd, end - self._length, self._length)
        self._lines += added.count(b"\n")
        self._torn = not added.endswith(b"\n")
        self._length = end

    def close(self) -> None:
        """Close the events file, which releases its lock. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
