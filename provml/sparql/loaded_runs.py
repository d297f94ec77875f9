"""Loads runs into a SPARQL store, and reloads the runs that have changed.

Imports `database`, `fingerprint`, `query`, `export` and `journal.store`; imports pyoxigraph only
when needed.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from provml.base.settings import default_store
from provml.errors import MissingExtraError, ProvMLError, QueryError, RunNotFoundError
from provml.export import ntriples
from provml.journal import layout
from provml.journal.reader import Journal, describe_damage
from provml.journal.store import UnreadRun, find_run, list_run_folders
from provml.model.bundles import bundle_iri
from provml.model.mapping import DETAILS, SAMPLE_DETAIL_LIMIT, RunMapping, run_prefixes
from provml.sparql.answers import SparqlAnswer
from provml.sparql.database import GraphEntry, LoadedDatabase, NoteTaker, remove_graph
from provml.sparql.fingerprint import Fingerprint, read_stamps, take_fingerprint
from provml.sparql.query import Parameter, ask

if TYPE_CHECKING:
    from pyoxigraph import Store

_SMALL_BYTES: Final = 16 * 2**10
"""Journals up to this size are loaded in a transaction, because bulk loading would take longer."""
_REMOVAL_COST_RATIO: Final = 6
"""Removing a triple takes this many times as long as loading it."""
_TRIPLES_A_FLUSH: Final = 200_000
_LOCK_ATTEMPTS: Final = 5


@dataclass(slots=True)
class LoadReport:
    """A report of what `load_runs` loaded, removed and left out.

    Attributes:
        loaded: the names of the graphs that were loaded or reloaded.
        unchanged: the number of graphs that were already up to date.
        removed: the names of the graphs that were removed because their runs were deleted.
        triples: the number of triples that were loaded.
        on_disk: whether the graphs are kept on disk for later calls.
        left_out: the folders of unreadable runs, each with the reason.
    """

    loaded: list[str] = field(default_factory=list)
    unchanged: int = 0
    removed: list[str] = field(default_factory=list)
    triples: int = 0
    on_disk: bool = False
    left_out: dict[Path, str] = field(default_factory=dict)


@dataclass(slots=True)
class _WantedRun:
    """A run that the caller wants to query."""

    journal: Journal
    entry: GraphEntry | None = None
    """The index entry of the run's graph; None if the graph is missing or out of date."""


