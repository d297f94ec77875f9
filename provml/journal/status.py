"""Determines the state of a run: whether it is still running and, if not, how it ended.

Reads only the beginning and the end of each file. Imports only `files` and `process` from provml.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provml.journal import process
from provml.journal.files import Header, WriterFiles, list_writer_files

_SILENCE_NS: Final = 120 * 1_000_000_000
_FIRST_LINE_NS: Final = 2 * 1_000_000_000
_STATUSES_BY_SEVERITY: Final = ("running", "failed", "crashed", "interrupted", "finished")


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run: whether it is still running, when and how it ended, and what was lost.

    Attributes:
        status: ``running``, ``finished``, ``failed``, ``interrupted`` or ``crashed``.
        started_ns: the start of the run, in nanoseconds since the epoch.
        ended_ns: the end of the run, in nanoseconds since the epoch; None if the run is still
            running or its end was not written.
        reason: why the run ended, if known; for a live run, the process that records it.
        exception: the type, message and traceback of the exception that ended the run, if any.
        dropped_samples: the number of samples lost because of a full disk or a similar problem.
        dropped_events: the number of events lost for the same reasons.
    """

    status: str
    started_ns: int
    ended_ns: int | None
    reason: str | None
    exception: dict[str, Any] | None
    dropped_samples: int
    dropped_events: int


@dataclass(frozen=True, slots=True)
class _WriterEnd:
    status: str
    written: bool = False
    """Whether the writer's own files record how it ended."""
    ended_ns: int | None = None
    reason: str | None = None
    exception: dict[str, Any] | None = None


def find_created_ns(run_folder: str | os.PathLike[str]) -> int:
    """Return when a run's first writer started, in nanoseconds since the epoch.

    Returns 0 if the run has no writer.
    """
    return min((_parse_start_ns(files) for files in list_writer_files(Path(run_folder))), default=0)


def _parse_start_ns(files: WriterFiles) -> int:
    digits = files.name.partition("-")[0]
    return int(digits) if digits.isdecimal() else 0


def read_run_state(run_folder: Path) -> RunState:
    """Read a run's current state. Raises JournalError if a file has a newer format version."""
    writers = list_writer_files(run_folder)
    headers = [files.header() for files in writers]
    # a resumed run has had several owners, one after another: the last owner of each rank counts
    last_owners: dict[object, _WriterEnd] = {}
    for files, header in zip(writers, headers, strict=True):
        writer = files.first_record()
        ending = _find_writer_end(files, header, writer)
        # if the writer line is missing: the first writer is an owner, and only owners write an end
        if writer.get("role", "owner" if files.index == 0 or ending.written else None) == "owner":
            last_owners[_find_rank(writer)] = ending
    endings = sorted(
        last_owners.values(), key=lambda ending: _STATUSES_BY_SEVERITY.index(ending.status)
    )
    worst = endings[0] if endings else _WriterEnd("crashed", reason="the run has no journal")
    running = worst.status == "running"
    ends = [ending.ended_ns for ending in endings if ending.ended_ns is not None]
    return RunState(
        status=worst.status,
        started_ns=min((_parse_start_ns(files) for files in writers), default=0),
        ended_ns=max(ends) if ends and not running else None,
        reason=worst.reason,
        exception=worst.exception,
        dropped_samples=sum(header.dropped_samples for header in headers),
        dropped_events=sum(header.dropped_events for header in headers),
    )


def _find_writer_end(files: WriterFiles, header: Header, writer: dict[str, Any]) -> _WriterEnd:
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
    where = f"process {writer.get('pid')} on {writer.get('host')}"
    if is_writer_alive(files, writer):
        return _WriterEnd("running", reason=where)
    return _WriterEnd("crashed", reason=f"{where} died without ending the run")


def _is_time(value: object) -> bool:
    return isinstance(value, int) and -(2**63) < value < 2**63


def _find_rank(writer: dict[str, Any]) -> int | None:
    rank = writer.get("rank")
    return rank if isinstance(rank, int) else None


def find_owner_ranks(run_folder: Path) -> set[int | None]:
    """Return the ranks of the processes that own a run; None means a process without a rank."""
    writers = [files.first_record() for files in list_writer_files(run_folder)]
    return {_find_rank(writer) for writer in writers if writer.get("role") == "owner"}


def is_writer_alive(files: WriterFiles, writer: dict[str, Any]) -> bool:
    """Return whether a writer's process is alive.

    If that can't be checked, for example for a process on another host, the process counts as alive
    if it synced its files recently.
    """
    alive = process.is_process_alive(writer)
    if alive is not None:
        return alive
    # a file without a writer line was just created, or is damaged
    silence_ns = _SILENCE_NS if writer else _FIRST_LINE_NS
    try:
        return time.time_ns() - os.stat(files.events_path).st_mtime_ns < silence_ns
    except OSError:
        return False
