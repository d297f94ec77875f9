"""What a process reads and writes, as used and generated artifacts with their digests.

In each Python process `watch` hears of every file that is opened, from Python's audit hook and
from the libraries that open theirs outside Python (`bypass`), and notes it in a file of the
process's own (`log`), which a killed process leaves whole. What is left out says `rules`. After
the command has ended, `complete` makes entities of the notes and hashes them. `install` costs the
process some microseconds at its start. Imports each part when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provml.recording.run import Run


def install() -> None:
    """Watch this process from now on, into the run around it; where there is none, do nothing."""
    from provml.base.settings import read_settings
    from provml.capture.files import audit_hook

    settings = read_settings()
    if settings.joined_run:
        audit_hook.install(settings.joined_run, settings.command)


def complete(
    run: Run, command: str = "", wait_s: float | None = None, until_ns: int | None = None
) -> None:
    """Record what the processes of a run have read and written so far; before the run's end.

    Costs a pass over each of these files, to hash it. Twice is once: the notes are used up.

    Args:
        run: the run that is recorded by this process.
        command: of the processes of which command, as ``PROVML_COMMAND`` has it for them; of all.
        wait_s: at most so long is hashed; what is left then is recorded without a digest. By
            default ``PROVML_HASH_WAIT_S``, else 60.
        until_ns: what was written is there as it was then; None: as it is now.
    """
    from provml.capture.files.access_records import record_accesses as record

    record(run, command, wait_s, until_ns)
