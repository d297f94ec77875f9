"""Writes and merges the files that contain a store's tables.

The tables consist of segments. A segment is a folder with one Parquet file per table, and contains
the rows of one or more runs. If two segments contain the same run, provml uses the later segment.

provml writes a segment under a temporary name, renames it, and then never changes it. Therefore
readers need no lock, and are not disturbed by the partial files of killed processes. provml merges
small segments when it writes new ones, but rewrites each row only a few times.

The tables' folder can contain anything, because the store may come from another person. provml
recognises its own files by their exact names, follows no links, and leaves everything else alone.

Imports `segment_building`, `rows`, `store_scan`, `tables` and `journal`; imports duckdb and pyarrow
only when needed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from provml.base import store_files
from provml.base.store_files import FolderEntry
from provml.base.text import printable_path
from provml.base.user_cache import open_cache_of_store
from provml.errors import StoreError
from provml.journal.reader import Journal
from provml.lineage.rows import (
    arrow_schema,
    build_arrow_table,
    sample_batches,
)
from provml.lineage.segment_building import BuiltSegment, IndexedRun, build_segment
from provml.lineage.store_scan import FoundRun, short_hash
from provml.lineage.tables import SAMPLES, TABLES, TABLES_VERSION

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

FOLDER: Final = ".tables"
_PARTIAL: Final = ".part-"
_SAMPLES: Final = "samples"
_LOCK: Final = "lock"
_NAME: Final = r"\d{20}-\d{1,10}-[0-9a-f]{6}"
_SEGMENT_NAME: Final = re.compile(_NAME)
_PARTIAL_NAME: Final = re.compile(re.escape(_PARTIAL) + _NAME)
_SPILL_NAME: Final = re.compile(re.escape(_PARTIAL) + r"spill-\d{1,10}-[0-9a-f]{16}")
_SPILL_FILE: Final = re.compile(r"duckdb_temp_[\w-]{1,100}\.(tmp|block)")
_SURE_ROWS: Final = 100_000
_MAX_ROWS_PER_BYTE: Final = 2
_SAMPLES_FILE: Final = re.compile(r"[0-9a-f]{24}-[0-9a-f]{24}\.parquet")
_PARTIAL_SAMPLES: Final = re.compile(re.escape(_PARTIAL) + r"[0-9a-f]{24}-\d{1,10}-[0-9a-f]{6}")
_TABLE_FILES: Final = frozenset(f"{table}.parquet" for table in TABLES)
_OLDEST_SPILL_S: Final = 86_400
_MOST_NAMED: Final = 3
_MOST_SEGMENTS: Final = 8
_RUNS_AT_ONCE: Final = 200
_ROWS_AT_ONCE: Final = 50_000


class _DamagedSegmentError(Exception):
    """A file of a segment can't be read."""

    def __init__(self, segment: str) -> None:
        super().__init__(segment)
        self.segment = segment


