"""Finds the interval of every step, from its first to its last record, in bounded memory.

Steps may arrive in any order, may repeat, and may be as numerous as the samples. Each chunk of rows
is sorted, and rows of the same step are merged. If there are more than 300,000 rows, the chunks
are moved to a temporary file and merged from there.

Imports nothing else from provml; imports numpy only when needed.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS_IN_MEMORY = 300_000
_MERGE_ROWS = 300_000
_SINGLE_ROWS = 50_000


def row_type() -> np.dtype[np.void]:
    """Return the numpy type of a row: place, epoch, step, start and end.

    ``place`` is the number of a context or run. A missing epoch or step has the value `NO_EPOCH` or
    `NO_STEP` of `layout`.
    """
    import numpy as np

    return np.dtype(
        [("place", "<i4"), ("epoch", "<i4"), ("step", "<i8"), ("start", "<i8"), ("end", "<i8")]
    )


class StepTable:
    """Collects the times of records by step, then yields each step once, with its interval."""

    def __init__(self) -> None:
        self._pending: list[NDArray[np.void]] = []
        self._pending_rows = 0
        self._single: list[tuple[int, int, int, int, int]] = []
        self._spilled: list[tuple[int, int]] = []
        self._file: IO[bytes] | None = None

    def add(self, place: int, epoch: Any, step: Any, time_ns: NDArray[np.int64]) -> None:
        """Add records that belong to one context or run.

        Args:
            place: the number of the context or run.
            epoch, step: the epochs and steps, each as an array or as one number for all records.
            time_ns: the times of the records.
        """
        import numpy as np

        rows = np.empty(len(time_ns), row_type())
        rows["place"], rows["epoch"], rows["step"] = place, epoch, step
        rows["start"] = rows["end"] = time_ns
        self._take(_reduce_rows(rows))

    def _take(self, reduced: NDArray[np.void]) -> None:
        self._pending.append(reduced)
        self._pending_rows += len(reduced)
        if self._pending_rows > _ROWS_IN_MEMORY:
            self._compact()

    def add_one(self, place: int, epoch: int, step: int, time_ns: int) -> None:
        """Add the time of a single record."""
        self._single.append((place, epoch, step, time_ns, time_ns))
        if len(self._single) >= _SINGLE_ROWS:
            self._take_single()

    def _take_single(self) -> None:
        if self._single:
            import numpy as np

            self._take(_reduce_rows(np.array(self._single, row_type())))
            self._single = []

    def _compact(self) -> None:
        import numpy as np

        merged = _reduce_rows(np.concatenate(self._pending))
        if len(merged) <= _ROWS_IN_MEMORY // 2:
            self._pending, self._pending_rows = [merged], len(merged)
            return
        if self._file is None:
            import tempfile

            self._file = tempfile.TemporaryFile(prefix="provml-steps-")
            weakref.finalize(self, self._file.close)
        start = self._file.seek(0, 2)
        self._file.write(merged.tobytes())
        self._spilled.append((start, len(merged)))
        self._pending, self._pending_rows = [], 0

    def blocks(self, rows: int = 65_536) -> Iterator[NDArray[np.void]]:
        """Yield every step once, in blocks of rows that are sorted by place, epoch and step.

        Each block contains steps of only one context or run.
        """
        for block in self._merged():
            yield from _split_by_place(block, rows)

    def _merged(self) -> Iterator[NDArray[np.void]]:
        self._take_single()
        if self._pending:
            import numpy as np

            pending = _reduce_rows(np.concatenate(self._pending))
            self._pending, self._pending_rows = [pending], len(pending)
        if self._file is None:
            yield from self._pending
            return
        runs = [_SortedRun(self._file, start, count) for start, count in self._spilled]
        runs += [_SortedRun(None, 0, 0, rows) for rows in self._pending]
        share = max(1024, _MERGE_ROWS // len(runs))
        while runs:
            for run in runs:
                run.fill(share)
            runs = [run for run in runs if len(run.buffer)]
            # the unread rows of a run have larger keys than the last row in the run's buffer, so
            # all rows up to the smallest key among these last rows can be merged now
            bounds = [_step_key(run.buffer[-1]) for run in runs if run.left]
            bound = min(bounds) if bounds else None
            parts = [run.take(bound) for run in runs]
            if parts:
                import numpy as np

                yield _reduce_rows(np.concatenate(parts))


class _SortedRun:
    """A sequence of sorted rows, in memory or in the temporary file, that is read in pieces."""

    def __init__(
        self, file: IO[bytes] | None, start: int, left: int, rows: NDArray[np.void] | None = None
    ) -> None:
        import numpy as np

        self._file, self._position, self.left = file, start, left
        self.buffer: NDArray[np.void] = np.empty(0, row_type()) if rows is None else rows

    def fill(self, rows: int) -> None:
        """Read more rows from the file if the buffer is empty."""
        if len(self.buffer) or not self.left or self._file is None:
            return
        import numpy as np

        count = min(rows, self.left)
        size = row_type().itemsize
        self._file.seek(self._position)
        self.buffer = np.frombuffer(self._file.read(count * size), row_type())
        self._position += count * size
        self.left -= count

    def take(self, bound: tuple[int, int, int] | None) -> NDArray[np.void]:
        """Remove and return the buffered rows whose keys are at most ``bound``.

        If ``bound`` is None, returns all buffered rows.
        """
        if bound is None:
            count = len(self.buffer)
        else:
            low, high = 0, len(self.buffer)
            while low < high:
                middle = (low + high) // 2
                if _step_key(self.buffer[middle]) <= bound:
                    low = middle + 1
                else:
                    high = middle
            count = low
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken


def _step_key(row: Any) -> tuple[int, int, int]:
    return int(row["place"]), int(row["epoch"]), int(row["step"])


def _reduce_rows(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Sort the rows, and merge the rows of each step into one.

    The merged row has the earliest start and the latest end.
    """
    import numpy as np

    if len(rows) == 0:
        return rows
    place, epoch, step = rows["place"], rows["epoch"], rows["step"]
    rising = (place[1:] > place[:-1]) | (
        (place[1:] == place[:-1])
        & ((epoch[1:] > epoch[:-1]) | ((epoch[1:] == epoch[:-1]) & (step[1:] > step[:-1])))
    )
    if rising.all():
        return rows
    rows = rows[np.lexsort((step, epoch, place))]
    place, epoch, step = rows["place"], rows["epoch"], rows["step"]
    new = np.empty(len(rows), bool)
    new[0] = True
    new[1:] = (place[1:] != place[:-1]) | (epoch[1:] != epoch[:-1]) | (step[1:] != step[:-1])
    starts = np.flatnonzero(new)
    reduced = rows[starts]
    reduced["start"] = np.minimum.reduceat(rows["start"], starts)
    reduced["end"] = np.maximum.reduceat(rows["end"], starts)
    return reduced


def _split_by_place(rows: NDArray[np.void], limit: int) -> Iterator[NDArray[np.void]]:
    import numpy as np

    changes = np.flatnonzero(rows["place"][1:] != rows["place"][:-1]) + 1
    for part in np.split(rows, changes):
        for start in range(0, len(part), limit):
            yield part[start : start + limit]
