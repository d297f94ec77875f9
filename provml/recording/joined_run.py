"""The run of a script under ``provml run``: the command starts the run, and the script joins it.

Imports `run`, `run_directory`, `process_hooks` and `base.settings`.
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
"""The event that `start_run` records in a joined run, with the call's arguments as metadata."""
RUN_FINISHED: Final = "run_finished"
"""The event that `end_run` records in a joined run. The two events form one span."""
SOURCE: Final = "provml"
"""The source of both events."""


class JoinedRun(Run):
    """A run under ``provml run``: the script records data, and the command ends the run."""

    def end_run(
        self,
        status: str = "finished",
        *,
        reason: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Record how the script ended, and close the files of this process. Idempotent."""
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
        kind: the class of the run. `JoinedRun` records an event when the script calls `end_run`;
            `Run` does not.

    Raises:
        StoreError: there is no run to join, or its journal files can't be created.
    """
    if settings.joined_run is None:
        raise StoreError("there is no run to join, because `provml run` did not start this process")
    folder = open_joined_directory(settings.joined_run, settings)
    return kind(folder, folder.open_writer("helper"), (), owner=False)
