"""JSON Lines: the samples of a run alone, a point a line, for jq, data frames and other trackers.

A line is strict JSON. Of a sample::

    {"metric":"loss","context":["training"],"kind":"metric","index":0,
     "time":"2026-01-01T00:00:00.000000000Z","data":{"value":0.5,"step":0,"epoch":0}}

with ``"rank"``, ``"unit"`` and ``"of":["model","net"]`` before the index where there are such; of a
point of a group, ``"group":"train_loss"`` in place of ``"metric"``, and its fields in ``data`` as
`RecordedRun.points` gives them. ``kind`` is ``metric``, ``flops``, ``cumulative-flops`` or, of
readings, their collector. The index counts the points of the group, in all processes, or the
samples of the series (of its rank) that are no points.

A finite float and an integer of 64 bits are JSON numbers, told apart by a ``.`` or ``e``; text is a
string; any other value is ``{"$": ..., "type": ...}`` with the lexical form and datatype that it
has in PROV-JSON, NaN and the infinities too. A step or epoch that is not there is left out. The
lines of a series or group stand in the order written, process after process; what stands between
them of others need not have been written between them.

Imports `model`, `journal`, `history`, `_text`; numpy when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.export._text import (
    Piece,
    floats,
    gathered,
    integers,
    joined,
    json_text,
    lexical,
    time_texts,
)
from provml.journal import layout
from provml.journal.files import Series, WriterFiles, to_int64
from provml.journal.history import holds_points
from provml.model.attributes import typed_literal
from provml.model.series import SAMPLING, RunSeries, text_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from provml.model.mapping import RunMapping

SUFFIX: Final = ".jsonl"
SAMPLES_ONLY: Final = True

_BLOCK_ROWS: Final = 8192
_TEXT_ROWS: Final = 64  # values of up to a megabyte each are held a few at a time


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a run's samples in one pass over them; memory is bounded by a chunk."""
    counts: dict[Any, int] = {}
    for files, declared in mapping.series.declared():
        for block in gathered(_writer_lines(files, declared, counts)):
            sink.write(block)


def _writer_lines(
    files: WriterFiles, declared: dict[int, tuple[Series, RunSeries]], counts: dict[Any, int]
) -> Iterator[bytes]:
    """One writer's lines. A point that may go on in the next chunk waits for it."""
    import numpy as np

    table = _Table(declared)
    waiting: NDArray[np.void] | None = None
    for chunk in files.chunks():
        rows = chunk[np.isin(chunk["series"], table.numbers)]
        if waiting is not None:
            rows = np.concatenate((waiting, rows))
        samples, is_open = _arranged(table, rows, counts, False)
        waiting = _last_of_each(table, samples.chosen(is_open))
        yield from _lines(files, table, samples.chosen(~is_open))
    if waiting is not None:
        yield from _lines(files, table, _arranged(table, waiting, counts, True)[0])


class _Table:
    """What is to know of a writer's series, each at a place of its own.

    Attributes:
        numbers: the series' numbers, ascending.
        keys: what each one's lines are counted by.
        counted: a number for that.
        fields: a number for the name.
        is_point: whether its samples are fields of points.
        storages: ``f64``, ``i64`` or ``text``.
        heads: what a line begins with; then, as often, nothing, for the further fields of a line.
        names: what stands before the value of a line's first field; then of a further one.
    """

    def __init__(self, declared: dict[int, tuple[Series, RunSeries]]) -> None:
        import numpy as np

        own = [pair for _, pair in sorted(declared.items()) if pair[0].kind != SAMPLING]
        names = [json_text(s.name) if _is_field(s) else '"value"' for s, _ in own]
        self.numbers = np.array([series.number for series, _ in own], np.int64)
        self.keys = [s.context if _is_field(s) else r.identity for s, r in own]
        self.counted = _numbered(self.keys)
        self.fields = _numbered([series.name for series, _ in own])
        self.is_point = np.array([_is_field(series) for series, _ in own], bool)
        self.storages = np.array([series.storage for series, _ in own], "U4")
        self.heads = _texts([*(_head(*pair) for pair in own), *([b""] * len(own))])
        self.names = _texts(
            [form % name.encode() for form in (b'","data":{%b:', b",%b:") for name in names]
        )


def _is_field(series: Series) -> bool:
    """Whether a series' samples are fields of points, in which no other field has such a name."""
    return holds_points(series) and series.name not in ("step", "epoch")


