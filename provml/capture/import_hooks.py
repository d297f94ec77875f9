"""Calls a function after each import of a module, so that the function can change the module.

If a callback waits for a module, a finder at the front of ``sys.meta_path`` handles the import. The
finder asks the other finders for the module, and overrides ``exec_module`` on the loader instance,
not on the loader's class. The callback then runs right after the module's code. The module keeps
its usual ``__spec__`` and ``__loader__``. If the module raises an error, the traceback contains no
frames from provml.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from provml.capture.outer_run import note_missed
from provml.capture.state import STATE

ImportCallback = Callable[[ModuleType], None]
"""A function that is called with a module after the module has been imported."""


class _ImportFinder:
    """The finder for ``sys.meta_path``. It keeps the callbacks of each module, by full name."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[ImportCallback]] = {}
        self.lock = threading.Lock()

    def after_fork_in_child(self) -> None:
        """Replace the lock, because another thread of the parent may have held it."""
        self.lock = threading.Lock()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a module's spec from the other finders; None if the module has no callbacks."""
        if name not in self.callbacks:
            return None
        finders = list(sys.meta_path)
        after = finders[finders.index(self) + 1 :] if self in finders else []
        for finder in after:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._watch_loader(name, spec.loader)
                return spec
        return None

    def _watch_loader(self, name: str, loader: Any) -> None:
        """Make a loader call a module's callbacks once, right after the module's code has run."""
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type):
            error = TypeError(f"can't override exec_module of the loader {loader!r}")
            note_missed(f"import of {name}", error)
            return

        def exec_module(module: ModuleType) -> None:
            is_ours = module.__name__ == name  # all modules of a zip file share one loader
            if is_ours:
                vars(loader).pop("exec_module", None)
            try:
                execute(module)
            except BaseException as error:
                if error.__traceback__ is not None:  # leave provml's frame out of the traceback
                    error.__traceback__ = error.__traceback__.tb_next
                raise
            if is_ours:
                for callback in list(self.callbacks.get(name, ())):
                    _call_safely(callback, module)

        try:
            loader.exec_module = exec_module
        except AttributeError as error:
            note_missed(f"import of {name}", error)


def call_on_import(name: str, callback: ImportCallback) -> None:
    """Register a function to call each time a module is imported.

    If the module has already been imported, the function is also called at once. While a
    callback waits, each import of another module costs one extra dictionary look-up. If the
    function raises an error, `note_missed` counts the error, and the import continues.

    Args:
        name: the module's full name, such as ``torch.serialization``.
        callback: the function; it runs in the importing thread, before the import statement
            returns.
    """
    finder = STATE.part(_ImportFinder)
    with finder.lock:
        finder.callbacks.setdefault(name, []).append(callback)
        if finder not in sys.meta_path:
            sys.meta_path.insert(0, finder)
    module = sys.modules.get(name)
    if isinstance(module, ModuleType) and not _is_loading(module):
        _call_safely(callback, module)


def cancel_call_on_import(name: str, callback: ImportCallback) -> None:
    """Undo one call to `call_on_import`. If no callbacks are left, remove the finder."""
    finder = STATE.part(_ImportFinder)
    with finder.lock:
        callbacks = finder.callbacks.get(name, [])
        if callback in callbacks:
            callbacks.remove(callback)
        if not callbacks:
            finder.callbacks.pop(name, None)
        if not finder.callbacks and finder in sys.meta_path:
            sys.meta_path.remove(finder)


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _call_safely(callback: ImportCallback, module: ModuleType) -> None:
    try:
        callback(module)
    except Exception as error:
        note_missed(f"import of {module.__name__}", error)
