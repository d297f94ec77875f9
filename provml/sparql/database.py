"""The folder in which loaded runs are stored: a lock, an index, and the database files.

    <store>/.provml/sparql/lock         shared by readers, exclusive while loading
    <store>/.provml/sparql/index.json   the run in each graph, and its state when it was loaded
    <store>/.provml/sparql/data/        the RocksDB database

You can delete the folder at any time. Only the graphs in the index count as loaded. A graph is
removed from the index before it is changed, and added again when it is complete and flushed. If the
process is killed in between, the graph is loaded again. Imports `base.sinks`, `fingerprint` and
`version`; imports pyoxigraph only when needed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provml.base.sinks import open_sink
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
_INDEX_VERSION: Final = {"format": _INDEX_FORMAT, "provml": __version__}

_open_counts: Final = Counter[str]()
"""The number of times that this process has each database open, by folder."""


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
    """The SPARQL database of a store, protected by a lock that processes share."""

    def __init__(self, store: Path, note: NoteTaker) -> None:
        """Open the database's folder and take the lock for reading.

        Creates the folder if necessary.

        Args:
            store: the store's folder.
            note: called with a message if this process has to wait for the lock.

        Raises:
            OSError: the folder can't be opened or created, or the file system does not support
                locks.
        """
        self._folder = store / DATABASE_FOLDER
        self._data = self._folder / "data"
        self._note = note
        self.writable = True
        lock = self._folder / "lock"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            self._fd = os.open(
                lock, os.O_RDONLY | os.O_CLOEXEC
            )  # an existing database can still be read
            self.writable = False
        self._key = os.path.realpath(self._folder)
        _open_counts[self._key] += 1
        try:
            self.lock_shared()
        except OSError:
            self.close()
            raise

    def lock_shared(self) -> None:
        """Take the lock for reading. Waits while another process loads runs."""
        self._lock(fcntl.LOCK_SH, "waiting for another process to load runs")

    def lock_alone(self) -> None:
        """Take the lock for loading. Waits while other processes read or load runs.

        Raises OSError if this process has the database open twice, because it would wait for itself
        forever.
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
            with open(self._folder / "index.json", "rb") as file:
                content = json.loads(file.read(_LARGEST_INDEX))
            if {key: content[key] for key in _INDEX_VERSION} != _INDEX_VERSION:
                return None, []
            index = {name: GraphEntry(**entry) for name, entry in content["graphs"].items()}
            return index, [str(name) for name in content["read_unfinished"]]
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None, []

    def write_index(
        self, index: dict[str, GraphEntry], read_unfinished: Sequence[str] = ()
    ) -> None:
        """Replace the index file. Costs one fsync."""
        graphs = {name: asdict(entry) for name, entry in index.items()}
        content = {**_INDEX_VERSION, "graphs": graphs, "read_unfinished": list(read_unfinished)}
        with open_sink(self._folder / "index.json") as sink:
            sink.write(json.dumps(content).encode())

    def exists(self) -> bool:
        """Return whether the folder contains data that any version of provml has loaded."""
        return self._data.exists()

    # -- pyoxigraph's files -----------------------------------------------------------------------

    def clear(self) -> None:
        """Delete all loaded data."""
        (self._folder / "index.json").unlink(missing_ok=True)
        shutil.rmtree(self._data, ignore_errors=True)

    def open_to_write(self) -> Store:
        """Open the database for writing. Raises OSError if it is damaged."""
        import pyoxigraph

        return self._open_store(pyoxigraph.Store)

    def open_to_read(self) -> Store:
        """Open the database for reading only. Raises OSError if it is damaged."""
        import pyoxigraph

        return self._open_store(pyoxigraph.Store.read_only)

    def _open_store(self, open_store: Callable[[str], Store]) -> Store:
        try:
            return open_store(os.fspath(self._data))
        except RuntimeError as error:  # RocksDB reports corruption this way
            raise OSError(str(error)) from error


def remove_graph(database: Store, name: str) -> None:
    """Remove a graph, in pieces to limit memory use. Takes about 40 us per triple."""
    import pyoxigraph

    graph = pyoxigraph.NamedNode(name)
    piece = (
        f"DELETE {{ GRAPH {graph} {{ ?s ?p ?o }} }} WHERE {{ SELECT * "
        f"{{ GRAPH {graph} {{ ?s ?p ?o }} }} LIMIT {_REMOVED_AT_ONCE} }}"
    )
    while next(iter(database.quads_for_pattern(None, None, None, graph)), None) is not None:
        database.update(piece)
    database.remove_graph(graph)
