"""Reads the samples of a journal as blocks of columns. Each block belongs to one series.

`SeriesTable.blocks` reads each samples file once, in chunks, so memory does not grow with the run.

Imports the `journal` readers and `damage`; imports numpy only when needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.journal import history, layout
from provml.journal.files import WriterFiles
from provml.journal.layout import SAMPLING as SAMPLING
from provml.journal.reader import Journal
from provml.journal.record_parsing import Series
from provml.journal.sample_reading import to_int64
from provml.model.damage import DamagedRecordError, decode_field
from provml.model.series_shape import SeriesShape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TEXT_ROWS: Final = 64
_KEPT_SAMPLES: Final = 20_000
"""If a run has fewer samples than this, its blocks are kept in memory (about 2 MB)."""

Number = int | float | Decimal
SeriesIdentity = tuple[str, tuple[str, ...] | None, str, int | None, tuple[str, str] | None]
"""The fields that identify a series.

These fields are the kind, context path, name and rank of the series, and the kind and name of the
model or artifact that the series is about.
"""


class RunSeries:
    """One series of the run, with a summary of its samples from all writers.

    A series is identified by its kind, context, name, rank and target (a model or artifact).

    ``minimum``, ``maximum`` and ``mean`` ignore NaN and values that are not numbers. Only series of
    readings have a mean. ``last`` is the last value that the last writer wrote. ``shape`` is None
    unless the shapes were requested.
    """

    def __init__(self, identity: SeriesIdentity, index: int) -> None:
        self.identity = identity
        self.index = index
        self.units: list[str] = []
        self.count = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.minimum: Number | None = None
        self.maximum: Number | None = None
        self.last: Any = None
        self.total = 0.0
        self.numbers = 0
        self.writers: list[WriterFiles] = []
        self.shape: SeriesShape | None = None
        self._last_place = (-1, -1)

    @property
    def kind(self) -> str:
        """The kind of the samples, such as ``metric``, ``flops`` or the name of a collector."""
        return self.identity[0]

    @property
    def context(self) -> tuple[str, ...] | None:
        """The path of the series' context; None for the run itself."""
        return self.identity[1]

    @property
    def name(self) -> str:
        """The name under which the series was logged."""
        return self.identity[2]

    @property
    def rank(self) -> int | None:
        """The rank of the process that wrote the series; None if the job is not distributed."""
        return self.identity[3]

    @property
    def of(self) -> tuple[str, str] | None:
        """The kind and name of the model or artifact that the series is about, or None."""
        return self.identity[4]

    @property
    def mean(self) -> float | None:
        """The mean of the readings; None if no value is a number."""
        return self.total / self.numbers if self.numbers else None

    def add(self, block: Block) -> None:
        """Add a block of samples to the summary."""
        times = block.time_ns
        first, last = int(times.min()), int(times.max())
        self.count += len(times)
        self.first_ns = first if self.first_ns is None else min(first, self.first_ns)
        self.last_ns = last if self.last_ns is None else max(last, self.last_ns)
        extremes = _find_extremes(block.values)
        if extremes is not None:
            low, high = extremes
            self.minimum = low if self.minimum is None else min(low, self.minimum)
            self.maximum = high if self.maximum is None else max(high, self.maximum)
        if self.kind != "metric" and not isinstance(block.values, list):
            self._add_up(block.values)
        if self.shape is not None:
            self.shape.add(block.values)
        # blocks of one chunk may come out of order, so compare their places
        place = block.writer, int(block.number[-1])
        if place > self._last_place:
            self._last_place = place
            last_value = block.values[-1]
            self.last = last_value if isinstance(block.values, list) else last_value.item()

    def add_number(self, time_ns: int, value: float, place: tuple[int, int]) -> None:
        """Add one sample whose value is a number. For a few samples, this is cheaper than `add`.

        Args:
            time_ns: the time of the sample.
            value: the value, a float or an int.
            place: the index of the writer, and the position of the sample among the samples of its
                series and writer.
        """
        self.count += 1
        self.first_ns = time_ns if self.first_ns is None else min(time_ns, self.first_ns)
        self.last_ns = time_ns if self.last_ns is None else max(time_ns, self.last_ns)
        if value == value:  # not NaN
            self.minimum = value if self.minimum is None else min(value, self.minimum)
            self.maximum = value if self.maximum is None else max(value, self.maximum)
            if self.kind != "metric":
                self.total += value
                self.numbers += 1
        if self.shape is not None:
            self.shape.add_number(value)
        if place > self._last_place:
            self._last_place, self.last = place, value

    def _add_up(self, values: Any) -> None:
        import numpy as np

        numbers = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        self.total += float(numbers.sum(dtype=np.float64))
        self.numbers += len(numbers)


