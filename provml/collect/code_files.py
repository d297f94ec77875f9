"""Decides which files are the user's own code and configuration, and reads and copies them.

`ProjectFiles` tells the user's files from those of Python, installed packages and the system.
`read_code_file` reads a file as soon as it is known, so that a later change can't replace what the
run used. `CodeFolder` writes the copies, with secrets masked.

Imports `code_watch`, `content`, `known_contents`, `secrets`, `user_files`, `base` and
`journal.layout` from provml.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from provml.base import store_files
from provml.base.store_files import OpenFolder
from provml.base.text import printable_path
from provml.collect.code_watch import (
    CONFIGURATION_SUFFIXES,
    SOURCE_SUFFIXES,
    find_suffix,
    is_env_file,
)
from provml.collect.content import COPY_LIMIT_BYTES
from provml.collect.known_contents import KNOWN_CONTENTS
from provml.collect.positional_secrets import mask_positional_secrets
from provml.collect.secrets import MASK, is_secret_file, mask_bytes
from provml.collect.user_files import CHANGED_WHILE_HASHED, file_state, open_user_file
from provml.journal import layout

Facts = dict[str, Any]

SOURCE_CODE: Final = "source code"
CONFIGURATION: Final = "configuration"
IMPORTED: Final = "imported"
EXECUTED: Final = "executed"
OPENED: Final = "opened"
COMMAND_LINE: Final = "command line"
NOTEBOOK: Final = "notebook"

MAX_FILE_BYTES: Final = 2**20
"""The maximum size of a file to copy."""
SECRET: Final = "its name says that it holds secrets"
TOO_LARGE: Final = "it is larger than 10 MiB"

_PROVML: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_MAX_JSON_BYTES: Final = 2**18
_IGNORED_PARTS: Final = (
    *("/site-packages/", "/dist-packages/", "/__pycache__/"),
    *("/.git/", "/.ipynb_checkpoints/"),
)
_SYSTEM_FOLDERS: Final = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys"),
    *("/usr", "/nix", "/snap", "/run", "/var", "/Library", "/System", "/private"),
)
_TEMPORARY_FOLDERS: Final = ("/tmp", "/var/tmp", "/usr/tmp")
_CODE_FOLDER: Final = "code"
_DIGEST_LENGTH: Final = 16
_ENV_LINE: Final = rb"(?m)^([ \t]*(?:export[ \t]+)?[\w.-]+[ \t]*[=:][ \t]*)(\S[^\r\n]*)"
_PLAIN_VALUE: Final = rb"(?i)[\"']?(?:[+-]?[\d.]+(?:e[+-]?\d+)?|true|false|on|off|yes|no)[\"']?\s*"


class CodeFile(NamedTuple):
    """A code or configuration file, with the content that it had when it was found.

    Attributes:
        path: the absolute path.
        role: `SOURCE_CODE` or `CONFIGURATION`.
        found_by: how provml knows that the run uses the file: ``imported``, ``executed``,
            ``opened`` or ``command line``.
        time_ns: the time when the file was found, in nanoseconds since the epoch.
        facts: the digest, size and modification time, or the reason why there is no digest.
        content: the file's bytes; None if the file must not be copied.
    """

    path: str
    role: str
    found_by: str
    time_ns: int
    facts: Facts
    content: bytes | None


class ProjectFiles:
    """Distinguishes the files of the user's project from files of Python, packages and the system.

    A file is local if it is inside one of the anchors: the folder of the script, the root of its
    git repository, the working folder, or a folder on ``sys.path``. A file outside the anchors is
    local unless it is in a folder of Python or the system, in a folder for temporary files, in
    provml's store, or hidden in the home folder. Installed packages are never local.
    """

    def __init__(self, script: str | None, run_folder: str | os.PathLike[str]) -> None:
        """Find the anchors and the folders to leave out. Costs a few system calls.

        Args:
            script: the path of the script; None in a shell or a notebook.
            run_folder: the run's folder.
        """
        self._working = _working_folder()
        own = None if script is None else os.path.dirname(os.path.abspath(script))
        if own is not None and _is_installed(f"{own}/"):
            own = None  # a launcher, such as torchrun, runs the user's script
        start = own or self._working
        git = _find_git_root(start)
        within_working = f"{start}/".startswith(_with_slash(self._working))
        self.root: str = git or (self._working if within_working else start)
        """The folder that the recorded names of files are relative to."""
        self._anchors = {_with_slash(folder) for folder in (start, self._working, self.root)}
        self._project = tuple(self._anchors)
        self._python = tuple(_python_folders())
        self._left_out = _list_left_out(os.fspath(run_folder))
        self._accepted: dict[str, tuple[str, ...]] = {}

    def is_local(self, path: str, is_named: bool = False) -> bool:
        """Return whether a file belongs to the user's project.

        Args:
            path: an absolute, normalized path.
            is_named: whether the file is named on the command line. If so, a temporary file also
                counts as local.
        """
        if _is_installed(path):
            return False
        anchors = self._anchors.union(_with_slash(p) for p in sys.path if p[:1] == "/")
        for anchor in anchors:
            if path.startswith(anchor) and not path.startswith(self._prefixes_below(anchor)):
                return True
        left_out = self._left_out
        if is_named:
            left_out = tuple(f for f in left_out if not f.startswith(_temporary_prefixes()))
        return not path.startswith(left_out)

    def is_certainly_installed(self, path: str) -> bool:
        """Return whether a file clearly belongs to Python or to an installed package.

        If the result is False, call `is_local`, which takes longer.
        """
        if "-packages/" in path:
            return True
        return path.startswith(self._python) and not path.startswith(self._project)

    def _prefixes_below(self, anchor: str) -> tuple[str, ...]:
        """Return the prefixes of the paths inside an anchor that are not local."""
        found = self._accepted.get(anchor)
        if found is None:
            # if an anchor is in a folder of Python, such as the standard library, none of the files
            # below the anchor is local
            python = anchor.startswith(self._python)
            below = (f for f in self._left_out if f.startswith(anchor) and f != anchor)
            is_project = anchor in self._anchors
            found = (anchor,) if python and not is_project else tuple(below)
            self._accepted[anchor] = found
        return found

    def leave_out(self, run_folder: str | os.PathLike[str]) -> None:
        """From now on, treat files in the folder and the store of another run as not local."""
        new = set(_list_stores(os.fspath(run_folder))).difference(self._left_out)
        if new:
            self._left_out += tuple(new)
            self._accepted.clear()

    def name_file(self, path: str) -> str:
        """Return the name under which to record a file.

        For a file of the project, the name is the path relative to the root or the working folder,
        so the name stays the same if the project is moved. For any other Python file, the name is
        the path relative to the folder that contains the outermost package. For all other files,
        the name is the absolute path.
        """
        for folder in (self.root, self._working):
            prefix = _with_slash(folder)
            if path.startswith(prefix):
                return printable_path(path[len(prefix) :])
        if path.endswith(".py"):
            top = os.path.dirname(path)
            while os.path.isfile(os.path.join(top, "__init__.py")) and top != os.path.dirname(top):
                top = os.path.dirname(top)
            return printable_path(os.path.relpath(path, top))
        return printable_path(path)


def choose_role(path: str) -> str | None:
    """Return the role of a file that was opened: source code, configuration, or None for data."""
    suffix = find_suffix(path)
    if suffix in SOURCE_SUFFIXES:
        return SOURCE_CODE
    return CONFIGURATION if suffix in CONFIGURATION_SUFFIXES or is_env_file(path) else None


def read_code_file(path: str, role: str, found_by: str, time_ns: int) -> CodeFile | None:
    """Read and hash a file. Returns None if it is not a regular file, or if it counts as data.

    A JSON file counts as data if it is larger than 256 KiB or if its outermost value is a list.
    """
    facts: Facts = {}
    content: bytes | None = None
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        is_json = path.endswith((".json", ".JSON")) and role == CONFIGURATION
        if is_json and status.st_size > _MAX_JSON_BYTES:
            return None
        facts = {"size": status.st_size, "modified": status.st_mtime_ns}
        is_env = is_env_file(path)
        # a code file is not secret: if it contains secrets, they are masked in the copy
        is_secret = role == CONFIGURATION and is_secret_file(path)
        if is_secret and not is_env:
            return CodeFile(path, role, found_by, time_ns, facts | {"unread": SECRET}, None)
        if status.st_size > COPY_LIMIT_BYTES:
            return CodeFile(path, role, found_by, time_ns, facts | {"unread": TOO_LARGE}, None)
        with open_user_file(path) as file:
            content = file.read(COPY_LIMIT_BYTES + 1)
            if file_state(os.fstat(file.fileno())) != file_state(status):
                facts["unread"] = CHANGED_WHILE_HASHED
                return CodeFile(path, role, found_by, time_ns, facts, None)
        if is_json and content.lstrip()[:1] == b"[":
            return None
        if is_secret:  # the digest of a short secret reveals the secret
            return CodeFile(path, role, found_by, time_ns, facts | {"unread": SECRET}, content)
        facts["sha256"] = hashlib.sha256(content).hexdigest()
        if len(content) > MAX_FILE_BYTES:
            content = None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        facts["unread"] = str(error)
        content = None
    return CodeFile(path, role, found_by, time_ns, facts, content)


class CodeFolder:
    """The folder for the copies of code files, inside a run's folder. Use it in a ``with`` block.

    The folder is created when the first file is copied.
    """

    def __init__(self, run_folder: Path) -> None:
        self._root = store_files.store_root(run_folder)
        self._run_folder = run_folder
        self._path = run_folder / layout.ARTIFACTS_FOLDER / _CODE_FOLDER
        self._folder: OpenFolder | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._folder is not None:
            self._folder.__exit__()
        KNOWN_CONTENTS.save()

    def keep(self, file: CodeFile) -> Facts:
        """Copy a file with its secrets masked, and return the facts about the file and the copy.

        If the copy can't be written, the facts contain the reason. If the copy already exists, this
        method does not write it again.
        """
        facts: Facts = {"kind": "file", "path": printable_path(file.path), **file.facts}
        if file.content is None:
            return facts
        masked, digest = mask_copy(file)
        if digest != facts.get("sha256"):
            facts |= {"copy_sha256": digest, "masked": True}
        relative = find_copy_path(file.path, digest)
        try:
            self._write(relative.rpartition("/")[2], masked)
        except OSError as error:
            facts.pop("copy_sha256", None)
            return facts | {"uncopied": str(error)[:1000]}
        return facts | {"copy": relative}

    def has_copy_of(self, file: CodeFile) -> bool:
        """Return whether the run already has a copy of a file with this name and content."""
        if file.content is None:
            return False
        return self.has_copy(find_copy_path(file.path, mask_copy(file)[1]))

    def has_copy(self, relative: str) -> bool:
        """Return whether a copy exists at this path, which is relative to the run's folder."""
        return store_files.is_file(self._root, self._run_folder / relative)

    def _write(self, name: str, content: bytes) -> None:
        if self._folder is None:
            store_files.make_folder(self._root, self._path)
            self._folder = OpenFolder(self._root, self._path)
        try:
            self._folder.create_file(name, content)
        except FileExistsError:
            if self._folder.read_status(name).st_size != len(content):
                # the file is incomplete, because a process was killed while writing it
                with store_files.replacing(self._root, self._path / name, sync=False) as file:
                    file.write(content)


