"""Calls that are made when a module has been imported: where what it offers is then watched.

A finder before all others, which leaves the finding to them. Of a module that is waited for it has
the loader, this one, not its class, say when it has run the module. A module's ``__spec__`` and
``__loader__`` are those that it would have without, and nothing of this is in the traceback of a
module's own error. Imports `joined`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from provml.capture.outer_run import note_missed

_Call = Callable[[ModuleType], None]
_lock = threading.Lock()
_waiting: Final[dict[str, list[_Call]]] = {}


def when_imported(name: str, call: _Call) -> None:
    """Make a call once a module has been imported, each time that it is; at once where it is.

    Costs an import of another module a look-up in a dictionary. What the call raises is counted as
    missed, and the import goes on.

    Args:
        name: the module's full name: ``torch.serialization``.
        call: what to do with it, in the thread that imports it, before its importer goes on.
    """
    with _lock:
        _waiting.setdefault(name, []).append(call)
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)
    module = sys.modules.get(name)
    if isinstance(module, ModuleType) and not _is_loading(module):
        _make(call, module)


def wait_no_more(name: str, call: _Call) -> None:
    """Take back a `when_imported`; where nothing waits any more, the finder goes too."""
    with _lock:
        calls = _waiting.get(name, [])
        if call in calls:
            calls.remove(call)
        if not calls:
            _waiting.pop(name, None)
        if not _waiting and _FINDER in sys.meta_path:
            sys.meta_path.remove(_FINDER)


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _make(call: _Call, module: ModuleType) -> None:
    try:
        call(module)
    except Exception as error:
        note_missed(f"import of {module.__name__}", error)


class _Finder:
    """Asks the finders after it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the finders after this one find; None of a module that nobody waits for."""
        if name not in _waiting:
            return None
        finders = list(sys.meta_path)
        after = finders[finders.index(self) + 1 :] if self in finders else []
        for finder in after:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    _follow(name, spec.loader)
                return spec
        return None


_FINDER: Final = _Finder()


def _follow(name: str, loader: Any) -> None:
    """Have this loader say when it has run the module: once."""
    execute = getattr(loader, "exec_module", None)
    if execute is None or isinstance(loader, type):
        note_missed(f"import of {name}", TypeError(f"a loader of another kind: {loader!r}"))
        return

    def exec_module(module: ModuleType) -> None:
        own = module.__name__ == name  # a loader may be shared, as that of a zip file is
        if own:
            vars(loader).pop("exec_module", None)
        try:
            execute(module)
        except BaseException as error:
            if error.__traceback__ is not None:  # the traceback is the import system's alone
                error.__traceback__ = error.__traceback__.tb_next
            raise
        if own:
            for call in list(_waiting.get(name, ())):
                _make(call, module)

    try:
        loader.exec_module = exec_module
    except AttributeError as error:
        note_missed(f"import of {name}", error)
