"""Join a run that another process started: ``provml run`` starts a run and then the script.

Imports `run`, `run_directory`, `process_hooks`, `settings`.
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
    """The run of a script under ``provml run``: the script records, the command ends the run."""

    def end_run(
        self,
        status: str = "finished",
        *,
        reason: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Record how the script's part ended, and close this process's files. Idempotent."""
        if not self._closed and self._pid == os.getpid():
            metadata: dict[str, Any] = {"status": status}
            if reason is not None:
                metadata["reason"] = reason[:1000]
            if exception is not None:
                metadata["exception"] = exception_record(exception)
            self.log_event(RUN_FINISHED, source=SOURCE, metadata=metadata)
        super().end_run(status, reason=reason, exception=exception)


def join_run(settings: Settings, kind: type[Run] = JoinedRun) -> Run:
    """Join the run of the ``provml run`` command that started this process.

    This process writes its own journal files.

    Args:
        kind: `JoinedRun` for a script; `Run` for other code, which does not record an end.

    Raises:
        StoreError: there is no run to join, or no file can be created.
    """
    if settings.joined_run is None:
        raise StoreError("no run to join: this process was not started by provml run")
    folder = open_joined_directory(settings.joined_run, settings)
    return kind(folder, folder.open_writer("helper"), (), owner=False)
