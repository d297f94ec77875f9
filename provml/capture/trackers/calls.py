"""Functions of other packages that say what they were called with, and go on as they were.

`Calls.record` puts a function in the place of another: it calls the other, and has what was called
recorded when that has succeeded. Return value, exception, signature, name and traceback stay those
of the original. Imports `joined`.
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

After = Callable[..., None]
"""Called as ``after(result, *args, **kwargs)`` once the original has returned."""


class _Thread(threading.local):
    """What a thread is doing.

    Attributes:
        within: whether a recorded call is under way.
    """

    within = False


_thread: Final = _Thread()
_INHERITED: Final = object()


class Calls:
    """The functions of one tracker that are recorded; all are put back by `restore`."""

    def __init__(self, tool: str) -> None:
        """Args: tool: the tracker's name, for what could not be recorded."""
        self.tool = tool
        self._on = True
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def record(
        self, owner: Any, name: str, after: After, *, nested: bool = False, leaf: bool = False
    ) -> None:
        """Have the calls of a function, method or class method recorded.

        Costs a call half a microsecond beside what ``after`` does, of a leaf a third of one. What
        the tracker does not have, as another version may, is counted by `note_missed`.

        Args:
            owner: the class or module that holds it.
            name: its name there.
            after: records a call; what it raises is counted by `note_missed` and goes no further.
            nested: also a call that another recorded call of this thread makes.
            leaf: it makes no recorded call itself.
        """
        original = getattr(owner, name, None)
        if original is None:
            what = getattr(owner, "__qualname__", None) or owner.__name__
            note_missed(
                f"{self.tool}: {what}.{name}", AttributeError("this version does not have it")
            )
            return
        if getattr(original, "__wrapped__", None) is not None and self._is_ours(original):
            return
        own = vars(owner).get(name, _INHERITED)
        if isinstance(own, classmethod):
            wrapper: Any = classmethod(self._wrapper(own.__func__, after, nested, leaf))
        else:
            wrapper = self._wrapper(original, after, nested, leaf)
        setattr(owner, name, wrapper)
        self._replaced.append((owner, name, wrapper, own))

    def _is_ours(self, function: Any) -> bool:
        return any(function is wrapper for _, _, wrapper, _ in self._replaced)

    def _wrapper(self, original: Any, after: After, nested: bool, leaf: bool) -> Any:
        thread = _thread

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
                if error.__traceback__ is not None:  # a traceback shows the script and the tracker
                    error.__traceback__ = error.__traceback__.tb_next
                raise
            if self._on and (nested or not thread.within):
                try:
                    after(result, *args, **kwargs)
                except Exception as error:
                    if _is_from_a_signal(error):
                        raise
                    note_missed(f"{self.tool}: {original.__qualname__}", error)
            return result

        return recorded

    def restore(self) -> None:
        """Put the originals back; one that another package has replaced since only goes silent."""
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
    """Put a function back where the tracker's other modules have imported it by its name."""
    package = owner.__name__.partition(".")[0]
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] != package or not isinstance(module, ModuleType):
            continue
        if vars(module).get(name) is wrapper:
            setattr(module, name, original)


def _is_from_a_signal(error: BaseException) -> bool:
    """Whether a signal handler of the script raised it, which only happened to be here."""
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
