"""Finds the script that a command line runs, the script's name, and the Python that runs it.

The functions read the command line and the files that it names, but start no process.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from typing import Any, Final, NamedTuple

from provml.base.executables import find_executable
from provml.base.text import printable_path
from provml.collect.content import digest_file
from provml.collect.secrets import mask_argv
from provml.errors import InvalidArgumentError

_PYTHON_NAME: Final = re.compile(r"(python|pypy)[0-9.]*(t|d)?(-intel64)?(\.exe)?")
_OPTIONS_WITH_VALUE: Final = ("-W", "-X", "--check-hash-based-pycs")
_PACKAGE_FOLDERS: Final = ("site-packages", "dist-packages")


class Program(NamedTuple):
    """The program that a command line runs."""

    command: list[str]
    """The command line to execute."""
    name: str
    """The name of the script (without its extension), module or command."""
    script: str | None
    """The Python file, shell script or notebook that the command runs; None if not found."""
    arguments: list[str]
    """The arguments of the script, or of the command if no script was found."""
    interpreter: str | None
    """The path of the Python that runs the program; None if no Python runs it, or if the path is
    unknown."""
    is_notebook: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the facts to record when the run starts, such as the command line.

        Masks secrets in the command line. Reads the script once, to compute its digest.
        """
        own = [self.command[0] if self.script is None else self.script, *self.arguments]
        command = own if self.is_notebook else self.command
        facts: dict[str, Any] = {
            "argv": mask_argv(list(map(printable_path, own))),
            "command": mask_argv(list(map(printable_path, command))),
            "executable": _printable_or_none(find_executable(self.command[0])),
            "folder": _working_folder_text(),
            "script": None,
        }
        if self.runs_here:
            facts["python"] = sys.version.split()[0]
            facts["implementation"] = sys.implementation.name
        if self.script is not None:
            path = os.path.abspath(self.script)
            facts["script"] = {"kind": "file", "path": printable_path(path)}
            try:
                facts["script"] |= digest_file(path)
            except OSError as error:
                facts["script"]["unread"] = str(error)
        return facts

    @property
    def runs_here(self) -> bool:
        """Whether the Python of this process runs the program, in the same environment."""
        return self.interpreter is not None and _is_this_python(self.interpreter)


def find_program(command: Sequence[str]) -> Program:
    """Return the program that a command line runs. Looks at a few files, but starts no process.

    If the command line starts with a ``.py`` or ``.ipynb`` file that is not executable, the Python
    of this process runs the file; notebooks run through `provml.capture.command.notebook`.

    Raises:
        InvalidArgumentError: the command line passes arguments to a notebook.
    """
    words = list(command)
    if words[0].endswith(".py") and find_executable(words[0]) is None:
        words.insert(0, sys.executable)
    if words[0].endswith(".ipynb") and find_executable(words[0]) is None:
        return _notebook_program(words)
    first = os.path.basename(words[0])
    interpreter = _find_interpreter(words[0])
    if _PYTHON_NAME.fullmatch(first):
        found = _parse_python_arguments(words)
        if found is not None:
            script, name, arguments = found
            return Program(words, name, script, arguments, interpreter)
    own = find_executable(words[0])
    if own is not None and not _is_installed(own) and _has_shebang(own):
        return Program(words, _base_name(own), own, words[1:], interpreter)
    for index, word in enumerate(words[1:], 1):
        if _has_script_suffix(word) and os.path.isfile(word):
            return Program(words, _base_name(word), word, words[index + 1 :], interpreter)
    return Program(words, first or "command", None, words[1:], interpreter)


def _notebook_program(words: list[str]) -> Program:
    if len(words) > 1:
        raise InvalidArgumentError(
            "a notebook can't take arguments: remove everything after the notebook's name in the "
            f"command {' '.join(words)!r:.200}"
        )
    run = [sys.executable, "-m", "provml.capture.command.notebook", *words]
    return Program(run, _base_name(words[0]), words[0], words[1:], sys.executable, is_notebook=True)


