"""Closes the journal files that dead processes left open.

Writes the missing end lines. Does not change the files of a process that may be alive, unless the
caller forces recovery. Never shortens a file, because a process that is still alive may have mapped
it. No other module changes the files of another process. Imports only `journal`,
`base.store_files` and `errors` from provml.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from provml.base import store_files
from provml.errors import JournalError, StoreError
from provml.journal import layout
from provml.journal.block_sealing import SealedBlocks, build_checksum_lines
from provml.journal.checksums import (
    BLOCK_BYTES,
    block_checksum,
    format_checksum,
    seal_header,
    seal_line,
    seed_of,
)
from provml.journal.files import WriterFiles
from provml.journal.journal_folder import list_writer_files
from provml.journal.layout import Record
from provml.journal.line_verification import count_lines
from provml.journal.process import Liveness
from provml.journal.sample_reading import Header
from provml.journal.status import check_writer, describe_writer

_LOCK_WAIT_S: Final = 60.0
_LOCK_PAUSE_S: Final = 0.02
_END_LINE_STATUSES: Final = (*layout.END_STATUSES, "crashed")


class _OpenWriter(NamedTuple):
    """A writer whose files do not record how the writer ended."""

    files: WriterFiles
    header: Header
    identity: dict[str, Any]

    @property
    def is_owner(self) -> bool:
        """Whether the run ends when this writer ends. `read_run_state` uses the same rule."""
        return bool(self.identity.get("role", None if self.files.index else "owner") == "owner")

    @property
    def liveness(self) -> Liveness:
        """Whether the writing process is alive."""
        return check_writer(self.files)

    @property
    def description(self) -> str:
        """A description of the writing process, for messages."""
        return describe_writer(self.files)


def recover(run_folder: Path, force: bool = False) -> list[str]:
    """Close the files of all dead writers of a run, and return messages that say what was done.

    The owners are the writers whose end is the end of the run. Costs one pass over the files of
    the dead writers. If all owners have ended, writes only missing ``closed`` lines. Idempotent,
    and safe to run concurrently.

    Args:
        run_folder: the run's folder.
        force: whether to close an owner's files even if this process can't check whether the owner
            is alive. The files of a process that is known to be alive are never closed.

    Raises:
        JournalError: a process is recording the run or may be recording it; or the run's format is
            newer than the installed provml can read.
        StoreError: the journal folder is a link.
        OSError: a file can't be written. The next call continues where this one stopped.
    """
    run_folder = Path(os.path.abspath(run_folder))
    with lock_journal(run_folder):
        open_writers = [
            writer for files in list_writer_files(run_folder) for writer in _find_open_writer(files)
        ]
        owners = [writer for writer in open_writers if writer.is_owner]
        assumed = _refuse_living(run_folder, owners, force)
        unclosed = [line for files in list_writer_files(run_folder) for line in _close_ended(files)]
        if not owners:
            return unclosed
        helpers = [
            writer
            for writer in open_writers
            if not writer.is_owner and writer.liveness.is_alive is False
        ]
        # close the owners last: if recovery is interrupted, the next call finds the run still open
        return (
            assumed
            + unclosed
            + [line for writer in (*helpers, *owners) for line in _close_writer(run_folder, writer)]
        )


def _refuse_living(run_folder: Path, owners: list[_OpenWriter], force: bool) -> list[str]:
    """Raise JournalError if an owner is alive or may be alive.

    With ``force``, return a message for each owner that is only assumed to be dead.
    """
    assumed = []
    for writer in owners:
        liveness = writer.liveness
        if liveness.is_alive:
            raise JournalError(
                f"run {run_folder.name} is still being recorded by {writer.description}: "
                "end that process first"
            )
        if liveness.is_alive is None:
            if not force:
                raise JournalError(
                    f"{writer.description} may still be recording run {run_folder.name}. "
                    f"This can't be checked from here: {liveness.doubt}. Run this command on the "
                    "machine and in the container of that process, or add --force if you know "
                    "that the process has ended"
                )
            assumed.append(
                f"assumed that {writer.description} has ended, because of --force; this can't be "
                f"checked from here: {liveness.doubt}"
            )
    return assumed


@contextmanager
def lock_journal(run_folder: Path, wait_s: float = _LOCK_WAIT_S) -> Iterator[None]:
    """Hold an exclusive lock on a run's journal folder, if its file system supports locks.

    Does nothing if the journal folder does not exist.

    Args:
        run_folder: the run's folder.
        wait_s: the maximum number of seconds to wait while another process holds the lock.

    Raises:
        StoreError: another process still holds the lock after ``wait_s``, or the folder is a link.
    """
    run_folder = Path(os.path.abspath(run_folder))
    folder = run_folder / layout.JOURNAL_FOLDER
    try:
        fd = store_files.open_folder(store_files.store_root(run_folder), folder)
    except FileNotFoundError:
        yield
        return
    try:
        _lock_within(fd, folder, wait_s)
        yield
    finally:
        os.close(fd)


def _lock_within(fd: int, folder: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:  # the other process may be suspended
                raise StoreError(
                    f"another process has locked {folder} for more than {wait_s:g} s: that process "
                    "may be recovering the run, so wait until it ends, or end it"
                ) from None
            time.sleep(_LOCK_PAUSE_S)
        except OSError:
            return  # no locks on this file system: if two end lines are written, only one counts
        else:
            return


def _find_open_writer(files: WriterFiles) -> Iterator[_OpenWriter]:
    """Yield the writer of these files, unless the files record how the writer ended."""
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


def _close_ended(files: WriterFiles) -> Iterator[str]:
    """If a writer was killed after it wrote its ``end`` line, write the missing ``closed`` line.

    Yields a message if the line was missing.
    """
    header, end = files.header(), files.last_record()
    status, time_ns, slots = end.get("status"), end.get("time"), end.get("slots")
    if end.get("record") != "end" or not header.created_ns or header.is_damaged:
        return
    if not files.has_checksums() or check_writer(files).is_alive is not False:
        return
    if status not in layout.STATUS_CODES or not (isinstance(time_ns, int) and 0 <= time_ns < 2**63):
        return
    root = store_files.store_root(files.folder.parent)
    sizes = _measure_samples(root, files)
    if sizes["length"] < layout.HEADER_SIZE or slots != (
        (sizes["length"] - layout.HEADER_SIZE) // layout.RECORD_SIZE
    ):
        return  # samples are missing, and a ``closed`` line would hide that
    closed: Record = {"record": "closed", **sizes}
    closed["header"] = _mark_ended(root, files.samples_path, time_ns, status)
    _append_lines(root, files.events_path, files, [closed])
    yield f"closed the files of {describe_writer(files)}, which died while it was ending the run"


def _close_writer(run_folder: Path, writer: _OpenWriter) -> Iterator[str]:
    """Close a dead writer's files, and yield a message that says what was changed."""
    files, reason = writer.files, f"{writer.description} died without ending the run"
    root, journal = store_files.store_root(run_folder), run_folder / layout.JOURNAL_FOLDER
    events_path, samples_path = journal / files.events_path.name, journal / files.samples_path.name
    ended_ns = _find_last_time_ns(writer)
    has_events = store_files.is_file(root, events_path)
    has_header = writer.header.created_ns != 0 and store_files.is_file(root, samples_path)
    done: list[str] = []
    lines: list[Record] = []
    if has_events and has_header:
        lines += _describe_open_blocks(root, samples_path, files)
    if writer.is_owner:
        end: Record = {"record": "end", "time": ended_ns, "status": "crashed"}
        lines.append(end | {"reason": f"{reason}; closed by recovery"})
    if has_events and _append_lines(root, events_path, files, lines):
        done.append("terminated an incomplete last line")
    closed: Record = {"record": "closed"}
    if has_header:
        status = "crashed" if writer.is_owner else "helper closed"
        closed["header"] = _mark_ended(root, samples_path, ended_ns, status)
        closed |= _measure_samples(root, files)
    if has_events and files.has_checksums():
        _append_lines(root, events_path, files, [closed])
    if has_header or (has_events and writer.is_owner):
        what = f"the {_describe_role(writer)} files of {writer.description}"
        yield f"closed {what}: {', '.join(done) or 'all records are complete'}"


