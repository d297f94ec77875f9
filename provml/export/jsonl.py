"""JSON Lines: the samples of a run, one JSON object on each line, for jq and data frames.

Each line is strict JSON. This is a sample of the metric ``loss``::

    {"metric":"loss","context":["training"],"kind":"metric","index":0,
     "time":"2026-01-01T00:00:00.000000000Z","data":{"value":0.5,"step":0,"epoch":0}}

The members of a line are:

- ``metric``: the name of the metric. A point of a metric group has ``group`` instead, such as
  ``"group":"train_loss"``.
- ``context``: the path of the context, outermost first; null if the sample has no context.
- ``kind``: ``metric``, ``flops``, ``cumulative-flops``, or the name of the collector that took the
  reading.
- ``rank``, ``unit`` and ``of``: present if the series has them, as in ``"of":["model","net"]``.
- ``index``: the number of the sample within its series and rank, or the number of the point within
  its group, counted over all processes. Both start at 0.
- ``data``: the value of the sample, with its step and epoch if recorded. For a point, ``data``
  contains the fields of the point, as `RecordedRun.points` returns them.

Values are written as follows:

- Finite floats and 64-bit integers are JSON numbers. Only floats have a ``.`` or ``e``.
- Text is a JSON string.
- Any other value, including NaN and infinity, is ``{"$": ..., "type": ...}`` with the lexical form
  and datatype of PROV-JSON.

The lines of one series or group are in the order of recording, one process after another. The order
of different series has no meaning.

Imports numpy only when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.export._text import (
    Piece,
    format_floats,
    format_integers,
    format_times,
    gather_blocks,
    join_rows,
    lexical_form,
    quote_json,
)
from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.point_pages import holds_points
from provml.journal.record_parsing import Series
from provml.journal.sample_reading import to_int64
from provml.model.attributes import typed_literal
from provml.model.series import SAMPLING, RunSeries, text_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from provml.model.mapping import RunMapping

SUFFIX: Final = ".jsonl"
OTHER_SUFFIXES: Final = (".ndjson",)
SAMPLES_ONLY: Final = True

_BLOCK_ROWS: Final = 8192
_TEXT_ROWS: Final = 64  # a text may be a megabyte long, so read only a few at a time


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write the samples of one run as JSON Lines. Memory use does not grow with the run."""
    counts: dict[Any, int] = {}
    for files, declared in mapping.series.declared():
        for block in gather_blocks(_writer_lines(files, declared, counts)):
            sink.write(block)


def _writer_lines(
    files: WriterFiles, declared: dict[int, tuple[Series, RunSeries]], counts: dict[Any, int]
) -> Iterator[bytes]:
    """Yield the lines of one writer.

    Holds back the last points of a chunk, because they may continue in the next chunk.
    """
    import numpy as np

    table = _SeriesColumns(declared)
    waiting: NDArray[np.void] | None = None
    for chunk in files.chunks():
        rows = chunk[np.isin(chunk["series"], table.numbers)]
        if waiting is not None:
            rows = np.concatenate((waiting, rows))
        samples, is_open = _arrange_samples(table, rows, counts, False)
        waiting = _last_rows(table, samples.chosen(is_open))
        yield from _line_blocks(files, table, samples.chosen(~is_open))
    if waiting is not None:
        yield from _line_blocks(files, table, _arrange_samples(table, waiting, counts, True)[0])


class _SeriesColumns:
    """The series of one writer, as arrays with an entry for each series.

    Attributes:
        numbers: the series' numbers, ascending. All arrays have this order.
        keys: for each series, the key under which its lines are counted.
        counted: a number for each series' key; equal keys have equal numbers.
        fields: a number for each series' name; equal names have equal numbers.
        is_point: for each series, whether its samples are fields of points.
        storages: the form in which each series stores its values: ``f64``, ``i64`` or ``text``.
        heads: two texts for each series. The first half of the array contains the texts that start
            a line. The second half contains empty texts, for rows that continue a line.
        names: two texts to write before a value, for each series. The first half of the array is
            for rows that start a line, the second half for rows that continue a line.
    """

    def __init__(self, declared: dict[int, tuple[Series, RunSeries]]) -> None:
        import numpy as np

        own = [pair for _, pair in sorted(declared.items()) if pair[0].kind != SAMPLING]
        names = [quote_json(s.name) if _is_field(s) else '"value"' for s, _ in own]
        self.numbers = np.array([series.number for series, _ in own], np.int64)
        self.keys = [s.context if _is_field(s) else r.identity for s, r in own]
        self.counted = _number_keys(self.keys)
        self.fields = _number_keys([series.name for series, _ in own])
        self.is_point = np.array([_is_field(series) for series, _ in own], bool)
        self.storages = np.array([series.storage for series, _ in own], "U4")
        self.heads = _object_array([*(_line_start(*pair) for pair in own), *([b""] * len(own))])
        self.names = _object_array(
            [form % name.encode() for form in (b'","data":{%b:', b",%b:") for name in names]
        )


