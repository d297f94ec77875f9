"""Keeps opened files off the descriptors of standard input, output and error.

Imports no other module of provml.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def avoid_std_fds() -> Iterator[None]:
    """Keep files that are opened in the ``with`` block off the descriptors 0, 1 and 2.

    If a process has closed its standard output, the next file that it opens gets that descriptor.
    Everything that the process or its children print would then end up in the file. If all three
    descriptors are open, this costs about a microsecond and uses no further descriptor.

    Raises OSError if one of the three is closed and ``/dev/null`` can't be opened.
    """
    fillers: list[int] = []
    try:
        while not all(map(_is_open, range(3))):
            fillers.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        yield
    finally:
        for filler in fillers:
            os.close(filler)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