class LoadedRuns:
    """Recorded runs that are loaded and ready for SPARQL queries.

    Load them with `load_runs`. Close them with `close`, or use them in a ``with`` block.

    Attributes:
        graphs: the folder of each run, by the name of the run's graph.
        load_report: what `load_runs` loaded, removed and left out.
    """

    def __init__(
        self,
        graphs: dict[str, Path],
        prefixes: dict[str, str],
        store: Store,
        whole: bool,
        load_report: LoadReport,
        database: LoadedDatabase | None,
    ) -> None:
        self.graphs = graphs
        self.load_report = load_report
        self._prefixes = prefixes
        self._store: Store | None = store
        self._whole = whole
        self._database = database

    def query(self, text: str, /, **parameters: Parameter) -> SparqlAnswer:
        """Run a SPARQL 1.1 query: SELECT, ASK, CONSTRUCT or DESCRIBE.

        The default graph is the union of all runs; ``GRAPH`` selects single runs. The prefixes
        ``prov``, ``provml``, ``tags``, ``rdf``, ``rdfs``, ``xsd`` and ``dcterms`` are defined. If
        only one run is loaded, the prefix ``run`` is defined too. The answer is read while you
        iterate over it, so keep the runs open until you have finished.

        Args:
            text: the query.
            parameters: values for variables that the query declares as ``VALUES ?name { UNDEF }``.

        Raises:
            QueryError: the query is not valid, is an update, or uses SERVICE or FROM; or the query
                does not declare one of the parameters.
        """
        if self._store is None:
            raise QueryError("the runs are closed: run queries inside the with block")
        graphs = None if self._whole else list(self.graphs)
        return ask(self._store, text, parameters, self._prefixes, graphs)

    def close(self) -> None:
        """Close the runs, so that other processes can load runs of the store."""
        self._store = None
        if self._database is not None:
            self._database.close()
            self._database = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def load_runs(
    runs: Sequence[str | os.PathLike[str]] | None = None,
    store: str | os.PathLike[str] | None = None,
    detail: str | None = None,
    note: NoteTaker = lambda line: None,
    keep: bool = True,
) -> LoadedRuns:
    """Open runs for SPARQL queries, and load the runs that are new or have changed.

    Loaded runs are kept on disk for later calls, in the store's folder ``.provml``. If that is not
    possible, the runs are loaded into memory. For each sample, loading takes about 0.1 ms and 2 kB
    on disk, or 0.05 ms and 2 kB in memory. If a run is already up to date, provml only checks its
    files.

    Args:
        runs: the runs to open, each as a folder, an id or ``latest`` (see
            `provml.journal.store.find_run`); by default all runs of the store.
        store: the folder of runs; by default ``PROVML_STORE``, else ``provenance``.
        detail: ``sample``, ``series`` or None. None means ``sample`` for runs of up to a million
            samples, and ``series`` for larger runs.
        note: a function that is called with one-line messages, for example if a run is left out,
            or if provml has to wait for another process.
        keep: whether to keep the loaded runs on disk.

    Raises:
        RunNotFoundError: a run does not exist, or the store has no runs.
        JournalError: a newer version of provml wrote one of the runs in ``runs``.
        QueryError: ``detail`` has an unknown value.
        MissingExtraError: pyoxigraph is not installed.
    """
    if detail is not None and detail not in DETAILS:
        raise QueryError(f"the detail must be 'sample' or 'series', not {detail!r}")
    try:
        import pyoxigraph  # noqa: F401
    except ImportError:
        raise MissingExtraError("SPARQL", "pyoxigraph", "rdf") from None
    load_report = LoadReport()
    root: Path | None = Path(default_store() if store is None else store)
    if runs is None:
        wanted = _find_all_runs(
            Path(default_store() if store is None else store), load_report, note
        )
    else:
        wanted = _name_graphs(_journals([find_run(run, store) for run in runs]), note)
        root = _find_common_store([want.journal for want in wanted.values()])
        if root is None and keep:
            note("the runs are not all in the same store: loading them into memory")
    graphs = {name: want.journal.folder for name, want in wanted.items()}
    prefixes = {}
    if len(wanted) == 1:
        (only,) = wanted.values()
        prefixes["run"] = run_prefixes(only.journal)["run"]
    loading = _Loader(wanted, runs is None, detail, load_report, note)
    database = _open_database(root, note) if keep and root is not None else None
    opened = None
    if database is not None:
        try:
            opened = loading.on_disk(database)
        finally:
            if opened is None:
                database.close()
    if opened is None:
        database, opened = None, loading.in_memory()
    return LoadedRuns(graphs, prefixes, opened, runs is None, load_report, database)


def _journals(folders: Sequence[Path]) -> list[Journal]:
    return [Journal(folder) for folder in folders]


def _find_all_runs(root: Path, load_report: LoadReport, note: NoteTaker) -> dict[str, _WantedRun]:
    journals: list[Journal] = []
    unread: list[UnreadRun] = []
    for folder in list_run_folders(root, unread):
        try:
            journal = Journal(folder)
            journal.state()
        except RunNotFoundError:
            continue  # the run was deleted in the meantime
        except (ProvMLError, OSError) as error:
            unread.append(UnreadRun(folder, str(error)))
        else:
            journals.append(journal)
    for run in unread:
        load_report.left_out[run.path] = run.reason
        note(f"a run is left out: {run.reason}")
    if not journals:
        raise RunNotFoundError(
            f"there is nothing to query: the store {os.fspath(root)!r} has no runs"
        )
    return _name_graphs(journals, note)


def _name_graphs(journals: Sequence[Journal], note: NoteTaker) -> dict[str, _WantedRun]:
    """Return the runs by the names of their graphs, with only the first copy of each run."""
    wanted: dict[str, _WantedRun] = {}
    for journal in journals:
        name = bundle_iri(journal)
        other = wanted.setdefault(name, _WantedRun(journal)).journal
        if other is not journal and other.folder.resolve() != journal.folder.resolve():
            note(f"{other.folder} and {journal.folder} are copies of {name}: using the first")
    return wanted


def _find_common_store(journals: Sequence[Journal]) -> Path | None:
    stores = {_find_store(journal) for journal in journals}
    return stores.pop() if len(stores) == 1 else None


