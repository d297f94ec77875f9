"""Runs in a SPARQL store, refreshed for what changed since.

Imports `database`, `fingerprint`, `query`, `export`, `store`; pyoxigraph when it runs.
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
from provml.errors import JournalError, MissingExtraError, QueryError, RunNotFoundError
from provml.export import ntriples
from provml.journal import layout
from provml.journal.reader import Journal, describe_damage
from provml.journal.store import find_run, list_run_folders
from provml.model.bundles import bundle_iri
from provml.model.mapping import DETAILS, SAMPLE_DETAIL_LIMIT, RunMapping, run_prefixes
from provml.sparql.answers import SparqlAnswer
from provml.sparql.database import Entry, LoadedDatabase, Note, remove_graph
from provml.sparql.fingerprint import Fingerprint, fingerprint, stamps
from provml.sparql.query import Parameter, ask

if TYPE_CHECKING:
    from pyoxigraph import Store

_SMALL_BYTES: Final = 16 * 2**10
"""A journal of so little is loaded in a transaction, which costs less than files of its own."""
_REMOVAL: Final = 6
"""Taking a triple out costs so many times what loading one does."""
_TRIPLES_A_FLUSH: Final = 200_000
_ATTEMPTS: Final = 5


@dataclass(slots=True)
class Refreshed:
    """What opening runs for queries came to.

    Attributes:
        loaded: the graphs that were loaded, new or again.
        unchanged: how many were there already, as the runs still are.
        removed: the graphs of runs that are gone.
        triples: how many triples were loaded.
        on_disk: whether they are kept for the next time.
        left_out: runs that can't be read, and why.
    """

    loaded: list[str] = field(default_factory=list)
    unchanged: int = 0
    removed: list[str] = field(default_factory=list)
    triples: int = 0
    on_disk: bool = False
    left_out: dict[Path, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Wanted:
    """A run that is to be loaded, and what is known of it."""

    journal: Journal
    entry: Entry | None = None
    """What is loaded of it, where that is as the run still is."""


class LoadedRuns:
    """Runs, ready for queries; made by `load_runs`, closed by `close` or at a with block's end.

    Attributes:
        graphs: the names of the runs' graphs and the runs' folders.
        refreshed: what had to be loaded.
    """

    def __init__(
        self,
        graphs: dict[str, Path],
        prefixes: dict[str, str],
        store: Store,
        whole: bool,
        refreshed: Refreshed,
        database: LoadedDatabase | None,
    ) -> None:
        self.graphs = graphs
        self.refreshed = refreshed
        self._prefixes = prefixes
        self._store: Store | None = store
        self._whole = whole
        self._database = database

    def query(self, text: str, /, **parameters: Parameter) -> SparqlAnswer:
        """Ask a SPARQL 1.1 query: SELECT, ASK, CONSTRUCT or DESCRIBE.

        The default graph is all of the runs' together, ``GRAPH`` sees each; ``FROM`` has no
        effect. Prefixes that are known: prov, provml, rdf, rdfs, xsd, dcterms, and of a single
        run its own, run. The answer is read as it is iterated, while the runs are open.

        Args:
            text: the query.
            parameters: values for what the query has as ``VALUES ?name { UNDEF }``.

        Raises:
            QueryError: a syntax error, an update, a SERVICE, or an unknown parameter.
        """
        if self._store is None:
            raise QueryError("the runs were closed: query within the with block")
        graphs = None if self._whole else list(self.graphs)
        return ask(self._store, text, parameters, self._prefixes, graphs)

    def close(self) -> None:
        """Let others load."""
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
    note: Note = lambda line: None,
    keep: bool = True,
) -> LoadedRuns:
    """Open runs for SPARQL, loading those that are new or changed.

    What is loaded stays on disk, in ``.provml`` in the runs' store, for the next time; where that
    can't be, in memory. Costs about 0.1 ms and 2 kB of disk a sample that has to be loaded, else a
    look at the files of each run; into memory 0.05 ms and 2 kB of memory, each time.

    Args:
        runs: as `provml.journal.store.find_run` takes them; None is all runs of the store.
        store: the folder of the runs; by default ``PROVML_STORE``, else ``provenance``.
        detail: ``sample``, ``series``, or None: ``sample`` up to a million samples a run.
        note: takes lines for people: what waits, what is rebuilt, what is left out.
        keep: whether what is loaded is kept on disk; else it is loaded into memory.

    Raises:
        RunNotFoundError: there is no such run, or none at all.
        JournalError: a run that was named is of a newer version.
        QueryError: another detail.
        MissingExtraError: pyoxigraph is not installed.
    """
    if detail is not None and detail not in DETAILS:
        raise QueryError(f"detail must be 'sample' or 'series', not {detail!r}")
    try:
        import pyoxigraph  # noqa: F401
    except ImportError:
        raise MissingExtraError("SPARQL", "pyoxigraph", "rdf") from None
    refreshed = Refreshed()
    root: Path | None = Path(default_store() if store is None else store)
    if runs is None:
        wanted = _all_wanted(Path(default_store() if store is None else store), refreshed, note)
    else:
        wanted = _named(_journals([find_run(run, store) for run in runs]), note)
        root = _common_store([want.journal for want in wanted.values()])
        if root is None and keep:
            note("the runs are in no store together: they are loaded into memory")
    graphs = {name: want.journal.folder for name, want in wanted.items()}
    prefixes = {}
    if len(wanted) == 1:
        (only,) = wanted.values()
        prefixes["run"] = run_prefixes(only.journal)["run"]
    loading = _Loading(wanted, runs is None, detail, refreshed, note)
    database = _database(root, note) if keep and root is not None else None
    opened = None
    if database is not None:
        try:
            opened = loading.on_disk(database)
        finally:
            if opened is None:
                database.close()
    if opened is None:
        database, opened = None, loading.in_memory()
    return LoadedRuns(graphs, prefixes, opened, runs is None, refreshed, database)


def _journals(folders: Sequence[Path]) -> list[Journal]:
    return [Journal(folder) for folder in folders]


def _all_wanted(root: Path, refreshed: Refreshed, note: Note) -> dict[str, _Wanted]:
    journals: list[Journal] = []
    for folder in list_run_folders(root):
        try:
            journal = Journal(folder)
            journal.state()
        except JournalError as error:
            refreshed.left_out[folder] = str(error)
            note(f"left out: {error}")
        except RunNotFoundError:
            continue  # removed since it was seen
        else:
            journals.append(journal)
    if not journals:
        raise RunNotFoundError(f"there is nothing to query: {os.fspath(root)!r} holds no runs")
    return _named(journals, note)


def _named(journals: Sequence[Journal], note: Note) -> dict[str, _Wanted]:
    """The runs by their graphs' names; of copies of one run the first."""
    wanted: dict[str, _Wanted] = {}
    for journal in journals:
        name = bundle_iri(journal)
        other = wanted.setdefault(name, _Wanted(journal)).journal
        if other is not journal and other.folder.resolve() != journal.folder.resolve():
            note(f"{journal.folder} and {other.folder} are both named {name}: the latter is used")
    return wanted


