"""Recording into a run that another process began: ``provml run`` around a script.

Imports `run`, `folder`, `lifecycle`, `journal`, `settings`.
"""

from __future__ import annotations

import os
from typing import Any, Final

from provml.base.settings import Settings
from provml.errors import StoreError
from provml.recording.process_hooks import exception_record
from provml.recording.run import Run
from provml.recording.run_directory import open_joined_directory

RUN_STARTED: Final = "run_started"
"""The event of a `start_run` in the script; what it was called with is the event's metadata."""
RUN_FINISHED: Final = "run_finished"
"""The event of its `end_run`, with the status: both read as one span."""
SOURCE: Final = "provml"


class JoinedRun(Run):
    """The run of a script under ``provml run``: it records, the command around it ends the run."""

    def end_run(
        self,
        status: str = "finished",
        *,
        reason: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Say how the script's part ended, and close this process's files. Twice is once."""
        if not self._closed and self._pid == os.getpid():
            metadata: dict[str, Any] = {"status": status}
            if reason is not None:
                metadata["reason"] = reason[:1000]
            if exception is not None:
                metadata["exception"] = exception_record(exception)
            self.log_event(RUN_FINISHED, source=SOURCE, metadata=metadata)
        super().end_run(status, reason=reason, exception=exception)


def join_run(settings: Settings, kind: type[Run] = JoinedRun) -> Run:
    """The run around this process, in files of this process's own.

    Args:
        kind: `JoinedRun` for a script, `Run` for what records from outside, which ends nothing.

    Raises StoreError where there is none, or no file can be made.
    """
    if settings.joined_run is None:
        raise StoreError("there is no run around this process")
    folder = open_joined_directory(settings.joined_run, settings)
    return kind(folder, folder.open_writer("helper"), (), owner=False)
