"""Reserves and frees the disk space of an open file. Imports nothing else from provml."""

from __future__ import annotations

from typing import Final

_KEEP_SIZE: Final = 1  # FALLOC_FL_KEEP_SIZE
_PUNCH_HOLE: Final = 2  # FALLOC_FL_PUNCH_HOLE


def reserve_space(fd: int, start: int, size: int) -> bool:
    """Reserve disk space for a part of a file. The file keeps its length.

    Returns False if the disk has too little room, or if the file system can't reserve space.
    """
    return _allocate(fd, _KEEP_SIZE, start, size)


def free_space(fd: int, size: int) -> bool:
    """Free the disk space of a file's first bytes. The file keeps its length.

    Returns False if the file system can't do this.
    """
    return _allocate(fd, _KEEP_SIZE | _PUNCH_HOLE, 0, size)


def _allocate(fd: int, mode: int, start: int, size: int) -> bool:
    """Call fallocate(2), for which Python has no function that keeps the file's length."""
    import ctypes

    try:
        library = ctypes.CDLL(None, use_errno=True)
        library.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        status: int = library.fallocate(fd, mode, start, size)
    except (OSError, AttributeError):
        return False
    return status == 0
