"""Decides whether to leave out a file that a process reads or writes.

These files are left out:

- files in system folders, and in the folders of Python and its packages
- hidden files in the home folder, and files in its hidden folders (``~/.cache``, ``~/.config``)
- files in the run's folder and in the store
- files in folders named ``site-packages``, ``dist-packages``, ``node_modules``, ``__pycache__``,
  ``.git``, ``.ipynb_checkpoints`` or ``.locks``
- hidden files, and the caches and sockets of well-known programs, in folders for temporary files
- Python bytecode
- Python source code and shared libraries that are only read

If one of these folders contains the working folder, files in the working folder are still recorded.
Data and models in the hidden caches of Hugging Face, torch and Keras are not left out either.

The user's patterns come first: a path that matches `exclude` is left out, and any other path that
matches `include` is recorded. `compile_pattern` describes the patterns.

At the end of the run, `access_records` also skips everything that is not a regular file. If the
name of a file suggests that it contains secrets (`secrets.is_secret_file`), `access_records`
records only the name.

Imports nothing else from provml.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

SYSTEM_FOLDERS: Final = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys"),
    *("/usr", "/nix", "/snap", "/run/lock", "/run/secrets", "/run/systemd", "/run/user"),
    *("/var/cache", "/var/lib", "/var/log", "/var/run", "/opt/intel", "/opt/nvidia", "/opt/rocm"),
    *("/Library", "/System", "/private/etc", "/private/var/db"),
)
TEMPORARY_FOLDERS: Final = ("/tmp", "/var/tmp", "/usr/tmp")
TEMPORARY_NAMES: Final = (
    *(".", "torchinductor_", "pymp-", "matplotlib-", "hsperfdata_", "jieba.cache"),
    *("ray/", "ssh-", "snap-private-tmp/", "systemd-private-", "node-compile-cache/", "tmux-"),
)
"""Prefixes of names that are ignored in folders for temporary files: those of hidden files, and of
the caches and sockets of programs."""
SHARED_MEMORY: Final = "/dev/shm/"
_SHARED_MEMORY_NAME: Final = re.compile(
    r"(torch_|psm_|wnsm_|sem\.|nccl-|cuda\.|pymp-|__KMP|vader_|sm_segment|ucx_|osc_|\.)"
)
"""Matches the start of the names in ``/dev/shm`` that libraries use to share memory."""
KEPT_FOLDERS: Final = (
    *(".cache/huggingface/hub", ".cache/huggingface/datasets", ".cache/torch/hub"),
    *(".keras/datasets", ".keras/models"),
)
"""Hidden folders of data and models, relative to the home folder. Their files are not ignored."""
_CODE_SUFFIXES: Final = (".py", ".pyc", ".pyo", ".pyi", ".so", ".pyd", ".dylib", ".dll")
_BYTECODE_SUFFIXES: Final = (".pyc", ".pyo")
_LIBRARY_VERSION: Final = re.compile(r"\.so(\.\d+)+$")
_IGNORED_NAMES: Final = (
    *("/site-packages/", "/dist-packages/", "/__pycache__/", "/node_modules/"),
    *("/.git/", "/.ipynb_checkpoints/", "/.locks/"),
)

_MAX_CROSSINGS: Final = 2

STORE: Final = "the store"
SYSTEM: Final = "system folders"
PYTHON: Final = "Python and its packages"
HIDDEN: Final = "hidden files of the home folder"
TEMPORARY: Final = "temporary files of programs"
CODE: Final = "source code and libraries"
VERSION_CONTROL: Final = "version control and checkpoints of notebooks"
EXCLUDED: Final = "excluded by a pattern"
OTHER: Final = "other ignored folders"
OVERRIDABLE: Final = frozenset({HIDDEN, TEMPORARY})
"""The reasons that do not apply to a path that the command line names."""


class IgnoreRules(NamedTuple):
    """The ignore rules for one process.

    The rules depend on the Python, the home folder and the working folder of the process.

    Attributes:
        folder: the working folder.
        within: the prefixes of ignored paths inside the working folder.
        beside: the prefixes of ignored paths outside the working folder.
        kept: the prefixes of paths to which ``within`` and ``beside`` do not apply.
        include: patterns of paths that are not ignored unless they match ``exclude``; see
            `compile_pattern`.
        exclude: patterns of paths that are always ignored.
        reasons: the reasons to ignore a path, each with the prefixes of the paths that are ignored
            for this reason.
    """

    folder: str
    within: tuple[str, ...]
    beside: tuple[str, ...]
    kept: tuple[str, ...]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    reasons: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def for_this_process(
        cls,
        run_folder: str,
        working_folder: str,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        interpreter: str | None = None,
    ) -> IgnoreRules:
        """Create the rules for this process.

        Args:
            run_folder: the run's folder.
            working_folder: the folder in which the process started.
            include: patterns of paths that are not ignored unless they match ``exclude``.
            exclude: patterns of paths that are always ignored.
            interpreter: the path of another Python interpreter, whose folders are ignored too.
        """
        working = _with_slash(working_folder)
        home = os.path.expanduser("~")
        store = os.path.dirname(os.path.dirname(run_folder))
        stores = [run_folder] if store == "/" else [run_folder, store]
        hidden = set()
        if home not in ("/", "~"):
            hidden = {_with_slash(home) + ".", _with_slash(os.path.realpath(home)) + "."}
        reasons = {
            STORE: {_with_slash(own) for one in stores for own in (one, _resolve_folder(one))},
            HIDDEN: hidden,
            TEMPORARY: {
                _with_slash(folder) + name
                for folder in _find_temporary_folders()
                for name in TEMPORARY_NAMES
            },
            PYTHON: {_with_slash(folder) for folder in _find_python_folders(interpreter)},
            SYSTEM: {_with_slash(folder) for folder in SYSTEM_FOLDERS},
        }
        kept = tuple(f"{prefix[:-1]}{name}/" for prefix in sorted(hidden) for name in KEPT_FOLDERS)
        folders = set().union(*reasons.values())
        within = tuple(sorted(f for f in folders if f.startswith(working) and f != working))
        return cls(
            working,
            within,
            tuple(sorted(folders)),
            (*kept, SHARED_MEMORY),
            tuple(include),
            tuple(exclude),
            tuple((reason, tuple(sorted(own))) for reason, own in reasons.items()),
        )

    @classmethod
    def from_text(cls, text: str) -> IgnoreRules:
        """Create the rules from a text that the `text` method returned.

        Raises:
            ValueError, TypeError: the text does not have the form that the `text` method returns.
        """
        folder, *others = json.loads(text)
        within, beside, kept = (tuple(map(str, names)) for names in others[:3])
        patterns, reasons = others[3:5] or ((), ()), others[5:] or [()]
        include, exclude = (tuple(map(str, own)) for own in patterns)
        _compile_patterns(include + exclude)
        named = tuple((str(reason), tuple(map(str, own))) for reason, own in reasons[0])
        return cls(str(folder), within, beside, kept, include, exclude, named)

    def text(self) -> str:
        """Return the rules as one line of JSON, so that another process can apply them."""
        return json.dumps(list(self))

    def ignores(self, path: str, writing: bool = False) -> bool:
        """Return whether a file is left out. Costs about a microsecond.

        Args:
            path: an absolute, normalized path.
            writing: whether the file is opened for writing.
        """
        if self.exclude and _compile_patterns(self.exclude).search(path):
            return True
        if self.include and _compile_patterns(self.include).search(path):
            return False
        beginnings = self.within if path.startswith(self.folder) else self.beside
        if path.startswith(beginnings) and not path.startswith(self.kept):
            return True
        if path.endswith(_BYTECODE_SUFFIXES if writing else _CODE_SUFFIXES):
            return True
        # each of _IGNORED_NAMES contains one of these strings, but few paths do: check them first
        is_special = "/." in path or "-packages/" in path or "__pycache__/" in path
        if (is_special or "/node_m" in path) and any(part in path for part in _IGNORED_NAMES):
            return True
        if path.startswith(SHARED_MEMORY):
            return bool(_SHARED_MEMORY_NAME.match(path, len(SHARED_MEMORY)))
        return not writing and ".so." in path and bool(_LIBRARY_VERSION.search(path))

    def find_reason(self, path: str, writing: bool = False) -> str | None:
        """Return the reason why a file is left out, such as `SYSTEM`; None if it is not left out.

        For the arguments, see `ignores`.
        """
        if not self.ignores(path, writing):
            return None
        if self.exclude and _compile_patterns(self.exclude).search(path):
            return EXCLUDED
        if "/.git/" in path or "/.ipynb_checkpoints/" in path:
            return VERSION_CONTROL
        if path.startswith(SHARED_MEMORY):
            return TEMPORARY
        if not path.startswith(self.folder) or path.startswith(self.within):
            for reason, beginnings in self.reasons:
                if path.startswith(beginnings):
                    return reason
        if any(part in path for part in _IGNORED_NAMES) or path.endswith(_BYTECODE_SUFFIXES):
            return PYTHON if "/node_modules/" not in path else CODE
        if path.endswith(_CODE_SUFFIXES) or _LIBRARY_VERSION.search(path):
            return CODE
        return OTHER


def compile_pattern(pattern: str) -> str:
    """Convert a path pattern, written as in ``.gitignore``, to a regular expression.

    ``*`` and ``?`` match within one name, and ``**`` matches across folders. A pattern that begins
    with ``/`` or ``~`` matches a whole path; any other pattern matches anywhere in a path. A
    pattern that matches a folder also matches the files in it.

    >>> bool(re.search(compile_pattern("*.log"), "/work/logs/a.log"))
    True
    >>> bool(re.search(compile_pattern("logs/*.txt"), "/work/logs/deep/a.txt"))
    False

    Raises:
        ValueError: the pattern is empty, or contains ``**`` more than twice.
    """
    text = os.path.expanduser(pattern).removeprefix("./").rstrip("/")
    if not text or text.count("**") > _MAX_CROSSINGS or "\0" in text:
        raise ValueError(
            f"invalid path pattern {pattern!r:.200}: a pattern must not be empty, and may contain "
            "** at most twice"
        )
    made = "/".join(_compile_name(name) for name in text.split("/"))
    made = made.replace(".*/", "(?:.*/)?")
    return f"{'^' if text.startswith('/') else '/'}{made}(?:/|$)"


def _compile_name(name: str) -> str:
    """Return the regular expression for the part of a pattern between two slashes."""
    if "**" in name:
        return ".*".join(_compile_name(part) if part else "" for part in name.split("**"))
    first, *others = (_compile_text(part) for part in re.split(r"\*+", name))
    # like `fnmatch`, use groups that never backtrack, so that every pattern matches fast
    inner = "".join(f"(?>[^/]*?{part})" for part in others[:-1])
    return first + inner + (f"[^/]*{others[-1]}" if others else "")


def _compile_text(text: str) -> str:
    """Return the regular expression for a part of a name that contains no ``*``."""
    parts = re.split(r"(\?|\[[^\]]+\])", text)
    return "".join(
        "[^/]" if part == "?" else _compile_class(part) if part[:1] == "[" else re.escape(part)
        for part in parts
    )


def _compile_class(text: str) -> str:
    inner = text[1:-1]
    if len(text) < 3 or not inner.lstrip("!^"):
        return re.escape(text)
    own = re.sub(r"([\\\[&~|^])", r"\\\1", inner.lstrip("!^"))
    return f"[{'^/' if inner[0] in '!^' else ''}{own}]"


@functools.lru_cache(maxsize=16)
def _compile_patterns(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return a regular expression that matches every path that one of the patterns matches.

    Raises ValueError if a pattern is invalid.
    """
    try:
        return re.compile("|".join(map(compile_pattern, patterns)))
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"invalid path pattern: {error}") from None