def _is_field(series: Series) -> bool:
    """Return whether a series holds a field of points. The fields step and epoch don't count."""
    return holds_points(series) and series.name not in ("step", "epoch")


def _line_start(series: Series, run_series: RunSeries) -> bytes:
    path = series.context and f"[{','.join(map(quote_json, series.context))}]"
    if _is_field(series):
        assert series.context
        members = {"group": quote_json(series.context[-1]), "context": path, "kind": '"metric"'}
    else:
        members = {"metric": quote_json(series.name), "context": path or "null"}
        members["kind"] = quote_json(series.kind)
    if run_series.rank is not None:
        members["rank"] = str(run_series.rank)
    if series.unit is not None:
        members["unit"] = quote_json(series.unit)
    if run_series.of is not None:
        members["of"] = f"[{','.join(map(quote_json, run_series.of))}]"
    texts = [f'"{name}":{text}' for name, text in members.items()]
    return f'{{{",".join(texts)},"index":'.encode()


def _number_keys(keys: list[Any]) -> NDArray[np.int64]:
    """Return a number for each key. Equal keys have equal numbers."""
    import numpy as np

    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _object_array(texts: list[bytes]) -> NDArray[np.object_]:
    """Convert texts to a numpy array, so that an array of positions can index it."""
    import numpy as np

    found = np.empty(len(texts), object)
    found[:] = texts
    return found


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples of one writer, in the order of their lines.

    Attributes:
        rows: the records of the samples file.
        places: the position of each sample's series in `_SeriesColumns`.
        lines: the number of each sample's line.
        index: the value of ``"index"`` in each sample's line.
    """

    rows: NDArray[np.void]
    places: NDArray[np.int64]
    lines: NDArray[np.int64]
    index: NDArray[np.int64]

    def chosen(self, mask: Any) -> _Samples:
        """Return only the samples that a boolean mask or a slice selects."""
        return _Samples(self.rows[mask], self.places[mask], self.lines[mask], self.index[mask])


def _arrange_samples(
    table: _SeriesColumns, rows: NDArray[np.void], counts: dict[Any, int], is_end: bool
) -> tuple[_Samples, NDArray[np.bool_]]:
    """Sort samples by line, and count the complete lines of this chunk in ``counts``.

    Returns:
        The sorted samples, and a mask of the samples whose point may continue in the next chunk. At
            the end of the file, no point continues.
    """
    import numpy as np

    places = np.searchsorted(table.numbers, rows["series"])
    order = np.argsort(table.counted[places], kind="stable")
    own = places[order]
    is_point = table.is_point[own]
    may_go_on = is_point & (not is_end)
    changes = _find_changes(table.counted[own])
    begins = changes | ~is_point | _find_changes(rows["time"][order])
    lines = np.cumsum(begins) - 1
    # find the first and last line of each key in this chunk, and look up how many lines the key
    # had in earlier chunks
    nth = np.cumsum(changes) - 1
    firsts = lines[changes]
    lasts = np.append(firsts[1:], lines[-1:] + 1) - 1
    keys = [table.keys[place] for place in own[changes].tolist()]
    before = np.array([counts.get(key, 0) for key in keys], np.int64)
    index = lines - firsts[nth] + before[nth]
    is_open = may_go_on & (lines == lasts[nth])
    ended = before + lasts - firsts + 1 - may_go_on[changes]
    counts.update(zip(keys, ended.tolist(), strict=True))
    # sort the lines by the position of their first sample
    by_line = np.argsort(order[begins][lines], kind="stable")
    samples = _Samples(rows[order], own, lines, index)
    return samples.chosen(by_line), is_open[by_line]


def _find_changes(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask that marks each row whose value differs from the value in the row before.

    The first row is always marked.
    """
    import numpy as np

    return np.concatenate((np.ones(min(len(column), 1), bool), column[1:] != column[:-1]))


def _last_rows(table: _SeriesColumns, samples: _Samples) -> NDArray[np.void]:
    """Return the last sample of each series, as rows of the samples file."""
    import numpy as np

    _, found = np.unique(samples.places[::-1], return_index=True)
    return samples.rows[np.sort(len(samples.rows) - 1 - found)]


def _line_blocks(files: WriterFiles, table: _SeriesColumns, samples: _Samples) -> Iterator[bytes]:
    """Yield the text of the samples' lines, block by block."""
    import numpy as np

    samples = samples.chosen(_find_readable(files, table, samples))
    samples = samples.chosen(_find_last_of_name(table, samples))
    begins = _find_changes(samples.lines)
    ends = np.append(begins[1:], begins[:1])  # the last row always ends a line
    start = 0
    while start < len(begins):
        block = slice(start, start + _BLOCK_ROWS)
        if (table.storages[samples.places[block]] == "text").any():
            block = slice(start, start + _TEXT_ROWS)
        own = samples.chosen(block)
        pieces = _line_pieces(files, table, own, begins[block], ends[block])
        yield join_rows(pieces, len(own.rows), b"")
        start = block.stop


