"""Manages the files that contain a store's tables: finds runs, and writes and merges files.

The tables consist of segments. A segment is a folder with one Parquet file per table. The files
contain the rows of one or more runs. If two segments contain the same run, the later one counts.

provml writes a segment under a temporary name, renames it, and then never changes it. Therefore
readers need no lock, and are not disturbed by the partial files of killed processes. provml merges
small segments when it writes new ones, but rewrites each row only a few times.

Imports `rows`, `tables` and `journal`; imports duckdb and pyarrow only when needed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.base.settings import cache_folder
from provml.base.text import printable_path
from provml.errors import StoreError
from provml.journal import layout
from provml.journal.reader import Journal
from provml.lineage.rows import Rows, build_arrow_table, build_rows, sample_batches
from provml.lineage.tables import TABLES, TABLES_VERSION

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

FOLDER: Final = ".tables"
_PARTIAL: Final = ".part-"
_SAMPLES: Final = "samples"
_LOCK: Final = "lock"
_MOST_SEGMENTS: Final = 8
_RUNS_AT_ONCE: Final = 200
_LONGEST_FINGERPRINT: Final = 500


class FoundRun(NamedTuple):
    """A run that `scan` found in the store.

    Attributes:
        run: the run's name in the tables, ``<experiment>/<id>``, which comes from the folder names.
        path: the run's folder.
        fingerprint: the names, sizes and times of the run's files, or a digest of them.
    """

    run: str
    path: str
    fingerprint: str

    @property
    def folder(self) -> Path:
        """The run's folder as a `Path`."""
        return Path(self.path)


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """A run in the tables.

    Attributes:
        segment: the name of the segment that contains the run's rows.
        fingerprint: the run's fingerprint when the rows were built.
        status: the run's status when the rows were built.
    """

    segment: str
    fingerprint: str
    status: str


@dataclass(slots=True)
class BuiltSegment:
    """New rows, built from the journals of some runs.

    Attributes:
        tables: the rows, by the name of the table.
        runs: the runs that the rows belong to, by name.
        unread: the names of the runs that can't be read, each with the reason.
    """

    tables: dict[str, pa.Table] = field(default_factory=dict)
    runs: dict[str, IndexedRun] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def scan(store: Path) -> dict[str, FoundRun]:
    """Find the runs of a store; return them by name. Ignores everything else in the folder.

    Takes about 30 microseconds per run to list the names, sizes and times of the run's files.
    Raises StoreError if the store can't be read.
    """
    found: dict[str, FoundRun] = {}
    try:
        experiments = [entry for entry in os.scandir(store) if _is_visible_folder(entry)]
    except OSError as error:
        raise StoreError(f"the store {store} can't be read: {error.strerror}") from None
    for experiment in experiments:
        try:
            runs = [entry for entry in os.scandir(experiment) if _is_visible_folder(entry)]
        except OSError:
            continue
        for entry in runs:
            fingerprint = _fingerprint_run(entry.path)
            if fingerprint is not None:
                run = f"{experiment.name}/{entry.name}"
                run = run if run.isascii() else printable_path(run)
                found[run] = FoundRun(run, entry.path, fingerprint)
    return found


def _is_visible_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.name.startswith(".") and entry.is_dir()
    except OSError:
        return False


def _fingerprint_run(folder: str) -> str | None:
    """Return a string that changes with a run's files, or None if the folder is not a run."""
    facts: list[str] = []
    is_run = False
    try:
        described = os.stat(f"{folder}/{layout.RUN_FILE}")
        facts.append(f"{layout.RUN_FILE} {described.st_size} {described.st_mtime_ns}")
        is_run = True
    except OSError:
        pass
    try:
        with os.scandir(f"{folder}/{layout.JOURNAL_FOLDER}") as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                facts.append(f"{entry.name} {status.st_size} {status.st_mtime_ns}")
            is_run = True
    except OSError:
        pass
    if not is_run:
        return None
    fingerprint = ";".join(sorted(facts))
    if len(fingerprint) > _LONGEST_FINGERPRINT or not fingerprint.isascii():
        return _short_hash(fingerprint)
    return fingerprint


def _short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


