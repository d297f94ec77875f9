"""Keeps the summaries of long samples files in the user's cache folder.

Each cache file belongs to one writer that has ended. A cache file is about 1.5 % to 5 % as large as
the samples file, and is used as long as the writer's files keep their sizes and modification times.
Only the user can write to the cache folder, so provml trusts the cache files as far as it trusts
the user. Even so, provml ignores a file that it would not have written itself. You can delete the
cache files at any time.

Imports only `base`, `journal` and other modules of `charts` from provml; imports numpy only when
needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.base import store_files
from provml.base.store_files import store_root
from provml.base.user_cache import open_cache_of_store
from provml.charts.stretches import STRETCH, mark_dtype, summary_dtype
from provml.charts.writer_samples import WriterSamples
from provml.charts.writer_series import WriterSeries
from provml.errors import StoreError
from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.record_parsing import Series
from provml.journal.sample_reading import record_dtype

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.void]
    Slots = NDArray[np.int64]

Stamp = Sequence[tuple[str, int, int]]
"""The name, size and modification time of each of a writer's files."""

LEAST_BYTES: Final = 2**21
"""The smallest samples file, in bytes, whose summaries are worth keeping."""

_KIND: Final = "curves"
_MAGIC: Final = b"provml curves 1\n"
_MOST_BYTES: Final = 2**31
_LONGEST_HEADER: Final = 2**26
_NAME: Final = re.compile(r"[0-9a-f]{32}\.curves")


class CachedSeries(WriterSeries):
    """The summaries of one series, read from a cache file whenever they are needed."""

    def __init__(self, file: _CacheFile, facts: dict[str, Any], offset: int) -> None:
        """Read the facts about a series.

        Args:
            file: the file that contains the summaries.
            facts: what the file's header says about the series.
            offset: where the summaries of the series begin.
        """
        kind, context, name, rank, of = facts["identity"]
        path = None if context is None else tuple(context)
        super().__init__((kind, path, name, rank, None if of is None else (of[0], of[1])))
        self.units = list(facts["units"])
        for number, storage, unit in facts["declared"]:
            self.declared[number] = Series(number, kind, name, path, storage, unit, None)
        self.count = facts["count"]
        self.last = _parse_record(bytes.fromhex(facts["last"]))
        self._file = file
        self._row_count = facts["rows"]
        self._mark_count = facts["marks"]
        self._kept_count = facts["kept"]
        self._rows_at = offset
        self._marks_at = offset + self._row_count * summary_dtype().itemsize
        self._kept_at = self._marks_at + self._mark_count * mark_dtype().itemsize
        self.end = self._kept_at + self._kept_count * _kept_bytes()

    @property
    def row_count(self) -> int:
        """See `WriterSeries.row_count`."""
        return int(self._row_count)

    @property
    def kept_count(self) -> int:
        """See `WriterSeries.kept_count`."""
        return int(self._kept_count)

    def read_rows(self, first: int, end: int) -> Samples:
        """See `WriterSeries.read_rows`. Each call reads the file."""
        end = min(end, self._row_count)
        size = summary_dtype().itemsize
        rows: Samples = self._file.read(self._rows_at + first * size, end - first, summary_dtype())
        return rows

    def read_marks(self) -> Samples:
        """See `WriterSeries.read_marks`. Each call reads the file."""
        marks: Samples = self._file.read(self._marks_at, self._mark_count, mark_dtype())
        return marks

    def read_kept(self, index: int) -> tuple[Samples, Slots]:
        """See `WriterSeries.read_kept`. Each call reads the file."""
        import numpy as np

        offset = self._kept_at + index * _kept_bytes()
        slots_at = offset + STRETCH * record_dtype().itemsize
        return (
            self._file.read(offset, STRETCH, record_dtype()),
            self._file.read(slots_at, STRETCH, np.dtype("<i8")),
        )


class _CacheFile:
    """A cache file. Opened anew for each read, because a page may show very many runs."""

    def __init__(self, root: Path, path: Path) -> None:
        self._root = root
        self._path = path

    def read(self, offset: int, count: int, dtype: Any) -> Any:
        """Read an array.

        Raises OSError if the file was removed, and StoreError if the file is too short.
        """
        import numpy as np

        if count <= 0:
            return np.empty(0, dtype)
        with store_files.open_to_read(self._root, self._path) as file:
            content = os.pread(file.fileno(), count * dtype.itemsize, offset)
        if len(content) < count * dtype.itemsize:
            raise StoreError(f"{self._path} is incomplete: delete it, and ask again")
        return np.frombuffer(bytearray(content), dtype)