def _find_store(journal: Journal) -> Path | None:
    """Return the store that contains a run, or None if the run's folder is not in a store."""
    folder, description = journal.folder.resolve(), journal.description
    names = (layout.encode_folder_name(str(description["experiment"])), str(description["id"]))
    return folder.parent.parent if (folder.parent.name, folder.name) == names else None


def _open_database(root: Path, note: NoteTaker) -> LoadedDatabase | None:
    try:
        return LoadedDatabase(root, note)
    except OSError as error:
        note(f"can't write to {root} ({error.strerror or error}): loading the runs into memory")
        return None


class _Loader:
    """A loader that brings the graphs of a store up to date once, on disk or in memory."""

    def __init__(
        self,
        wanted: dict[str, _WantedRun],
        whole: bool,
        detail: str | None,
        load_report: LoadReport,
        note: NoteTaker,
    ) -> None:
        self._wanted = wanted
        self._whole = whole
        self._detail = detail
        self._refreshed = load_report
        self._note = note

    def in_memory(self) -> Store:
        """Load all runs into a new store in memory."""
        import pyoxigraph

        store = pyoxigraph.Store()
        for name, want in self._wanted.items():
            self._load_run(store, name, want.journal)
        return store

    def on_disk(self, database: LoadedDatabase) -> Store | None:
        """Bring the database on disk up to date and open it; return None if that fails."""
        try:
            index = database.read_index()
            if index is None or self._find_stale_graphs(index):
                if not database.writable:
                    self._note(
                        "the loaded runs are outdated and read-only: loading the runs into memory"
                    )
                    return None
                self._run_alone(database, self._refresh)
            return self._open_for_reading(database)
        except OSError as error:
            self._note(
                f"can't use the database ({_error_first_line(error)}): loading the runs into memory"
            )
            return None

    def _run_alone(self, database: LoadedDatabase, work: Callable[[LoadedDatabase], None]) -> None:
        """Call a function under an exclusive lock until the database contains all wanted runs.

        One call may not be enough: after the call, another process can take the lock and delete the
        database before this process reads it.
        """
        for _ in range(_LOCK_ATTEMPTS):
            database.lock_alone()
            try:
                work(database)
                database.share_files()
            finally:
                database.lock_shared()
            if self._wanted.keys() <= (database.read_index() or {}).keys():
                return
        raise OSError("other processes keep changing it")

    def _open_for_reading(self, database: LoadedDatabase) -> Store:
        try:
            store = database.open_to_read()
        except OSError as error:
            if not database.writable:
                raise
            self._note(f"the loaded data is damaged ({_error_first_line(error)}): loading it again")
            self._run_alone(database, self._rebuild)
            store = database.open_to_read()
        self._refreshed.on_disk = True
        self._refreshed.unchanged = len(self._wanted) - len(set(self._refreshed.loaded))
        return store

    def _rebuild(self, database: LoadedDatabase) -> None:
        database.clear()
        self._refresh(database)

    # -- planning ---------------------------------------------------------------------------------

    def _find_stale_graphs(self, index: dict[str, GraphEntry]) -> list[str]:
        """Mark the runs whose graphs are up to date, and return the names of all stale graphs.

        Stale graphs have to be loaded or removed.
        """
        for name, want in self._wanted.items():
            entry = index.get(name)
            same = entry is not None and self._is_current(want.journal, entry)
            want.entry = entry if same else None
        missing = [name for name, want in self._wanted.items() if want.entry is None]
        return missing + (self._find_removed_graphs(index) if self._whole else [])

    def _find_removed_graphs(self, index: dict[str, GraphEntry]) -> list[str]:
        return [name for name in index if name not in self._wanted]

    def _is_current(self, journal: Journal, entry: GraphEntry) -> bool:
        few = entry.samples <= SAMPLE_DETAIL_LIMIT
        detail = self._detail or ("sample" if few else "series")
        if entry.folder != _describe_run_place(journal) or entry.detail != detail:
            return False
        if entry.final:
            return entry.stamps == read_stamps(journal)
        now = take_fingerprint(journal)
        return (entry.stamps, entry.status, entry.tails) == (now.stamps, now.status, now.tails)

    # -- loading ----------------------------------------------------------------------------------

    def _refresh(self, database: LoadedDatabase) -> None:
        index = database.read_index()
        if index is None:
            if database.exists():
                self._note("the loaded data is damaged or from another version: loading it again")
            database.clear()
            index = {}
        self._find_stale_graphs(index)
        missing = [name for name, want in self._wanted.items() if want.entry is None]
        doomed = [*(name for name in missing if name in index), *database.read_unfinished()]
        if self._whole:
            doomed += self._find_removed_graphs(index)
        kept = {name: entry for name, entry in index.items() if name not in doomed}
        self._refreshed.removed = [name for name in index if name not in self._wanted | kept.keys()]
        going = sum(index[name].triples for name in doomed if name in index)
        if going * _REMOVAL_COST_RATIO > going + sum(entry.triples for entry in kept.values()):
            database.clear()  # loading everything again is faster than removing graphs
            kept, doomed, missing = {}, [], list(self._wanted)
        try:
            store = database.open_to_write()
        except OSError as error:
            self._note(f"the loaded data is damaged ({_error_first_line(error)}): loading it again")
            database.clear()
            kept, doomed, missing = {}, [], list(self._wanted)
            store = database.open_to_write()
        database.write_index(kept, [*doomed, *missing])
        for name in doomed:
            remove_graph(store, name)
        self._load_all(store, database, kept, missing)

    def _load_all(
        self,
        store: Store,
        database: LoadedDatabase,
        index: dict[str, GraphEntry],
        missing: list[str],
    ) -> None:
        """Load the missing graphs. Save the index about every 200,000 triples."""
        waiting = 0
        for done, name in enumerate(missing, 1):
            journal = Journal(self._wanted[name].journal.folder)
            index[name] = self._load_run(store, name, journal)
            waiting += index[name].triples
            if waiting > _TRIPLES_A_FLUSH or done == len(missing):
                store.flush()
                database.write_index(index, missing[done:])
                waiting = 0
        if not missing:
            store.flush()
            database.write_index(index)

    def _load_run(self, store: Store, name: str, journal: Journal) -> GraphEntry:
        before: Fingerprint = take_fingerprint(journal)
        small = sum(size for _, size, _ in before.stamps) <= _SMALL_BYTES
        mapping = RunMapping(journal, self._detail)
        triples = _load_graph(store, name, mapping, small)
        self._refreshed.loaded.append(name)
        self._refreshed.triples += triples
        note = describe_damage(journal.damage())
        if note is not None:
            self._note(f"{_describe_run_place(journal)}: {note}")
        return GraphEntry(
            folder=_describe_run_place(journal),
            stamps=before.stamps,
            status=before.status,
            tails=before.tails,
            final=before.final,
            detail=mapping.detail,
            samples=mapping.samples,
            triples=triples,
        )


