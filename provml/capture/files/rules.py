"""Which files are left out of what a process reads and writes: all of the rules.

Left out are

- what lies in a folder of the system, of Python and its packages, of temporary files, in a hidden
  folder of the home folder (``~/.cache``, ``~/.config``), in the run's own folder and its store.
  A folder that holds the working folder does not count for what is in the working folder;
- what lies in a folder named ``site-packages``, ``dist-packages``, ``__pycache__``, ``.git`` or
  ``.ipynb_checkpoints``;
- Python's bytecode, and, where they are read, source files and shared libraries: that is code;
- what is no file when the run ends, or no regular one: folders, pipes, sockets, devices.

Kept though hidden: the data and models in the caches of Hugging Face, torch and Keras. Of a file
whose name says that it holds secrets (`source.SECRET_FILES`) the name alone is recorded.

Imports nothing of provml.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from typing import Final

SYSTEM: Final = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys"),
    *("/usr", "/nix", "/snap", "/run/lock", "/run/secrets", "/run/systemd", "/run/user"),
    *("/var/cache", "/var/lib", "/var/log", "/var/run"),
    *("/Library", "/System", "/private/etc", "/private/var/db"),
)
TEMPORARY: Final = ("/tmp", "/var/tmp", "/usr/tmp")
KEPT: Final = (
    *(".cache/huggingface/hub", ".cache/huggingface/datasets", ".cache/torch/hub"),
    *(".keras/datasets", ".keras/models"),
)
"""Of what is hidden in the home folder."""
_CODE: Final = (".py", ".pyc", ".pyo", ".pyi", ".so", ".pyd", ".dylib", ".dll")
_BYTECODE: Final = (".pyc", ".pyo")
_HIDDEN: Final = ("/.git/", "/.ipynb_checkpoints/", "/.locks/")


class Rules:
    """The rules as they are for one process: where its Python, its home and its folder are."""

    def __init__(self, run_folder: str, working_folder: str) -> None:
        """Find this process's folders.

        Args:
            run_folder: the run's.
            working_folder: in which the process started.
        """
        self._folder = _ended(working_folder)
        home = os.path.expanduser("~")
        store = os.path.dirname(os.path.dirname(run_folder))
        folders = {_ended(folder) for folder in (*SYSTEM, *_temporary(), *_python())}
        folders |= {_ended(run_folder), _ended(os.path.realpath(run_folder))}
        if store != "/":
            folders |= {_ended(store), _ended(os.path.realpath(store))}
        hidden = set()
        if home not in ("/", "~"):
            hidden = {_ended(home) + ".", _ended(os.path.realpath(home)) + "."}
        self._kept = tuple(f"{prefix[:-1]}{kept}/" for prefix in sorted(hidden) for kept in KEPT)
        folders |= hidden
        self._around = tuple(sorted(f for f in folders if self._folder.startswith(f)))
        self._beside = tuple(sorted(f for f in folders if f not in self._around))

    def leave_out(self, path: str, writing: bool = False) -> bool:
        """Whether a file is left out; costs less than half a microsecond.

        Args:
            path: absolute, normal.
            writing: it is opened to be written.
        """
        if path.startswith(self._beside):
            return not path.startswith(self._kept)
        if (
            self._around
            and path.startswith(self._around)
            and not path.startswith((self._folder, *self._kept))
        ):
            return True
        if path.endswith(_BYTECODE if writing else _CODE):
            return True
        if "-packages/" in path and ("/site-packages/" in path or "/dist-packages/" in path):
            return True
        if "__pycache__" in path and "/__pycache__/" in path:
            return True
        return "/." in path and any(part in path for part in _HIDDEN)


def _ended(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _temporary() -> list[str]:
    """Where temporary files go; `tempfile.gettempdir` would make one to find out."""
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    folders = [folder for folder in named if folder and folder.strip("/")] + list(TEMPORARY)
    return [own for folder in folders for own in {os.path.abspath(folder), _real(folder)}]


def _python() -> list[str]:
    """Where Python and its packages are."""
    names = ("stdlib", "platstdlib", "purelib", "platlib", "include", "scripts")
    folders = {sysconfig.get_path(name) for name in names}
    folders |= set(site.getsitepackages()) | {site.getusersitepackages()}
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    folders |= {prefix for prefix in prefixes if prefix.strip("/")}
    return [own for folder in folders if folder for own in {folder, _real(folder)}]


def _real(folder: str) -> str:
    return os.path.realpath(folder)
