"""Determines the state of a run: whether it is still running and, if not, how it ended.

Reads only the beginning and the end of each file. Imports only `base` and `journal` from
provml.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from provml.base.results import Damage
from provml.journal.files import WriterFiles
from provml.journal.journal_folder import list_writer_files, open_writer_files
from provml.journal.process import Liveness, check_process
from provml.journal.sample_reading import Header
from provml.journal.writer_lock import is_lock_held

_SILENCE_NS: Final = 120 * 1_000_000_000
_FIRST_LINE_NS: Final = 2 * 1_000_000_000
_START_DIGITS: Final = 20
_STATUSES_BY_SEVERITY: Final = ("running", "failed", "crashed", "interrupted", "finished")


class RunState(NamedTuple):
    """The state of a run: whether it is still running, when and how it ended, and what was lost.

    Attributes:
        status: ``running``, ``finished``, ``failed``, ``interrupted`` or ``crashed``.
        started_ns: the start of the run, in nanoseconds since the epoch.
        ended_ns: the end of the run, in nanoseconds since the epoch; None if the run is still
            running or its end was not written.
        reason: why the run ended; None if unknown. While the run is still running, this names the
            process that records it.
        exception: the type, message and traceback of the exception that ended the run, if any.
        dropped_samples: the number of samples lost because of a full disk or a similar problem.
        dropped_events: the number of events lost for the same reasons.
        samples: the number of samples, calculated from the lengths of the files. Includes damaged
            samples, and slots that were reserved but not written.
        damage: the damage in the parts of the files that were read to determine the state.
    """

    status: str
    started_ns: int
    ended_ns: int | None
    reason: str | None
    exception: dict[str, Any] | None
    dropped_samples: int
    dropped_events: int
    samples: int = 0
    damage: tuple[Damage, ...] = ()


class _WriterEnd(NamedTuple):
    status: str
    written: bool = False
    """Whether the writer's own files record how the writer ended."""
    ended_ns: int | None = None
    reason: str | None = None
    exception: dict[str, Any] | None = None


def find_created_ns(run_folder: str | os.PathLike[str]) -> int:
    """Return when a run's first writer started, in nanoseconds since the epoch.

    Returns 0 if the run has no writer.
    """
    return find_first_start_ns(list_writer_files(Path(run_folder)))


def find_first_start_ns(writers: Sequence[WriterFiles]) -> int:
    """Return when the first writer started, in nanoseconds since the epoch; 0 if there is none."""
    return min(map(_parse_start_ns, writers), default=0)


def _parse_start_ns(files: WriterFiles) -> int:
    digits = files.name.partition("-")[0]
    if not (digits.isdecimal() and len(digits) <= _START_DIGITS):
        return 0
    return min(int(digits), 2**63 - 1)


def read_run_state(run_folder: Path) -> RunState:
    """Read a run's current state.

    Raises JournalError if a file's format is newer than the installed provml can read.
    """
    try:
        with open_writer_files(run_folder) as writers:
            return determine_state(writers)
    except OSError:
        return determine_state([])


def determine_state(writers: Sequence[WriterFiles]) -> RunState:
    """Determine a run's state from the files of its writers."""
    measured = [files.measure_samples() for files in writers]
    headers = [header for header, _ in measured]
    # a resumed run has had several owners, one after another: the last owner of each rank counts
    last_owners: dict[int | None, _WriterEnd] = {}
    for files, header in zip(writers, headers, strict=True):
        writer = files.first_record()
        ending = _find_writer_end(files, header)
        # the writer line may be missing: the writer is still known to be an owner if it was the
        # first writer or wrote an end, because only owners write an end
        if writer.get("role", "owner" if files.index == 0 or ending.written else None) == "owner":
            size = _find_world_size(writer)
            if size is not None:  # the job went on with fewer ranks: ignore the other ranks
                last_owners = {
                    rank: one for rank, one in last_owners.items() if rank in range(size)
                }
            last_owners[_find_rank(writer)] = ending
    endings = sorted(
        last_owners.values(), key=lambda ending: _STATUSES_BY_SEVERITY.index(ending.status)
    )
    worst = endings[0] if endings else _WriterEnd("crashed", reason="the run has no journal")
    running = worst.status == "running"
    ends = [ending.ended_ns for ending in endings if ending.ended_ns is not None]
    return RunState(
        status=worst.status,
        started_ns=find_first_start_ns(writers),
        ended_ns=max(ends) if ends and not running else None,
        reason=worst.reason,
        exception=worst.exception,
        dropped_samples=sum(header.dropped_samples for header in headers),
        dropped_events=sum(header.dropped_events for header in headers),
        samples=sum(count for _, count in measured),
        damage=tuple(found for files in writers for found in files.located.values()),
    )


