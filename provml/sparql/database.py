"""The folder in which loaded runs are stored: a lock, an index, and the database files.

    <store>/.provml/sparql/lock         shared by readers, exclusive while loading
    <store>/.provml/sparql/index.json   the run in each graph, and its state when it was loaded
    <store>/.provml/sparql/data/        the RocksDB database

You can delete the folder at any time. Only the graphs in the index count as loaded. A graph is
removed from the index before it is changed, and added again when it is complete and flushed. If the
process is killed between these steps, the next process loads the graph again.

A store may come from anyone, so its folder may contain anything. provml follows no links in that
folder, and changes or removes only files that it recognises as its own. Imports `base`, `errors`,
`fingerprint` and `version`; imports pyoxigraph only when needed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provml.base import store_files
from provml.base.settings import store_umask
from provml.base.user_cache import open_cache_of_store
from provml.errors import StoreError
from provml.sparql.fingerprint import Stamps
from provml.version import __version__

if TYPE_CHECKING:
    from pyoxigraph import Store

NoteTaker = Callable[[str], None]
"""A function that shows a one-line message to the user."""

DATABASE_FOLDER: Final = Path(".provml", "sparql")
_INDEX_FORMAT: Final = 2
_LARGEST_INDEX: Final = 2**28
_REMOVED_AT_ONCE: Final = 50_000
_LOCK: Final = "lock"
_INDEX: Final = "index.json"
_DATA: Final = "data"
_INDEX_BEGINNING: Final = b'{"format": '
_PARTIAL_INDEX: Final = re.compile(r"\.index\.json\.[0-9a-f-]{1,60}\.part")
_ROCKSDB_FILE: Final = re.compile(
    r"CURRENT|IDENTITY|LOCK|LOG|LOG\.old\.\d+|MANIFEST-\d+|OPTIONS-\d+|"
    r"(OPTIONS-)?\d+\.dbtmp|(CURRENT|IDENTITY)\.dbtmp|\d+\.(sst|log|blob)"
)
_ROCKSDB_CURRENT: Final = re.compile(rb"MANIFEST-\d+\n")
_LONGEST_BEGINNING: Final = 64
_INDEX_VERSION: Final = {"format": _INDEX_FORMAT, "provml": __version__}

_open_counts: Final = Counter[str]()
"""For each database's folder, how many `LoadedDatabase` objects this process has open."""


@dataclass(frozen=True, slots=True)
class GraphEntry:
    """An entry of the index, which describes a loaded graph.

    Attributes:
        folder: the run's folder, relative to the store.
        stamps, status, tails, final: the run's fingerprint, which was taken before loading; see
            `Fingerprint`.
        detail: ``sample`` or ``series``.
        samples: the number of samples in the run.
        triples: the number of triples in the graph.
    """

    folder: str
    stamps: Stamps
    status: str
    tails: Stamps
    final: bool
    detail: str
    samples: int
    triples: int


