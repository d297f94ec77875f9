"""Reads the points of a metric group in pages.

Imports only `journal`, `base.results` and `errors` from provml, and imports numpy only to read
points.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.base.results import Point, PointPage
from provml.errors import InvalidArgumentError
from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.reader import Journal
from provml.journal.record_parsing import Series
from provml.journal.sample_reading import Part, to_int64
from provml.journal.values import DECODE_ERRORS, decode, to_logged_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_POINTS: Final = 1_000_000
_PART_RECORDS: Final = 4096
_POINT_ROLES: Final = ("row", "summary")


class PointPages:
    """Reads the points of one metric group, one page at a time.

    Remembers where points begin in the samples files. So reading all pages, one after another,
    costs about two passes over the files. While the run is being recorded, reading a page also
    reads the samples that were written since the last page was read.
    """

    def __init__(self, path: tuple[str, ...]) -> None:
        """Prepare to read pages. Reads nothing yet.

        Args:
            path: the context path of the group.
        """
        self._path = path
        self._writers: dict[str, _WriterPoints] = {}

    def read(self, journal: Journal, start_index: int, limit: int) -> PointPage:
        """Read one page, as `MetricGroup.read` describes.

        A point consists of consecutive samples that have the group's context and the same time.
        Lists all points of one writer before the points of the next.

        Raises InvalidArgumentError if an argument is not a non-negative int, or if the limit
        exceeds a million.
        """
        start = validate_count(start_index, "start_index", 2**62)
        stop = start + validate_count(limit, "limit", _MAX_POINTS)
        total = 0
        found: list[Point] = []
        for files in journal.writers:
            points = self._writers.setdefault(files.name, _WriterPoints(self._path))
            count = points.count(files)
            if total < stop and start < total + count:
                rows = points.read(files, max(0, start - total), stop - total)
                found += [Point(total + row, data) for row, data in rows]
            total += count
        return PointPage(found, total, stop < total)


class _Place(NamedTuple):
    """The place in a samples file where a part (consecutive records) begins.

    Attributes:
        points: the number of points that begin before the part.
        record: the number of records before the part.
        time: the time of the group's last sample before the part; None if there is none.
    """

    points: int
    record: int
    time: int | None


class _WriterPoints:
    """The points of a group in one writer's files."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self._path = path
        self._declared: dict[int, Series] = {}
        self._events_size = -1
        self._places = [_Place(0, 0, None)]
        self._total: int | None = None

    def count(self, files: WriterFiles) -> int:
        """Return the number of points. Reads only the part of the file that may have changed."""
        if self._total is not None:
            return self._total
        has_ended = files.header().status is not None
        self._read_series(files)
        if not self._declared:
            return 0
        last = self._places.pop()
        points, complete = last.points, None
        for part in files.parts(_PART_RECORDS, last.record):
            self._places.append(_Place(points, part.first, last.time))
            if complete is None and not part.chunk["series"].all():
                complete = len(self._places)
            own, begins = self._select(part, last.time)
            points += int(begins.sum())
            last = last._replace(time=int(own["time"][-1]) if len(own) else last.time)
        if not self._places:
            self._places.append(last)
        if has_ended:
            self._total = points
        elif complete is not None:
            del self._places[complete:]  # samples may still be written before these places
        return points

    def read(self, files: WriterFiles, start: int, stop: int) -> list[tuple[int, dict[str, Any]]]:
        """Return the index and the fields of each point from ``start`` to ``stop - 1``."""
        found: list[tuple[int, dict[str, Any]]] = []
        place = self._places[bisect_right(self._places, start, key=operator.itemgetter(0)) - 1]
        points, time = place.points, place.time
        for part in files.parts(_PART_RECORDS, place.record):
            own, begins = self._select(part, time)
            if not len(own):
                continue
            index = points + begins.cumsum() - 1
            points, time = int(index[-1]) + 1, int(own["time"][-1])
            chosen = (index >= start) & (index < stop)
            self._add_fields(files, own[chosen], index[chosen], found)
            if points > stop:
                break
        return found

    def _read_series(self, files: WriterFiles) -> None:
        size = files.events_size()
        if size != self._events_size:
            self._events_size = size
            series = files.series().items()
            self._declared = {
                number: own
                for number, own in series
                if holds_points(own) and own.context == self._path
            }

    def _select(self, part: Part, time: int | None) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Return the group's samples in a part, and for each sample, whether it begins a point.

        Args:
            part: the part.
            time: the time of the group's last sample before the part.
        """
        import numpy as np

        own = part.chunk[np.isin(part.chunk["series"], np.array(list(self._declared)))]
        times = own["time"]
        begins = np.ones(len(own), bool)
        begins[1:] = times[1:] != times[:-1]
        if len(own) and time is not None:
            begins[0] = times[0] != time
        return own, begins

    def _add_fields(
        self,
        files: WriterFiles,
        own: NDArray[np.void],
        index: NDArray[np.int64],
        found: list[tuple[int, dict[str, Any]]],
    ) -> None:
        """Add the value, step and epoch of each sample to the fields of the sample's point."""
        for row, record, value in _decode_values(files, self._declared, own, index):
            if not found or found[-1][0] != row:
                found.append((row, {}))
            data = found[-1][1]
            data.pop("step", None), data.pop("epoch", None)  # keep the step and epoch last
            data[self._declared[int(record["series"])].name] = value
            if int(record["step"]) != layout.NO_STEP:
                data["step"] = int(record["step"])
            if int(record["epoch"]) != layout.NO_EPOCH:
                data["epoch"] = int(record["epoch"])


def validate_count(value: object, what: str, most: int) -> int:
    """Return a count as an int.

    Raises InvalidArgumentError if the value is not an int between 0 and ``most``. In the message,
    the argument has the name ``what``.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidArgumentError(f"{what}= must be a non-negative int, not {value!r:.80}")
    number = value.__index__()
    if not 0 <= number <= most:
        raise InvalidArgumentError(f"{what}= must be between 0 and {most:,}, not {value!r:.80}")
    return int(number)


def holds_points(series: Series) -> bool:
    """Return whether the samples of a series are values of a metric group's points."""
    return series.kind == "metric" and series.role in _POINT_ROLES and series.context is not None


def _decode_values(
    files: WriterFiles,
    declared: dict[int, Series],
    chosen: NDArray[np.void],
    index: NDArray[np.int64],
) -> Iterator[tuple[int, Any, Any]]:
    """Yield the point index, record and value of each sample whose value can be decoded."""
    floats, integers = chosen["value"].tolist(), to_int64(chosen).tolist()
    for position, record in enumerate(chosen):
        row = int(index[position])
        storage = declared[int(record["series"])].storage
        if storage != "text":
            yield row, record, floats[position] if storage == "f64" else integers[position]
            continue
        (line,) = files.records_at([integers[position]])
        try:
            yield row, record, to_logged_value(decode((line or {})["value"]))
        except DECODE_ERRORS:
            continue