def _head(series: Series, run_series: RunSeries) -> bytes:
    path = series.context and f"[{','.join(map(json_text, series.context))}]"
    if _is_field(series):
        assert series.context
        members = {"group": json_text(series.context[-1]), "context": path, "kind": '"metric"'}
    else:
        members = {"metric": json_text(series.name), "context": path or "null"}
        members["kind"] = json_text(series.kind)
    if run_series.rank is not None:
        members["rank"] = str(run_series.rank)
    if series.unit is not None:
        members["unit"] = json_text(series.unit)
    if run_series.of is not None:
        members["of"] = f"[{','.join(map(json_text, run_series.of))}]"
    texts = [f'"{name}":{text}' for name, text in members.items()]
    return f'{{{",".join(texts)},"index":'.encode()


def _numbered(keys: list[Any]) -> NDArray[np.int64]:
    """A number for each key, the same for equal ones."""
    import numpy as np

    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _texts(texts: list[bytes]) -> NDArray[np.object_]:
    """Texts to be looked up by an array of places."""
    import numpy as np

    found = np.empty(len(texts), object)
    found[:] = texts
    return found


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples of one writer, in the order of their lines.

    Attributes:
        rows: the records.
        places: where their series stand in the table.
        lines: a number for the line of each.
        index: the index of that line.
    """

    rows: NDArray[np.void]
    places: NDArray[np.int64]
    lines: NDArray[np.int64]
    index: NDArray[np.int64]

    def chosen(self, mask: Any) -> _Samples:
        """Some of them, by a mask or a slice."""
        return _Samples(self.rows[mask], self.places[mask], self.lines[mask], self.index[mask])


def _arranged(
    table: _Table, rows: NDArray[np.void], counts: dict[Any, int], is_end: bool
) -> tuple[_Samples, NDArray[np.bool_]]:
    """The samples by line, and which are of a point that may go on; counts the other lines.

    At the end none goes on.
    """
    import numpy as np

    places = np.searchsorted(table.numbers, rows["series"])
    order = np.argsort(table.counted[places], kind="stable")
    own = places[order]
    is_point = table.is_point[own]
    may_go_on = is_point & (not is_end)
    changes = _changes(table.counted[own])
    begins = changes | ~is_point | _changes(rows["time"][order])
    lines = np.cumsum(begins) - 1
    # of each that is counted: its first line here, its last, and how many there were before
    nth = np.cumsum(changes) - 1
    firsts = lines[changes]
    lasts = np.append(firsts[1:], lines[-1:] + 1) - 1
    keys = [table.keys[place] for place in own[changes].tolist()]
    before = np.array([counts.get(key, 0) for key in keys], np.int64)
    index = lines - firsts[nth] + before[nth]
    is_open = may_go_on & (lines == lasts[nth])
    ended = before + lasts - firsts + 1 - may_go_on[changes]
    counts.update(zip(keys, ended.tolist(), strict=True))
    # a line stands where its first sample does
    by_line = np.argsort(order[begins][lines], kind="stable")
    samples = _Samples(rows[order], own, lines, index)
    return samples.chosen(by_line), is_open[by_line]


def _changes(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a column has another value than before."""
    import numpy as np

    return np.concatenate((np.ones(min(len(column), 1), bool), column[1:] != column[:-1]))


def _last_of_each(table: _Table, samples: _Samples) -> NDArray[np.void]:
    """The records of lines, of those of one series the last alone."""
    import numpy as np

    _, found = np.unique(samples.places[::-1], return_index=True)
    return samples.rows[np.sort(len(samples.rows) - 1 - found)]


def _lines(files: WriterFiles, table: _Table, samples: _Samples) -> Iterator[bytes]:
    """The samples' text, in blocks."""
    import numpy as np

    samples = samples.chosen(_is_readable(files, table, samples))
    samples = samples.chosen(_is_last_of_name(table, samples))
    begins = _changes(samples.lines)
    ends = np.append(begins[1:], begins[:1])  # the last ends
    start = 0
    while start < len(begins):
        block = slice(start, start + _BLOCK_ROWS)
        if (table.storages[samples.places[block]] == "text").any():
            block = slice(start, start + _TEXT_ROWS)
        own = samples.chosen(block)
        pieces = _pieces(files, table, own, begins[block], ends[block])
        yield joined(pieces, len(own.rows), b"")
        start = block.stop


