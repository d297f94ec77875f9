"""Decides whether to ignore a file that a process reads or writes.

These files are ignored:

- files in system folders, in the folders of Python and its packages, and in folders for temporary
  files
- hidden files in the home folder, and files in its hidden folders (``~/.cache``, ``~/.config``)
- files in the run's folder and in the store
- files in folders named ``site-packages``, ``dist-packages``, ``__pycache__``, ``.git``,
  ``.ipynb_checkpoints`` or ``.locks``
- Python bytecode
- source code and shared libraries that are only read

If an ignored folder contains the working folder, files in the working folder are still recorded.
Data and models in the hidden caches of Hugging Face, torch and Keras are not ignored either.

At the end of the run, `access_records` also skips everything that is not a regular file. If the
name of a file suggests that it contains secrets (`secrets.is_secret_file`), `access_records`
records only the name.

Imports nothing else from provml.
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
"""Folders below the home folder. Their files are not ignored, although the folders are hidden."""
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
        within: the prefixes of ignored paths inside the working folder.
        beside: the prefixes of ignored paths outside the working folder.
        kept: the prefixes of paths that are not ignored, even if one of the prefixes above matches.
    """

    folder: str
    within: tuple[str, ...]
    beside: tuple[str, ...]
    kept: tuple[str, ...]

    @classmethod
    def for_this_process(cls, run_folder: str, working_folder: str) -> IgnoreRules:
        """Create the rules for this process.

        Args:
            run_folder: the run's folder.
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
        """Create the rules from text that the `text` method returned.

        Raises:
            ValueError, TypeError: the text did not come from the `text` method.
        """
        folder, *lists = json.loads(text)
        within, beside, kept = (tuple(map(str, names)) for names in lists)
        return cls(str(folder), within, beside, kept)

    def text(self) -> str:
        """Return the rules as one line of JSON, so that another process can apply them."""
        return json.dumps([self.folder, self.within, self.beside, self.kept])

    def ignores(self, path: str, writing: bool = False) -> bool:
        """Return whether a file is ignored. Costs about a microsecond.

        Args:
            path: an absolute, normalized path.
            writing: whether the file is opened for writing.
        """
        beginnings = self.within if path.startswith(self.folder) else self.beside
        if path.startswith(beginnings) and not path.startswith(self.kept):
            return True
        if path.endswith(_BYTECODE_SUFFIXES if writing else _CODE_SUFFIXES):
            return True
        # each of _IGNORED_NAMES contains one of these strings, but few paths do: check them first
        if "/." in path or "-packages/" in path or "__pycache__/" in path:
            return any(part in path for part in _IGNORED_NAMES)
        return False


def _with_slash(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _find_temporary_folders() -> list[str]:
    """List the folders for temporary files, without `tempfile`, which would create a file."""
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    folders = [folder for folder in named if folder and folder.strip("/")] + list(TEMPORARY_FOLDERS)
    return [own for folder in folders for own in {os.path.abspath(folder), _resolve_folder(folder)}]


def _find_python_folders() -> list[str]:
    """List the folders of Python itself. Package folders are already ignored by name."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    folders = {prefix for prefix in prefixes if prefix.strip("/")} | {os.path.dirname(os.__file__)}
    return [own for folder in folders for own in {folder, _resolve_folder(folder)}]


def _resolve_folder(folder: str) -> str:
    return os.path.realpath(folder)
