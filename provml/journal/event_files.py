"""Writes ``*.events.jsonl`` files: one line for each record, and one write() call for each line.

Each line has a number and a checksum, as `checksums` describes. Imports only `checksums`, `layout`,
`safe_open`, `base.store_files` and `errors` from provml.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from provml.base import store_files
from provml.errors import InvalidArgumentError
from provml.journal import checksums, layout
from provml.journal.safe_open import avoid_std_fds

_encode_line = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_POSITIONED = ("sample", "closed")
"""The kinds of records whose lines contain their offset, because the offset matters to readers."""


class EventsFile:
    """The events file of one process. Not thread-safe: call its methods under a lock."""

    def __init__(self, root: Path, path: Path) -> None:
        """Create the events file below the store's root.

        Raises OSError if the file can't be created or already exists.
        """
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        with avoid_std_fds():
            self._fd = store_files.open_file(root, path, flags)
        self._seed = checksums.seed_of(path.name.removesuffix(layout.EVENTS_SUFFIX))
        self._length = 0
        self._lines = 0
        self._torn = False

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
        offset = self._length + self._torn
        if record["record"] in _POSITIONED:
            record = {**record, "at": offset}
        content = _encode_line(record).encode("ascii")
        line = checksums.seal_line(content, self._lines + 1, self._seed)
        if len(line) > layout.MAX_EVENT_LINE_BYTES:
            raise InvalidArgumentError(
                f"the record is {len(line):,} bytes long, but the limit is "
                f"{layout.MAX_EVENT_LINE_BYTES:,} bytes: write the content to a file, and log "
                "that file with log_artifact"
            )
        if self._torn:  # end the line that a full disk cut short
            line = b"\n" + line
        written = os.write(self._fd, line)
        self._length += written
        self._lines += 1
        self._torn = written < len(line)
        if self._torn:
            raise OSError(f"only {written} of {len(line)} bytes were written: is the disk full?")
        return offset

    def catch_up(self) -> None:
        """Notice a line that `append` wrote, if a signal handler interrupted it before it returned.

        Raises OSError if the file can't be read.
        """
        length = os.fstat(self._fd).st_size
        if length > self._length:
            self._torn = os.pread(self._fd, 1, length - 1) != b"\n"
            self._length = length
            self._lines += 1

    def close(self) -> None:
        """Close the events file."""
        os.close(self._fd)
        self._fd = -1
