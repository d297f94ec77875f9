"""Opens the outer run: the run that ``provml run`` started for this process.

The first call to `get_outer_run` opens the run. Each process writes its own journal files. If
something can't be recorded, `note_missed` counts the failure, and the script never sees the error.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import Final

from provml.base.settings import read_settings
from provml.capture.state import STATE
from provml.errors import ProvMLError
from provml.recording import process_hooks
from provml.recording.joined_run import SOURCE, join_run
from provml.recording.run import Run

MISSED: Final = "capture missed"
"""The name of the event that reports the first recording failure of each kind."""

MISSED_IN_ALL: Final = "capture missed in all"
"""The name of the event that reports, when a process ends, the number of failures of each kind.

The event is logged only if failures of the same kind happened more than once.
"""

_MAX_REASON_LENGTH: Final = 1000


class _OuterRunState:
    """The outer run of this process, and the number of failures to record data in that run.

    Attributes:
        run: the outer run; None if there is no outer run, or if it can't be opened.
        is_known: whether provml has tried to open the run. After that, `run` does not change.
        is_opening: whether the run is being opened. Meanwhile, `get_outer_run` returns None to the
            thread that opens the run.
        misses: the number of failures of each kind.
        lock: held while the run is opened.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self.is_known = False
        self.is_opening = False
        self.misses: Counter[tuple[str, str]] = Counter()
        self.lock = threading.RLock()

    def after_fork_in_child(self) -> None:
        """Replace the lock, because another thread may have held it, and reset the counts."""
        self.lock = threading.RLock()
        self.is_opening = False
        self.misses.clear()


class _OuterRun(Run):
    """The part of the outer run that this process records, in its own journal files."""

    def end_run(
        self,
        status: str = "finished",
        *,
        reason: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Close this process's journal files.

        If any failure has happened more than once, first log the number of failures of each kind.
        """
        misses = STATE.part(_OuterRunState).misses
        counts = {f"{what}: {kind}": count for (what, kind), count in misses.items()}
        if not self._closed and self._pid == os.getpid() and any(n > 1 for n in counts.values()):
            self.log_event(MISSED_IN_ALL, source=SOURCE, metadata=counts)
        super().end_run(status)


def get_outer_run() -> Run | None:
    """Return the outer run; None if there is no outer run, or if it can't be opened.

    The first call takes a few milliseconds. Later calls cost one dictionary look-up. Never raises
    an error.
    """
    state = STATE.part(_OuterRunState)
    if state.is_known:
        return state.run
    with state.lock:  # another thread waits here until the run is open
        if not state.is_known and not state.is_opening:
            state.is_opening = True
            run: Run | None = None
            try:
                run = join_run(read_settings(), _OuterRun)
                process_hooks.watch(run)
            except (ProvMLError, OSError):
                pass
            finally:
                state.is_opening = False
            state.run = run
            state.is_known = True
        return state.run


def note_missed(what: str, error: BaseException) -> None:
    """Count a failure to record something, and log the first failure of each kind.

    Never raises an error.

    Args:
        what: a name for the thing that was not recorded, such as ``tensorboard.add_scalar``.
        error: the error that caused the failure.
    """
    misses = STATE.part(_OuterRunState).misses
    kind = type(error).__qualname__
    misses[what, kind] += 1
    if misses[what, kind] > 1:
        return
    try:
        run = get_outer_run()
        if run is not None and not run.closed:
            reason = f"{kind}: {error}"[:_MAX_REASON_LENGTH]
            reason = reason.encode("utf-8", "backslashreplace").decode()
            run.log_event(MISSED, source=SOURCE, metadata={"what": what, "reason": reason})
    except Exception:
        pass  # this failure can't be recorded either, and the script must not see it
