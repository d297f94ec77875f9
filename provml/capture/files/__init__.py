"""Records the files that a run's processes read and write, as datasets and artifacts with digests.

Recording works in two phases:

1. In each Python process, `audit_hook` and `library_hooks` notice the files that the process opens.
   If strace traces the command, `trace_follower` notices the files that all its processes open. If
   not, `known_files` compares folders before and after the command. `access_log` writes notes about
   these files to disk, where the notes survive if the process is killed.
2. After the command has ended, `access_records` hashes the files and turns the notes into records.

`ignore_rules` decides which files to leave out. Every process calls `install`, which must take only
a few microseconds, so this module imports the other modules only when it needs them.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provml.recording.run import Run


def install() -> None:
    """Start writing notes about the files that this process opens.

    Does nothing outside ``provml run``.
    """
    from provml.base.settings import read_settings
    from provml.capture.files import audit_hook

    settings = read_settings()
    if settings.joined_run:
        audit_hook.install(
            settings.joined_run, settings.command, settings.include, settings.exclude
        )


def record_files(
    run: Run,
    command: str = "",
    wait_s: float | None = None,
    until_ns: int | None = None,
    named: Container[str] = (),
) -> None:
    """Record the files that a run's processes have noted so far. Call this before the run ends.

    Reads each noted file once, to compute the file's digest. Then deletes the notes, so that a
    second call does not record a file again.

    Args:
        run: the run, which this process must have opened.
        command: read only the notes of processes with this value of ``PROVML_COMMAND``. The default
            reads the notes of all processes.
        wait_s: the number of seconds after which to stop hashing. Files not hashed by then are
            recorded without a digest. The default is the value of ``PROVML_HASH_WAIT_S``, or 60
            if that variable is not set.
        until_ns: the time at which the run ended, in nanoseconds since the epoch; the default is
            now. Files written after this time get no digest.
        named: the paths that the command line names. Files at these paths are recorded even if they
            are in a folder for temporary files or in a hidden folder.
    """
    from provml.capture.files.access_log import list_access_logs

    if not list_access_logs(run.path, command):
        return  # no process has noted a file, so don't import the modules that hash
    from provml.capture.files.access_records import record_accesses

    record_accesses(run, command, wait_s, until_ns, named)