class LoadedDatabase:
    """The SPARQL database of a store, with a lock that coordinates the processes that use it."""

    def __init__(self, store: Path, note: NoteTaker) -> None:
        """Open the database's folder and take the lock for reading.

        Creates the folder if necessary. If the folder is a link, or contains files that provml did
        not write, uses a folder in the user's cache instead.

        Raises:
            OSError: the folder can't be opened, or the file system does not support locks.
        """
        self._note = note
        self.writable = True
        try:
            self._open_folder(store, store / DATABASE_FOLDER)
        except StoreError as error:
            root, folder = open_cache_of_store(store, "sparql")
            self._open_folder(root, folder)
            note(f"the loaded runs are kept in {folder}, because {error}")
        self._key = os.path.realpath(self._folder)
        _open_counts[self._key] += 1
        try:
            self.lock_shared()
        except OSError:
            self.close()
            raise

    def _open_folder(self, root: Path, folder: Path) -> None:
        """Open a folder's lock file.

        Raises StoreError if the folder contains files that provml did not write.
        """
        self._root, self._folder, self._data = root, folder, folder / _DATA
        lock = folder / _LOCK
        try:
            store_files.make_folder(root, folder)
            self._check_content()
            self._fd = store_files.open_or_create_file(root, lock)
        except StoreError:
            raise
        except OSError:
            # the store is read-only, but it may already have a database
            self._fd = store_files.open_file(root, lock)
            self.writable = False

    def _check_content(self) -> None:
        """Raise StoreError if the folder contains anything that provml did not write."""
        for entry in store_files.list_folder(self._root, self._folder):
            is_own = entry.is_file and (
                entry.name in (_LOCK, _INDEX) or _PARTIAL_INDEX.fullmatch(entry.name)
            )
            if not is_own and not (entry.name == _DATA and entry.is_folder):
                raise StoreError(
                    f"{self._folder} contains {entry.name!r}, which provml did not create"
                )
        content = self._list_data()
        for entry in content:
            if not entry.is_file or not _ROCKSDB_FILE.fullmatch(entry.name):
                raise StoreError(
                    f"{self._data} contains {entry.name!r}, which provml did not create"
                )
        if content and not self._is_recognised():
            raise StoreError(f"{self._data} is not a database that provml created")

    def _list_data(self) -> list[store_files.FolderEntry]:
        try:
            return store_files.list_folder(self._root, self._data)
        except FileNotFoundError:
            return []

    def _is_recognised(self) -> bool:
        """Return whether the folder contains an index that some version of provml wrote.

        If the index has an unknown beginning, it counts only if there is also a RocksDB database.
        """
        index = self._read_beginning(self._folder / _INDEX)
        if index is None or index.startswith(_INDEX_BEGINNING):
            return index is not None
        current = self._read_beginning(self._data / "CURRENT")
        return current is not None and _ROCKSDB_CURRENT.fullmatch(current) is not None

    def _read_beginning(self, path: Path) -> bytes | None:
        try:
            with store_files.open_to_read(self._root, path) as file:
                return file.read(_LONGEST_BEGINNING)
        except OSError:
            return None

    def lock_shared(self) -> None:
        """Take the lock for reading. Waits while another process loads runs."""
        self._lock(fcntl.LOCK_SH, "waiting for another process to load runs")

    def lock_alone(self) -> None:
        """Take the lock for loading. Waits while other processes read or load runs.

        Raises OSError if this process has opened the database more than once, because the process
        would then wait for itself forever.
        """
        if _open_counts[self._key] > 1:
            raise OSError("this process has other runs of this store open: close them first")
        self._lock(fcntl.LOCK_EX, "waiting for other processes to finish their queries")

    def _lock(self, kind: int, what: str) -> None:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            self._note(what)
            fcntl.flock(self._fd, kind)

    def close(self) -> None:
        """Release the lock."""
        _open_counts[self._key] -= 1
        os.close(self._fd)

    # -- the index --------------------------------------------------------------------------------

    def read_index(self) -> dict[str, GraphEntry] | None:
        """Return the loaded graphs by name, or None if there is no usable index."""
        return self._load_index()[0]

    def read_unfinished(self) -> list[str]:
        """Return the names of the graphs whose loading or removal was interrupted."""
        return self._load_index()[1]

    def _load_index(self) -> tuple[dict[str, GraphEntry] | None, list[str]]:
        try:
            path = self._folder / _INDEX
            content = json.loads(store_files.read_file(self._root, path, _LARGEST_INDEX))
            if {key: content[key] for key in _INDEX_VERSION} != _INDEX_VERSION:
                return None, []
            index = {name: _parse_entry(entry) for name, entry in content["graphs"].items()}
            unfinished = list(content["read_unfinished"])
            _check_graph_names([*index, *unfinished])
            return index, unfinished
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None, []

    def write_index(
        self, index: dict[str, GraphEntry], read_unfinished: Sequence[str] = ()
    ) -> None:
        """Replace the index file. Costs one fsync."""
        graphs = {name: asdict(entry) for name, entry in index.items()}
        content = {**_INDEX_VERSION, "graphs": graphs, "read_unfinished": list(read_unfinished)}
        with store_files.replacing(self._root, self._folder / _INDEX) as file:
            file.write(json.dumps(content).encode())

    def exists(self) -> bool:
        """Return whether the folder contains data that was loaded by any version of provml."""
        return bool(self._list_data())

    # -- pyoxigraph's files -----------------------------------------------------------------------

    def clear(self) -> None:
        """Delete all loaded data."""
        self._check_content()
        self.write_index({})  # marks the folder as provml's, even if this process is killed
        content = self._list_data()
        for entry in content:
            store_files.remove_file(self._root, self._data / entry.name)

    def open_to_write(self) -> Store:
        """Open the database for writing. Raises OSError if the database is damaged."""
        import pyoxigraph

        store_files.make_folder(self._root, self._data)
        return self._open_store(pyoxigraph.Store)

    def share_files(self) -> None:
        """Give the database's files the permissions of the store, because RocksDB does not."""
        for entry in self._list_data():
            try:
                fd = store_files.open_file(self._root, self._data / entry.name)
            except OSError:
                continue  # RocksDB has removed the file
            try:
                os.fchmod(fd, 0o666 & ~store_umask())
            except OSError:
                pass  # another user owns the file, or the file system doesn't support permissions
            finally:
                os.close(fd)

    def open_to_read(self) -> Store:
        """Open the database for reading only. Raises OSError if the database is damaged."""
        import pyoxigraph

        return self._open_store(pyoxigraph.Store.read_only)

    def _open_store(self, open_store: Callable[[str], Store]) -> Store:
        self._check_content()
        try:
            return open_store(os.fspath(self._data))
        except RuntimeError as error:  # RocksDB reports corruption this way
            raise OSError(str(error)) from error


def _parse_entry(content: dict[str, Any]) -> GraphEntry:
    """Build an entry of the index. Raises ValueError or TypeError if a field is not valid."""
    entry = GraphEntry(**content)
    texts = (entry.folder, entry.status, entry.detail)
    counts = (entry.samples, entry.triples)
    if not all(isinstance(text, str) for text in texts) or not isinstance(entry.final, bool):
        raise ValueError("an entry of the index has a field of the wrong type")
    if not all(type(count) is int and 0 <= count < 2**63 for count in counts):
        raise ValueError("an entry of the index has a count that is not valid")
    return entry


def _check_graph_names(names: list[Any]) -> None:
    """Raise ValueError or TypeError if a name in the index is not an IRI."""
    import pyoxigraph

    for name in names:
        pyoxigraph.NamedNode(name)


def remove_graph(database: Store, name: str) -> None:
    """Remove a graph piece by piece, to limit memory use. Takes about 40 µs per triple."""
    import pyoxigraph

    graph = pyoxigraph.NamedNode(name)
    piece = (
        f"DELETE {{ GRAPH {graph} {{ ?s ?p ?o }} }} WHERE {{ SELECT * "
        f"{{ GRAPH {graph} {{ ?s ?p ?o }} }} LIMIT {_REMOVED_AT_ONCE} }}"
    )
    while next(iter(database.quads_for_pattern(None, None, None, graph)), None) is not None:
        database.update(piece)
    database.remove_graph(graph)
