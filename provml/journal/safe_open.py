"""Open files that stay open in the user's process. Imports nothing else from provml."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def avoid_std_fds() -> Iterator[None]:
    """Keep files opened in the ``with`` block off the descriptors 0, 1 and 2. Raises OSError.

    If a process has closed its standard output, the next file gets that descriptor, and everything
    that the process or its children print would land in the file. Costs a few microseconds.
    """
    fillers = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
    try:
        while fillers[-1] < 2:
            fillers.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        yield
    finally:
        for filler in fillers:
            os.close(filler)
