"""The run that a worker process records into if it starts no run itself.

`find_run` chooses the run for functions such as `provml.log_metric`: an active run of this process
or, if there is none, the run that the nearest ancestor of this process published (see
`published_runs`). In this way, subprocesses and worker processes record into the run of the process
that started them. Examples are the workers of joblib, ``multiprocessing`` and PyTorch's data
loaders.

Imports `run`, `disabled_run`, `run_directory`, `published_runs` and `base.settings`.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref

from provml.base.notices import warn_without_raising
from provml.base.settings import read_settings
from provml.errors import NoActiveRunError, ProvMLError, RunClosedError
from provml.journal.absent_writer import AbsentWriter
from provml.journal.writer import JournalWriter
from provml.recording import process_hooks
from provml.recording.active_runs import active_runs, folder_of
from provml.recording.published_runs import AncestorRuns, PublishedRuns, is_worker_process
from provml.recording.recorder import UnopenedWriter
from provml.recording.run import Run
from provml.recording.run_directory import open_joined_directory


class WorkerRun(Run):
    """The run of an ancestor process. This process records into the run, but does not end it.

    After the ancestor has ended the run, calls record nothing and raise no exceptions.
    """

    def _reopen_writer(self) -> JournalWriter | AbsentWriter:
        try:
            return super()._reopen_writer()
        except RunClosedError:
            return UnopenedWriter()


class _WorkerRuns:
    """Finds an ancestor's run, and keeps the journal files that this process opened for the run."""

    def __init__(self) -> None:
        self._warned: set[str] = set()
        self._run: Run | None = None
        self._answer: Run | None = None
        self._answered_at: PublishedRuns | None = None
        self._joined = False
        self._guest_seen_at: PublishedRuns | None = None
        self._guest_seen: Run | None = None
        self._published_guests: weakref.WeakSet[Run] = weakref.WeakSet()
        self._reset()

    @functools.cached_property
    def silent(self) -> Run:
        """A run that records nothing."""
        from provml.recording.disabled_run import DisabledRun

        return DisabledRun("none")

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._ancestors = AncestorRuns()

    def read_published(self) -> PublishedRuns | None:
        """Return the runs published by the nearest ancestor that has active runs, or None."""
        if self._pid != os.getpid():
            self._reset()  # a forked child has different ancestors
        with self._lock:
            return self._ancestors.read()

    def has_moved_on(self, guest: Run) -> bool:
        """Return whether the process that owns a run has ended the run and now records another one.

        If the owner records no run now, this method returns False, so that this process continues
        to record into the run.

        Args:
            guest: a run that another process owns, and that this process unpickled or inherited
                through a fork.
        """
        if (
            guest is self._guest_seen
            and self._ancestors.is_unchanged()
            and self._ancestors.found is self._guest_seen_at
            and self._pid == os.getpid()
        ):
            return False
        published = self.read_published()
        if published is None:
            return False
        if folder_of(guest) in published.folders:
            self._published_guests.add(guest)
            self._guest_seen_at, self._guest_seen = published, guest
            return False
        was_published = guest in self._published_guests or guest in active_runs.inherited
        return was_published and published.chosen is not None

    def find(self, verb: str) -> Run | None:
        """Return the run that a call records into if this process has no active run of its own.

        If it is unclear which run a worker process should record into, or if there is no such run,
        this method warns once and returns a run that records nothing. If no ancestor has published
        a run and this process is not a worker process, this method returns None.

        Args:
            verb: the name of the function that was called, for the warning.
        """
        answer = self._answer
        if (
            answer is not None
            and (answer is self.silent or not answer.closed)
            and self._ancestors.is_unchanged()
            and self._ancestors.found is self._answered_at
            and self._pid == os.getpid()
        ):
            return answer
        published = self.read_published()
        with self._lock:
            run = self._run
            if run is not None and (
                run.closed or published is None or folder_of(run) != published.chosen
            ):
                self._leave(run)
            self._answer = self._choose(verb, published)
            self._answered_at = published
            return self._answer

    def _choose(self, verb: str, published: PublishedRuns | None) -> Run | None:
        if published is None:
            if not self._joined and not is_worker_process():
                return None
            return self._silence(
                "no run",
                f"provml.{verb}() was called in a worker process, but none of the processes that "
                "started it records a run, so this process records nothing. Call "
                "provml.start_run before the work begins, or pass the Run to the worker",
            )
        if published.is_disabled:
            return self.silent
        if published.chosen is None:
            names = ", ".join(sorted(published.folders)[:10])
            return self._silence(
                "several runs",
                f"provml.{verb}() was called in a worker process, and the process that started it "
                f"records several runs ({names}), so this process records nothing. Pass the Run "
                "to the worker, and call its methods, such as run.log_metric(...)",
            )
        return self._run or self._join(verb, published.chosen)

    def _join(self, verb: str, folder: str) -> Run | None:
        try:
            settings = read_settings()
            if settings.disabled:
                return self.silent
            if settings.joined_run is not None and settings.joined_run != folder:
                return self._choose(verb, None)  # `provml run` started another run
            directory = open_joined_directory(folder, settings)
        except ProvMLError as error:
            return self._silence(
                "no access",
                f"provml.{verb}() was called in a worker process that can't record into the run of "
                f"the process that started it: {error}. This process records nothing",
            )
        self._joined = True
        self._warned.clear()
        self._run = WorkerRun(directory, None, (), owner=False)
        process_hooks.watch(self._run)
        return self._run

    def _leave(self, run: Run) -> None:
        """Close the files of a run that this process no longer records into."""
        self._run = None
        process_hooks.unwatch(run)
        run._end("interrupted", None, None)  # with this status, `_end` does not wait for digests

    def _silence(self, reason: str, message: str) -> Run:
        """Issue a warning, but only once for each reason; return a run that records nothing."""
        if reason not in self._warned:
            self._warned.add(reason)
            warn_without_raising(message)
        return self.silent


_worker_runs = _WorkerRuns()


def find_run(verb: str) -> Run:
    """Return the run that a call in this thread or task records into.

    Costs less than a microsecond if this process has active runs. In a worker process that records
    into the run of the process that started it, the cost is about two microseconds.

    Args:
        verb: the name of the function that was called, without the module.

    Raises:
        NoActiveRunError: there is no such run.
    """
    if active_runs.all:
        own = find_own_run()
        if own is not None:
            return own
        if active_runs.is_ambiguous():
            active_runs.warn_ambiguous(verb)
            return _worker_runs.silent
    run = _worker_runs.find(verb)
    if run is None:
        raise NoActiveRunError(verb)
    return run


def find_run_or_none() -> Run | None:
    """Return the run that a call in this thread or task would record into, or None."""
    run = find_own_run()
    if run is not None or active_runs.is_ambiguous():
        return run
    published = _worker_runs.read_published()
    if published is None or published.chosen is None:
        return None
    run = _worker_runs.find("active_run")
    return None if run is _worker_runs.silent else run


def find_own_run() -> Run | None:
    """Return the active run of this process that a call records into.

    Returns None if this process has no such run, or if it is unclear which run the call means.
    """
    while True:
        run: Run | None = active_runs.find()
        if run is None or run not in active_runs.guests or not _worker_runs.has_moved_on(run):
            return run
        process_hooks.deactivate(run)
        process_hooks.watch(run)
