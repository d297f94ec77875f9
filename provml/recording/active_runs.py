"""The active runs of this process, and the choice of the run that a call records into.

A thread or asyncio task records into the run that the thread or task itself started or, if it
started none, into the run that was active in the code that started the thread or task. A context
variable keeps these runs: asyncio tasks copy the variable, and `_ThreadObserver` passes the runs on
to threads. All other threads and tasks use a run of the main thread or, if only one run is active,
that run.

Imports only `published_runs` and the journal's writer from provml.
"""

from __future__ import annotations

import builtins
import sys
import threading
import weakref
from contextvars import ContextVar
from typing import Any, Final

from provml.base.notices import warn_without_raising
from provml.recording import published_runs

_own_runs: ContextVar[tuple[Any, ...] | None] = ContextVar("provml_own_runs", default=None)
"""The active runs that this thread or task started or inherited, oldest first.

Empty if all these runs have ended; None if this thread or task has never had a run.
"""
_SHARED_POOL: Final = "concurrent.futures.thread"
"""The name of the module that defines ``ThreadPoolExecutor``.

A pool's thread works for any thread or task, not only for the thread or task that started it.
"""
_KERNEL_PACKAGES: Final = frozenset({"IPython", "anyio", "asyncio", "ipykernel", "tornado", "zmq"})
_MAX_NAMES: Final = 10


def folder_of(run: Any) -> str | None:
    """Return the run's folder as text; None for a disabled run, which has no folder."""
    folder = vars(run).get("_folder")
    return None if folder is None else str(folder.path)


