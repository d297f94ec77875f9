"""Stands in for a writer whose journal files can't be opened, and counts what is lost.

Imports only `journal` and `base.notices` from provml.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from provml.base.notices import warn_without_raising

if TYPE_CHECKING:
    from provml.journal.layout import Record
    from provml.journal.sample_files import Slot
    from provml.journal.series_keys import SeriesKey

RETRY_NS: Final = 1_000_000_000
"""How long to wait after a failure before trying again, in nanoseconds."""


class AbsentWriter:
    """Replaces the writer in a child process that can't open its journal files.

    Only counts the samples and events that are lost.

    If a run's first process can't open its files, `start_run` raises an error. In a child process,
    training is already under way, and the problem must not stop the training.
    """

    closed = False

    def __init__(self, error: OSError) -> None:
        self._lock = threading.Lock()
        self._dropped = [0, 0]
        self._retry_after_ns = time.monotonic_ns() + RETRY_NS
        warn_without_raising(
            f"there was a problem while recording: {error}; "
            "the run continues, and losses are counted"
        )

    @property
    def dropped(self) -> tuple[int, int]:
        """The number of lost samples, and the number of lost events."""
        return self._dropped[0], self._dropped[1]

    def is_due(self) -> bool:
        """Return whether it is time to try to open the files again; True at most once a second."""
        now = time.monotonic_ns()
        if now < self._retry_after_ns:
            return False
        self._retry_after_ns = now + RETRY_NS
        return True

    def start_syncing(self) -> None:
        """Do nothing: there is nothing to sync."""

    def stop_syncing(self) -> None:
        """Do nothing: there is no sync thread to stop."""

    def find_number(self, key: SeriesKey) -> None:
        """Return None: this writer declares no series."""

    def last_position(self) -> None:
        """Return None: this writer has written no metric."""

    def sample(
        self,
        key: SeriesKey,
        time_ns: int,
        step: int | None,
        epoch: int | None,
        value: Any,
        slots: list[Slot] | None = None,
    ) -> None:
        """Count the sample as lost."""
        with self._lock:
            self._dropped[0] += 1

    def append(self, record: Record) -> None:
        """Count the record as a lost event."""
        with self._lock:
            self._dropped[1] += 1

    def close(self, record: Record | None, status: str) -> None:
        """Do nothing: there is nothing to close."""

    def forget(self) -> None:
        """Start counting from zero in a forked child."""
        self._lock = threading.Lock()
        self._dropped = [0, 0]
