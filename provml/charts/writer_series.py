"""Holds the summaries of one series in the files of one writer.

Imports only `journal`, `model` and `charts.stretches` from provml; imports numpy only when needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provml.charts.stretches import STRETCH, mark_dtype, summarize_stretches, summary_dtype
from provml.journal.record_parsing import Series
from provml.model.series import SeriesIdentity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.void]
    Slots = NDArray[np.int64]

_SPREAD_SLOTS: Final = 256 * STRETCH
_ROWS: Final = 16_384
_LARGEST: Final = 2**63 - 1


class WriterSeries:
    """The summaries of one series in the files of one writer.

    Attributes:
        identity: the fields that identify the series, as in `RunSeries`.
        units: the units of the series, in the order in which they were declared.
        declared: the declarations of the series, keyed by the number in the samples file.
        count: the number of samples.
        last: the last sample, as in the samples file; None if there are no samples.
    """

    def __init__(self, identity: SeriesIdentity) -> None:
        self.identity = identity
        self.units: list[str] = []
        self.declared: dict[int, Series] = {}
        self.count = 0
        self.last: np.void | None = None
        self._rows: list[Samples] = []
        self._marks: list[Samples] = []
        self._kept: list[tuple[Samples, Slots]] = []
        self._ranges: dict[str, tuple[int, int, int]] = {}

    @property
    def row_count(self) -> int:
        """The number of full stretches."""
        return sum(map(len, self._rows))

    @property
    def memory_bytes(self) -> int:
        """The memory that the summaries take, in bytes."""
        arrays = [*self._rows, *self._marks, *(array for both in self._kept for array in both)]
        return sum(array.nbytes for array in arrays)

    def read_rows(self, first: int, end: int) -> Samples:
        """Return the summaries of the stretches from ``first`` to ``end - 1``."""
        return self._join_rows()[first:end]

    def read_marks(self) -> Samples:
        """Return the marks of all stretches, in the order of recording."""
        import numpy as np

        if len(self._marks) != 1:
            self._marks = [np.concatenate([np.empty(0, mark_dtype()), *self._marks])]
        return self._marks[0]

    def read_kept(self, index: int) -> tuple[Samples, Slots]:
        """Return the samples and slots of a stretch whose samples are kept."""
        return self._kept[index]

    @property
    def kept_count(self) -> int:
        """The number of stretches whose samples are kept."""
        return len(self._kept)

    def find_range(self, column: str) -> tuple[int, int] | None:
        """Return the lowest and highest step, epoch or time in all stretches.

        Returns None if no sample has a value in this column. Reads only the stretches that were
        added since the last call.
        """
        seen, low, high = self._ranges.get(column, (0, _LARGEST, -_LARGEST))
        while seen < self.row_count:
            rows = self.read_rows(seen, seen + _ROWS)
            seen += len(rows)
            if column != "time":
                rows = rows[rows[f"{column}less"] < STRETCH]
            if len(rows):
                low = min(low, int(rows[f"{column}_low"].min()))
                high = max(high, int(rows[f"{column}_high"].max()))
        self._ranges[column] = seen, low, high
        return None if low > high else (low, high)

    def add(self, rows: Samples, marks: Samples, samples: Samples, slots: Slots, room: int) -> int:
        """Add stretches. Keep the samples of a stretch if they are spread over much of the file.

        Keeps the samples of at most ``room`` stretches. Returns the number of stretches whose
        samples were kept.
        """
        import numpy as np

        spread = rows["last_slot"] - rows["first_slot"] > _SPREAD_SLOTS
        chosen = np.flatnonzero(spread)[:room].tolist()
        for place in chosen:
            rows["kept"][place] = len(self._kept)
            self._kept.append((samples[place].copy(), slots[place].copy()))
        if len(marks):
            marks["row"] += self.row_count
            self._marks.append(marks)
        self._rows.append(rows)
        return len(chosen)

    def replace(self, row: int, samples: Samples, slots: Slots) -> None:
        """Summarize a stretch again, because steps or epochs were filled in."""
        import numpy as np

        rows, marks = summarize_stretches(samples[None], slots[None])
        self._ranges.clear()
        every = self._join_rows()
        kept = int(every["kept"][row])
        rows["kept"] = kept
        every[row] = rows[0]
        if kept >= 0:
            self._kept[kept] = samples.copy(), slots.copy()
        before = self.read_marks()
        if len(marks) or (before["row"] == row).any():
            marks["row"] = row
            joined = np.concatenate([before[before["row"] != row], marks])
            self._marks = [joined[np.argsort(joined["row"], kind="stable")]]

    def find_row(self, slot: int) -> int | None:
        """Return the index of the stretch with this slot; None if the slot follows them all."""
        rows = self._join_rows()
        row = int(rows["last_slot"].searchsorted(slot))
        return row if row < len(rows) else None

    def _join_rows(self) -> Samples:
        import numpy as np

        if len(self._rows) != 1:
            self._rows = [np.concatenate([np.empty(0, summary_dtype()), *self._rows])]
        return self._rows[0]
