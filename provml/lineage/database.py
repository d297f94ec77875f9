"""Brings a store's tables up to date, and queries them with DuckDB.

The database is in memory and locked down: it can read only the files of the tables, loads no
extensions, and rejects changes to its configuration. Imports `segments`, `tables` and `answers`;
imports duckdb only when needed.
"""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provml.base.store_files import OpenFolder
from provml.errors import MissingExtraError, QueryError
from provml.lineage.answers import TableAnswer
from provml.lineage.live_runs import UPDATED_TABLES, LiveRun
from provml.lineage.rows import build_arrow_table
from provml.lineage.segment_building import BuiltSegment, IndexedRun
from provml.lineage.segments import Segments, check_rows
from provml.lineage.store_scan import FoundRun, fingerprint_run, scan
from provml.lineage.tables import SAMPLES, TABLES

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_TRIES: Final = 5
_MEMBERS: Final = "members"
_MOST_OPEN_FILES: Final = 256
"""The maximum number of files of runs in progress that stay open between two questions."""
_QUICK_SCAN_S: Final = 0.05
_REST: Final = 20
_SAMPLES_WORD: Final = re.compile(r"\bsamples\b", re.IGNORECASE)
_INDIRECT_WORD: Final = re.compile(r"\bquery(_table)?\b|_schema\b|\bduckdb_", re.IGNORECASE)