def _common_store(journals: Sequence[Journal]) -> Path | None:
    stores = {_store_of(journal) for journal in journals}
    return stores.pop() if len(stores) == 1 else None


def _store_of(journal: Journal) -> Path | None:
    """The store that a run lies in; None where its folders are not named as in a store."""
    folder, description = journal.folder.resolve(), journal.description
    names = (layout.encode_folder_name(str(description["experiment"])), str(description["id"]))
    return folder.parent.parent if (folder.parent.name, folder.name) == names else None


def _database(root: Path, note: Note) -> LoadedDatabase | None:
    try:
        return LoadedDatabase(root, note)
    except OSError as error:
        note(f"nothing can be kept in {root} ({error.strerror}): the runs are loaded into memory")
        return None


class _Loading:
    """One refreshing of a store, on disk or in memory."""

    def __init__(
        self,
        wanted: dict[str, _Wanted],
        whole: bool,
        detail: str | None,
        refreshed: Refreshed,
        note: Note,
    ) -> None:
        self._wanted = wanted
        self._whole = whole
        self._detail = detail
        self._refreshed = refreshed
        self._note = note

    def in_memory(self) -> Store:
        """A store of its own for this process."""
        import pyoxigraph

        store = pyoxigraph.Store()
        for name, want in self._wanted.items():
            self._load(store, name, want.journal)
        return store

    def on_disk(self, database: LoadedDatabase) -> Store | None:
        """The store's database, refreshed; None where it can't be used."""
        try:
            index = database.index()
            if index is None or self._compare(index):
                if not database.writable:
                    self._note("what is loaded is out of date, and not ours to refresh: in memory")
                    return None
                self._alone(database, self._refresh)
            return self._reading(database)
        except OSError as error:
            self._note(f"nothing can be kept beside the runs ({_first_line(error)}): in memory")
            return None

    def _alone(self, database: LoadedDatabase, work: Callable[[LoadedDatabase], None]) -> None:
        """Do what needs the database alone, until it holds what is wanted.

        Between giving it up and reading it, another process may take it and start anew.
        """
        for _ in range(_ATTEMPTS):
            database.own()
            try:
                work(database)
            finally:
                database.share()
            if self._wanted.keys() <= (database.index() or {}).keys():
                return
        raise OSError("other processes keep on changing it")

    def _reading(self, database: LoadedDatabase) -> Store:
        try:
            store = database.open_to_read()
        except OSError as error:
            if not database.writable:
                raise
            self._note(f"what was loaded is damaged ({_first_line(error)}): loading it again")
            self._alone(database, self._rebuild)
            store = database.open_to_read()
        self._refreshed.on_disk = True
        self._refreshed.unchanged = len(self._wanted) - len(set(self._refreshed.loaded))
        return store

    def _rebuild(self, database: LoadedDatabase) -> None:
        database.clear()
        self._refresh(database)

    # -- what is to be done -----------------------------------------------------------------------

    def _compare(self, index: dict[str, Entry]) -> list[str]:
        """Note what is loaded already; the graphs that must go, or be loaded."""
        for name, want in self._wanted.items():
            entry = index.get(name)
            same = entry is not None and self._is_current(want.journal, entry)
            want.entry = entry if same else None
        missing = [name for name, want in self._wanted.items() if want.entry is None]
        return missing + (self._gone(index) if self._whole else [])

    def _gone(self, index: dict[str, Entry]) -> list[str]:
        return [name for name in index if name not in self._wanted]

    def _is_current(self, journal: Journal, entry: Entry) -> bool:
        few = entry.samples <= SAMPLE_DETAIL_LIMIT
        detail = self._detail or ("sample" if few else "series")
        if entry.folder != _place(journal) or entry.detail != detail:
            return False
        if entry.final:
            return entry.stamps == stamps(journal)
        now = fingerprint(journal)
        return (entry.stamps, entry.status, entry.tails) == (now.stamps, now.status, now.tails)

    # -- doing it ---------------------------------------------------------------------------------

    def _refresh(self, database: LoadedDatabase) -> None:
        index = database.index()
        if index is None:
            if database.exists():
                self._note("what was loaded is of another version, or damaged: loading it again")
            database.clear()
            index = {}
        self._compare(index)
        missing = [name for name, want in self._wanted.items() if want.entry is None]
        doomed = [*(name for name in missing if name in index), *database.unfinished()]
        if self._whole:
            doomed += self._gone(index)
        kept = {name: entry for name, entry in index.items() if name not in doomed}
        self._refreshed.removed = [name for name in index if name not in self._wanted | kept.keys()]
        going = sum(index[name].triples for name in doomed if name in index)
        if going * _REMOVAL > going + sum(entry.triples for entry in kept.values()):
            database.clear()  # sooner done than taking out what has to go
            kept, doomed, missing = {}, [], list(self._wanted)
        try:
            store = database.open_to_write()
        except OSError as error:
            self._note(f"what was loaded is damaged ({_first_line(error)}): loading it again")
            database.clear()
            kept, doomed, missing = {}, [], list(self._wanted)
            store = database.open_to_write()
        database.write_index(kept, [*doomed, *missing])
        for name in doomed:
            remove_graph(store, name)
        self._load_all(store, database, kept, missing)

    def _load_all(
        self, store: Store, database: LoadedDatabase, index: dict[str, Entry], missing: list[str]
    ) -> None:
        """Load graphs, noting from time to time which are whole."""
        waiting = 0
        for done, name in enumerate(missing, 1):
            journal = Journal(self._wanted[name].journal.folder)
            index[name] = self._load(store, name, journal)
            waiting += index[name].triples
            if waiting > _TRIPLES_A_FLUSH or done == len(missing):
                store.flush()
                database.write_index(index, missing[done:])
                waiting = 0
        if not missing:
            store.flush()
            database.write_index(index)

    def _load(self, store: Store, name: str, journal: Journal) -> Entry:
        before: Fingerprint = fingerprint(journal)
        small = sum(size for _, size, _ in before.stamps) <= _SMALL_BYTES
        mapping = RunMapping(journal, self._detail)
        triples = _load_graph(store, name, mapping, small)
        self._refreshed.loaded.append(name)
        self._refreshed.triples += triples
        note = describe_damage(journal.damage())
        if note is not None:
            self._note(f"{_place(journal)}: {note}")
        return Entry(
            folder=_place(journal),
            stamps=before.stamps,
            status=before.status,
            tails=before.tails,
            final=before.final,
            detail=mapping.detail,
            samples=mapping.samples,
            triples=triples,
        )


def _place(journal: Journal) -> str:
    return "/".join(journal.folder.resolve().parts[-2:])


def _first_line(error: OSError) -> str:
    return str(error).partition("\n")[0]


class _Counter:
    """A sink that counts the lines that go through."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self.lines = 0

    def write(self, data: bytes) -> int:
        self.lines += data.count(b"\n")
        return self._sink.write(data)


def _load_graph(store: Store, name: str, mapping: RunMapping, small: bool) -> int:
    """Load a run's triples, entailed ones too, as they are made; how many."""
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
        counter: Any = _Counter(sink)

        def write() -> None:
            try:
                ntriples.write(mapping, counter, entailed=True)
            except BaseException as error:  # noqa: BLE001 - it is raised where it can be seen
                failure.append(error)
            finally:
                try:
                    sink.close()
                except OSError:
                    pass  # nobody reads any more

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
