"""Describes how a command ended, and how each script that joined the command's run ended."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from provml.base import store_files
from provml.capture.command.signals import describe_signal, die_by_signal
from provml.journal import layout
from provml.journal.journal_folder import list_writer_files
from provml.recording.joined_run import RUN_FINISHED, SOURCE


class CommandExit(NamedTuple):
    """How a command ended: its exit status, or the signal that killed it."""

    exit_status: int = 0
    signal: int | None = None

    @property
    def status(self) -> str:
        """The resulting status of the run: ``finished``, ``failed`` or ``interrupted``."""
        if self.signal == signal.SIGINT:
            return "interrupted"
        return "finished" if self.signal is None and self.exit_status == 0 else "failed"

    @property
    def reason(self) -> str | None:
        """Why the command failed, for example ``exit status 2``; None if it succeeded."""
        if self.signal is not None:
            return f"killed by {describe_signal(self.signal)}"
        return f"exit status {self.exit_status}" if self.exit_status else None

    def leave(self) -> NoReturn:
        """End this process the way the command ended: with the same exit status or signal.

        Skips all exit handlers.
        """
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                pass  # the reader of our output is gone
        if self.signal is not None:
            die_by_signal(self.signal)
        os._exit(self.exit_status)  # a normal exit of the interpreter could change the status


def read_script_ends(run_folder: Path) -> list[dict[str, Any]]:
    """Return the status, reason and exception of each script that joined the run and has ended.

    Reads all events of the run once.
    """
    root = store_files.store_root(run_folder)
    found: list[dict[str, Any]] = []
    for files in list_writer_files(run_folder):
        try:
            with store_files.open_to_read(root, files.events_path) as file:
                found += _find_ends(file)
        except OSError:
            continue
    return found


def _find_ends(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Read a file of events. Yield the metadata of each event that records a script's end."""
    name = f'"{RUN_FINISHED}"'.encode()
    while line := file.readline(layout.MAX_EVENT_LINE_BYTES + 1):
        if name not in line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if not isinstance(record, dict) or record.get("source") != SOURCE:
            continue
        metadata = record.get("metadata")
        if record.get("name") != RUN_FINISHED or not isinstance(metadata, dict):
            continue
        if metadata.get("status") in layout.END_STATUSES:
            yield metadata