class QuestionDatabase:
    """An in-memory database that contains the tables of one store. Safe to share between threads.

    Attributes:
        store: the store's folder.
        runs: the runs that were in the tables after the last refresh, keyed by name.
        unread: the names of the runs that can't be read, each with the reason.
    """

    def __init__(self, store: Path) -> None:
        """Create the database without reading the store.

        Raises MissingExtraError if duckdb is not installed.
        """
        try:
            import duckdb
        except ImportError:
            raise MissingExtraError("querying a store", "duckdb", "lineage") from None
        self.store = store
        self.segments = Segments(store)
        self.runs: dict[str, FoundRun] = {}
        self.unread: dict[str, str] = {}
        self._unread_at: dict[str, str] = {}
        self._live: dict[str, IndexedRun] = {}
        self._memory: dict[str, BuiltSegment] = {}
        self._followed: dict[str, LiveRun] = {}
        weakref.finalize(self, _close_all, self._followed)
        self._catalogs: dict[str, dict[str, IndexedRun]] = {}
        self._loaded: dict[str, dict[str, str]] = {table: {} for table in TABLES}
        self._loaded_version: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._rounds = 0
        self._version = 0
        self._known_until = 0.0
        self.lock = threading.RLock()
        self._connection = self._connect(duckdb)

    def _connect(self, duckdb: Any) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
                "temp_directory": str(self.segments.spill_folder),
            },
        )
        folder = str(self.segments.folder).replace("'", "''")
        connection.execute(f"SET allowed_directories=['{folder}']")
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        for table, columns in (*TABLES.items(), ("samples", SAMPLES)):
            definition = ", ".join(f'"{column.name}" {column.type}' for column in columns)
            connection.execute(f"CREATE TABLE {table} ({definition})")
        return connection  # type: ignore[no-any-return]

    # -- refreshing ---------------------------------------------------------------------------

    def refresh(self, tables: Collection[str] = tuple(TABLES), is_quick: bool = False) -> int:
        """Read the store's new and changed runs into the tables; return how many runs were read.

        Finding these runs, by the names, sizes and times of their files, takes 30 microseconds per
        run in the store. Reading a run with 10,000 samples takes about 15 ms. Reading the new
        samples of a run in progress takes about 100 microseconds, unless the run must be read
        again.

        Args:
            tables: the tables to bring up to date. The other tables may keep older rows of the runs
                in progress.
            is_quick: whether to skip looking at the files of runs that have ended, if a scan of the
                store looked at them a short time ago. The time is 20 times as long as the scan
                took. If the scan took less than 50 ms, no files are skipped. Use `has_changed` to
                make sure that a run is unchanged.

        Raises StoreError if the store can't be read.
        """
        with self.lock:
            links: dict[str, str] = {}
            found = self._scan(links, is_quick)
            live = self._build_catalog(found) | self._update_followed(found, tables)
            stale = self._find_stale(found, live)
            read = 0
            if stale:
                with self.segments.writing():
                    if self.segments.names() != list(self._catalogs):
                        # another process has written segments
                        followed = {r: at for r, at in live.items() if r in self._followed}
                        live = self._build_catalog(found) | followed
                        stale = self._find_stale(found, live)
                    read = len(stale)
                    for made in self.segments.make(stale):
                        self._take_segment(made, found, live)
                    if self.segments.merge(live):
                        memory = {r: at for r, at in live.items() if at.segment in self._memory}
                        live = self._build_catalog(found) | memory
                        lost = self._find_stale(found, live)
                        if any(own.run not in live for own in lost):
                            # the merge discarded a damaged segment, so read its runs again
                            for made in self.segments.make(lost):
                                self._take_segment(made, found, live)
            self.unread = {r: why for r, why in self.unread.items() if r in found} | links
            if live != self._live:
                self._version += 1
            self.runs = {run: found[run] for run in live}
            self._live = live
            self._close_files()
            used = {at.segment for at in live.values()}
            self._memory = {name: made for name, made in self._memory.items() if name in used}
            return read

    def _scan(self, links: dict[str, str], is_quick: bool) -> dict[str, FoundRun]:
        """Find the runs of the store, as `scan` does. `refresh` describes ``is_quick``."""
        begun = time.monotonic()
        if is_quick and begun < self._known_until:
            known = {run: found for run, found in self.runs.items() if self._is_stored(run)}
            return scan(self.store, links, known)
        found = scan(self.store, links)
        duration = time.monotonic() - begun
        self._known_until = begun + (_REST * duration if duration > _QUICK_SCAN_S else 0)
        return found

    def _is_stored(self, run: str) -> bool:
        """Return whether a file contains the rows of a run; only possible if the run has ended."""
        return self._live[run].segment not in self._memory

    def names_version(self) -> tuple[int, int]:
        """Return a value that changes when a run has a new parameter, tag or metric."""
        return self._version, sum(live.series_count for live in self._followed.values())

    def has_changed(self, runs: Iterable[str]) -> bool:
        """Return whether any of these runs has changed or vanished since the last refresh.

        Leaves out the runs in progress, because each refresh reads them.
        """
        for run in runs:
            found = self.runs.get(run)
            if found is None or not self._is_stored(run):
                continue
            try:
                with OpenFolder(self.store, found.folder) as folder:
                    if fingerprint_run(folder) != found.fingerprint:
                        return True
            except OSError:
                return True
        return False

    def _find_stale(
        self, found: dict[str, FoundRun], live: dict[str, IndexedRun]
    ) -> list[FoundRun]:
        """Return the runs to read: new runs, changed runs, and runs in progress."""
        return [
            own
            for run, own in found.items()
            if (at := live.get(run)) is None
            or (at.segment in self._memory and run not in self._followed)
            if self._unread_at.get(run) != own.fingerprint
        ]

    def _update_followed(
        self, found: dict[str, FoundRun], tables: Collection[str]
    ) -> dict[str, IndexedRun]:
        """Read what the followed runs have added; return the runs that are still followed.

        Stops following runs that are gone and runs that must be read again.
        """
        followed: dict[str, IndexedRun] = {}
        for run, live in list(self._followed.items()):
            at = self._live.get(run)
            if run in found and at is not None:
                live.update()
            if run not in found or at is None or live.must_be_read(tables):
                self._followed.pop(run).close()
            else:
                followed[run] = at
        return followed

    def _close_files(self) -> None:
        """Limit the number of open files: close the files of runs in progress beyond the limit."""
        count = 0
        for run, live in list(self._followed.items()):
            if run not in self._live:
                self._followed.pop(run).close()
                continue
            count += live.open_files
            if count > _MOST_OPEN_FILES:
                live.close()

    def _take_segment(
        self, made: BuiltSegment, found: dict[str, FoundRun], live: dict[str, IndexedRun]
    ) -> None:
        """Add the runs of a new segment to ``live``. Keep rows that are in no file in memory."""
        for run in made.runs:
            self.unread.pop(run, None)
            self._unread_at.pop(run, None)
        for run, reason in made.unread.items():
            self.unread[run] = reason
            self._unread_at[run] = found[run].fingerprint
        name = f"memory {self._rounds}"
        self._rounds += 1
        for run, at in made.runs.items():
            live[run] = at if at.segment else IndexedRun(name, at.fingerprint, at.status)
        if any(at.segment == name for at in live.values()):
            self._memory[name] = made
        for run, own in made.live.items():
            if run in self._followed:
                self._followed[run].close()
            self._followed[run] = own

    def _build_catalog(self, found: dict[str, FoundRun]) -> dict[str, IndexedRun]:
        """Return the runs whose rows are up to date, each with the segment that contains them."""
        read = {name: self._read_catalog(name) for name in self.segments.names()}
        self._catalogs = {name: catalog for name, catalog in read.items() if catalog is not None}
        newest: dict[str, IndexedRun] = {}
        for catalog in self._catalogs.values():
            newest |= catalog
        return {
            run: at
            for run, at in newest.items()
            if run in found and at.fingerprint == found[run].fingerprint
        }

    def _read_catalog(self, name: str) -> dict[str, IndexedRun] | None:
        import duckdb

        known = self._catalogs.get(name)
        if known is not None:
            return known
        query = "SELECT run, fingerprint, status FROM read_parquet(?)"
        try:
            path = str(self.segments.path(name, "runs"))
            check_rows(self._connection, path)
            rows = self._connection.execute(query, [path]).fetchall()
        except (duckdb.Error, OSError):  # another process merged the segment, or it is damaged
            self.segments.discard(name)
            return None
        return {run: IndexedRun(name, print_, status) for run, print_, status in rows}

    def _load(self, table: str) -> None:
        """Bring a table in the database up to date from the segments and the runs in progress."""
        version = self._version, tuple(live.revision for live in self._followed.values())
        if self._loaded_version.get(table) == version:
            return
        loaded = self._loaded[table]
        wanted = {run: at.segment for run, at in self._live.items()}
        updated: dict[str, LiveRun] = {}
        if table in UPDATED_TABLES:
            for run, live in self._followed.items():
                wanted[run] = f"revision {live.revision} of {wanted[run]}"
                if loaded.get(run) != wanted[run]:
                    updated[run] = live
        if loaded == wanted:
            self._loaded_version[table] = version
            return
        gone = [run for run, segment in loaded.items() if wanted.get(run) != segment]
        if gone and table == _MEMBERS:
            # the rows of one run stand for all runs with the same folder
            self._connection.execute(f"DELETE FROM {table}")
            loaded = {}
        elif gone:
            query = f"DELETE FROM {table} WHERE run IN (SELECT unnest(?::VARCHAR[]))"
            self._connection.execute(query, [gone])
        added: dict[str, list[str]] = {}
        for run, segment in wanted.items():
            if loaded.get(run) != segment and run not in updated:
                added.setdefault(segment, []).append(run)
        for segment, runs in added.items():
            self._insert(table, segment, runs)
        if updated:
            rows = [row for live in updated.values() for row in live.build_rows(table)]
            self._insert_rows(table, build_arrow_table(table, rows))
        self._loaded[table] = wanted
        self._loaded_version[table] = version

    def _insert_rows(self, table: str, rows: pa.Table, where: str = "", *params: Any) -> None:
        self._connection.register("incoming", rows)
        self._connection.execute(f"INSERT INTO {table} SELECT * FROM incoming {where}", params)
        self._connection.unregister("incoming")

    def _insert(self, table: str, segment: str, runs: list[str]) -> None:
        of_runs = "WHERE run IN (SELECT unnest(?::VARCHAR[]))"
        if table == _MEMBERS:
            self._insert_members(segment, runs)
            return
        made = self._memory.get(segment)
        if made is not None:
            self._insert_rows(table, made.tables[table], of_runs, runs)
            return
        path = str(self.segments.path(segment, table))
        check_rows(self._connection, path)
        whole = len(runs) == len(self._catalogs.get(segment, ()))
        query = f"INSERT INTO {table} SELECT * FROM read_parquet(?) {'' if whole else of_runs}"
        self._connection.execute(query, [path] if whole else [path, runs])

    def _insert_members(self, segment: str, runs: list[str]) -> None:
        """Insert a folder's files once, even if the folder occurs in several runs."""
        made = self._memory.get(segment)
        source = "incoming"
        if made is None:
            path = str(self.segments.path(segment, _MEMBERS)).replace("'", "''")
            source = f"read_parquet('{path}')"
        else:
            self._connection.register("incoming", made.tables[_MEMBERS])
        query = f"""
            INSERT INTO members SELECT * FROM {source} WHERE (folder, role, run) IN (
                SELECT (folder, role, min(run)) FROM {source}
                WHERE run IN (SELECT unnest(?::VARCHAR[])) GROUP BY folder, role)
            AND (folder, role) NOT IN (SELECT (folder, role) FROM members)
        """
        self._connection.execute(query, [runs])
        if made is not None:
            self._connection.unregister("incoming")

    def _load_samples(self) -> None:
        """Define ``samples`` as a view of one Parquet file per run, after writing missing files."""
        paths = []
        with self.segments.writing():
            for run, found in self.runs.items():
                is_live = self._live[run].segment in self._memory
                paths.append(str(self.segments.samples_path(found, is_live)))
        kind = self._connection.execute(
            "SELECT table_type FROM information_schema.tables WHERE table_name = 'samples'"
        ).fetchone()
        dropped = "VIEW" if kind and kind[0] == "VIEW" else "TABLE"
        self._connection.execute(f"DROP {dropped} samples")
        columns = ", ".join(f'"{column.name}" {column.type}' for column in SAMPLES)
        if not paths:
            self._connection.execute(f"CREATE TABLE samples ({columns})")
            return
        files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        view = f"CREATE VIEW samples AS SELECT * FROM read_parquet([{files}])"
        self._connection.execute(view)

    # -- querying -----------------------------------------------------------------------------

    def ask(self, tables: Collection[str], query: str, params: Sequence[Any] = ()) -> TableAnswer:
        """Run one of provml's own queries, on the runs that the last refresh found.

        Args:
            tables: the tables that the query reads.
            query: the SQL of the query, with ``?`` for each parameter.
            params: the values of the parameters, in order.
        """
        import duckdb

        with self.lock:
            for attempt in range(_TRIES):
                try:
                    for table in tables:
                        self._load(table)
                    break
                except (
                    duckdb.Error,
                    OSError,
                ):  # another process merged a segment, or it is damaged
                    if attempt + 1 == _TRIES:
                        raise
                    for table in TABLES:
                        self._connection.execute(f"DELETE FROM {table}")
                        self._loaded[table] = {}
                    self._loaded_version = {}
                    self.segments.discard_damaged(self._connection)
                    self._catalogs = {}
                    self.refresh()
            return self._fetch_answer(query, params)

    def ask_condition(
        self, tables: Collection[str], query: str, params: Sequence[Any]
    ) -> TableAnswer:
        """Run a query that contains a user's condition, and return the answer, as `ask` does.

        Raises QueryError if DuckDB rejects the query because the condition is too deeply nested.
        """
        import duckdb

        try:
            return self.ask(tables, query, params)
        except duckdb.Error as error:
            raise QueryError(f"the condition is too complex: {_one_line_message(error)}") from None

    def ask_sql(self, query: str, params: Sequence[Any] = ()) -> TableAnswer:
        """Run a user's query, which can read every table but can't change anything.

        Raises QueryError if the query is not a single SELECT statement, or if DuckDB rejects it.
        """
        import duckdb

        with self.lock:
            try:
                query.encode()
                statements = duckdb.extract_statements(query)
            except (duckdb.Error, UnicodeError) as error:
                raise QueryError(_one_line_message(error)) from None
            kinds = [statement.type for statement in statements]
            if kinds != [duckdb.StatementType.SELECT]:
                raise QueryError("the tables are read-only: write a single SELECT statement")
            for table in find_tables(query):
                self.ask([table], "SELECT 1")
            if _SAMPLES_WORD.search(query):
                self._load_samples()
            self._connection.execute("BEGIN TRANSACTION READ ONLY")
            try:
                return self._fetch_answer(query, params)
            except (duckdb.Error, UnicodeError, OverflowError) as error:
                raise QueryError(_one_line_message(error)) from None
            finally:
                self._connection.execute("ROLLBACK")

    def _fetch_answer(self, query: str, params: Sequence[Any]) -> TableAnswer:
        try:
            result = self._connection.execute(query, list(params))
        except RuntimeError as error:  # DuckDB reports Ctrl-C this way
            if "interrupt" in str(error).lower():
                raise KeyboardInterrupt from None
            raise
        described = result.description or []
        names, types = [d[0] for d in described], [str(d[1]) for d in described]
        return TableAnswer(names, types, result.fetchall())


def _close_all(runs: dict[str, LiveRun]) -> None:
    for run in runs.values():
        run.close()


def find_tables(query: str) -> list[str]:
    """Return the tables, except ``samples``, that a query may read."""
    if _INDIRECT_WORD.search(query):
        return list(TABLES)
    return [name for name in TABLES if re.search(rf"\b{name}\b", query, re.IGNORECASE)]


def _one_line_message(error: Exception) -> str:
    """Return DuckDB's error message as one line, without the part that quotes the query."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())
