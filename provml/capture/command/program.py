"""What a command line runs: the script, the interpreter, the name of it.

Found by looking at the words and at files, without running anything. Imports `content`, `secrets`.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from typing import Any, Final, NamedTuple

from provml.base.text import printable_path
from provml.collect.content import digest_file
from provml.collect.secrets import mask_argv
from provml.errors import InvalidArgumentError

_PYTHON: Final = re.compile(r"(python|pypy)[0-9.]*(t|d)?(-intel64)?(\.exe)?")
_WITH_VALUE: Final = ("-W", "-X", "--check-hash-based-pycs")
_INSTALLED: Final = ("site-packages", "dist-packages")


class Program(NamedTuple):
    """What a command runs."""

    command: list[str]
    """The words to execute."""
    name: str
    """The script's name without its ending, the module's, or the command's: no path."""
    script: str | None
    """The file that says what is done, where one can be told: Python, shell, notebook."""
    arguments: list[str]
    """What the script is given; of another command the words behind its name."""
    interpreter: str | None
    """The Python that runs it, as a path; None where it is none, or can't be told."""
    is_notebook: bool = False

    def describe(self) -> dict[str, Any]:
        """The facts for the run's start: masked command line, script and its digest, folder."""
        own = [self.command[0] if self.script is None else self.script, *self.arguments]
        facts: dict[str, Any] = {
            "argv": mask_argv(list(map(printable_path, own))),
            "command": mask_argv(list(map(printable_path, self.command))),
            "executable": _printable(shutil.which(self.command[0])),
            "folder": _folder(),
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
        """Whether it is run by the Python of this process, in the same environment."""
        return self.interpreter is not None and _same_python(self.interpreter)


def find_program(command: Sequence[str]) -> Program:
    """What the words of a command line run; costs a look at a few files.

    ``train.py`` that can't be executed is run by this Python, and so is ``train.ipynb``, by
    `provml.capture.command.notebook`. Raises InvalidArgumentError for a notebook with arguments.
    """
    words = list(command)
    if words[0].endswith(".py") and shutil.which(words[0]) is None:
        words.insert(0, sys.executable)
    if words[0].endswith(".ipynb") and shutil.which(words[0]) is None:
        return _notebook(words)
    first = os.path.basename(words[0])
    interpreter = _interpreter(words[0])
    if _PYTHON.fullmatch(first):
        found = _of_python(words)
        if found is not None:
            script, name, arguments = found
            return Program(words, name, script, arguments, interpreter)
    own = shutil.which(words[0])
    if own is not None and not _is_installed(own) and _is_script(own):
        return Program(words, _stem(own), own, words[1:], interpreter)
    for index, word in enumerate(words[1:], 1):
        if _is_script_named(word) and os.path.isfile(word):
            return Program(words, _stem(word), word, words[index + 1 :], interpreter)
    return Program(words, first or "command", None, words[1:], interpreter)


def _notebook(words: list[str]) -> Program:
    if len(words) > 1:
        raise InvalidArgumentError(f"a notebook takes no arguments: {' '.join(words)!r:.200}")
    run = [sys.executable, "-m", "provml.capture.command.notebook", *words]
    return Program(run, _stem(words[0]), words[0], words[1:], sys.executable, is_notebook=True)


def _of_python(words: list[str]) -> tuple[str | None, str, list[str]] | None:
    """Script, name and arguments of what Python is to run; None where another file says it."""
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
            return _module(module, words[index + 1 :])
        index += 2 if word in _WITH_VALUE else 1
    if index >= len(words) or words[index] == "-":
        return None, os.path.basename(words[0]), words[index + 1 :]
    script = words[index]
    if os.path.isdir(script):
        main = os.path.join(script, "__main__.py")
        return (main if os.path.isfile(main) else None), _stem(script), words[index + 1 :]
    return (script if os.path.isfile(script) else None), _stem(script), words[index + 1 :]


def _module(module: str, rest: list[str]) -> tuple[str | None, str, list[str]] | None:
    """The file of a module that ``python -m`` runs; None where an installed one runs a script."""
    path = _module_file(module)
    if path is None or _is_installed(path):
        if any(_is_script_named(word) and os.path.isfile(word) for word in rest):
            return None
        path = None
    return path, module.removesuffix(".__main__").rpartition(".")[2] or "python", rest


def _module_file(module: str) -> str | None:
    """Where a module's code is, found without importing the packages that it is in."""
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


def _interpreter(word: str) -> str | None:
    """The Python that runs a program: itself, or what the program's first line names."""
    path = shutil.which(word)
    if path is None:
        return None
    if _PYTHON.fullmatch(os.path.basename(word)):
        return path
    words = _first_line(path)
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if words and _PYTHON.fullmatch(os.path.basename(words[0])):
        return shutil.which(words[0])
    return None


def _first_line(path: str) -> list[str]:
    """The words of a ``#!`` line; none where there is no such line."""
    try:
        with open(path, "rb") as file:
            line = file.readline(1024)
    except OSError:
        return []
    return os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []


def _is_script(path: str) -> bool:
    return bool(_first_line(path))


def _is_script_named(word: str) -> bool:
    return word.endswith((".py", ".sh", ".bash", ".ipynb"))


def _is_installed(path: str) -> bool:
    """Whether a program or module is a package's, not of the user's own making."""
    full = os.path.abspath(path)
    prefixes = {sys.prefix, sys.base_prefix, "/usr", "/bin", "/sbin"}
    return any(part in full for part in _INSTALLED) or any(
        full.startswith(prefix.rstrip("/") + "/") for prefix in prefixes
    )


def _same_python(path: str) -> bool:
    """Whether a Python is this process's: the same file in the same environment."""
    try:
        same = os.path.samefile(path, sys.executable)
    except OSError:
        return False
    here, there = (os.path.dirname(os.path.abspath(one)) for one in (sys.executable, path))
    # a virtual environment is told from others by the folder that its Python stands in
    return same and (sys.prefix == sys.base_prefix or os.path.samefile(here, there))


def _stem(path: str) -> str:
    name = os.path.basename(os.path.abspath(path))
    return name.rpartition(".")[0] or name


def _folder() -> str | None:
    try:
        return printable_path(os.getcwd())
    except OSError:
        return None


def _printable(text: str | None) -> str | None:
    return None if text is None else printable_path(text)