def _with_slash(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _find_temporary_folders() -> list[str]:
    """List the folders for temporary files. `tempfile` is not used: it would create a file."""
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    folders = [folder for folder in named if folder and folder.strip("/")] + list(TEMPORARY_FOLDERS)
    return [own for folder in folders for own in {os.path.abspath(folder), _resolve_folder(folder)}]


def _find_python_folders(interpreter: str | None = None) -> list[str]:
    """List the folders of Python itself. Other rules ignore package folders, by their names.

    Args:
        interpreter: the path of another Python interpreter, whose folders are listed too.
    """
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    if interpreter is not None:
        for path in (os.path.abspath(interpreter), os.path.realpath(interpreter)):
            prefix = os.path.dirname(os.path.dirname(path))
            if _contains_python(prefix):
                prefixes.add(prefix)
    folders = {prefix for prefix in prefixes if prefix.strip("/")} | {os.path.dirname(os.__file__)}
    return [own for folder in folders for own in {folder, _resolve_folder(folder)}]


def _contains_python(prefix: str) -> bool:
    try:
        names = os.listdir(os.path.join(prefix, "lib"))
    except OSError:
        return False
    return any(name.startswith("python") for name in names)


def _resolve_folder(folder: str) -> str:
    return os.path.realpath(folder)
