"""Opening files that stay open in somebody else's process. Imports nothing of provml."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def avoid_std_fds() -> Iterator[None]:
    """Within, nothing that is opened or mapped becomes descriptor 0, 1 or 2. Raises OSError.

    Where a process has closed its standard output, the next file takes that descriptor, and what
    the process or its children print lands in it. Costs some microseconds.
    """
    fillers = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
    try:
        while fillers[-1] < 2:
            fillers.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        yield
    finally:
        for filler in fillers:
            os.close(filler)