def _describe_run_place(journal: Journal) -> str:
    return "/".join(journal.folder.resolve().parts[-2:])


def _error_first_line(error: OSError) -> str:
    return str(error).partition("\n")[0]


class _LineCounter:
    """A sink that counts the lines that are written to it."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self.lines = 0

    def write(self, data: bytes) -> int:
        self.lines += data.count(b"\n")
        return self._sink.write(data)


def _load_graph(store: Store, name: str, mapping: RunMapping, small: bool) -> int:
    """Load a run's triples and the triples that they entail; return the number of triples.

    For a large run, a second thread generates the triples while this thread loads them.
    """
    import pyoxigraph

    graph, form = pyoxigraph.NamedNode(name), pyoxigraph.RdfFormat.N_TRIPLES
    if small:
        held = io.BytesIO()
        ntriples.write(mapping, held, entailed=True)
        store.load(held.getvalue(), form, to_graph=graph)
        return held.getvalue().count(b"\n")
    reading, writing = os.pipe()
    failure: list[BaseException] = []
    with open(reading, "rb") as source, open(writing, "wb") as sink:
        counter: Any = _LineCounter(sink)

        def write() -> None:
            try:
                ntriples.write(mapping, counter, entailed=True)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                failure.append(error)
            finally:
                try:
                    sink.close()
                except OSError:
                    pass  # the reader has closed the pipe

        writer = threading.Thread(target=write, name="provml-sparql")
        writer.start()
        try:
            store.bulk_load(source, form, to_graph=graph)
        except Exception as error:
            source.close()
            writer.join()
            if failure and not isinstance(failure[0], BrokenPipeError):
                raise failure[0] from error
            raise
        writer.join()
    if failure:
        raise failure[0]
    return int(counter.lines)
