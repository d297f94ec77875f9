"""Wraps functions of other packages in order to record each call.

`RecordedCalls.record` replaces a function with a wrapper. The wrapper calls the original function
and, if that succeeds, the function that records the call. The wrapper keeps the original's result,
exceptions, tracebacks, signature and name.
"""

from __future__ import annotations

import functools
import signal
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from provml.capture.outer_run import note_missed
from provml.capture.state import STATE

CallRecorder = Callable[..., None]
"""A function that records a finished call. The function gets the result and the arguments:
``after(result, *args, **kwargs)``."""
CallEnd = Callable[[Any, BaseException | None], None]
"""A function to call when a recorded call ends, with the result and the exception of that call.

The result is None if the call failed, and the exception is None if the call succeeded.
"""
CallStart = Callable[..., CallEnd | None]
"""A function to call before a recorded call, with the same arguments. It may return a `CallEnd`."""


class _ThreadCalls(threading.local):
    """The state of a thread: `within` is True while a recorded call is running."""

    within = False


_INHERITED: Final = object()


class RecordedCalls:
    """The wrapped functions of one tool. `restore` puts the original functions back."""

    def __init__(self, tool: str) -> None:
        """Create an empty collection. Call `record` to add functions.

        Args:
            tool: the tool's name, for messages about calls that could not be recorded.
        """
        self.tool = tool
        self._on = True
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def record(
        self,
        owner: Any,
        name: str,
        after: CallRecorder,
        *,
        nested: bool = False,
        leaf: bool = False,
    ) -> None:
        """Wrap a function, method or class method, so that its calls are recorded.

        Costs half a microsecond per call (a third of a microsecond if ``leaf``), plus the time that
        ``after`` takes. If the installed version of the package lacks the function, an
        event in the run says so.

        Args:
            owner: the class or module that contains the function.
            name: the name of the function in ``owner``.
            after: the function that records a call. If it fails, the error is noted in the run.
            nested: whether to also record the calls that happen during another recorded call in the
                same thread.
            leaf: True if the function never calls a recorded function. The wrapper is then faster.
        """
        original = self._find_original(owner, name)
        if original is None:
            return
        own = vars(owner).get(name, _INHERITED)
        if isinstance(own, classmethod):
            wrapper: Any = classmethod(self._wrap_call(own.__func__, after, nested, leaf))
        else:
            wrapper = self._wrap_call(original, after, nested, leaf)
        self._replace(owner, name, wrapper)

    def record_before(self, owner: Any, name: str, before: Callable[..., None]) -> None:
        """Wrap a function or method, so that each call is recorded when the call begins.

        If the function calls other recorded functions, those calls are recorded too. A function can
        be wrapped by this method or by `record`, but not by both.

        Args:
            owner: the class or module that contains the function.
            name: the name of the function in ``owner``.
            before: the function that records a call; it gets the arguments of the call. If it
                fails, the error is noted in the run.
        """
        original = self._find_original(owner, name)
        if original is not None:
            self._replace(owner, name, self._wrap_start(original, before))

    def surround(self, owner: Any, name: str, before: CallStart) -> None:
        """Wrap a function or method, so that other functions are called before and after each call.

        If the wrapped function calls recorded functions, those calls are recorded too. The function
        for the end of a call is called even if the call fails.

        Args:
            owner: the class or module that contains the function.
            name: the name of the function in ``owner``.
            before: the function to call first. It returns the function to call afterwards, or None.
                If one of these functions fails, the error is noted in the run.
        """
        original = self._find_original(owner, name)
        if original is not None:
            self._replace(owner, name, self._wrap_both(original, before))

    def _wrap_both(self, original: Any, before: CallStart) -> Any:
        @functools.wraps(original)
        def surrounded(*args: Any, **kwargs: Any) -> Any:
            after = self._call_quietly(original, before, *args, **kwargs) if self._on else None
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                if error.__traceback__ is not None:  # leave provml's frame out of the traceback
                    error.__traceback__ = error.__traceback__.tb_next
                if after is not None:
                    self._call_quietly(original, after, None, error)
                raise
            if after is not None:
                self._call_quietly(original, after, result, None)
            return result

        return surrounded

    def _call_quietly(self, original: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if _was_raised_by_signal_handler(error):
                raise
            note_missed(f"{self.tool}: {original.__qualname__}", error)
            return None

    def _find_original(self, owner: Any, name: str) -> Any:
        """Return the function to wrap; None if it has already been wrapped, or does not exist."""
        original = getattr(owner, name, None)
        if original is None:
            what = getattr(owner, "__qualname__", None) or owner.__name__
            note_missed(
                f"{self.tool}: {what}.{name}",
                AttributeError("the installed version has no such function"),
            )
            return None
        if getattr(original, "__wrapped__", None) is not None and self._is_ours(original):
            return None
        return original

    def _replace(self, owner: Any, name: str, wrapper: Any) -> None:
        own = vars(owner).get(name, _INHERITED)
        setattr(owner, name, wrapper)
        self._replaced.append((owner, name, wrapper, own))

    def _is_ours(self, function: Any) -> bool:
        return any(function is wrapper for _, _, wrapper, _ in self._replaced)

    def _wrap_call(self, original: Any, after: CallRecorder, nested: bool, leaf: bool) -> Any:
        thread = STATE.part(_ThreadCalls)

        @functools.wraps(original)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            try:
                if leaf or thread.within:
                    result = original(*args, **kwargs)
                else:
                    thread.within = True
                    try:
                        result = original(*args, **kwargs)
                    finally:
                        thread.within = False
            except BaseException as error:
                if error.__traceback__ is not None:  # leave provml's frame out of the traceback
                    error.__traceback__ = error.__traceback__.tb_next
                raise
            if self._on and (nested or not thread.within):
                try:
                    after(result, *args, **kwargs)
                except Exception as error:
                    if _was_raised_by_signal_handler(error):
                        raise
                    note_missed(f"{self.tool}: {original.__qualname__}", error)
            return result

        return recorded

    def _wrap_start(self, original: Any, before: Callable[..., None]) -> Any:
        @functools.wraps(original)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            if self._on:
                try:
                    before(*args, **kwargs)
                except Exception as error:
                    if _was_raised_by_signal_handler(error):
                        raise
                    note_missed(f"{self.tool}: {original.__qualname__}", error)
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                if error.__traceback__ is not None:  # leave provml's frame out of the traceback
                    error.__traceback__ = error.__traceback__.tb_next
                raise

        return recorded

    def restore(self) -> None:
        """Restore the original functions, except those whose wrappers other code has replaced.

        Any wrapper that is still in use only calls its original from now on.
        """
        self._on = False
        for owner, name, wrapper, own in reversed(self._replaced):
            if vars(owner).get(name) is wrapper:
                if own is _INHERITED:
                    delattr(owner, name)
                else:
                    setattr(owner, name, own)
            if isinstance(owner, ModuleType):
                _restore_imported(owner, name, wrapper, own)
        self._replaced.clear()


def _restore_imported(owner: ModuleType, name: str, wrapper: Any, original: Any) -> None:
    """Restore a function in the other modules of its package that have imported the wrapper."""
    package = owner.__name__.partition(".")[0]
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] != package or not isinstance(module, ModuleType):
            continue
        if vars(module).get(name) is wrapper:
            setattr(module, name, original)


def _was_raised_by_signal_handler(error: BaseException) -> bool:
    """Return whether a signal handler of the script raised the error while a recorder ran."""
    codes = set()
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        code = getattr(handler, "__code__", None)
        if code is None:
            code = getattr(getattr(handler, "__func__", None), "__code__", None)
        if code is not None:
            codes.add(code)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False
