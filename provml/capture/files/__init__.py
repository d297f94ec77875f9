"""Records the files that a run's processes read and write, as datasets and artifacts with digests.

It works in two phases:

1. In each Python process, `audit_hook` and `library_hooks` notice the files that the process opens.
   `access_log` writes notes about them to a file, which survives if the process is killed.
2. After the command has ended, `access_records` turns the notes into records, and hashes the files.

`ignore_rules` decides which files are left out. Every process calls `install`, which takes a few
microseconds, so this module imports the others only when they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provml.recording.run import Run


def install() -> None:
    """Start noting the files that this process opens; without an outer run, do nothing."""
    from provml.base.settings import read_settings
    from provml.capture.files import audit_hook

    settings = read_settings()
    if settings.joined_run:
        audit_hook.install(settings.joined_run, settings.command)


def record_files(
    run: Run, command: str = "", wait_s: float | None = None, until_ns: int | None = None
) -> None:
    """Record the files that a run's processes have noted so far. Call it before the run's end.

    Reads each of these files once, to hash it. Then deletes the notes, so a second call does not
    record a file again.

    Args:
        run: the run, which this process must have opened.
        command: the value of ``PROVML_COMMAND`` in the processes whose notes to record; by
            default, the notes of all processes are recorded.
        wait_s: the time after which to stop hashing, in seconds; files not hashed by then are
            recorded without a digest. By default ``PROVML_HASH_WAIT_S``, else 60.
        until_ns: the time of the run's end, in nanoseconds since the epoch; by default now. Files
            written later get no digest.
    """
    from provml.capture.files.access_records import record_accesses

    record_accesses(run, command, wait_s, until_ns)