def _is_readable(files: WriterFiles, table: _Table, samples: _Samples) -> NDArray[np.bool_]:
    """Which samples have a value: a text may be lost."""
    import numpy as np

    found = np.ones(len(samples.rows), bool)
    is_text = np.flatnonzero(table.storages[samples.places] == "text")
    for start in range(0, len(is_text), _TEXT_ROWS):
        own = is_text[start : start + _TEXT_ROWS]
        found[own] = [text != b"" for text in _other_values(files, samples.rows[own])]
    return found


def _is_last_of_name(table: _Table, samples: _Samples) -> NDArray[np.bool_]:
    """Which samples no later one of their name in their line stands for."""
    import numpy as np

    found = np.ones(len(samples.rows), bool)
    if table.is_point.any():
        names = samples.lines * len(table.fields) + table.fields[samples.places]
        _, last = np.unique(names[::-1], return_index=True)
        found[:] = False
        found[len(names) - 1 - last] = True
    return found


def _pieces(
    files: WriterFiles,
    table: _Table,
    samples: _Samples,
    begins: NDArray[np.bool_],
    ends: NDArray[np.bool_],
) -> list[Piece]:
    """The columns of the samples' text."""
    rows = samples.rows
    places = samples.places + len(table.numbers) * ~begins
    has_step = ends & (rows["step"] != layout.NO_STEP)
    has_epoch = ends & (rows["epoch"] != layout.NO_EPOCH)
    return [
        _looked_up(table.heads, places),
        *_where(begins, b"", integers, samples.index),
        *_where(begins, b',"time":"', time_texts, rows["time"]),
        _looked_up(table.names, places),
        _values(files, table, samples),
        *_where(has_step, b',"step":', integers, rows["step"]),
        *_where(has_epoch, b',"epoch":', integers, rows["epoch"]),
        *_where(ends, b"}}\n"),
    ]


def _looked_up(texts: NDArray[np.object_], places: NDArray[np.int64]) -> Piece:
    if (places == places[0]).all():
        text: bytes = texts[places[0]]
        return text
    found: list[bytes] = texts[places].tolist()
    return found


def _where(
    chosen: NDArray[np.bool_],
    before: bytes,
    make: Callable[[Any], list[bytes]] | None = None,
    column: Any = None,
) -> list[Piece]:
    """A text, and then those of a column, in some rows; nothing in the others."""
    import numpy as np

    if chosen.all():
        return [before] if make is None else [before, make(np.ascontiguousarray(column))]
    if not chosen.any():
        return []
    where = np.flatnonzero(chosen)
    pieces: list[Piece] = [_put([before] * len(where), where, len(chosen))]
    if make is not None:
        pieces.append(_put(make(np.ascontiguousarray(column[where])), where, len(chosen)))
    return pieces


def _put(texts: list[bytes], where: NDArray[np.intp], length: int) -> list[bytes]:
    found = [b""] * length
    for place, text in zip(where.tolist(), texts, strict=True):
        found[place] = text
    return found


def _values(files: WriterFiles, table: _Table, samples: _Samples) -> list[bytes]:
    import numpy as np

    storages = table.storages[samples.places]
    found: list[bytes] = [b""] * len(storages)
    for storage in np.unique(storages).tolist():
        where = np.flatnonzero(storages == storage)
        rows = samples.rows[where]
        if storage == "f64":
            texts = _floats(np.ascontiguousarray(rows["value"]))
        elif storage == "i64":
            texts = integers(to_int64(rows))
        else:
            texts = _other_values(files, rows)
        if len(texts) == len(found):
            return texts
        for place, text in zip(where.tolist(), texts, strict=True):
            found[place] = text
    return found


def _floats(numbers: NDArray[np.float64]) -> list[bytes]:
    import numpy as np

    texts = floats(numbers)
    for place in np.flatnonzero(~np.isfinite(numbers)).tolist():
        texts[place] = _typed(texts[place].decode(), "xsd:double")
    return texts


def _typed(text: str, datatype: str) -> bytes:
    return f'{{"$":{json_text(text)},"type":"{datatype}"}}'.encode()


def _other_values(files: WriterFiles, rows: NDArray[np.void]) -> list[bytes]:
    """The texts of values that are no numbers of 64 bits; empty where one can't be read."""
    import numpy as np

    found = [b""] * len(rows)
    for number in np.unique(rows["series"]).tolist():
        where = np.flatnonzero(rows["series"] == number)
        kept, values = text_values(files, number, to_int64(rows[where]).tolist())
        for place, value in zip(where[kept].tolist(), values, strict=True):
            text, datatype = lexical(typed_literal(value))
            found[place] = json_text(text).encode() if datatype is None else _typed(text, datatype)
    return found
