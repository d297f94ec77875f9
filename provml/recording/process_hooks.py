"""Hooks that run when a process forks or exits while it records runs.

The first run installs the hooks. Imports only `active_runs` from provml.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any, NamedTuple, NoReturn, Protocol

from provml.recording.active_runs import active_runs


class Endable(Protocol):
    """The methods of a run that the hooks call."""

    def end_run(
        self, status: str, *, reason: str | None = None, exception: BaseException | None = None
    ) -> None:
        """End the run."""

    def _before_fork(self) -> None:
        """Stop the background threads of the run, because a child process does not inherit them."""

    def _after_fork_in_parent(self) -> None:
        """Restart the background threads of the run."""

    def _after_fork_in_child(self) -> None:
        """Release the files and threads that belong to the parent process."""


class ProcessExit(NamedTuple):
    """How the process exited: the status, the reason, and the exception if there was one."""

    status: str
    reason: str
    exception: BaseException | None = None


_watched: list[Any] = []
_seen_runs: weakref.WeakSet[Any] = weakref.WeakSet()
_installed = False


class _ObservedExit(SystemExit):
    """A ``SystemExit`` that supports weak references, which the built-in class does not."""


class _ExitObserver:
    """A replacement for ``sys.exit`` that notes the exit status while a run is active.

    provml needs the observer because the interpreter does not pass the status to atexit functions.
    The observer misses exits that do not call ``sys.exit`` (``raise SystemExit``, ``exit()``). Runs
    in a ``with`` block record these exits anyway.
    """

    def __init__(self) -> None:
        self._current_frame = sys._getframe  # the interpreter clears sys when it exits
        self._original: Any = sys.exit
        self._thrown: weakref.ref[_ObservedExit] | None = None
        self.called = False
        self.argument: object = None

    def install(self) -> None:
        """Replace ``sys.exit``."""
        sys.exit = self

    def remove(self) -> None:
        """Restore ``sys.exit``, unless other code has replaced it since."""
        if sys.exit is self:
            sys.exit = self._original

    def __call__(self, status: Any = None, /) -> NoReturn:
        if threading.current_thread() is threading.main_thread():
            self.called = True
            self.argument = status
            if isinstance(self._original, BuiltinFunctionType):
                self._throw(status)
        self._original(status)
        raise SystemExit(
            status
        )  # reached only if other code replaced sys.exit with a function that returns

    def _throw(self, status: Any) -> NoReturn:
        thrown = _ObservedExit(status)
        self._thrown = weakref.ref(thrown, self._note_freed)
        try:
            raise thrown
        finally:
            del thrown  # avoid a reference cycle: the traceback refers to this frame

    def was_kept(self) -> bool:
        """Return whether code still refers to the exception that `_throw` raised.

        If so, the script has caught the exception, and the process is not exiting because of it:
        after a real exit, nothing refers to the exception.
        """
        thrown, self._thrown = self._thrown, None
        if thrown is None or thrown() is None:
            return False
        gc.collect()  # only a reference cycle may be keeping the exception alive
        return thrown() is not None

    def _note_freed(self, thrown: weakref.ref[_ObservedExit]) -> None:
        """Reset `called` if code is still running when the exception is freed: no exit follows."""
        frame = self._current_frame()
        if thrown is self._thrown and frame is not None and frame.f_back is not None:
            self.called = False


_exit: _ExitObserver | None = None
_exception_before: int = 0


def install() -> None:
    """Install the hooks that end runs at exit and prepare them for forks. Idempotent."""
    global _installed
    if _installed:
        return
    _installed = True
    atexit.register(_end_all_runs)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_prepare_runs_for_fork,
            after_in_parent=_resume_runs_in_parent,
            after_in_child=_detach_runs_in_child,
        )


def watch(run: Endable) -> None:
    """Register a run to be ended when the process exits, after the active runs.

    The run does not become active.
    """
    install()
    _seen_runs.add(run)
    _watched.append(run)


def unwatch(run: Endable) -> None:
    """Undo `watch`: do not end the run when the process exits."""
    if run in _watched:
        _watched.remove(run)


def activate(run: Endable, guest: bool = False) -> None:
    """Make a run active. The first call in a process installs the hooks.

    Args:
        run: the run to make active.
        guest: whether another process owns the run.
    """
    global _exception_before, _exit
    install()
    with active_runs.lock:
        if not active_runs.all:
            _exception_before = id(getattr(sys, "last_value", None))
            _exit = _ExitObserver()  # a new observer: other code may have wrapped the last one
            _exit.install()
        _seen_runs.add(run)
        active_runs.add(run, guest)


def deactivate(run: Endable) -> None:
    """Remove a run from the active runs, so that the run started before it is active again."""
    with active_runs.lock:
        active_runs.remove(run)
        if not active_runs.all and _exit is not None:
            _exit.remove()


def exit_from_exception(exception: BaseException) -> ProcessExit:
    """Return the status and reason for an exception that ended the process or ``with`` block."""
    if isinstance(exception, SystemExit):
        return _exit_from_code(exception.code)
    if isinstance(exception, KeyboardInterrupt):
        return ProcessExit("interrupted", "KeyboardInterrupt", exception)
    return ProcessExit("failed", f"uncaught {type(exception).__qualname__}", exception)


def exception_record(exception: BaseException) -> dict[str, str]:
    """Build the record of an exception: its type, its message, and the end of its traceback."""
    kind = type(exception)
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": _safe_text(str, exception)[:10_000],
        "traceback": _safe_text(_format_traceback, exception)[-20_000:],
    }


def _format_traceback(exception: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(exception))


def _safe_text(describe: Callable[[Any], str], value: object) -> str:
    try:
        text = describe(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ or __repr__ may raise anything
        text = f"<no text: {type(error).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


def _exit_from_code(code: object) -> ProcessExit:
    if code is None or (isinstance(code, int) and code == 0):
        return ProcessExit("finished", "sys.exit(0)")
    return ProcessExit("failed", f"sys.exit({_safe_text(repr, code)})"[:1000])


def _find_process_exit() -> ProcessExit:
    exception = getattr(sys, "last_value", None)
    interactive = hasattr(sys, "ps1") or hasattr(builtins, "__IPYTHON__")
    if exception is not None and id(exception) != _exception_before and not interactive:
        return exit_from_exception(exception)
    if _exit is not None and _exit.called and not interactive and not _exit.was_kept():
        return _exit_from_code(_exit.argument)
    return ProcessExit("finished", "the process exited without end_run, sys.exit or an error")


def _end_all_runs() -> None:
    ending = _find_process_exit()
    for run in (*reversed(active_runs.all.copy()), *_watched.copy()):
        run.end_run(ending.status, reason=ending.reason, exception=ending.exception)
    if isinstance(ending.exception, KeyboardInterrupt):
        _leave_by_sigint()


def _leave_by_sigint() -> None:
    """Make the interpreter exit by SIGINT after an uncaught Ctrl-C, as it does without provml.

    A shell loop that runs the script stops only if SIGINT killed the script. On exit, the
    interpreter sends itself SIGINT if an internal flag is set, which means that the source text
    executed most recently ended with KeyboardInterrupt. Ending a run clears the flag, because
    creating a dataclass executes source text. This function sets the flag again.
    """
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        pass


def _prepare_runs_for_fork() -> None:
    for run in list(_seen_runs):
        run._before_fork()


def _resume_runs_in_parent() -> None:
    for run in list(_seen_runs):
        run._after_fork_in_parent()


def _detach_runs_in_child() -> None:
    active_runs.reset_after_fork()
    for run in list(_seen_runs):
        run._after_fork_in_child()
