"""The folder beside the runs that holds them loaded: a lock, an index, and pyoxigraph's own files.

    <store>/.provml/sparql/lock         who reads shares it, who loads has it alone
    <store>/.provml/sparql/index.json   which run each graph holds, and as of when
    <store>/.provml/sparql/data/        the RocksDB database

All of it is derived and can be deleted at any time. A graph counts as loaded only while the index
names it: it leaves the index before it is touched and enters it when it is whole and flushed, so a
process killed in between leaves a graph that is loaded again. Imports `output`.
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

Note = Callable[[str], None]
"""Takes a line for people."""

FOLDER: Final = Path(".provml", "sparql")
_FORMAT: Final = 1
_LARGEST_INDEX: Final = 2**28
_REMOVED_AT_ONCE: Final = 50_000
_MADE_BY: Final = {"format": _FORMAT, "provml": __version__}

_OPEN: Final = Counter[str]()
"""How many databases of a folder this process has open."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A graph that is loaded.

    Attributes:
        folder: the run's folder, below the store.
        stamps, status, tails, final: the run's fingerprint from before it was loaded.
        detail: ``sample`` or ``series``.
        samples: how many samples the run had.
        triples: how many triples the graph has.
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
    """The database of one store, under a lock."""

    def __init__(self, store: Path, note: Note) -> None:
        """Make the folder, or open what is there.

        Raises OSError where neither is possible, or its file system has no locks.
        """
        self._folder = store / FOLDER
        self._data = self._folder / "data"
        self._note = note
        self.writable = True
        lock = self._folder / "lock"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            self._fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)  # what is there can be read
            self.writable = False
        self._key = os.path.realpath(self._folder)
        _OPEN[self._key] += 1
        try:
            self.share()
        except OSError:
            self.close()
            raise

    def share(self) -> None:
        """Wait until nobody loads, and keep it so."""
        self._lock(fcntl.LOCK_SH, "waiting for another process that loads runs")

    def own(self) -> None:
        """Wait until nobody else reads or loads, and keep it so.

        Raises OSError where this process itself would be waited for.
        """
        if _OPEN[self._key] > 1:
            raise OSError("this process has runs of the store open already")
        self._lock(fcntl.LOCK_EX, "waiting for queries of other processes to end")

    def _lock(self, kind: int, what: str) -> None:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            self._note(what)
            fcntl.flock(self._fd, kind)

    def close(self) -> None:
        """Give up the lock."""
        _OPEN[self._key] -= 1
        os.close(self._fd)

    # -- the index --------------------------------------------------------------------------------

    def index(self) -> dict[str, Entry] | None:
        """The graphs that are loaded, by name; None where there is no index that can be trusted."""
        return self._read()[0]

    def unfinished(self) -> list[str]:
        """The graphs that were being loaded, or removed, when the index was last written."""
        return self._read()[1]

    def _read(self) -> tuple[dict[str, Entry] | None, list[str]]:
        try:
            with open(self._folder / "index.json", "rb") as file:
                content = json.loads(file.read(_LARGEST_INDEX))
            if {key: content[key] for key in _MADE_BY} != _MADE_BY:
                return None, []
            index = {name: Entry(**entry) for name, entry in content["graphs"].items()}
            return index, [str(name) for name in content["unfinished"]]
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None, []

    def write_index(self, index: dict[str, Entry], unfinished: Sequence[str] = ()) -> None:
        """Put an index in place of the one before; costs an fsync."""
        graphs = {name: asdict(entry) for name, entry in index.items()}
        content = {**_MADE_BY, "graphs": graphs, "unfinished": list(unfinished)}
        with open_sink(self._folder / "index.json") as sink:
            sink.write(json.dumps(content).encode())

    def exists(self) -> bool:
        """Whether something was loaded before, by whichever version."""
        return self._data.exists()

    # -- pyoxigraph's files -----------------------------------------------------------------------

    def clear(self) -> None:
        """Delete all that is loaded."""
        (self._folder / "index.json").unlink(missing_ok=True)
        shutil.rmtree(self._data, ignore_errors=True)

    def open_to_write(self) -> Store:
        """The database for a process that owns the lock. Raises OSError where it is damaged."""
        import pyoxigraph

        return self._opened(pyoxigraph.Store)

    def open_to_read(self) -> Store:
        """The database for a process that shares the lock. Raises OSError where it is damaged."""
        import pyoxigraph

        return self._opened(pyoxigraph.Store.read_only)

    def _opened(self, open_store: Callable[[str], Store]) -> Store:
        try:
            return open_store(os.fspath(self._data))
        except RuntimeError as error:  # what RocksDB calls corruption
            raise OSError(str(error)) from error


def remove_graph(database: Store, name: str) -> None:
    """Take a graph out, piece by piece, so that memory stays bounded. Costs 40 us a triple."""
    import pyoxigraph

    graph = pyoxigraph.NamedNode(name)
    piece = (
        f"DELETE {{ GRAPH {graph} {{ ?s ?p ?o }} }} WHERE {{ SELECT * "
        f"{{ GRAPH {graph} {{ ?s ?p ?o }} }} LIMIT {_REMOVED_AT_ONCE} }}"
    )
    while next(iter(database.quads_for_pattern(None, None, None, graph)), None) is not None:
        database.update(piece)
    database.remove_graph(graph)