def _parse_python_arguments(words: list[str]) -> tuple[str | None, str, list[str]] | None:
    """Return the script, name and arguments of a Python command line.

    Returns None if Python runs an installed tool that in turn runs a script, for example
    ``python -m torch.distributed.run train.py``.
    """
    index = 1
    while index < len(words):
        word = words[index]
        if word in ("-", "--") or not word.startswith("-"):
            break
        if word == "-c" or (word[1] != "-" and "c" in word and word[1] not in "mWX"):
            return None, os.path.basename(words[0]), words[index + 1 :]
        if word.startswith("-m") or (word[1] not in "-WX" and word.endswith("m")):
            module = word[2:] if word.startswith("-m") and len(word) > 2 else None
            if module is None:
                index += 1
                module = words[index] if index < len(words) else ""
            return _find_module_script(module, words[index + 1 :])
        index += 2 if word in _OPTIONS_WITH_VALUE else 1
    if index >= len(words) or words[index] == "-":
        return None, os.path.basename(words[0]), words[index + 1 :]
    script = words[index]
    if os.path.isdir(script):
        main = os.path.join(script, "__main__.py")
        return (main if os.path.isfile(main) else None), _base_name(script), words[index + 1 :]
    return (script if os.path.isfile(script) else None), _base_name(script), words[index + 1 :]


def _find_module_script(module: str, rest: list[str]) -> tuple[str | None, str, list[str]] | None:
    """Return the script, name and arguments of a ``python -m`` command line.

    Returns None if the module is an installed tool that in turn runs a script.
    """
    path = _find_module_file(module)
    if path is None or _is_installed(path):
        if any(_has_script_suffix(word) and os.path.isfile(word) for word in rest):
            return None
        path = None
    return path, module.removesuffix(".__main__").rpartition(".")[2] or "python", rest


def _find_module_file(module: str) -> str | None:
    """Return the path of the file that ``python -m`` runs for a module; None if no file is found.

    Does not import the packages that contain the module.
    """
    places: Sequence[str] | None = [os.curdir, *sys.path]
    spec = None
    for part in module.split("."):
        try:
            spec = PathFinder.find_spec(part, places)
        except (ImportError, ValueError, OSError):
            return None
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    if spec is not None and places:
        spec = PathFinder.find_spec("__main__", places)
    origin = None if spec is None else spec.origin
    return os.path.abspath(origin) if origin is not None and origin.endswith(".py") else None


def _find_interpreter(word: str) -> str | None:
    """Return the path of the Python that runs a program; None if no Python does.

    Reads the program's ``#!`` line.
    """
    path = find_executable(word)
    if path is None:
        return None
    if _PYTHON_NAME.fullmatch(os.path.basename(word)):
        return path
    words = _read_shebang(path)
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if words and _PYTHON_NAME.fullmatch(os.path.basename(words[0])):
        return find_executable(words[0])
    return None


def _read_shebang(path: str) -> list[str]:
    """Return the words of a file's ``#!`` line; an empty list if the file has no such line."""
    try:
        with open(path, "rb") as file:
            line = file.readline(1024)
    except OSError:
        return []
    return os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []


def _has_shebang(path: str) -> bool:
    return bool(_read_shebang(path))


def _has_script_suffix(word: str) -> bool:
    return word.endswith((".py", ".sh", ".bash", ".ipynb"))


def _is_installed(path: str) -> bool:
    """Return whether a file belongs to Python, the system or an installed package."""
    full = os.path.abspath(path)
    prefixes = {sys.prefix, sys.base_prefix, "/usr", "/bin", "/sbin"}
    return any(part in full for part in _PACKAGE_FOLDERS) or any(
        full.startswith(prefix.rstrip("/") + "/") for prefix in prefixes
    )


def _is_this_python(path: str) -> bool:
    """Return whether a path leads to the Python of this process, in the same environment."""
    try:
        same = os.path.samefile(path, sys.executable)
    except OSError:
        return False
    here, there = (os.path.dirname(os.path.abspath(one)) for one in (sys.executable, path))
    # virtual environments share one Python file, but each links to it from its own folder
    return same and (sys.prefix == sys.base_prefix or os.path.samefile(here, there))


def _base_name(path: str) -> str:
    name = os.path.basename(os.path.abspath(path))
    return name.rpartition(".")[0] or name


def _working_folder_text() -> str | None:
    try:
        return printable_path(os.getcwd())
    except OSError:
        return None


def _printable_or_none(text: str | None) -> str | None:
    return None if text is None else printable_path(text)
