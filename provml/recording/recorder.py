"""The base class of `Run`. It opens this process's journal files, and new ones after a fork.

Imports `run_directory`, `object_registry`, `checks` and the journal's writer.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from provml.base.clock import ClockWatch, boot_ns
from provml.base.context import Context, context_alias, context_path
from provml.errors import InvalidArgumentError, RunClosedError, StoreError
from provml.journal.absent_writer import AbsentWriter
from provml.journal.layout import Record
from provml.journal.record_building import CLOCK_CHANGED, build_event
from provml.journal.sample_files import NO_SLOTS
from provml.journal.writer import JournalWriter
from provml.recording.checks import path_to_list
from provml.recording.object_registry import ObjectRegistry

Target = object
"""A reference to the model or artifact that a sample or event is about.

The reference is the name under which the model or artifact was logged, a pair of kind and name
(``("model", "net")``), or the object passed to `Run.log_model`. Any Python object can be a model,
so the type is `object`.
"""

if TYPE_CHECKING:
    from provml.base.results import DroppedCounts
    from provml.collect.collector_thread import CollectorPlan
    from provml.collect.hashing import BackgroundHasher, HashingProgress
    from provml.collect.readings import Collector
    from provml.collect.sampler import Sampler
    from provml.journal.sample_files import SampleFile
    from provml.recording.code_log import CodeLog
    from provml.recording.flops import FlopsLog
    from provml.recording.metric_groups import Metrics
    from provml.recording.run_directory import RunDirectory


def _open_snapshot() -> Collector:
    from provml.collect.snapshot import Snapshot

    return Snapshot()


class UnopenedWriter(AbsentWriter):
    """The writer of a run whose journal files this process has not opened yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped = [0, 0]

    def is_due(self) -> bool:
        """Return True, because the first record opens the files."""
        return True


class UnopenedSamples:
    """The samples file of a run whose journal files this process has not opened yet.

    The hot path reads only `slots`. These slots accept no record, so the first call takes the slow
    path, which opens the files.
    """

    slots = NO_SLOTS


