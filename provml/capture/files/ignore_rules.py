"""Decides which of the files that a process reads and writes are ignored.

Ignored are

- files in the folders of the system, of Python and its packages, and of temporary files; in hidden
  folders of the home folder (``~/.cache``, ``~/.config``); in the run's folder and the store. If
  such a folder contains the working folder, it does not count for the files in the working folder
- files in folders named ``site-packages``, ``dist-packages``, ``__pycache__``, ``.git`` or
  ``.ipynb_checkpoints``
- Python bytecode; and of the files that are read, source code and shared libraries
- at the end of the run: paths without a regular file, such as folders, pipes, sockets and devices

Not ignored, although hidden: data and models in the caches of Hugging Face, torch and Keras. If a
file's name says that it holds secrets (`source.SECRET_FILES`), only the name is recorded.

Imports nothing of provml.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Final, NamedTuple

SYSTEM_FOLDERS: Final = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys"),
    *("/usr", "/nix", "/snap", "/run/lock", "/run/secrets", "/run/systemd", "/run/user"),
    *("/var/cache", "/var/lib", "/var/log", "/var/run"),
    *("/Library", "/System", "/private/etc", "/private/var/db"),
)
TEMPORARY_FOLDERS: Final = ("/tmp", "/var/tmp", "/usr/tmp")
KEPT_FOLDERS: Final = (
    *(".cache/huggingface/hub", ".cache/huggingface/datasets", ".cache/torch/hub"),
    *(".keras/datasets", ".keras/models"),
)
"""Hidden folders in the home folder that are not ignored."""
_CODE_SUFFIXES: Final = (".py", ".pyc", ".pyo", ".pyi", ".so", ".pyd", ".dylib", ".dll")
_BYTECODE_SUFFIXES: Final = (".pyc", ".pyo")
_IGNORED_NAMES: Final = (
    *("/site-packages/", "/dist-packages/", "/__pycache__/"),
    *("/.git/", "/.ipynb_checkpoints/", "/.locks/"),
)


class IgnoreRules(NamedTuple):
    """The rules for one process, which depend on its Python, home folder and working folder.

    Attributes:
        folder: the working folder.
        within: the beginnings of ignored paths in the working folder.
        beside: the beginnings of ignored paths anywhere else.
        kept: the beginnings of paths that are not ignored after all.
    """

    folder: str
    within: tuple[str, ...]
    beside: tuple[str, ...]
    kept: tuple[str, ...]

    @classmethod
    def for_this_process(cls, run_folder: str, working_folder: str) -> IgnoreRules:
        """Create the rules for this process.

        Args:
            run_folder: the folder of the run.
            working_folder: the folder in which the process started.
        """
        working = _with_slash(working_folder)
        home = os.path.expanduser("~")
        store = os.path.dirname(os.path.dirname(run_folder))
        folders = {
            _with_slash(folder)
            for folder in (*SYSTEM_FOLDERS, *_find_temporary_folders(), *_find_python_folders())
        }
        folders |= {_with_slash(run_folder), _with_slash(os.path.realpath(run_folder))}
        if store != "/":
            folders |= {_with_slash(store), _with_slash(os.path.realpath(store))}
        hidden = set()
        if home not in ("/", "~"):
            hidden = {_with_slash(home) + ".", _with_slash(os.path.realpath(home)) + "."}
        kept = tuple(f"{prefix[:-1]}{name}/" for prefix in sorted(hidden) for name in KEPT_FOLDERS)
        folders |= hidden
        within = tuple(sorted(f for f in folders if f.startswith(working) and f != working))
        return cls(working, within, tuple(sorted(folders)), kept)

    @classmethod
    def from_text(cls, text: str) -> IgnoreRules:
        """Read what `text` returned.

        Raises:
            ValueError, TypeError: the text is something else.
        """
        folder, *lists = json.loads(text)
        within, beside, kept = (tuple(map(str, names)) for names in lists)
        return cls(str(folder), within, beside, kept)

    def text(self) -> str:
        """Return the rules as a line of text, so that another process can apply them."""
        return json.dumps([self.folder, self.within, self.beside, self.kept])

    def ignores(self, path: str, writing: bool = False) -> bool:
        """Whether a file is ignored. Costs a microsecond.

        Args:
            path: an absolute, normalized path.
            writing: whether the file is opened for writing.
        """
        beginnings = self.within if path.startswith(self.folder) else self.beside
        if path.startswith(beginnings) and not path.startswith(self.kept):
            return True
        if path.endswith(_BYTECODE_SUFFIXES if writing else _CODE_SUFFIXES):
            return True
        # a quick test first: each of _IGNORED_NAMES contains one of these, few other paths do
        if "/." in path or "-packages/" in path or "__pycache__/" in path:
            return any(part in path for part in _IGNORED_NAMES)
        return False


def _with_slash(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _find_temporary_folders() -> list[str]:
    """List the folders of temporary files; `tempfile.gettempdir` would create a file there."""
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    folders = [folder for folder in named if folder and folder.strip("/")] + list(TEMPORARY_FOLDERS)
    return [own for folder in folders for own in {os.path.abspath(folder), _resolve_folder(folder)}]


def _find_python_folders() -> list[str]:
    """List the folders of Python itself. Those of packages are recognised by their names."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    folders = {prefix for prefix in prefixes if prefix.strip("/")} | {os.path.dirname(os.__file__)}
    return [own for folder in folders for own in {folder, _resolve_folder(folder)}]


def _resolve_folder(folder: str) -> str:
    return os.path.realpath(folder)