class Block(NamedTuple):
    """Samples that share a series, a unit and a writer, in the order in which they were written.

    Either all samples of a block have a step or none of them do. The same applies to epochs.

    Attributes:
        series: the series that the samples belong to.
        unit: the unit of the values; None if they have no unit.
        writer: the index of the writer.
        number: the position of each sample among the samples of its series and writer, from 0.
        step: the step of each sample; None if these samples have no step.
        epoch: the epoch of each sample; None if these samples have no epoch.
        time_ns: the time of each sample, in nanoseconds since the epoch.
        values: a float64 or int64 array, or a list if the values have other types.
        target: the number of the record that the samples are about, for example a workload; None if
            there is no such record.
        role: ``row`` if a metric group recorded the samples; ``summary`` if a metric group computed
            the samples from stored values; ``stored`` for stored values; None for other samples.
    """

    series: RunSeries
    unit: str | None
    writer: int
    number: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    step: NDArray[np.int64] | None
    epoch: NDArray[np.int64] | None
    values: NDArray[np.float64] | NDArray[np.int64] | list[Any]
    target: int | None = None
    role: str | None = None

    def rows(self, chosen: Any) -> Block:
        """Return a block that contains only the samples selected by a boolean mask."""
        values: Any = self.values
        if isinstance(values, list):
            values = [value for value, own in zip(values, chosen.tolist(), strict=True) if own]
        else:
            values = values[chosen]
        return self._replace(
            number=self.number[chosen],
            time_ns=self.time_ns[chosen],
            step=None if self.step is None else self.step[chosen],
            epoch=None if self.epoch is None else self.epoch[chosen],
            values=values,
        )


def _find_extremes(values: Any) -> tuple[Number, Number] | None:
    import numpy as np

    if isinstance(values, list):
        numbers = [
            v for v in values if isinstance(v, int) or (isinstance(v, Decimal) and not v.is_nan())
        ]
        return (min(numbers), max(numbers)) if numbers else None
    if values.dtype.kind == "f":
        values = values[~np.isnan(values)]
    return (values.min().item(), values.max().item()) if len(values) else None


class SeriesTable:
    """All series of a run, in the order in which they were first declared."""

    def __init__(self, journal: Journal | None = None, with_shapes: bool = False) -> None:
        """Read which series the run has.

        Args:
            journal: the run's journal; None for an empty table.
            with_shapes: whether to find the shape of each metric.
        """
        self.all: list[RunSeries] = []
        self._with_shapes = with_shapes
        self._by_identity: dict[SeriesIdentity, RunSeries] = {}
        self._declared: list[tuple[WriterFiles, dict[int, tuple[Series, RunSeries]]]] = []
        self._kept: list[Block] | None = None
        for files in () if journal is None else journal.writers:
            rank = files.first_record().get("rank")
            declared: dict[int, tuple[Series, RunSeries]] = {}
            self.declare(
                files, rank if isinstance(rank, int) else None, files.series().values(), declared
            )
            self._declared.append((files, declared))

    def declare(
        self,
        files: WriterFiles,
        rank: int | None,
        found: Iterable[Series],
        declared: dict[int, tuple[Series, RunSeries]],
    ) -> None:
        """Add the series that a writer declares.

        Args:
            files: the writer's files.
            rank: the rank of the writer's process; None if it has no rank.
            found: the declarations of the series.
            declared: the writer's series, keyed by series number. The new series are added to this
                dict.
        """
        for series in found:
            declared[series.number] = series, self._series(series, rank, files)

    def _series(self, declared: Series, rank: int | None, files: WriterFiles) -> RunSeries:
        of = history.parse_target(declared.target)
        identity = (declared.kind, declared.context, declared.name, rank, of)
        series = self._by_identity.get(identity)
        if series is None:
            series = RunSeries(identity, len(self.all))
            if self._with_shapes and series.kind == "metric":
                series.shape = SeriesShape()
            self._by_identity[identity] = series
            self.all.append(series)
        if declared.unit is not None and declared.unit not in series.units:
            series.units.append(declared.unit)
        if files not in series.writers:
            series.writers.append(files)
        return series

    def declared(self) -> list[tuple[WriterFiles, dict[int, tuple[Series, RunSeries]]]]:
        """Return each writer with a dict of the series that it declared, keyed by series number."""
        return self._declared

    def blocks(self) -> Iterator[Block]:
        """Yield all samples as blocks, chunk by chunk. Every pass yields the same blocks."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Block] = []
        samples = 0
        for files, declared in self._declared:
            splitter = BlockSplitter(files, declared)
            for block in (block for chunk in files.chunks() for block in splitter.split(chunk)):
                yield block
                samples += len(block.time_ns)
                if samples <= _KEPT_SAMPLES and not isinstance(block.values, list):
                    kept.append(block)
                else:  # too many samples, or text values, which may be large
                    samples, kept = _KEPT_SAMPLES, []
            if splitter.unknown:
                files.damage["sample of an undeclared series"] = splitter.unknown
        if samples < _KEPT_SAMPLES:
            self._kept = kept


class BlockSplitter:
    """Splits the samples of one writer into blocks, and numbers the samples of each series.

    Attributes:
        counts: the number of samples that were split so far, keyed by the index of the series.
        unknown: the number of samples whose series is not declared.
    """

    def __init__(
        self, files: WriterFiles, declared: Mapping[int, tuple[Series, RunSeries]]
    ) -> None:
        self.counts: dict[int, int] = {}
        self.unknown = 0
        self._files = files
        self._declared = declared

    def split(self, chunk: NDArray[np.void]) -> Iterator[Block]:
        """Split a chunk, which contains the writer's next samples, and yield the blocks."""
        import numpy as np

        numbers = chunk["series"]
        order = np.argsort(numbers, kind="stable")
        present, starts = np.unique(numbers[order], return_index=True)
        groups = np.split(order, starts[1:])
        # samples of one series are numbered together, even if they differ in storage type
        by_series: dict[int, list[tuple[Series, RunSeries, NDArray[np.intp]]]] = {}
        for number, positions in zip(present.tolist(), groups, strict=True):
            if number not in self._declared:
                self.unknown += len(positions)
                continue
            series, run_series = self._declared[number]
            by_series.setdefault(run_series.index, []).append((series, run_series, positions))
        for index, members in by_series.items():
            start = self.counts.get(index, 0)
            merged = members[0][2]
            if len(members) > 1:
                merged = np.sort(np.concatenate([positions for _, _, positions in members]))
            self.counts[index] = start + len(merged)
            for series, run_series, positions in members:
                own_numbers = np.searchsorted(merged, positions) + start
                yield from split_rows(
                    self._files, series, run_series, chunk[positions], own_numbers
                )


