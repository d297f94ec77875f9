"""The run around this process, for what records from outside the script.

`outer_run` opens it in files of this process's own when something is first recorded. What befalls
that is counted by `note_missed`, and never reaches the script. Imports `joining`, `lifecycle`.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import Final

from provml.base.settings import read_settings
from provml.errors import ProvMLError
from provml.recording import process_hooks
from provml.recording.joined_run import SOURCE, join_run
from provml.recording.run import Run

MISSED: Final = "capture missed"
"""The event that says what was not recorded: the first time for each kind of trouble."""

MISSED_IN_ALL: Final = "capture missed in all"
"""The event of a process's end that says how often, where something was missed more than once."""

_lock = threading.RLock()
_state: dict[str, Run | None] = {}
_opening: set[bool] = set()
_misses: Counter[tuple[str, str]] = Counter()


class _OuterRun(Run):
    """The run around this process, in files of its own; it ends with the process."""

    def end_run(
        self,
        status: str = "finished",
        *,
        reason: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Say how often something was missed, and close the files."""
        counts = {f"{what}: {kind}": count for (what, kind), count in _misses.items()}
        if not self._closed and self._pid == os.getpid() and any(n > 1 for n in counts.values()):
            self.log_event(MISSED_IN_ALL, source=SOURCE, metadata=counts)
        super().end_run(status)


def outer_run() -> Run | None:
    """The run around this process; None where there is none or it can't be recorded into.

    Costs a dictionary's look-up, the first time some milliseconds. Raises nothing.
    """
    try:
        return _state["run"]
    except KeyError:
        pass
    with _lock:  # another thread waits until it is open
        if "run" not in _state and not _opening:
            _opening.add(True)  # what a call made by opening it gets is None
            run: Run | None = None
            try:
                run = join_run(read_settings(), _OuterRun)
                process_hooks.watch(run)
            except (ProvMLError, OSError):
                pass
            finally:
                _opening.clear()
            _state["run"] = run
        return _state.get("run")


def note_missed(what: str, error: BaseException) -> None:
    """Count something that could not be recorded; say so in the run, once for each kind.

    Args:
        what: what was to be recorded: ``tensorboard.add_scalar``.
        error: why not. Raises nothing.
    """
    kind = type(error).__qualname__
    _misses[what, kind] += 1
    if _misses[what, kind] > 1:
        return
    try:
        run = outer_run()
        if run is not None and not run.closed:
            reason = f"{kind}: {error}"[:1000].encode("utf-8", "backslashreplace").decode()
            run.log_event(MISSED, source=SOURCE, metadata={"what": what, "reason": reason})
    except Exception:
        pass  # a guest says nothing where it can't be heard


def _forget() -> None:
    """In a forked child: a lock that another thread held would be held for ever."""
    global _lock
    _lock = threading.RLock()
    _opening.clear()
    _misses.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