class Segments:
    """The segments of a store, which contain the rows of its tables.

    Attributes:
        folder: the folder that contains the segments. The folder is in the store or, if provml
            can't write there, in the user's cache. If provml can use neither place, it creates a
            temporary folder, which is deleted with this object.
        spill_folder: the folder for DuckDB's temporary files. DuckDB creates it when needed.
    """

    def __init__(self, store: Path) -> None:
        self._root, self.folder, self._reason = _choose_tables_folder(store)
        if self._root == self.folder:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.spill_folder = self.folder / f"{_PARTIAL}spill-{os.getpid()}-{os.urandom(8).hex()}"

    def names(self) -> list[str]:
        """Return the names of the complete segments, with the oldest first."""
        return [entry.name for entry in self._list(self.folder) if self._is_segment(entry)]

    def path(self, segment: str, table: str) -> Path:
        """Return the path of the file that contains a segment's rows of a table.

        Raises OSError if there is no file at the path, or if the path contains a link.
        """
        path = self.folder / segment / f"{table}.parquet"
        self._check_file(path)
        return path

    def notes(self) -> list[str]:
        """Return notes about where the tables are, and about files that provml did not write."""
        notes = []
        if self._reason:
            notes.append(f"the tables are in {self.folder}, because {self._reason}")
        foreign = [entry.name for entry in self._list(self.folder) if not self._is_own(entry)]
        if foreign:
            named = ", ".join(repr(printable_path(name)) for name in foreign[:_MOST_NAMED])
            more = f" and {len(foreign) - _MOST_NAMED:,} more" if foreign[_MOST_NAMED:] else ""
            notes.append(f"{self.folder} contains {named}{more}, which provml did not write")
        return notes

    def _is_own(self, entry: FolderEntry) -> bool:
        """Return whether provml created an entry of the tables' folder, by its name and type."""
        name = entry.name
        if entry.is_folder and (name == _SAMPLES or _PARTIAL_NAME.fullmatch(name)):
            return True
        if entry.is_folder and _SPILL_NAME.fullmatch(name):
            return True
        return (entry.is_file and name == _LOCK) or self._is_segment(entry)

    def _is_segment(self, entry: FolderEntry) -> bool:
        """Return whether an entry is a segment: a folder that contains only table files."""
        if not entry.is_folder or not _SEGMENT_NAME.fullmatch(entry.name):
            return False
        content = self._list(self.folder / entry.name)
        return all(file.is_file and file.name in _TABLE_FILES for file in content)

    def _list(self, folder: Path) -> list[FolderEntry]:
        try:
            return store_files.list_folder(self._root, folder)
        except OSError:
            return []

    def _check_file(self, path: Path) -> None:
        os.close(store_files.open_file(self._root, path))

    def _remove(self, name: str, own: re.Pattern[str] | None = None) -> None:
        """Remove the files that provml wrote in a folder, and the folder if it is then empty.

        Ignores failures.

        Args:
            name: the folder's name in the tables' folder.
            own: a pattern for the names of the files to remove; None for the files of tables.
        """
        folder = self.folder / name
        try:
            for entry in store_files.list_folder(self._root, folder):
                is_own = own.fullmatch(entry.name) if own else entry.name in _TABLE_FILES
                if is_own and entry.is_file:
                    store_files.remove_file(self._root, folder / entry.name)
            store_files.remove_empty_folder(self._root, folder)
        except OSError:
            pass

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the segments for writing, and remove the partial files of killed processes.

        On a file system without locks, two processes may do the same work, which does no harm.
        """
        # create the folder again, in case the user has deleted it
        store_files.make_folder(self._root, self.folder)
        fd = store_files.open_or_create_file(self._root, self.folder / _LOCK)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                self._remove_partial_files()
            except OSError:
                pass
            yield
        finally:
            os.close(fd)

    def _remove_partial_files(self) -> None:
        """Remove the unfinished files of killed processes. Raises OSError if that fails."""
        for entry in self._list(self.folder):
            if entry.is_folder and _PARTIAL_NAME.fullmatch(entry.name):
                self._remove(entry.name)
            elif entry.is_folder and _SPILL_NAME.fullmatch(entry.name):
                # a more recent folder may belong to a process that is still running
                status = store_files.read_status(self._root, self.folder / entry.name)
                if time.time() - status.st_mtime > _OLDEST_SPILL_S:
                    self._remove(entry.name, _SPILL_FILE)
        for entry in self._list(self.folder / _SAMPLES):
            if entry.is_file and _PARTIAL_SAMPLES.fullmatch(entry.name):
                store_files.remove_file(self._root, self.folder / _SAMPLES / entry.name)

    def write(self, tables: dict[str, pa.Table]) -> str:
        """Write a new segment and return its name. Raises OSError if writing fails."""
        return self._write_segment({table: iter([rows]) for table, rows in tables.items()})

    def _write_segment(self, tables: dict[str, Iterator[pa.Table]]) -> str:
        """Write a new segment from parts of each table, and return its name."""
        import pyarrow.parquet as pq

        name = f"{time.time_ns():020}-{os.getpid()}-{os.urandom(3).hex()}"
        partial = f"{_PARTIAL}{name}"
        store_files.make_folder(self._root, self.folder / partial)
        try:
            for table, parts in tables.items():
                schema = arrow_schema(TABLES[table])
                with (
                    self._create_file(self.folder / partial / f"{table}.parquet") as file,
                    pq.ParquetWriter(file, schema, compression="zstd") as writer,
                ):
                    for rows in parts:
                        writer.write_table(rows)
            store_files.move(self._root, self.folder / partial, self.folder / name)
        except BaseException:
            self._remove(partial)
            raise
        return name

    def _create_file(self, path: Path) -> BinaryIO:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        return open(store_files.open_file(self._root, path, flags), "w+b")

    def discard(self, name: str) -> None:
        """Remove a segment that can't be read. The next refresh reads its runs again."""
        self._remove(name)

    def discard_damaged(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Remove each segment that has an unreadable file, or a file whose columns are wrong."""
        import duckdb

        for name in self.names():
            try:
                for table in TABLES:
                    path = str(self.path(name, table))
                    check_rows(connection, path)
                    connection.execute("SELECT count(*) FROM read_parquet(?)", [path]).fetchall()
                    _check_columns(connection, table, path)
            except (duckdb.Error, OSError, ValueError):
                self.discard(name)

    def merge(self, live: dict[str, IndexedRun]) -> bool:
        """Merge small segments if there are too many segments; return whether any segment changed.

        A segment is merged with all later segments once the later segments together are at least as
        large as this segment. Therefore, a row is usually rewritten only when its segment at least
        doubles in size.

        Args:
            live: the runs in the tables, by name. All other rows are dropped.
        """
        names = self.names()
        if len(names) <= _MOST_SEGMENTS:
            return False
        sizes = [self._size(name) for name in names]
        first, total = len(names) - 1, sizes[-1]
        while first and (sizes[first - 1] <= total or first >= _MOST_SEGMENTS // 2):
            first -= 1
            total += sizes[first]
        old = names[first:]
        try:
            self._write_segment({table: self._live_rows(table, old, live) for table in TABLES})
        except _DamagedSegmentError as error:
            self.discard(error.segment)
            return True
        except OSError:  # the disk may be full, but the old segments can still be queried
            return False
        for name in old:
            self._remove(name)
        import pyarrow as pa

        pa.default_memory_pool().release_unused()
        return True

    def _size(self, name: str) -> int:
        size = 0
        for file in _TABLE_FILES:
            try:
                size += store_files.read_status(self._root, self.folder / name / file).st_size
            except OSError:
                pass  # another process has removed the segment, or the user has damaged it
        return size

    def _live_rows(
        self, table: str, names: list[str], live: dict[str, IndexedRun]
    ) -> Iterator[pa.Table]:
        """Yield the rows of a table in these segments, in parts of about 50,000 rows.

        Leaves out the runs whose latest rows are in other segments. Raises _DamagedSegmentError if
        a file of a segment is damaged or missing.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        empty = build_arrow_table(table, [])
        waiting = [empty]
        for name in names:
            runs = [run for run, at in live.items() if at.segment == name]
            try:
                with pq.ParquetFile(self.path(name, table)) as file:
                    for batch in file.iter_batches(_ROWS_AT_ONCE):
                        rows = pa.Table.from_batches([batch]).cast(empty.schema)
                        waiting.append(_filter_runs(rows, runs))
                        if sum(map(len, waiting)) >= _ROWS_AT_ONCE:
                            yield pa.concat_tables(waiting)
                            waiting = []
            except (OSError, ValueError):
                raise _DamagedSegmentError(name) from None
        if waiting:
            yield pa.concat_tables(waiting)

    def make(self, runs: Iterable[FoundRun]) -> Iterator[BuiltSegment]:
        """Read runs in batches. Write each batch as a segment, and yield the rows of the batch.

        The rows of runs in progress are yielded but not written. Call this only within `writing`.
        """
        import pyarrow as pa

        waiting = list(runs)
        for start in range(0, len(waiting), _RUNS_AT_ONCE):
            made = build_segment(waiting[start : start + _RUNS_AT_ONCE])
            ended = {run: at for run, at in made.runs.items() if at.status != "running"}
            if ended:
                every = len(ended) == len(made.runs)
                tables = made.tables
                if not every:
                    tables = {t: _filter_runs(rows, list(ended)) for t, rows in tables.items()}
                segment = self._try_to_write(tables)
                for run, at in ended.items():
                    made.runs[run] = IndexedRun(segment, at.fingerprint, at.status)
            yield made
            pa.default_memory_pool().release_unused()

    def _try_to_write(self, tables: dict[str, pa.Table]) -> str:
        """Write a segment and return its name; return an empty string if writing fails."""
        try:
            return self.write(tables)
        except OSError:
            return ""

    def samples_path(self, found: FoundRun, is_live: bool) -> Path:
        """Return the path of the Parquet file with a run's samples.

        Writes the file if it is missing, or if the run is in progress (``is_live``). Writing takes
        about 10 ms for 10,000 samples. Memory use does not depend on the size of the run.
        """
        import pyarrow.parquet as pq

        folder = self.folder / _SAMPLES
        store_files.make_folder(self._root, folder)
        own = short_hash(found.run)
        path = folder / f"{own}-{short_hash(found.fingerprint)}.parquet"
        if store_files.is_file(self._root, path) and not is_live:
            return path
        partial = folder / f"{_PARTIAL}{own}-{os.getpid()}-{os.urandom(3).hex()}"
        schema = arrow_schema(SAMPLES)
        try:
            with (
                self._create_file(partial) as file,
                pq.ParquetWriter(file, schema, compression="zstd") as writer,
            ):
                for batch in sample_batches(found.run, Journal(found.folder)):
                    writer.write_table(batch)
            store_files.move(self._root, partial, path)
        except BaseException:
            store_files.remove_file(self._root, partial)
            raise
        for other in self._list(folder):
            is_older = other.name.startswith(f"{own}-") and other.name != path.name
            if is_older and other.is_file and _SAMPLES_FILE.fullmatch(other.name):
                store_files.remove_file(self._root, folder / other.name)
        return path


def check_rows(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Raise StoreError if a Parquet file claims to have more rows than its size allows.

    A small file can contain billions of equal rows, which would fill the memory and the disk.
    """
    query = (
        "SELECT (SELECT sum(num_rows) FROM parquet_file_metadata($1)), "
        "(SELECT sum(num_values) FROM parquet_metadata($1) WHERE column_id = 0)"
    )
    rows = max(number or 0 for number in connection.execute(query, [path]).fetchall()[0])
    if rows > _SURE_ROWS + os.path.getsize(path) * _MAX_ROWS_PER_BYTE:
        raise StoreError(
            f"{path} is damaged, or provml did not write it: it claims to have {rows:,} rows, too "
            "many for its size; remove the file"
        )


def _check_columns(connection: duckdb.DuckDBPyConnection, table: str, path: str) -> None:
    """Raise ValueError if the columns of a Parquet file differ from the columns of the table."""
    own = connection.execute(f"SELECT * FROM {table} LIMIT 0").description
    if connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", [path]).description != own:
        raise ValueError(f"the columns of {path} differ from the columns of the table {table}")


def _filter_runs(rows: pa.Table, runs: list[str]) -> pa.Table:
    """Return the rows of a table that belong to these runs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return rows.filter(pc.is_in(rows["run"], value_set=pa.array(runs, pa.string())))


def _choose_tables_folder(store: Path) -> tuple[Path, Path, str]:
    """Return the root and path of a writable folder for the tables, and the reason for the choice.

    The reason says why provml does not use the tables' folder in the store. The reason is empty if
    provml uses that folder, or if the store is read-only. A temporary folder is its own root.
    """
    version = f"v{TABLES_VERSION}"
    reason = ""
    try:
        folder = store / FOLDER / version
        store_files.make_folder(store, folder)
        _check_own_files(store, folder)
        if os.access(folder, os.W_OK | os.X_OK):
            return store, folder, ""
    except StoreError as error:
        reason = str(error)
    except OSError:
        pass
    try:
        root, own = open_cache_of_store(store, "tables")
        folder = own / version
        store_files.make_folder(root, folder)
        _check_own_files(root, folder)
        if os.access(folder, os.W_OK | os.X_OK):
            return root, folder, reason
    except OSError:
        pass
    temporary = Path(tempfile.mkdtemp(prefix="provml-tables-"))
    return temporary, temporary, reason


def _check_own_files(root: Path, folder: Path) -> None:
    """Raise StoreError if the lock is not a regular file, or if ``samples`` is not a folder."""
    for entry in store_files.list_folder(root, folder):
        if entry.name == _LOCK and not entry.is_file:
            raise StoreError(f"{folder / _LOCK} is not a regular file")
        if entry.name == _SAMPLES and not entry.is_folder:
            raise StoreError(f"{folder / _SAMPLES} is not a folder")
