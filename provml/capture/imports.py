"""Calls that are made when a module has been imported: where what it offers is then watched.

A finder before all others, which leaves the finding to them: of the modules that are waited for it
marks the spec, and the import machinery's own last step, the setting of ``_initializing``, makes
the call. So no loader is wrapped, nothing of this is in a traceback of the module's own errors,
and the module and its spec are what they are without. Imports `joined`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from provml.capture.joined import missed

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
    if module is not None and not getattr(module.__spec__, "_initializing", False):
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


def _make(call: _Call, module: ModuleType) -> None:
    try:
        call(module)
    except Exception as error:
        missed(f"import of {module.__name__}", error)


class _Marked(ModuleSpec):
    """A spec until its module is imported; then a ModuleSpec again."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name != "_initializing" or value:
            return
        try:
            self.__class__ = ModuleSpec  # type: ignore[assignment]
            module = sys.modules.get(self.name)  # none where the import failed
            if module is not None and module.__spec__ is self:
                for call in list(_waiting.get(self.name, ())):
                    _make(call, module)
        except Exception as error:
            missed(f"import of {self.name}", error)


class _Finder:
    """Asks the finders after it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the others find, marked, of a module that is waited for; else None."""
        if name not in _waiting:
            return None
        finders = list(sys.meta_path)
        after = finders[finders.index(self) + 1 :] if self in finders else []
        for finder in after:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if type(spec) is ModuleSpec:
                    spec.__class__ = _Marked
                return spec
        return None


_FINDER: Final = _Finder()