class ActiveRuns:
    """The active runs of this process: the runs that have started but have not ended.

    Attributes:
        process_run: the run that every thread and task of the process records into. None if no run
            is active, or if `find` must choose the run at each call.
        all: the active runs, oldest first.
        guests: the active runs that other processes own.
        inherited: the guests that this process inherited through a fork.
        lock: the lock that a thread must hold while it adds or removes a run.
    """

    def __init__(self) -> None:
        self.process_run: Any = None
        self.all: list[Any] = []
        self.lock = threading.RLock()
        self._local: list[Any] = []  # the runs that belong to a thread or task
        self._local_ended = False
        self.guests: list[Any] = []
        self.inherited: list[Any] = []
        self._threads = _ThreadObserver()
        self._warned = False

    def add(self, run: Any, guest: bool = False) -> None:
        """Make a run active in this thread or task, and in the threads and tasks that it starts.

        Args:
            run: the run to make active.
            guest: whether another process owns the run. That process may end the run at any time.
        """
        with self.lock:
            self.all.append(run)
            if guest:
                self.guests.append(run)
            if not is_in_main_code():
                self._local.append(run)
                self._threads.install()
            _own_runs.set((*self._keep_active(self._find_own() or ()), run))
            self._update()

    def remove(self, run: Any) -> None:
        """Remove a run from the active runs. Does nothing if the run is not active."""
        with self.lock:
            if run not in self.all:
                return  # another thread has already ended the run
            self.all.remove(run)
            if run in self.guests:
                self.guests.remove(run)
            if run in self._local:
                self._local.remove(run)
                self._local_ended = True
                if not self._local:
                    self._threads.remove()
            own = _own_runs.get()
            if own:
                _own_runs.set(self._keep_active(own))
            self._warned = self._warned and bool(self.all)
            self._update()

    def forget_ended(self) -> None:
        """If all runs of this thread or task have ended, let `find` choose other runs again."""
        if not self._keep_active(_own_runs.get() or ()):
            _own_runs.set(None)

    def move_to_end(self, run: Any) -> None:
        """Make an active run the latest run of this thread or task, so that `find` returns it."""
        with self.lock:
            if run in self.all:
                self.all.remove(run)
                self.all.append(run)
                own = (each for each in self._find_own() or () if each is not run)
                _own_runs.set((*own, run))

    def find(self) -> Any:
        """Return the run that this thread or task records into.

        Returns None if no run is active, or if several are active and it is unclear which run
        is meant.
        """
        own = _own_runs.get()
        if own and own[-1] in self.all:
            return own[-1]
        runs = self.all.copy()
        if not runs:
            return None
        if own is None:
            own = self._threads.find_runs()
            if own is not None:
                self._warn_about_shared_pool(runs, own)
        for run in reversed(own or ()):
            if run in runs:
                return run
        local = self._local.copy()
        main = [run for run in runs if run not in local]
        if main:
            return main[-1]
        if own is not None and not is_in_main_code():
            return None  # this thread's or task's own runs have ended
        return runs[-1] if len({folder_of(run) for run in runs}) == 1 else None

    def is_ambiguous(self) -> bool:
        """Return whether `find` returns None because it can't choose between several runs."""
        own = self._find_own()
        return bool(self.all) and (own is None or is_in_main_code())

    def warn_ambiguous(self, verb: str) -> None:
        """Warn once that calls record nothing, because it is unclear which run they mean.

        Args:
            verb: the name of the function that was called.
        """
        if not self._warned:
            self._warned = True
            warn_without_raising(
                f"provml.{verb}() was called in a thread or task that started no run, while "
                f"several runs are active ({_list_names(self.all)}). Such calls record nothing. "
                "Call the method of the run that you mean, such as run.log_metric(...), or start "
                "the thread or task inside the run's with block"
            )

    def find_enclosing(self) -> Any:
        """Return the active run in which a new run would be nested.

        Returns None if no run is active, or if the caller is outside the main code.
        """
        return self.find() if is_in_main_code() else None

    def reset_after_fork(self) -> None:
        """Replace the lock in a forked child, and note that the parent owns the active runs.

        A thread that does not exist in the child may hold the old lock.
        """
        self.lock = threading.RLock()
        self.inherited = [
            run for run in self.all if run not in self.guests or run in self.inherited
        ]
        self.guests = self.all.copy()
        self._update_process_run()

    def _find_own(self) -> tuple[Any, ...] | None:
        """Return the runs that this thread or task started or inherited; None if there are none."""
        own = _own_runs.get()
        return self._threads.find_runs() if own is None else own

    def _keep_active(self, runs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(run for run in runs if run in self.all)

    def _update(self) -> None:
        """Determine `process_run`, and publish the runs for the processes that this one starts."""
        self._update_process_run()
        owned = [run for run in self.all if run not in self.guests]
        folders = {folder_of(run): run for run in owned}
        # if threads have started several runs, a new process could belong to any of them
        is_clear = len(folders) == 1 or not self._local
        published_runs.publish(
            [folder for folder in folders if folder is not None],
            folder_of(owned[-1]) if owned and is_clear else None,
            is_disabled=set(folders) == {None},
        )

    def _update_process_run(self) -> None:
        is_clear = not self._local or (len(self.all) == 1 and not self._local_ended)
        latest = self.all[-1] if self.all and is_clear else None
        self.process_run = None if latest in self.guests else latest

    def _warn_about_shared_pool(self, runs: list[Any], own: tuple[Any, ...]) -> None:
        target = getattr(threading.current_thread(), "_target", None)
        if self._warned or getattr(target, "__module__", None) != _SHARED_POOL:
            return
        chosen = [run for run in own if run in runs]
        if chosen and len({folder_of(run) for run in runs}) > 1:
            self._warned = True
            warn_without_raising(
                f"several runs are active ({_list_names(runs)}), and provml can't tell which of "
                "them a thread of a ThreadPoolExecutor works for. The thread's records go to "
                f"{_name_of(chosen[-1])}, which was active when the thread was started. If the "
                "pool works for several runs, call the method of the run that you mean, such as "
                "run.log_metric(...), or use asyncio.to_thread"
            )


class _ThreadObserver:
    """An observer that notes which runs are active in the code that starts a thread.

    Before Python 3.14, a thread begins with an empty context. So while a run belongs to a thread or
    task, the observer replaces ``threading.Thread.start``. The replacement notes the runs of the
    thread that calls it, and then calls the original method.
    """

    def __init__(self) -> None:
        self._runs: weakref.WeakKeyDictionary[threading.Thread, tuple[Any, ...]] = (
            weakref.WeakKeyDictionary()
        )
        self._original: Any = None
        self._replacement: Any = None
        self._is_watching = False

    def install(self) -> None:
        """Replace ``Thread.start``, unless it has already been replaced."""
        self._is_watching = True
        current: Any = threading.Thread.start
        if self._replacement is None or current is self._original:
            self._original = current
            self._replacement = self._build_replacement(current)
            threading.Thread.start = self._replacement  # type: ignore[method-assign]

    def remove(self) -> None:
        """Restore ``Thread.start``, unless other code has replaced it since."""
        self._is_watching = False
        if threading.Thread.start is self._replacement:
            threading.Thread.start = self._original  # type: ignore[method-assign]
            self._replacement = None

    def find_runs(self) -> tuple[Any, ...] | None:
        """Return the runs that were active when this thread was started; None if unknown."""
        return self._runs.get(threading.current_thread()) if self._runs else None

    def _build_replacement(self, original: Any) -> Any:
        from functools import wraps

        @wraps(original)
        def start(thread: threading.Thread) -> Any:
            if self._is_watching:
                runs = _own_runs.get()
                runs = self.find_runs() if runs is None else runs
                if runs is not None:
                    self._runs[thread] = runs
            return original(thread)

        return start


def is_in_main_code() -> bool:
    """Return whether the current code runs in the main thread, outside asyncio tasks.

    A notebook's kernel runs the cells in tasks, which count as main code.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return False
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        return True
    return hasattr(builtins, "__IPYTHON__") and _is_task_of_kernel(asyncio.current_task())


def _is_task_of_kernel(task: Any) -> bool:
    """Return whether a task runs the kernel's own code, which means that it executes a cell."""
    frame = None if task is None else getattr(task.get_coro(), "cr_frame", None)
    if frame is None:
        return True
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _KERNEL_PACKAGES


def _name_of(run: Any) -> str:
    return f"{run.experiment}/{run.id}"


def _list_names(runs: list[Any]) -> str:
    names = sorted({_name_of(run) for run in runs})
    further = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {further} more" if further > 0 else "")


active_runs: Final = ActiveRuns()