def split_rows(
    files: WriterFiles,
    declared: Series,
    series: RunSeries,
    records: NDArray[np.void],
    numbers: NDArray[np.int64],
) -> Iterator[Block]:
    """Split the samples of a series into blocks.

    In each block, either all samples have a step or none of them do. The same applies to epochs.
    """
    import numpy as np

    lacks = 2 * (records["step"] == layout.NO_STEP) + (records["epoch"] == layout.NO_EPOCH)
    present = np.flatnonzero(np.bincount(lacks)).tolist()
    for lacking in present:
        rows, own_numbers = records, numbers
        if len(present) > 1:
            rows, own_numbers = records[lacks == lacking], numbers[lacks == lacking]
        step, epoch = lacking < 2, lacking % 2 == 0
        # a text value may take a megabyte, so each block has only a few rows
        size = _TEXT_ROWS if declared.storage == "text" else len(rows)
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            block = _make_block(files, declared, series, rows[part], own_numbers[part], step, epoch)
            if len(block.time_ns):
                yield block


def _make_block(
    files: WriterFiles,
    declared: Series,
    series: RunSeries,
    rows: NDArray[np.void],
    numbers: NDArray[np.int64],
    with_step: bool,
    with_epoch: bool,
) -> Block:
    import numpy as np

    values: Any
    if declared.storage == "f64":
        values = np.ascontiguousarray(rows["value"])
    elif declared.storage == "i64":
        values = to_int64(rows)
    else:
        kept, values = text_values(files, declared.number, to_int64(rows).tolist())
        rows, numbers = rows[kept], numbers[kept]
    return Block(
        series=series,
        unit=declared.unit,
        writer=files.index,
        number=np.ascontiguousarray(numbers, dtype=np.int64),
        time_ns=np.ascontiguousarray(rows["time"]),
        step=np.ascontiguousarray(rows["step"]) if with_step else None,
        epoch=rows["epoch"].astype(np.int64) if with_epoch else None,
        values=values,
        target=target_of(declared),
        role=declared.role,
    )


def target_of(declared: Series) -> int | None:
    """Return the number of the record that a series is about; None if there is no such record."""
    number = (declared.target or {}).get("record")
    return number if isinstance(number, int) else None


def text_values(files: WriterFiles, series: int, offsets: list[int]) -> tuple[list[int], list[Any]]:
    """Read the text values at the given offsets of the events file.

    Returns the positions in ``offsets`` of the readable values, and the values themselves.
    """
    kept: list[int] = []
    values: list[Any] = []
    lost: Counter[str] = Counter()
    for position, record in enumerate(files.records_at(offsets)):
        if (
            record is not None
            and record.get("record") == "sample"
            and record.get("series") == series
        ):
            try:
                values.append(decode_field(record, "value"))
            except DamagedRecordError:
                pass
            else:
                kept.append(position)
                continue
        lost["unreadable sample"] += 1
    files.damage |= lost
    return kept, values
