"""Records the files that a run's processes read and write, as datasets and artifacts with digests.

It works in two phases:

1. In each Python process, `audit_hook` and `library_hooks` notice the files that are opened, and
   `access_log` notes them in a file of that process, which survives if the process is killed.
2. After the command has ended, `access_records` turns the notes into records, and hashes the files.

`ignore_rules` says which files are left out. `install` takes some microseconds at the start of a
process, so the modules are imported when they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provml.recording.run import Run


def install() -> None:
    """Start to note the files of this process; without an outer run, do nothing."""
    from provml.base.settings import read_settings
    from provml.capture.files import audit_hook

    settings = read_settings()
    if settings.joined_run:
        audit_hook.install(settings.joined_run, settings.command)


def record_files(
    run: Run, command: str = "", wait_s: float | None = None, until_ns: int | None = None
) -> None:
    """Record the files that a run's processes have noted so far. Call it before the run's end.

    Reads each of these files once, to hash it. Deletes the notes, so a second call records nothing
    twice.

    Args:
        run: the run, which must be recorded by this process.
        command: record only the processes of this command, which know it as ``PROVML_COMMAND``;
            by default all.
        wait_s: stop hashing after so many seconds; the files left are recorded without a digest.
            By default ``PROVML_HASH_WAIT_S``, else 60.
        until_ns: the time of the run's end. Files written later have no digest. By default now.
    """
    from provml.capture.files.access_records import record_accesses

    record_accesses(run, command, wait_s, until_ns)
