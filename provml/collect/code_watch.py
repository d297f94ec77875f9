"""Uses a Python audit hook to notice the code and configuration files that this process uses.

``import provml`` installs the hook, because a script often reads its configuration before it starts
a run. Until then, the hook only notes the paths of opened files that have the suffix of code or
configuration. Once a run has set a listener, the hook calls the listener at once for each such
file, and also for each file that Python executes, which includes imported modules.

An event that the hook ignores costs about 0.2 microseconds. The hook raises no exceptions of its
own, but exceptions from signal handlers pass through it. Imports nothing else from provml.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from time import time_ns
from typing import Any, Final, NamedTuple

SOURCE_SUFFIXES: Final = frozenset(
    (
        *("py", "pyw", "pyx", "pxd", "ipynb", "sh", "bash", "r", "jl", "lua"),
        *("c", "cc", "cpp", "cxx", "cu", "cuh", "h", "hpp"),
    )
)
CONFIGURATION_SUFFIXES: Final = frozenset(
    (
        *("yaml", "yml", "toml", "json", "json5", "jsonc", "ini", "cfg", "conf", "config"),
        *("gin", "env", "properties", "hocon", "jsonnet", "libsonnet", "prototxt"),
    )
)
_SUFFIXES: Final = SOURCE_SUFFIXES | CONFIGURATION_SUFFIXES
_HEARD: Final = _SUFFIXES | {suffix.upper() for suffix in _SUFFIXES}
_LOADERS: Final = (
    *("", "_frozen_importlib_external", "importlib._bootstrap_external", "runpy", "zipimport"),
)
"""The modules that read code to run it; an empty name stands for the interpreter itself."""
_MAX_PATHS: Final = 20_000
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class UsedFile(NamedTuple):
    """A file that Python opened for reading, or executed.

    Attributes:
        path: the absolute path.
        is_executed: whether Python ran the file's code, for example to import it as a module.
        time_ns: the time of the event, in nanoseconds since the epoch.
    """

    path: str
    is_executed: bool
    time_ns: int


class CodeWatch:
    """Notices the code and configuration files that this process uses, by their suffixes.

    Attributes:
        opened: the files opened so far, in order; at most 20,000.
        written: the paths of the files that the process opened for writing.
        listener: a function that receives each file that is used from now on; None to collect the
            files in `opened`. The hook calls the function in any thread and at any point of the
            program, so the function must not wait.
    """

    def __init__(self) -> None:
        self.opened: list[UsedFile] = []
        self.written: set[str] = set()
        self.listener: Callable[[UsedFile], None] | None = None
        self._seen: set[str] = set()
        """The paths opened since the working folder last changed, as the script passed them."""
        self._is_installed = False

    def install(self) -> None:
        """Start to watch this process. Idempotent.

        The watch lasts until the process ends, because Python can't remove an audit hook.
        """
        if not self._is_installed:
            self._is_installed = True
            try:
                sys.addaudithook(self._build_hook())
            except Exception:  # noqa: BLE001 - an existing audit hook may refuse new hooks
                pass  # provml still finds the imported modules, without the hook

    def _build_hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        watch, seen = self, self._seen

        def hear(event: str, args: tuple[Any, ...]) -> None:
            try:
                if event == "open":
                    path = args[0]
                    if path.__class__ is str:
                        if path in seen:
                            return
                        if path.rpartition(".")[2] not in _HEARD and ".env." not in path:
                            return
                    elif not isinstance(path, (bytes, os.PathLike)):
                        return
                elif event != "os.chdir" and (event != "exec" or watch.listener is None):
                    return
                watch._take_event(event, args)
            except Exception:  # noqa: BLE001 - anything may go wrong at this point of the script
                pass  # the script must not see an error of provml

        return hear

    def _take_event(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "os.chdir":
            self._seen.clear()
        elif event == "exec":
            code = args[0]
            name = getattr(code, "co_filename", "<")
            if name[:1] != "<" and code.co_name == "<module>" and "-packages/" not in name:
                self._tell(UsedFile(os.path.abspath(name), True, time_ns()))
        else:
            self._take_opened(os.fsdecode(args[0]), args[2])

    def _take_opened(self, text: str, flags: object) -> None:
        if find_suffix(text) not in _SUFFIXES and not is_env_file(text):
            return
        if "-packages/" in text or "\0" in text:
            return
        caller = _find_opener()
        if caller.startswith("provml."):
            return  # provml itself opens the file, for example to hash it
        path = os.path.abspath(text)
        if isinstance(flags, int) and flags & _WRITING:
            if len(self.written) < _MAX_PATHS:
                self.written.add(path)
            return
        if len(self._seen) >= _MAX_PATHS:
            return
        self._seen.add(text)
        is_run = caller in _LOADERS
        if is_run or path not in self.written:
            self._tell(UsedFile(path, is_run, time_ns()))

    def _tell(self, file: UsedFile) -> None:
        if self.listener is not None:
            self.listener(file)
        elif len(self.opened) < _MAX_PATHS:
            self.opened.append(file)


def _find_opener() -> str:
    """Return the name of the module that is opening a file while the audit hook runs.

    Returns an empty string if the interpreter itself is opening the file.
    """
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals is globals():
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__"))


def find_suffix(path: str) -> str:
    """Return the suffix of a path without the dot, in lower case."""
    return path.rpartition("/")[2].rpartition(".")[2].lower()


def is_env_file(path: str) -> bool:
    """Return whether a path names a ``.env`` file, for example ``.env.local`` or ``dev.env``."""
    name = path.rpartition("/")[2]
    return name.startswith(".env") or name.endswith(".env")


WATCH: Final = CodeWatch()
"""The only `CodeWatch` of this process. ``import provml`` installs its hook."""
