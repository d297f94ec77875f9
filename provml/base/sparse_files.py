"""Reads files that have holes, without reading the holes.

Imports nothing else from provml.
"""

from __future__ import annotations

import os
from typing import BinaryIO, Final

_PIECE_BYTES: Final = 2**16


def is_sparse(file: BinaryIO) -> bool:
    """Return whether a file has holes. A preallocated file has no holes, so it is read in full."""
    status = os.fstat(file.fileno())
    return hasattr(os, "SEEK_DATA") and status.st_blocks * 512 < status.st_size - _PIECE_BYTES


def skip_line(file: BinaryIO) -> int:
    """Move a file's position to the end of the current line, and return the new position.

    The line may be very long. If the file is sparse, its holes are skipped.
    """
    sparse = is_sparse(file)
    while (piece := file.readline(_PIECE_BYTES)) and not piece.endswith(b"\n"):
        if sparse and not piece.strip(b"\0"):
            try:
                file.seek(file.tell(), os.SEEK_DATA)
            except OSError:
                file.seek(0, os.SEEK_END)
    return file.tell()
