"""Keeps the summaries of the runs whose curves were asked for last."""

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
    """The summaries of the runs that were asked for last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: OrderedDict[Path, RunSamples] = OrderedDict()

    @contextmanager
    def use(self, wanted: Sequence[tuple[str, Path]]) -> Iterator[dict[str, RunSamples]]:
        """Bring runs up to date, and keep other requests from changing them."""
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
        """Forget the runs that were not used for longest, if the summaries take too much memory.

        Keeps at least one run, because it is costly to read a long run at every request.
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
    """Return the summaries of a store's runs, which all requests share."""
    with _CACHES_LOCK:
        return _CACHES.setdefault(store, SampleCache())