def mask_copy(file: CodeFile) -> tuple[bytes, str]:
    """Return the content of a file with its secrets masked, and the digest of the result."""
    content, digest = file.content or b"", file.facts.get("sha256")
    if digest is not None and KNOWN_CONTENTS.has(digest):
        return content, digest
    prepared = content
    if is_env_file(file.path):
        prepared = mask_env_values(content)
    elif file.path.endswith(".py"):
        prepared = mask_positional_secrets(content)
    masked = mask_bytes(prepared)
    if masked is content and digest is not None:
        KNOWN_CONTENTS.add(digest)
        return content, digest
    return masked, hashlib.sha256(masked).hexdigest()


def find_copy_path(path: str, sha256: str) -> str:
    """Return the path of a file's copy, relative to the run's folder.

    Args:
        path: the path of the file.
        sha256: the digest of the copy.
    """
    name = layout.encode_folder_name(printable_path(path.rpartition("/")[2])[-60:])
    return f"{layout.ARTIFACTS_FOLDER}/{_CODE_FOLDER}/{sha256[:_DIGEST_LENGTH]}-{name}"


def mask_env_values(content: bytes) -> bytes:
    """Mask all values in the text of a ``.env`` file, except numbers and booleans."""

    def mask(line: re.Match[bytes]) -> bytes:
        keeps = re.fullmatch(_PLAIN_VALUE, line[2])
        return line[0] if keeps else line[1] + MASK.encode()

    return re.sub(_ENV_LINE, mask, content)


