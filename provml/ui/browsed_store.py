"""The store that the pages show, shared by all requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from provml.base.store_files import OpenFolder
from provml.errors import ProvMLError, RunNotFoundError
from provml.journal import layout
from provml.journal.reader import contains_run

if TYPE_CHECKING:
    from provml.lineage.questions import Store


class BrowsedStore:
    """A store that the pages show.

    Attributes:
        path: the store's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._tables: Store | None = None

    @property
    def name(self) -> str:
        """The name that the pages show: the last part of the store's path."""
        return self.path.resolve().name or str(self.path)

    def run_folder(self, key: str) -> Path:
        """Return the folder of a run.

        Args:
            key: the run's folder in the store, ``<experiment>/<run>``.

        Raises:
            RunNotFoundError: the store does not contain this run, or reaches it only by a link.
        """
        parts = key.split("/")
        bad = {"", ".", "..", *layout.CACHE_FOLDERS}
        if len(parts) == 2 and not bad.intersection(parts) and "\0" not in key:
            try:
                with (
                    OpenFolder(self.path, self.path) as root,
                    root.open_folder(parts[0]) as experiment,
                    experiment.open_folder(parts[1]) as run,
                ):
                    if contains_run(run):
                        return run.path
            except (ProvMLError, OSError, ValueError):
                pass
        raise RunNotFoundError(
            f"run {key!r} not found: it was renamed or removed, or it belongs to another store"
        )

    @contextmanager
    def tables(self) -> Iterator[Store]:
        """Open the store's tables. Only one request at a time can use the tables.

        Raises:
            MissingExtraError: DuckDB is not installed.
            StoreError: the store's folder does not exist.
        """
        from provml.lineage.questions import open_store

        with self._lock:
            if self._tables is None:
                self._tables = open_store(self.path)
            yield self._tables
