"""The import hook: tells when a module that is waited for has been imported.

Nothing is imported by it. A module's ``__spec__`` and ``__loader__`` are those that it would have
without. Imports `joined`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from provml.capture.joined import missed

Seen = Callable[[ModuleType], None]


class Watcher:
    """A finder of ``sys.meta_path`` that lets the others find, and sees what was loaded."""

    def __init__(self, watched: Mapping[str, Seen]) -> None:
        """Args: watched: full names of modules, and what to call with one after its import."""
        self._watched = dict(watched)

    def install(self) -> None:
        """Watch from now on; modules that are there already are seen at once."""
        sys.meta_path.insert(0, self)
        for name in self._watched:
            module = sys.modules.get(name)
            if isinstance(module, ModuleType) and not _is_loading(module):
                self._see(name, module)

    def remove(self) -> None:
        """Watch no more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the finders after this one find; its loader tells of the import."""
        if name not in self._watched:
            return None
        after = sys.meta_path.index(self) + 1 if self in sys.meta_path else 0
        for finder in sys.meta_path[after:]:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._follow(name, spec.loader)
                return spec
        return None

    def _follow(self, name: str, loader: Any) -> None:
        """Have this loader, not its class, say when it has run the module: once."""
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type):
            missed(f"import of {name}", TypeError(f"a loader of another kind: {loader!r}"))
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
                self._see(name, module)

        try:
            loader.exec_module = exec_module
        except AttributeError as error:
            missed(f"import of {name}", error)

    def _see(self, name: str, module: ModuleType) -> None:
        try:
            self._watched[name](module)
        except Exception as error:
            missed(f"import of {name}", error)


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