def list_named_files(words: Iterable[str]) -> list[str]:
    """List the code and configuration files that are named on a command line and exist.

    An argument can name a file in three ways: ``a.yaml``, ``--config=a.yaml`` and ``@a.yaml``.
    """
    found: list[str] = []
    for word in words:
        for part in (word, word.partition("=")[2], word.removeprefix("@")):
            if choose_role(part) is not None and "\0" not in part and os.path.isfile(part):
                found.append(os.path.abspath(part))
    return list(dict.fromkeys(found))


# -- folders ----------------------------------------------------------------------------------


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _with_slash(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _is_installed(path: str) -> bool:
    return any(part in path for part in _IGNORED_PARTS)


def _find_git_root(folder: str) -> str | None:
    while True:
        if os.path.exists(os.path.join(folder, ".git")):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _python_folders() -> set[str]:
    folders = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    folders |= {os.path.dirname(os.__file__), _PROVML}
    plain = {folder for folder in folders if folder.strip("/")}
    return {_with_slash(own) for folder in plain for own in (folder, os.path.realpath(folder))}


def _temporary_prefixes() -> tuple[str, ...]:
    named = [os.environ.get(name) or "/tmp" for name in ("TMPDIR", "TEMP", "TMP")]
    folders = {*named, *_TEMPORARY_FOLDERS}
    return tuple(_with_slash(os.path.abspath(folder)) for folder in folders if folder.strip("/"))


def _list_left_out(run_folder: str) -> tuple[str, ...]:
    """List the path prefixes of files that are not the user's own code.

    These are the folders of the system and of Python, the folders for temporary files, the run's
    folder and its store, each with a slash at its end. Another prefix covers the hidden files and
    folders in the home folder.
    """
    folders = {_with_slash(folder) for folder in _SYSTEM_FOLDERS}
    folders |= _list_stores(run_folder) | _python_folders() | set(_temporary_prefixes())
    home = os.path.expanduser("~")
    if home not in ("/", "~"):
        folders |= {_with_slash(home) + ".", _with_slash(os.path.realpath(home)) + "."}
    return tuple(sorted(folders))


def _list_stores(run_folder: str) -> set[str]:
    """Return the paths of a run's folder and of its store, each with a slash at its end."""
    store = os.path.dirname(os.path.dirname(run_folder))
    folders = [folder for folder in (run_folder, store) if folder.strip("/")]
    return {_with_slash(own) for folder in folders for own in (folder, os.path.realpath(folder))}
