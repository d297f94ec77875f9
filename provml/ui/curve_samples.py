"""Keeps the summaries of the runs whose curves were requested most recently."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from provml.charts.run_samples import RunSamples, refresh_all
from provml.ui.browsed_store import BrowsedStore

_MOST_BYTES: Final = 96 * 2**20
_MOST_CACHED: Final = 1_000


class SampleCache:
    """The summaries of the most recently requested runs. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: OrderedDict[Path, RunSamples] = OrderedDict()

    @contextmanager
    def use(self, wanted: Sequence[tuple[str, Path]]) -> Iterator[dict[str, RunSamples]]:
        """Bring runs up to date, and lock them while the ``with`` block runs.

        Yields the summaries of each run, by the run's key.
        """
        with self._lock:
            own = {key: self._runs.setdefault(path, RunSamples(path)) for key, path in wanted}
            for _, path in wanted:
                self._runs.move_to_end(path)
        with ExitStack() as stack:
            # all requests take the locks in the same order, so that none waits for another forever
            for run in sorted(own.values(), key=lambda run: run.folder):
                stack.enter_context(run.lock)
            refresh_all(list(own.values()))
            yield own
        self._evict()

    def _evict(self) -> None:
        """Forget the least recently used runs, if the cache is too large.

        Keeps at least one run, because reading a long run again at every request is slow.
        """
        with self._lock:
            total = sum(run.memory_bytes for run in self._runs.values())
            for path, run in list(self._runs.items())[:-1]:
                if total <= _MOST_BYTES and len(self._runs) <= _MOST_CACHED:
                    break
                total -= run.memory_bytes
                del self._runs[path]


_CACHES: Final[WeakKeyDictionary[BrowsedStore, SampleCache]] = WeakKeyDictionary()
_CACHES_LOCK: Final = threading.Lock()


def find_samples(store: BrowsedStore) -> SampleCache:
    """Return the cache of summaries that all requests for a store share."""
    with _CACHES_LOCK:
        return _CACHES.setdefault(store, SampleCache())
