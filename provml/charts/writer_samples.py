"""Summarizes the samples of one writer, series by series, and reads single stretches again.

`WriterSamples` takes the samples in the order of writing. It keeps a summary of each full stretch,
and the few samples after the last full stretch of each series, so memory is about 5 % of the
samples file. If a stretch of a rare series is spread over much of the file, the samples of the
stretch are kept as well.

Imports only `journal`, `model` and other modules of `charts` from provml; imports numpy only when
needed.
"""

from __future__ import annotations

import os
from decimal import Decimal
from math import inf, nan
from typing import TYPE_CHECKING, Any, Final

from provml.charts.stretches import (
    STRETCH,
    summarize_stretches,
    take_records,
)
from provml.charts.thinning import find_starts
from provml.charts.writer_series import WriterSeries
from provml.journal import history, layout
from provml.journal.files import WriterFiles
from provml.journal.record_parsing import Series
from provml.journal.sample_reading import record_dtype, to_int64
from provml.journal.values import Array
from provml.model.series import SeriesIdentity, text_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.void]
    Slots = NDArray[np.int64]

_MOST_KEPT: Final = 16_384
_READ_SLOTS: Final = 2**19
_LARGEST_TABLE: Final = 2**20


class WriterSamples:
    """The summaries of all series of one writer.

    Attributes:
        files: the writer's files.
        rank: the rank of the writer's process; None if the job is not distributed.
        series: the series that the writer has declared.
    """

    def __init__(self, files: WriterFiles, rank: int | None) -> None:
        self.files = files
        self.rank = rank
        self.series: list[WriterSeries] = []
        self._by_identity: dict[SeriesIdentity, int] = {}
        self._by_number: dict[int, int] = {}
        self._lookup: tuple[Any, Any, Any, Any] | None = None
        self._room = _MOST_KEPT
        self._tails: tuple[Samples, Slots] | None = None
        self._left_out: list[tuple[int, int]] = []

    @property
    def memory_bytes(self) -> int:
        """The memory that the summaries take, in bytes."""
        tails = 0 if self._tails is None else self._tails[0].nbytes + self._tails[1].nbytes
        return tails + sum(series.memory_bytes for series in self.series)

    @property
    def tails(self) -> tuple[Samples, Slots]:
        """The samples after the last full stretch of each series, and their slots."""
        import numpy as np

        if self._tails is None:
            self._tails = np.empty(0, record_dtype()), np.empty(0, np.int64)
        return self._tails

    @property
    def left_out(self) -> list[tuple[int, int]]:
        """The first and last slot of each range of damaged samples."""
        return self._left_out

    def restore(
        self,
        series: list[WriterSeries],
        tails: tuple[Samples, Slots],
        left_out: list[tuple[int, int]],
    ) -> None:
        """Restore what an earlier object of this class found in the same files."""
        self.series = series
        for index, own in enumerate(series):
            self._by_identity[own.identity] = index
            self._by_number.update(dict.fromkeys(own.declared, index))
        self._tails = tails
        self._left_out = left_out
        self._lookup = None

    def declare(self, declared: Series) -> None:
        """Add a declaration of a series. Ignored if the series number is already in use."""
        if declared.number in self._by_number:
            return
        of = history.parse_target(declared.target)
        identity = (declared.kind, declared.context, declared.name, self.rank, of)
        index = self._by_identity.setdefault(identity, len(self.series))
        if index == len(self.series):
            self.series.append(WriterSeries(identity))
        own = self.series[index]
        own.declared[declared.number] = declared
        if declared.unit is not None and declared.unit not in own.units:
            own.units.append(declared.unit)
        self._by_number[declared.number] = index
        self._lookup = None

    def add(self, records: Samples, slots: Slots) -> None:
        """Add samples, in the order of writing. Costs about 30 ms for a million samples.

        Args:
            records: records of the samples file. Their values may be converted in place.
            slots: the place of each record in the samples file.
        """
        import numpy as np

        numbers = records["series"]
        number = int(numbers[0]) if len(numbers) else 0
        if number in self._by_number and (numbers == number).all():
            self._add_one(number, records, slots)
            return
        if not self.series or not len(numbers):
            return
        owners = self._find_owners(numbers)
        if owners.min() < 0:
            self._note_left_out(slots[numbers == layout.ABANDONED_SLOT])
            taken = np.flatnonzero(owners >= 0)
            records, slots, owners = take_records(records, taken), slots[taken], owners[taken]
            if not len(records):
                return
        self._note_last(records, owners)
        records, slots, owners = self._convert(records, slots, owners)
        tails, tail_slots = self.tails
        if len(tails):
            records = np.concatenate([tails, records])
            slots = np.concatenate([tail_slots, slots])
            owners = np.concatenate([self._find_owners(tails["series"]), owners])
        # numpy sorts 16-bit integers several times faster than larger ones
        short = owners.astype(np.uint16) if len(self.series) < 2**16 else owners
        order = np.argsort(short, kind="stable")
        owners = owners[order]
        starts = find_starts(owners)
        lengths = np.diff(np.append(starts, len(owners)))
        self._summarize(records, slots, owners[starts], lengths, order)

    def _add_one(self, number: int, records: Samples, slots: Slots) -> None:
        """Add samples that all belong to one series, so that they need not be sorted."""
        import numpy as np

        owner = self._by_number[number]
        series = self.series[owner]
        series.count += len(records)
        series.last = records[-1].copy()
        if series.declared[number].storage != "f64":
            owners = np.zeros(len(records), np.int64)
            records, slots, _ = self._convert(records, slots, owners)
        tails, tail_slots = self.tails
        own = np.isin(tails["series"], list(series.declared))
        others, other_slots = tails[~own], tail_slots[~own]
        if own.any():
            records = np.concatenate([tails[own], records])
            slots = np.concatenate([tail_slots[own], slots])
        self._summarize(records, slots, np.array([owner]), np.array([len(records)]), None)
        if len(others):
            tails, tail_slots = self.tails
            self._tails = (
                np.concatenate([others, tails]),
                np.concatenate([other_slots, tail_slots]),
            )

    def _summarize(
        self, records: Samples, slots: Slots, present: Any, lengths: Any, order: Any
    ) -> None:
        """Summarize all full stretches, and keep the samples after the last one of each series.

        Args:
            records, slots: the samples.
            present: the indices of the series that have samples, in ascending order.
            lengths: the number of samples of each of these series.
            order: the indices of the samples, sorted by series; None if there is only one series.
        """
        import numpy as np

        used = lengths // STRETCH * STRETCH
        if order is None:
            end = int(used[0])
            samples, own_slots = records[:end], slots[:end]
            # a view would keep the whole chunk in memory
            self._tails = records[end:].copy(), slots[end:].copy()
        else:
            starts = np.cumsum(lengths) - lengths
            place = np.arange(len(order)) - np.repeat(starts, lengths)
            is_full = place < np.repeat(used, lengths)
            full, rest = order[is_full], order[~is_full]
            samples, own_slots = take_records(records, full), slots[full]
            self._tails = take_records(records, rest), slots[rest]
        samples, own_slots = samples.reshape(-1, STRETCH), own_slots.reshape(-1, STRETCH)
        if not len(samples):
            return
        rows, marks = summarize_stretches(samples, own_slots)
        first = 0
        mark_ends = marks["row"].searchsorted(np.cumsum(used // STRETCH))
        first_mark = 0
        for owner, count, mark_end in zip(
            present.tolist(), (used // STRETCH).tolist(), mark_ends.tolist(), strict=True
        ):
            part = slice(first, first + count)
            own_marks = marks[first_mark:mark_end].copy()
            own_marks["row"] -= first
            if count:
                self._room -= self.series[owner].add(
                    rows[part], own_marks, samples[part], own_slots[part], self._room
                )
            first, first_mark = first + count, mark_end

    def read_tail(self, series: WriterSeries) -> Samples:
        """Return the samples after the last full stretch of a series."""
        import numpy as np

        if self._tails is None:
            return np.empty(0, record_dtype())
        records = self._tails[0]
        return records[np.isin(records["series"], list(series.declared))]

    def update(self, records: Samples, slots: Slots) -> None:
        """Replace samples whose step or epoch was filled in after they had been added."""
        touched: set[tuple[int, int]] = set()
        for record, slot in zip(records, slots.tolist(), strict=True):
            index = self._by_number.get(int(record["series"]))
            if index is None:
                continue
            row = self.series[index].find_row(slot)
            if row is not None:
                touched.add((index, row))
            elif self._tails is not None:
                own = self._tails[1] == slot
                self._tails[0]["step"][own] = record["step"]
                self._tails[0]["epoch"][own] = record["epoch"]
        for index, row in touched:
            series = self.series[index]
            own_row = series.read_rows(row, row + 1)
            samples, own_slots = self.read_slots(
                series, [(int(own_row["first_slot"][0]), int(own_row["last_slot"][0]))]
            )
            if len(samples) == STRETCH:
                series.replace(row, samples, own_slots)

    def read_slots(
        self, series: WriterSeries, ranges: list[tuple[int, int]]
    ) -> tuple[Samples, Slots]:
        """Read the samples of a series that are in the given ranges of slots.

        Each range is a pair of its first and its last slot, and costs one read. Returns the samples
        and their slots.
        """
        import numpy as np

        numbers = np.array(list(series.declared), np.uint32)
        found: list[tuple[Samples, Slots]] = []
        try:
            file = self.files.open_samples()
        except OSError:
            return np.empty(0, record_dtype()), np.empty(0, np.int64)
        with file:
            pending: list[tuple[int, int]] = []
            size = 0
            for first, last in ranges:
                for start in range(first, last + 1, _READ_SLOTS):
                    pending.append((start, min(_READ_SLOTS, last + 1 - start)))
                    size += pending[-1][1]
                    if size >= _READ_SLOTS:
                        found.append(self._read(file.fileno(), pending, numbers))
                        pending, size = [], 0
            found.append(self._read(file.fileno(), pending, numbers))
        if len(found) == 1:
            return found[0]
        return np.concatenate([samples for samples, _ in found]), np.concatenate(
            [slots for _, slots in found]
        )

    def _read(self, fd: int, pieces: list[tuple[int, int]], numbers: Any) -> tuple[Samples, Slots]:
        """Read pieces of the samples file, and return the samples of the chosen series.

        Each piece is a pair: its first slot and its number of slots. ``numbers`` are series
        numbers.
        """
        import numpy as np

        size = layout.RECORD_SIZE
        content = np.empty(sum(count for _, count in pieces) * size, np.uint8).data
        end, lengths = 0, []
        for start, count in pieces:
            room = content[end : end + count * size]
            used = os.preadv(fd, [room], layout.HEADER_SIZE + start * size)
            lengths.append(used // size)
            end += lengths[-1] * size
        records = np.frombuffer(content[:end], record_dtype())
        starts = np.array([start for start, _ in pieces], np.int64)
        shifts = starts - np.append(0, np.cumsum(lengths))[: len(starts)]
        slots = np.arange(len(records)) + np.repeat(shifts, np.array(lengths, np.int64))
        own = records["series"]
        chosen = own == numbers[0] if len(numbers) == 1 else np.isin(own, numbers)
        if self._left_out:
            ranges = np.array(self._left_out)
            before = ranges[:, 0].searchsorted(slots, "right") - 1
            chosen &= (before < 0) | (slots > ranges[before, 1])
        if not chosen.all():
            places = np.flatnonzero(chosen)
            records, slots = take_records(records, places), slots[places]
        records, slots, _ = self._convert(records, slots, np.zeros(len(records), np.int64))
        return records, slots

    def _find_owners(self, numbers: Any) -> Any:
        """For each number, return the index of its series, or -1 if the series is not declared."""
        import numpy as np

        known, owners, _, table = self._look_up()
        if table is not None:
            return table[np.minimum(numbers, len(table) - 1)]
        places = np.minimum(known.searchsorted(numbers), len(known) - 1)
        return np.where(known[places] == numbers, owners[places], -1)

    def _look_up(self) -> tuple[Any, Any, Any, Any]:
        """Return the declared numbers in ascending order, with their series and storage types.

        The series are indices. The fourth item is an array that contains the index of the series
        for each number, or None if a number is too large for such an array.
        """
        import numpy as np

        if self._lookup is None:
            known = np.array(sorted(self._by_number), np.uint32)
            owners = np.array([self._by_number[int(n)] for n in known], np.int64)
            storages = np.array([self._storage_of(int(n)) for n in known], np.int8)
            table = None
            if len(known) and known[-1] < _LARGEST_TABLE:
                table = np.full(int(known[-1]) + 2, -1, np.int64)
                table[known] = owners
            self._lookup = known, owners, storages, table
        return self._lookup

    def _storage_of(self, number: int) -> int:
        declared = self.series[self._by_number[number]].declared[number]
        return ("f64", "i64", "text").index(declared.storage)

    def _note_last(self, records: Samples, owners: Any) -> None:
        """Count the samples of each series, and remember its last sample."""
        import numpy as np

        counts = np.bincount(owners, minlength=len(self.series))
        lasts = np.zeros(len(self.series), np.int64)
        lasts[owners] = np.arange(len(owners))  # the last assignment to an index wins
        for index in np.flatnonzero(counts).tolist():
            self.series[index].count += int(counts[index])
            self.series[index].last = records[int(lasts[index])].copy()

    def _convert(self, records: Samples, slots: Slots, owners: Any) -> tuple[Samples, Slots, Any]:
        """Convert all values to float64, in place.

        Leaves out text values that can't be read or are not numbers. Returns the remaining records,
        slots and owners.
        """
        import numpy as np

        known, _, storages, _ = self._look_up()
        if not storages.any():
            return records, slots, owners
        storage = storages[np.minimum(known.searchsorted(records["series"]), len(known) - 1)]
        integers = np.flatnonzero(storage == 1)
        if len(integers):
            records["value"][integers] = to_int64(records[integers]).astype(np.float64)
        texts = np.flatnonzero(storage == 2)
        if not len(texts):
            return records, slots, owners
        intact = np.ones(len(records), bool)
        for number in np.unique(records["series"][texts]).tolist():
            own = texts[records["series"][texts] == number]
            kept, values = text_values(self.files, number, to_int64(records[own]).tolist())
            intact[own] = False
            numbers = [to_number(value) for value in values]
            records["value"][own[kept]] = [nan if n is None else n for n in numbers]
            intact[own[kept]] = [n is not None for n in numbers]
        return records[intact], slots[intact], owners[intact]

    def _note_left_out(self, slots: Slots) -> None:
        """Remember the slots of damaged samples, so that they are not read again."""
        import numpy as np

        if len(slots):
            breaks = np.flatnonzero(np.diff(slots) > 1)
            firsts = slots[np.append(0, breaks + 1)]
            lasts = slots[np.append(breaks, len(slots) - 1)]
            self._left_out += zip(firsts.tolist(), lasts.tolist(), strict=True)


def to_number(value: Any) -> float | None:
    """Return the float nearest to a recorded value; None if the value is not a number."""
    if isinstance(value, Array) or not isinstance(value, (int, float, Decimal)):
        return None
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf
    except ValueError:  # a signaling NaN
        return nan