class Segments:
    """The segments of a store, which contain the rows of its tables.

    Attributes:
        folder: the folder that contains the segments. It is in the store or, if the store is
            read-only, in the user's cache. If neither is writable, it is a temporary folder, which
            is deleted with this object.
    """

    def __init__(self, store: Path) -> None:
        self.folder, is_temporary = _choose_tables_folder(store)
        if is_temporary:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def names(self) -> list[str]:
        """Return the names of the complete segments, with the oldest first."""
        try:
            found = os.listdir(self.folder)
        except OSError:
            return []
        return sorted(name for name in found if name[:1].isdigit())

    def path(self, segment: str, table: str) -> Path:
        """Return the path of the file that contains a segment's rows of a table."""
        return self.folder / segment / f"{table}.parquet"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the segments for writing, and remove the partial files of killed processes.

        On a file system without locks, two processes may do the same work, which does no harm.
        """
        self.folder.mkdir(parents=True, exist_ok=True)  # the user may have deleted the folder
        fd = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                for path in self.folder.glob(f"{_PARTIAL}*"):
                    shutil.rmtree(path, ignore_errors=True)
            except OSError:
                pass
            yield
        finally:
            os.close(fd)

    def write(self, tables: dict[str, pa.Table]) -> str:
        """Write a new segment and return its name. Raises OSError if writing fails."""
        import pyarrow.parquet as pq

        name = f"{time.time_ns():020}-{os.getpid()}-{os.urandom(3).hex()}"
        partial = self.folder / f"{_PARTIAL}{name}"
        partial.mkdir()
        try:
            for table, columns in tables.items():
                pq.write_table(columns, partial / f"{table}.parquet", compression="zstd")
            os.replace(partial, self.folder / name)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return name

    def discard(self, name: str) -> None:
        """Remove a segment that can't be read. The next refresh reads its runs again."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def discard_damaged(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Remove all segments that have a file that can't be read."""
        import duckdb

        for name in self.names():
            try:
                for table in TABLES:
                    path = str(self.path(name, table))
                    connection.execute("SELECT count(*) FROM read_parquet(?)", [path]).fetchall()
            except duckdb.Error:
                self.discard(name)

    def merge(self, live: dict[str, IndexedRun]) -> bool:
        """Merge small segments if there are too many; return True if any segment changed.

        A segment is merged with all later segments once they are at least as large as the segment.
        So a row is usually rewritten only when its segment at least doubles in size.

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
        parts: list[dict[str, pa.Table]] = []
        for name in old:
            try:
                parts.append(self._live_rows(name, live))
            except (OSError, ValueError):  # a file of the segment is damaged or missing
                self.discard(name)
                return True
        import pyarrow as pa

        try:
            self.write({t: pa.concat_tables([part[t] for part in parts]) for t in TABLES})
        except OSError:  # the disk may be full, but the old segments can still be queried
            return False
        for name in old:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return True

    def _size(self, name: str) -> int:
        paths = [self.path(name, table) for table in TABLES]
        return sum(path.stat().st_size for path in paths if path.exists())

    def _live_rows(self, name: str, live: dict[str, IndexedRun]) -> dict[str, pa.Table]:
        """Return a segment's rows, except for the runs whose latest rows are in other segments."""
        import pyarrow.parquet as pq

        runs = [run for run, at in live.items() if at.segment == name]
        return _filter_runs(
            {table: pq.read_table(self.path(name, table)) for table in TABLES}, runs
        )

    def make(self, runs: Iterable[FoundRun]) -> Iterator[BuiltSegment]:
        """Read runs in batches; write each batch as a segment, and yield its rows.

        The rows of runs in progress are yielded but not written. Call this only within `writing`.
        """
        waiting = list(runs)
        for start in range(0, len(waiting), _RUNS_AT_ONCE):
            made = _build_segment(waiting[start : start + _RUNS_AT_ONCE])
            ended = {run: at for run, at in made.runs.items() if at.status != "running"}
            if ended:
                every = len(ended) == len(made.runs)
                tables = made.tables if every else _filter_runs(made.tables, list(ended))
                segment = self._try_to_write(tables)
                for run, at in ended.items():
                    made.runs[run] = IndexedRun(segment, at.fingerprint, at.status)
            yield made

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

        from provml.lineage.rows import arrow_schema
        from provml.lineage.tables import SAMPLES

        folder = self.folder / _SAMPLES
        folder.mkdir(exist_ok=True)
        own = _short_hash(found.run)
        path = folder / f"{own}-{_short_hash(found.fingerprint)}.parquet"
        if path.exists() and not is_live:
            return path
        partial = folder / f"{_PARTIAL}{own}-{os.getpid()}-{os.urandom(3).hex()}"
        try:
            with pq.ParquetWriter(partial, arrow_schema(SAMPLES), compression="zstd") as writer:
                for batch in sample_batches(found.run, Journal(found.folder)):
                    writer.write_table(batch)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        for other in folder.glob(f"{own}-*.parquet"):
            if other != path:
                other.unlink(missing_ok=True)
        return path


def _filter_runs(tables: dict[str, pa.Table], runs: list[str]) -> dict[str, pa.Table]:
    """Return copies of the tables that contain only the rows of these runs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pa.array(runs, pa.string())
    return {t: rows.filter(pc.is_in(rows["run"], value_set=names)) for t, rows in tables.items()}


def _build_segment(runs: list[FoundRun]) -> BuiltSegment:
    """Read runs and build their rows; for each run that can't be read, record the reason."""
    made = BuiltSegment()
    rows: Rows = {table: [] for table in TABLES}
    for found in runs:
        try:
            own = build_rows(found.run, Journal(found.folder), found.fingerprint)
        except Exception as error:  # one unreadable run must not hide the others
            made.unread[found.run] = str(error) or type(error).__name__
            continue
        for table, added in own.items():
            rows[table] += added
        status: Any = own["runs"][0][_STATUS]
        made.runs[found.run] = IndexedRun("", found.fingerprint, status)
    made.tables = {table: build_arrow_table(table, own) for table, own in rows.items()}
    return made


_STATUS: Final = [column.name for column in TABLES["runs"]].index("status")


def _choose_tables_folder(store: Path) -> tuple[Path, bool]:
    """Return a writable folder for the tables, and whether the folder is temporary."""
    version = f"v{TABLES_VERSION}"
    own = hashlib.sha256(os.fsencode(os.path.realpath(store))).hexdigest()[:16]
    for folder in (store / FOLDER / version, cache_folder() / "tables" / own / version):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder, False
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="provml-tables-")), True