def _find_readable(
    files: WriterFiles, table: _SeriesColumns, samples: _Samples
) -> NDArray[np.bool_]:
    """Return a mask that selects the samples whose values are readable.

    Only values that are stored as text can be unreadable.
    """
    import numpy as np

    found = np.ones(len(samples.rows), bool)
    is_text = np.flatnonzero(table.storages[samples.places] == "text")
    for start in range(0, len(is_text), _TEXT_ROWS):
        own = is_text[start : start + _TEXT_ROWS]
        found[own] = [text != b"" for text in _other_value_texts(files, samples.rows[own])]
    return found


def _find_last_of_name(table: _SeriesColumns, samples: _Samples) -> NDArray[np.bool_]:
    """Return a mask that selects only the last sample of each field in each line."""
    import numpy as np

    found = np.ones(len(samples.rows), bool)
    if table.is_point.any():
        names = samples.lines * len(table.fields) + table.fields[samples.places]
        _, last = np.unique(names[::-1], return_index=True)
        found[:] = False
        found[len(names) - 1 - last] = True
    return found


def _line_pieces(
    files: WriterFiles,
    table: _SeriesColumns,
    samples: _Samples,
    begins: NDArray[np.bool_],
    ends: NDArray[np.bool_],
) -> list[Piece]:
    """Build the text of the samples' lines, as pieces for `join_rows`."""
    rows = samples.rows
    places = samples.places + len(table.numbers) * ~begins
    has_step = ends & (rows["step"] != layout.NO_STEP)
    has_epoch = ends & (rows["epoch"] != layout.NO_EPOCH)
    return [
        _look_up(table.heads, places),
        *_place_texts(begins, b"", format_integers, samples.index),
        *_place_texts(begins, b',"time":"', format_times, rows["time"]),
        _look_up(table.names, places),
        _value_texts(files, table, samples),
        *_place_texts(has_step, b',"step":', format_integers, rows["step"]),
        *_place_texts(has_epoch, b',"epoch":', format_integers, rows["epoch"]),
        *_place_texts(ends, b"}}\n"),
    ]


def _look_up(texts: NDArray[np.object_], places: NDArray[np.int64]) -> Piece:
    if (places == places[0]).all():
        text: bytes = texts[places[0]]
        return text
    found: list[bytes] = texts[places].tolist()
    return found


def _place_texts(
    chosen: NDArray[np.bool_],
    before: bytes,
    make: Callable[[Any], list[bytes]] | None = None,
    column: Any = None,
) -> list[Piece]:
    """Build texts for the chosen rows: the text ``before``, followed by the column's text.

    The texts of other rows are empty.
    """
    import numpy as np

    if chosen.all():
        return [before] if make is None else [before, make(np.ascontiguousarray(column))]
    if not chosen.any():
        return []
    where = np.flatnonzero(chosen)
    pieces: list[Piece] = [_spread_texts([before] * len(where), where, len(chosen))]
    if make is not None:
        pieces.append(_spread_texts(make(np.ascontiguousarray(column[where])), where, len(chosen)))
    return pieces


def _spread_texts(texts: list[bytes], where: NDArray[np.intp], length: int) -> list[bytes]:
    found = [b""] * length
    for place, text in zip(where.tolist(), texts, strict=True):
        found[place] = text
    return found


def _value_texts(files: WriterFiles, table: _SeriesColumns, samples: _Samples) -> list[bytes]:
    import numpy as np

    storages = table.storages[samples.places]
    found: list[bytes] = [b""] * len(storages)
    for storage in np.unique(storages).tolist():
        where = np.flatnonzero(storages == storage)
        rows = samples.rows[where]
        if storage == "f64":
            texts = _double_texts(np.ascontiguousarray(rows["value"]))
        elif storage == "i64":
            texts = format_integers(to_int64(rows))
        else:
            texts = _other_value_texts(files, rows)
        if len(texts) == len(found):
            return texts
        for place, text in zip(where.tolist(), texts, strict=True):
            found[place] = text
    return found


def _double_texts(numbers: NDArray[np.float64]) -> list[bytes]:
    import numpy as np

    texts = format_floats(numbers)
    for place in np.flatnonzero(~np.isfinite(numbers)).tolist():
        texts[place] = _typed_json(texts[place].decode(), "xsd:double")
    return texts


def _typed_json(text: str, datatype: str) -> bytes:
    return f'{{"$":{quote_json(text)},"type":"{datatype}"}}'.encode()


def _other_value_texts(files: WriterFiles, rows: NDArray[np.void]) -> list[bytes]:
    """Format values that are not 64-bit numbers. An unreadable value becomes an empty text."""
    import numpy as np

    found = [b""] * len(rows)
    for number in np.unique(rows["series"]).tolist():
        where = np.flatnonzero(rows["series"] == number)
        kept, values = text_values(files, number, to_int64(rows[where]).tolist())
        for place, value in zip(where[kept].tolist(), values, strict=True):
            text, datatype = lexical_form(typed_literal(value))
            found[place] = (
                quote_json(text).encode() if datatype is None else _typed_json(text, datatype)
            )
    return found