def load_summaries(files: WriterFiles, stamp: Stamp) -> WriterSamples | None:
    """Return the summaries of a writer's samples; None if the cache has none for this stamp."""
    try:
        root, path = _find_file(files)
        with store_files.open_to_read(root, path) as file:
            return _parse_file(files, stamp, file, _CacheFile(root, path))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _parse_file(
    files: WriterFiles, stamp: Stamp, file: BinaryIO, source: _CacheFile
) -> WriterSamples | None:
    import numpy as np

    if file.read(len(_MAGIC)) != _MAGIC:
        return None
    length = int.from_bytes(file.read(4), "little")
    if length > _LONGEST_HEADER:
        return None
    header = json.loads(file.read(length))
    if header["stamp"] != [list(one) for one in stamp] or header["layout"] != _describe_layout():
        return None
    offset = file.tell()
    writer = WriterSamples(files, header["rank"])
    tail_count, left_out = header["tails"], header["left_out"]
    tails = source.read(offset, tail_count, record_dtype())
    offset += tail_count * record_dtype().itemsize
    slots = source.read(offset, tail_count, np.dtype("<i8"))
    offset += tail_count * 8
    series = []
    for facts in header["series"]:
        series.append(CachedSeries(source, facts, offset))
        offset = series[-1].end
    if offset != os.fstat(file.fileno()).st_size:
        return None
    ranges = [(int(first), int(last)) for first, last in left_out]
    writer.restore(list(series), (tails, slots), ranges)
    return writer


def save_summaries(writer: WriterSamples, stamp: Stamp) -> bool:
    """Save the summaries of a writer that has ended. Returns False if the cache can't be used."""
    tails, slots = writer.tails
    header = {
        "stamp": stamp,
        "layout": _describe_layout(),
        "rank": writer.rank,
        "tails": len(tails),
        "left_out": writer.left_out,
        "series": [_describe_series(one) for one in writer.series],
    }
    content = json.dumps(header).encode()
    if len(content) > _LONGEST_HEADER:
        return False
    try:
        root, path = _find_file(writer.files)
        with store_files.replacing(root, path, sync=False) as file:
            file.write(_MAGIC + len(content).to_bytes(4, "little") + content)
            file.write(tails.tobytes() + slots.tobytes())
            for series in writer.series:
                file.write(series.read_rows(0, series.row_count).tobytes())
                file.write(series.read_marks().tobytes())
                for index in range(series.kept_count):
                    for array in series.read_kept(index):
                        file.write(array.tobytes())
        _remove_oldest(root)
    except OSError:
        return False
    return True


def _describe_series(series: WriterSeries) -> dict[str, Any]:
    return {
        "identity": series.identity,
        "units": series.units,
        "declared": [[one.number, one.storage, one.unit] for one in series.declared.values()],
        "count": series.count,
        "last": "" if series.last is None else series.last.tobytes().hex(),
        "rows": series.row_count,
        "marks": len(series.read_marks()),
        "kept": series.kept_count,
    }


def _parse_record(content: bytes) -> np.void | None:
    import numpy as np

    if len(content) != layout.RECORD_SIZE:
        return None
    record: np.void = np.frombuffer(content, record_dtype())[0]
    return record


def _describe_layout() -> str:
    types = (summary_dtype(), mark_dtype(), record_dtype())
    return hashlib.sha256(f"{STRETCH} {[one.descr for one in types]}".encode()).hexdigest()[:16]


def _kept_bytes() -> int:
    return STRETCH * (record_dtype().itemsize + 8)


def _find_file(files: WriterFiles) -> tuple[Path, Path]:
    """Return the root of the cache, and the path of the cache file for a writer."""
    run = files.folder.parent
    root, folder = open_cache_of_store(store_root(run), _KIND)
    own = f"{run.parent.name}/{run.name}/{files.name}"
    return root, folder / f"{hashlib.sha256(os.fsencode(own)).hexdigest()[:32]}.curves"


def _remove_oldest(root: Path) -> None:
    """Remove the oldest files until the files of all stores together take at most 2 GiB."""
    found: list[tuple[int, int, Path]] = []
    for entry in store_files.list_folder(root, root / _KIND):
        if not entry.is_folder:
            continue
        with store_files.OpenFolder(root, root / _KIND / entry.name) as folder:
            found += [
                (status.st_mtime_ns, status.st_size, folder.path / name)
                for name, status in folder.read_statuses()
                if _NAME.fullmatch(name)
            ]
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= _MOST_BYTES:
            break
        with suppress(OSError):
            store_files.remove_file(root, path)
        total -= size
