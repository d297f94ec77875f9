"""Writes ``*.events.jsonl`` files: one line for each record, and one write() call for each line.

Imports only `layout`, `safe_open`, `base.store_files` and `errors` from provml.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from provml.base import store_files
from provml.errors import InvalidArgumentError
from provml.journal import layout
from provml.journal.safe_open import avoid_std_fds

_encode_line = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


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
        self._length = 0
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
        line = _encode_line(record).encode("ascii") + b"\n"
        if len(line) > layout.MAX_EVENT_LINE_BYTES:
            raise InvalidArgumentError(
                f"the record is {len(line):,} bytes long, but the limit is "
                f"{layout.MAX_EVENT_LINE_BYTES:,} bytes: write the content to a file, and log "
                "that file with log_artifact"
            )
        if self._torn:  # end the line that a full disk cut short
            line = b"\n" + line
        written = os.write(self._fd, line)
        offset = self._length + self._torn
        self._length += written
        self._torn = written < len(line)
        if self._torn:
            raise OSError(f"only {written} of {len(line)} bytes were written: is the disk full?")
        return offset

    def close(self) -> None:
        """Close the events file."""
        os.close(self._fd)
        self._fd = -1
