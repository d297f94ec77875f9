"""Closes the journal files that dead processes left open.

Cuts the unused space off the samples files, and writes the missing end lines. No other module
changes the files of another process, and this module does so only if that process is dead.
Imports only `journal` and `errors` from provml.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provml.errors import JournalError
from provml.journal import layout
from provml.journal.files import Header, WriterFiles, list_writer_files
from provml.journal.status import is_writer_alive

_SEARCH_BYTES: Final = 2**20
_END_LINE_STATUSES: Final = (*layout.END_STATUSES, "crashed")


@dataclass(frozen=True, slots=True)
class _OpenWriter:
    """A writer whose files do not record its end."""

    files: WriterFiles
    header: Header
    identity: dict[str, Any]

    @property
    def is_owner(self) -> bool:
        """Whether the run ends when this writer ends. `read_run_state` uses the same rule."""
        return bool(self.identity.get("role", None if self.files.index else "owner") == "owner")

    @property
    def description(self) -> str:
        """A description of the writing process, for messages."""
        if not self.identity:
            return f"the unknown process that wrote {self.files.name}"
        return f"process {self.identity.get('pid')} on {self.identity.get('host')}"


def recover(run_folder: Path) -> list[str]:
    """Close the files of all dead writers of a run, and return one message for each writer.

    Costs one pass over the dead writers' files. Does not change a run whose owners have all ended.
    Idempotent, and safe to run concurrently.

    Raises:
        JournalError: the run is still being recorded, or has a newer format version.
        OSError: a file can't be written. The next call continues where this one stopped.
    """
    with lock_exclusively(run_folder / layout.JOURNAL_FOLDER):
        open_writers = [
            writer for files in list_writer_files(run_folder) for writer in _find_open_writer(files)
        ]
        owners = [writer for writer in open_writers if writer.is_owner]
        for writer in owners:
            if is_writer_alive(writer.files, writer.identity):
                raise JournalError(
                    f"run {run_folder.name} is still being recorded by {writer.description}: "
                    "end that process first"
                )
        if not owners:
            return []
        helpers = [
            w for w in open_writers if not w.is_owner and not is_writer_alive(w.files, w.identity)
        ]
        # close the owners last: if recovery is interrupted, the next call finds the run still open
        return [line for writer in (*helpers, *owners) for line in _close_writer(writer)]


@contextmanager
def lock_exclusively(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder if it exists and its file system supports locks."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            pass  # harmless: two recoveries cut at the same offset, and one end line counts
        yield
    finally:
        os.close(fd)


def _find_open_writer(files: WriterFiles) -> Iterator[_OpenWriter]:
    """Yield the writer of these files, unless the files record how it ended."""
    header, end = files.header(), files.end_record()
    time_ns = end.get("time")
    ended = (
        isinstance(time_ns, int)
        and abs(time_ns) < 2**63
        and end.get("status") in _END_LINE_STATUSES
    )
    writer = _OpenWriter(files, header, files.first_record())
    if not ended and header.status not in (
        _END_LINE_STATUSES if writer.is_owner else layout.STATUS_CODES
    ):
        yield writer


def _close_writer(writer: _OpenWriter) -> Iterator[str]:
    """Close a dead writer's files, and yield a message that says what was changed."""
    files, reason = writer.files, f"{writer.description} died without ending the run"
    ended_ns = _find_last_time_ns(writer)
    has_events = files.events_path.is_file()
    has_header = writer.header.created_ns != 0
    done: list[str] = []
    if has_header:
        freed = _truncate_samples(files.samples_path)
        done += [f"cut {freed:,} unused bytes"] if freed else []
    if has_events:
        end: dict[str, Any] = {"record": "end", "time": ended_ns, "status": "crashed"}
        end["reason"] = f"{reason}; closed by recovery"
        if _finish_events(files.events_path, end if writer.is_owner else None):
            done.append("ended a torn last line")
    if has_header:
        _mark_ended(files.samples_path, ended_ns, "crashed" if writer.is_owner else "helper closed")
    if has_header or (has_events and writer.is_owner):
        what = f"the {_describe_role(writer)} files of {writer.description}"
        yield f"closed {what}: {', '.join(done) or 'they were complete'}"


def _describe_role(writer: _OpenWriter) -> str:
    rank = writer.identity.get("rank")
    role = "owner's" if writer.is_owner else "helper's"
    return role if rank is None else f"{role} (rank {rank})"


def _find_last_time_ns(writer: _OpenWriter) -> int:
    """Return the latest time in a writer's records, or the writer's start time if that is later."""
    digits = writer.files.name.partition("-")[0]
    latest = max(writer.header.created_ns, int(digits) if digits.isdecimal() else 0)
    for _, record in writer.files.records():
        time_ns = record.get("time")
        if isinstance(time_ns, int) and time_ns < 2**63:
            latest = max(latest, time_ns)
    for chunk in writer.files.chunks():
        latest = max(latest, int(chunk["time"].max()))
    return min(latest, 2**63 - 1)


def find_end(path: Path) -> int:
    """Return the offset, in bytes, at which the last written record of a samples file ends.

    Reads backwards from the end of the file, so a closed file costs only one small read. Raises
    OSError if the file can't be read.
    """
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        end = length - (length - layout.HEADER_SIZE) % layout.RECORD_SIZE
        size = 64 * layout.RECORD_SIZE
        while end > layout.HEADER_SIZE:
            start = max(layout.HEADER_SIZE, end - size)
            file.seek(start)
            used = _count_used_bytes(file.read(end - start))
            if used:
                return start + used
            end, size = start, _SEARCH_BYTES
    return layout.HEADER_SIZE


def _count_used_bytes(block: bytes) -> int:
    """Return the offset at which a block's last written record ends; 0 if there is no record."""
    records = -(-len(block.rstrip(b"\0")) // layout.RECORD_SIZE)
    for number in range(records, 0, -1):
        place = (number - 1) * layout.RECORD_SIZE + layout.SERIES_OFFSET
        if any(block[place : place + 4]):
            return number * layout.RECORD_SIZE
    return 0


def _truncate_samples(path: Path) -> int:
    """Truncate a samples file after its last written record; return the number of bytes removed."""
    end = find_end(path)
    freed = path.stat().st_size - end
    if freed > 0:
        with open(path, "r+b") as file:
            file.truncate(end)
    return freed


def _finish_events(path: Path, end: dict[str, Any] | None) -> bool:
    """Terminate a torn last line, append the end line, and return whether a line was torn."""
    with open(path, "r+b", buffering=0) as file:
        length = file.seek(0, os.SEEK_END)
        torn = length > 0 and os.pread(file.fileno(), 1, length - 1) != b"\n"
        text = b"\n" if torn else b""
        if end is not None:
            text += json.dumps(end, separators=(",", ":")).encode("ascii") + b"\n"
        if text and file.write(text) < len(text):
            raise OSError(
                f"the end line could not be written completely to {path}: is the disk full?"
            )
        os.fsync(file.fileno())
    return torn


def _mark_ended(path: Path, ended_ns: int, status: str) -> None:
    """Write the writer's end time and status into the header of its samples file."""
    with open(path, "r+b", buffering=0) as file:
        ended = layout.ENDED_FIELDS.pack(ended_ns, layout.STATUS_CODES[status])
        os.pwrite(file.fileno(), ended, layout.ENDED_OFFSET)
        os.fsync(file.fileno())