def _find_writer_end(files: WriterFiles, header: Header) -> _WriterEnd:
    end = files.end_record()
    status = end.get("status")
    if status in _STATUSES_BY_SEVERITY and _is_time(end.get("time")):
        reason, exception = end.get("reason"), end.get("exception")
        return _WriterEnd(
            str(status),
            True,
            end["time"],
            reason if isinstance(reason, str) else None,
            exception if isinstance(exception, dict) else None,
        )
    if header.status in _STATUSES_BY_SEVERITY:  # a full disk prevented writing the end line
        return _WriterEnd(str(header.status), True, header.ended_ns)
    where = describe_writer(files)
    liveness = check_writer(files)
    if liveness.is_alive:
        return _WriterEnd("running", reason=where)
    if liveness.is_alive is False:
        return _WriterEnd("crashed", reason=f"{where} died without ending the run")
    doubt = f"whether the process is alive can't be checked from here: {liveness.doubt}"
    if any(_has_changed(one, _SILENCE_NS) for one in (files.open_events, files.open_samples)):
        return _WriterEnd("running", reason=f"{where} ({doubt})")
    silence = f"{where} has written nothing in the last {_SILENCE_NS // 10**9} s"
    return _WriterEnd("crashed", reason=f"{silence}; {doubt}")


def describe_writer(files: WriterFiles) -> str:
    """Return a description of the process that wrote these files, for messages."""
    identity = files.read_identity()
    if not identity:
        return f"the unknown process that wrote {files.name}"
    return f"process {identity.get('pid')} on {identity.get('host')}"


def _is_time(value: object) -> bool:
    return isinstance(value, int) and -(2**63) < value < 2**63


def _find_rank(writer: dict[str, Any]) -> int | None:
    rank = writer.get("rank")
    return rank if isinstance(rank, int) else None


def _find_world_size(writer: dict[str, Any]) -> int | None:
    """Return the number of ranks of the launch that a writer belongs to; None if unknown."""
    launch = writer.get("launch")
    size = launch.get("world_size") if isinstance(launch, dict) else None
    return size if isinstance(size, int) else None


def find_owner_ranks(run_folder: Path) -> set[int | None]:
    """Return the ranks of the processes that own a run, with None for a process without a rank."""
    writers = [files.first_record() for files in list_writer_files(run_folder)]
    return {_find_rank(writer) for writer in writers if writer.get("role") == "owner"}


def check_writer(files: WriterFiles) -> Liveness:
    """Return whether the process that writes these files is alive, or why that can't be checked."""
    identity = files.read_identity()
    try:
        with files.open_events() as file:
            is_held = is_lock_held(file.fileno(), identity or {})
    except OSError:
        is_held = None
    if identity:
        return check_process(identity, is_held)
    if is_held:
        return Liveness(True)
    if identity is not None:
        return Liveness(None, f"the first line of {files.events_path.name} is damaged")
    # early versions of provml created the file before they wrote its first line: the process has
    # just created the file, or was killed before it wrote the line
    if _has_changed(files.open_events, _FIRST_LINE_NS):
        return Liveness(None, f"{files.events_path.name} is still empty")
    return Liveness(False)


def _has_changed(open_file: Callable[[], BinaryIO], within_ns: int) -> bool:
    """Return whether a file's last change is less than ``within_ns`` away from the current time.

    The change may seem to be in the future, because the clock of another machine may be ahead.
    """
    try:
        with open_file() as file:
            return abs(time.time_ns() - os.fstat(file.fileno()).st_mtime_ns) < within_ns
    except OSError:
        return False