def _describe_role(writer: _OpenWriter) -> str:
    rank = writer.identity.get("rank")
    role = "owner's" if writer.is_owner else "helper's"
    return role if rank is None else f"{role} (rank {rank})"


def _find_last_time_ns(writer: _OpenWriter) -> int:
    """Return a writer's start time or the latest time in its records, whichever is later."""
    digits = writer.files.name.partition("-")[0]
    latest = max(writer.header.created_ns, int(digits) if digits.isdecimal() else 0)
    for _, record in writer.files.records():
        time_ns = record.get("time")
        if isinstance(time_ns, int) and time_ns < 2**63:
            latest = max(latest, time_ns)
    for chunk in writer.files.chunks():
        latest = max(latest, int(chunk["time"].max()))
    return min(latest, 2**63 - 1)


def _describe_open_blocks(root: Path, path: Path, files: WriterFiles) -> list[Record]:
    """Return records with the checksums of all blocks of samples that have no final checksum.

    Keeps the checksums that the writer recorded, so that earlier damage can still be detected.
    """
    sums = files.read_checksums()
    if sums is None:
        return []
    size = _measure_samples(root, files)["size"]
    found = SealedBlocks()
    with store_files.open_to_read(root, path) as file:
        for block in sums.find_open_blocks(-(-(size - layout.HEADER_SIZE) // BLOCK_BYTES)):
            start = layout.HEADER_SIZE + block * BLOCK_BYTES
            content = memoryview(os.pread(file.fileno(), min(BLOCK_BYTES, size - start), start))
            if sums.check(block, content) is not False:
                found.checksums[block] = block_checksum(content)
    return list(build_checksum_lines(found, set()))


def _measure_samples(root: Path, files: WriterFiles) -> Record:
    """Return the size of the written part of a samples file, and the length of the file."""
    length = store_files.read_status(root, files.samples_path).st_size
    return {"size": files.find_samples_end(), "length": length}


def _append_lines(root: Path, path: Path, files: WriterFiles, records: list[Record]) -> bool:
    """Append records to an events file, after terminating an incomplete last line.

    Returns whether there was an incomplete last line.
    """
    has_checksums = files.has_checksums()
    fd = store_files.open_file(root, path, os.O_RDWR | os.O_APPEND)
    with open(fd, "r+b", buffering=0) as file:
        length = file.seek(0, os.SEEK_END)
        torn = length > 0 and os.pread(fd, 1, length - 1) != b"\n"
        text = b"\n" if torn else b""
        number, seed = 0, seed_of(files.name)
        if has_checksums:
            with store_files.open_to_read(root, path) as lines:
                number = count_lines(lines, files.name)
        for record in records:
            number += 1
            place = {"at": length + len(text)} if record["record"] == "closed" else {}
            content = json.dumps(record | place, separators=(",", ":")).encode("ascii")
            line = seal_line(content, number, seed, torn and record is records[0])
            text += line if has_checksums else content + b"\n"
        if text and file.write(text) < len(text):
            raise StoreError(
                f"the end line could not be written completely to {path}: is the disk full?"
            )
        os.fsync(fd)
    return torn


def _mark_ended(root: Path, path: Path, ended_ns: int, status: str) -> str:
    """Write the writer's end time and status into the header of its samples file.

    Returns the checksum of the header.
    """
    fd = store_files.open_file(root, path, os.O_RDWR)
    try:
        ended = layout.ENDED_FIELDS.pack(ended_ns, layout.STATUS_CODES[status])
        os.pwrite(fd, ended, layout.ENDED_OFFSET)
        header = os.pread(fd, layout.HEADER_SIZE, 0)
        os.pwrite(fd, seal_header(header), layout.HEADER_CHECKSUM_OFFSET)
        os.fsync(fd)
    finally:
        os.close(fd)
    return format_checksum(header[: layout.HEADER_CHECKSUM_OFFSET])
