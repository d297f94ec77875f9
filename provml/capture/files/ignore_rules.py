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

import json
import os
import sys
from typing import Final, NamedTuple

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
_NAMED: Final = (
    *("/site-packages/", "/dist-packages/", "/__pycache__/"),
    *("/.git/", "/.ipynb_checkpoints/", "/.locks/"),
)


class Rules(NamedTuple):
    """The rules as they are for one process: where its Python, its home and its folder are.

    Attributes:
        folder: the working folder.
        within, beside: what is left out, in the working folder and elsewhere, by the beginning of
            its path.
        kept: what is kept of that.
    """

    folder: str
    within: tuple[str, ...]
    beside: tuple[str, ...]
    kept: tuple[str, ...]

    @classmethod
    def of_process(cls, run_folder: str, working_folder: str) -> Rules:
        """Find this process's folders.

        Args:
            run_folder: the run's.
            working_folder: in which the process started.
        """
        working = _ended(working_folder)
        home = os.path.expanduser("~")
        store = os.path.dirname(os.path.dirname(run_folder))
        folders = {_ended(folder) for folder in (*SYSTEM, *_temporary(), *_python())}
        folders |= {_ended(run_folder), _ended(os.path.realpath(run_folder))}
        if store != "/":
            folders |= {_ended(store), _ended(os.path.realpath(store))}
        hidden = set()
        if home not in ("/", "~"):
            hidden = {_ended(home) + ".", _ended(os.path.realpath(home)) + "."}
        kept = tuple(f"{prefix[:-1]}{name}/" for prefix in sorted(hidden) for name in KEPT)
        folders |= hidden
        within = tuple(sorted(f for f in folders if f.startswith(working) and f != working))
        return cls(working, within, tuple(sorted(folders)), kept)

    @classmethod
    def from_text(cls, text: str) -> Rules:
        """What `text` gave. Raises ValueError, TypeError for what is none of it."""
        folder, *lists = json.loads(text)
        within, beside, kept = (tuple(map(str, names)) for names in lists)
        return cls(str(folder), within, beside, kept)

    def text(self) -> str:
        """The rules as a line of text, for another process to follow."""
        return json.dumps([self.folder, self.within, self.beside, self.kept])

    def leave_out(self, path: str, writing: bool = False) -> bool:
        """Whether a file is left out; costs a microsecond.

        Args:
            path: absolute, normal.
            writing: it is opened to be written.
        """
        beginnings = self.within if path.startswith(self.folder) else self.beside
        if path.startswith(beginnings) and not path.startswith(self.kept):
            return True
        if path.endswith(_BYTECODE if writing else _CODE):
            return True
        # each of _NAMED has one of these, and few other paths do
        if "/." in path or "-packages/" in path or "__pycache__/" in path:
            return any(part in path for part in _NAMED)
        return False


def _ended(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _temporary() -> list[str]:
    """Where temporary files go; `tempfile.gettempdir` would make one to find out."""
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    folders = [folder for folder in named if folder and folder.strip("/")] + list(TEMPORARY)
    return [own for folder in folders for own in {os.path.abspath(folder), _real(folder)}]


def _python() -> list[str]:
    """Where Python is; its packages are in folders that say so by their names."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    folders = {prefix for prefix in prefixes if prefix.strip("/")} | {os.path.dirname(os.__file__)}
    return [own for folder in folders for own in {folder, _real(folder)}]


def _real(folder: str) -> str:
    return os.path.realpath(folder)