class Recorder:
    """The base class of `Run`. It opens and writes the journal files of this process."""

    def __init__(
        self,
        folder: RunDirectory,
        writer: JournalWriter | None,
        formats: tuple[str, ...],
        owner: bool,
    ) -> None:
        """Internal: call `provml.start_run` to create a run.

        Args:
            folder: the run's folder.
            writer: the writer of this process's journal files; None to open the files when the
                first record is written.
            formats: the formats of the documents to write when the run ends.
            owner: whether this process owns the run, and can therefore end the run.
        """
        self.id: str = folder.id
        self.experiment: str = folder.experiment
        self.path: Path = folder.path
        self._folder = folder
        self._formats = formats
        self._owner = owner
        self._lock = threading.RLock()
        if writer is None:
            self._writer: JournalWriter | AbsentWriter = UnopenedWriter()
            self._samples = cast("SampleFile", UnopenedSamples)
            self._pid = 0
            self._fast: dict[tuple[object, ...], tuple[int, Any]] = {}
        else:
            self._adopt(writer)
        self._closed = False
        self._sampler: Sampler | None = None
        self._clock = ClockWatch()
        self._execution_clock_ns: int = boot_ns()
        self._known = ObjectRegistry()
        self._flops: FlopsLog | None = None
        self._hashing: BackgroundHasher | None = None
        self._hashed = 0
        self._code: CodeLog | None = None
        self._metrics: Metrics | None = None
        self._aliases: set[str] = set()

    def _adopt(self, writer: JournalWriter) -> None:
        self._writer = writer
        self._samples = writer.sample_file
        self._pid = os.getpid()
        # maps a call's arguments and the class of its value to a series number and a pack function
        self._fast = {}

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self._closed

    @property
    def dropped(self) -> DroppedCounts:
        """The numbers of samples and other records lost so far, for example if the disk is full."""
        from provml.base.results import DroppedCounts

        return DroppedCounts(*self._writer.dropped)

    @property
    def hashing(self) -> list[HashingProgress]:
        """The progress of each dataset, model or input that is being hashed in the background.

        Each item has the fields ``name``, ``done`` and ``total``; the last two count bytes.
        """
        return [] if self._hashing is None else self._hashing.progress()

    def _before_fork(self) -> None:
        if self._sampler is not None:
            self._sampler.pause()
        self._writer.stop_syncing()
        if self._hashing is not None:
            self._hashing.pause()
        if self._code is not None:
            self._code.pause()

    def _after_fork_in_parent(self) -> None:
        self._writer.start_syncing()
        if self._sampler is not None:
            self._sampler.resume()
        if self._hashing is not None and not self._closed:
            self._hashing.resume()
        if self._code is not None and not self._closed:
            self._code.resume()

    def _after_fork_in_child(self) -> None:
        # the parent keeps using these files; the first call in the child opens new ones
        self._lock = threading.RLock()
        if self._sampler is not None:
            self._sampler.forget()
            self._sampler = None
        self._owner = False
        self._fast = {}
        if self._hashing is not None:  # the parent continues the hashing
            self._hashing.forget()
            self._hashing = None
        if self._metrics is not None:
            self._metrics.forget()
        if self._code is not None:
            self._code.forget()
        self._flops = None  # a thread that only the parent has may hold the lock of this log
        self._writer.forget()

    def _start_sampling(self, interval_s: float, collectors: list[CollectorPlan]) -> None:
        from provml.collect.sampler import Sampler

        with self._lock:
            self._sampler = Sampler(self._writer, interval_s, collectors, _open_snapshot)
            self._sampler.start()

    def _own_sampler(self) -> Sampler:
        """Return the sampler of this process; create it on the first call."""
        writer = self._open_writer()
        with self._lock:
            if self._sampler is None:
                from provml.collect.sampler import Sampler

                self._sampler = Sampler(
                    writer, self._folder.settings.sample_interval_s, (), _open_snapshot
                )
                self._sampler.start()
            return self._sampler

    def _open_writer(self, context: Context | str | None = None) -> JournalWriter | AbsentWriter:
        """Return this process's journal writer. In a forked child, the first call opens new files.

        Args:
            context: the context of the next record, as the caller named it. If the name is an alias
                of a standard context, such as ``train``, the first call with the alias records it.

        Raises:
            RunClosedError: the run has ended.
        """
        is_ready = not self._closed and self._pid == os.getpid()
        writer = self._writer if is_ready else self._reopen_writer()
        alias = context_alias(context)
        if alias is not None and alias not in self._aliases:
            self._aliases.add(alias)
            path = path_to_list(context_path(alias))
            writer.append({"record": "context", "context": path, "alias": alias})
        return writer

    def _reopen_writer(self) -> JournalWriter | AbsentWriter:
        with self._lock:  # end_run holds this lock while it closes the run
            if self._closed:
                raise RunClosedError(
                    f"run {self.id} has ended, so nothing more can be logged: to resume the run, "
                    f"call start_run(..., run_id={self.id!r}, resume=True)"
                )
            if self._pid != os.getpid():
                self._open_own_files()
            return self._writer

    def _open_own_files(self) -> None:
        absent = self._writer if isinstance(self._writer, AbsentWriter) else None
        if absent is not None and not absent.is_due():
            return
        try:
            writer = self._folder.open_writer("helper")
        except StoreError as error:
            if absent is None or isinstance(absent, UnopenedWriter):
                self._writer = AbsentWriter(error)
            return
        if absent is not None:
            writer.add_dropped(*absent.dropped)
        self._adopt(writer)
        if self._code is None and self._folder.records_code:
            self._start_code()
        # forked multiprocessing workers exit without calling atexit functions
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, self._finish_worker, exitpriority=0)

    def _hash_later(self, number: int, name: str, path: str, leave_out: str | None) -> Any:
        """Start hashing a large file or folder in the background; return the facts known so far.

        Returns None if the content is small, or if the background thread can't start.
        """
        from provml.collect import hashing

        if not hashing.is_large(path, leave_out):
            return None
        with self._lock:
            if self._hashing is None:
                self._hashing = hashing.BackgroundHasher(self._report_digest)
        try:
            self._hashing.add(number, name, path, leave_out)
        except RuntimeError:  # the interpreter is exiting and no longer starts threads
            return None
        return {"unread": hashing.DIGEST_PENDING}

    def _report_digest(self, number: int, content: Record) -> None:
        from provml.collect.content import write_manifest

        content |= write_manifest(self.path, content.pop("manifest", None))
        try:
            self._append(
                {"record": "digest", "time": time.time_ns(), "id": number, "content": content}
            )
        except RunClosedError:
            pass  # the run has ended and recorded that this digest is missing

    def _finish_hashing(self, wait_s: float) -> None:
        """Wait for the digests in progress; record an event for each unfinished digest."""
        hashing = self._hashing
        if hashing is None:
            return
        hashing.finish(wait_s)
        self._hashing = None
        for left in hashing.progress():
            metadata = {"name": left.name, "bytes_hashed": left.done, "bytes": left.total}
            self._append(build_event("dataset not hashed to its end", metadata))

    def _start_code(self) -> None:
        """Start recording the code and configuration files that this process uses."""
        from provml.recording.code_log import CodeLog

        is_helper = not self._owner or self._folder.settings.rank not in (None, 0)
        self._code = CodeLog(self._append, self.path, is_helper)
        self._code.start()

    def _finish_code(self) -> None:
        """Record the code and configuration files that are not recorded yet."""
        if self._code is not None and self._pid == os.getpid():
            try:
                self._code.finish()
            except RunClosedError:
                pass  # another thread has ended the run

    def _finish_worker(self) -> None:
        self._finish_metrics()
        self._finish_code()

    def _finish_metrics(self) -> None:
        """Record the remaining summaries, and fill in the points that wait for an epoch."""
        if self._metrics is not None and self._pid == os.getpid():
            try:
                self._metrics.finish()
            except RunClosedError:
                pass  # another thread has ended the run

    def _target(self, of: Target) -> tuple[str, str]:
        """Return the kind and name of the model or artifact that a sample or event refers to.

        Raises:
            InvalidArgumentError: no process of the run has logged this model or artifact.
        """
        wanted: list[tuple[str, str]]
        if isinstance(of, str):
            wanted = [("model", of), ("artifact", of)]
        elif isinstance(of, tuple) and len(of) == 2 and of[0] in ("model", "artifact"):
            wanted = [(str(of[0]), of[1])]
        else:
            name = self._known.name_of("model", of)
            wanted = [] if name is None else [("model", name)]
        made = self._known.made
        found = next((target for target in wanted if target in made), None)
        if found is None and wanted:
            from provml.journal.history import read_records
            from provml.journal.reader import Journal

            content = read_records(Journal(self.path), "model", "artifact")
            made.update((record["record"], str(record.get("name"))) for record in content)
            found = next((target for target in wanted if target in made), None)
        if found is None:
            known = ", ".join(sorted(f"{kind} {name!r}" for kind, name in made)[:10])
            raise InvalidArgumentError(
                f"of={of!r:.80} is not a model or artifact of this run: log it with log_model "
                f"or log_artifact; logged so far: {known or 'none'}"
            )
        return found

    def _find_logged_model(self, name: str) -> Record | None:
        """Return the description of the latest version of a model that the run logged, or None."""
        from provml.journal.history import read_records
        from provml.journal.reader import Journal

        found: tuple[int, Record] | None = None
        for record in read_records(Journal(self.path), "model"):
            time_ns, content = record.get("time"), record.get("content")
            if record.get("name") != name or not isinstance(content, dict):
                continue
            if isinstance(time_ns, int) and (found is None or time_ns >= found[0]):
                found = time_ns, content
        return None if found is None else found[1]

    def _append(self, record: Record, context: Context | str | None = None) -> None:
        writer = self._open_writer(context)
        self._note_clock(writer)
        writer.append(record)
        if self._code is not None:
            self._code.record_later()

    def _note_clock(self, writer: JournalWriter | AbsentWriter) -> None:
        """Record an event if the machine's clock was changed since the last record."""
        change_ns = self._clock.find_change_ns()
        if change_ns:
            writer.append(build_event(CLOCK_CHANGED, {"by_s": change_ns / 1e9}))

    def _append_all(self, records: list[Record]) -> None:
        writer = self._open_writer()
        self._note_clock(writer)
        for record in records:
            writer.append(record)
