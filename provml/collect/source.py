"""Describes the running code: the script, its command line, and its git state.

Uses git only for reading, and prevents git from refreshing the index, running hooks or starting
diff programs.
Imports only `content`, `secrets`, `base.text` and `errors` from provml.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from provml.base.text import printable_path
from provml.collect.content import (
    COPY_LIMIT_BYTES,
    Facts,
    describe_path,
    digest_file,
    write_captured,
)
from provml.collect.positional_secrets import mask_positional_secrets
from provml.collect.secrets import is_secret_file, mask_argv, mask_bytes, mask_text
from provml.errors import ContentNotFoundError, ProvMLError

_GIT_TIMEOUT_S: Final = 20
_DIFF_LIMIT_BYTES: Final = 10 * 2**20
_UNTRACKED_LIMIT: Final = 1000
_MODULES_LIMIT: Final = 1000
_MODULES_LIMIT_BYTES: Final = 10 * 2**20


def describe_execution() -> Facts:
    """Describe the script, its command line and the interpreter.

    Hashes the script, and masks secrets in the command line.
    """
    facts: Facts = {
        "argv": mask_argv(getattr(sys, "argv", [])),
        "command": mask_argv(sys.orig_argv),
        "python": sys.version.split()[0],
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "folder": _find_working_folder(),
        "script": None,
    }
    script = find_script()
    if script is not None:
        try:
            facts["script"] = {
                "kind": "file",
                "path": printable_path(script),
                **digest_file(script),
            }
        except OSError as error:
            facts["script"] = {"kind": "file", "path": printable_path(script), "unread": str(error)}
    return facts


def find_script() -> str | None:
    """Return the path of the script that this process runs; None in a shell or a notebook."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(path, str) or not os.path.isfile(path):
        return None
    return os.path.abspath(path)


def _find_working_folder() -> str | None:
    try:
        return printable_path(os.getcwd())
    except OSError:
        return None


def describe_source(
    path: str | os.PathLike[str] | None, run_folder: Path, with_modules: bool = True
) -> Facts:
    """Describe source code and its git state: the code at a path or, by default, the script.

    In a notebook, the source code consists of the cells that have run. If ``with_modules`` is True,
    also describes and copies the imported modules that are in the repository but not tracked by
    git. Outside a repository, describes and copies all modules imported from the script's folder.

    Runs git a few times, which takes tens of milliseconds in an ordinary repository. Writes the
    diff against HEAD (up to 10 MiB) and the untracked modules (up to 10 MiB in total) to
    ``artifacts/``, with secrets masked. The diff leaves out files whose names suggest that they
    contain secrets.

    Raises:
        ContentNotFoundError: the path does not exist.
        InvalidArgumentError: the path is neither a file nor a folder.
    """
    script = os.fspath(path) if path is not None else find_script()
    if script is None:
        content = write_notebook_cells(run_folder)
        if content is None:
            unread = "the running code is not in a file: it comes from a shell or standard input"
            content = {"kind": "file", "unread": unread}
        folder = os.curdir
    else:
        if not os.path.exists(script):
            raise ContentNotFoundError(f"source file or folder not found: {script!r}")
        folder = script if os.path.isdir(script) else os.path.dirname(os.path.abspath(script))
        if os.path.isdir(script):
            # don't hash the folder, because it can be huge; in a repository, the commit and the
            # diff identify the folder's content
            content = {"kind": "folder", "path": printable_path(os.path.abspath(script))}
        else:
            content = _describe_code_file(script, run_folder)
    git = _describe_git(folder, run_folder)
    facts: Facts = {"content": content, "git": git}
    modules = _describe_untracked_modules(folder, git, run_folder) if with_modules else None
    return facts | ({"modules": modules} if modules else {})


def _describe_code_file(path: str, run_folder: Path, copy: bool = True) -> Facts:
    """Describe a source file, and copy it with its secrets masked.

    ``sha256`` is the digest of the file itself. If secrets are masked in the copy, ``masked`` is
    True, and ``copy_sha256`` is the digest of the copy. Does not copy files of more than 10 MiB.
    """
    try:
        fits = copy and os.path.getsize(path) <= COPY_LIMIT_BYTES
        content = _read_file(path) if fits else b""
    except OSError:
        content = b""  # describe_path records why the file can't be read
    is_python = path.endswith(".py")
    masked = mask_bytes(mask_positional_secrets(content) if is_python else content)
    if masked is content:
        return describe_path(path, run_folder, copy=None if copy else False)
    facts = describe_path(path, run_folder, copy=False)
    if "sha256" in facts:
        kept = write_captured(run_folder, os.path.basename(path)[-60:], masked)
        facts |= {"copy": kept["copy"], "copy_sha256": kept["sha256"], "masked": True}
    return facts


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(COPY_LIMIT_BYTES)


def find_arguments() -> list[str]:
    """Return the command-line arguments of the script.

    In a notebook, the list is empty, because the process has the arguments of the kernel.
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is not None:
        return []
    return list(getattr(sys, "argv", [])[1:])


def write_notebook_cells(run_folder: Path) -> Facts | None:
    """Write a file with the cells that a notebook or IPython shell has run; describe the file.

    Returns None if there are no cells.
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    history = getattr(getattr(shell, "history_manager", None), "input_hist_raw", None)
    if not history:
        return None
    cells = [(number, str(cell)) for number, cell in enumerate(history) if number and cell]
    text = "\n\n".join(f"# In[{number}]:\n\n{mask_text(cell)}" for number, cell in cells)
    source = (text + "\n").encode("utf-8", "backslashreplace")
    source = mask_positional_secrets(source)
    facts = write_captured(run_folder, "notebook.py", source[:_DIFF_LIMIT_BYTES])
    return facts | {"path": "notebook.py", "cells": len(cells)}


def _describe_untracked_modules(folder: str, git: Facts, run_folder: Path) -> dict[str, Facts]:
    """Return the facts about untracked modules imported from a folder, keyed by relative path."""
    root = os.path.realpath(git.get("root", folder))
    tracked = _list_tracked_files(root) if "root" in git else frozenset()
    found: dict[str, Facts] = {}
    copied_bytes = 0
    for path in _list_imported_files(root):
        name = os.path.relpath(path, root)
        if name in tracked or is_secret_file(name):
            continue
        if len(found) == _MODULES_LIMIT:
            break
        try:
            fits = os.path.getsize(path) <= _MODULES_LIMIT_BYTES - copied_bytes
            facts = _describe_code_file(path, run_folder, copy=fits)
        except (OSError, ProvMLError):
            continue  # the file was removed after the import
        copied_bytes += facts.get("size", 0) if fits else 0
        keys = ("sha256", "size", "copy", "copy_sha256", "masked", "unread")
        found[printable_path(name)] = {"kind": "file"} | {k: facts[k] for k in keys if k in facts}
    return found


def _list_imported_files(root: str) -> list[str]:
    """List the files of the modules imported from a folder. Leaves out installed packages."""
    prefixes = {os.path.realpath(prefix) + os.sep for prefix in (sys.prefix, sys.base_prefix)}
    found: set[str] = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        path = os.path.realpath(file)
        installed = "site-packages" in path or "dist-packages" in path
        inside = path.startswith(root.rstrip(os.sep) + os.sep)
        if inside and not installed and not any(path.startswith(prefix) for prefix in prefixes):
            found.add(path)
    return sorted(path for path in found if os.path.isfile(path))


def _list_tracked_files(root: str) -> frozenset[str]:
    import subprocess

    try:
        return frozenset(_run_git(root, "ls-files", "-z", "--", "*.py").split("\0"))
    except (OSError, subprocess.SubprocessError):
        return frozenset()


def _describe_git(folder: str, run_folder: Path) -> Facts:
    import subprocess

    try:
        root = _run_git(folder, "rev-parse", "--show-toplevel").strip()
        facts: Facts = {"root": root, "commit": _find_commit(folder)}
        facts["branch"] = _run_git_or_none(folder, "symbolic-ref", "--short", "-q", "HEAD")
        remote = _run_git_or_none(folder, "config", "--get", "remote.origin.url")
        facts["remote"] = mask_text(remote) if remote else None
        facts |= _describe_changes(root, run_folder)
        return facts
    except (OSError, subprocess.SubprocessError, ProvMLError) as error:
        return {"unread": _describe_git_error(error)}


def _find_commit(folder: str) -> str | None:
    return _run_git_or_none(folder, "rev-parse", "--verify", "-q", "HEAD")


def _describe_changes(root: str, run_folder: Path) -> Facts:
    lines = _run_git(root, "status", "--porcelain=v1", "-z", "--untracked-files=normal").split("\0")
    untracked = [line[3:] for line in lines if line.startswith("??")]
    changed = [line for line in lines if line and not line.startswith("??")]
    facts: dict[str, Any] = {"dirty": bool(changed), "untracked": untracked[:_UNTRACKED_LIMIT]}
    if len(untracked) > _UNTRACKED_LIMIT:
        facts["untracked_total"] = len(untracked)
    if changed and _find_commit(root):
        command = ("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--", ".")
        names = _run_git(root, "diff", "HEAD", "--name-only", "--no-renames", "-z").split("\0")
        secret = [name for name in names if name and is_secret_file(name)]
        diff = _run_git_bytes(root, *command, *(f":(exclude,top,literal){name}" for name in secret))
        own = diff[:_DIFF_LIMIT_BYTES]
        masked = mask_bytes(own)
        facts["diff"] = write_captured(run_folder, "source.diff", masked)
        if masked is not own:
            facts["diff"]["masked"] = True
        if secret:
            facts["diff"]["secret_files"] = secret[:_UNTRACKED_LIMIT]
        if len(diff) > _DIFF_LIMIT_BYTES:
            facts["diff"]["cut_from"] = len(diff)
    return facts


def _run_git_or_none(folder: str, *arguments: str) -> str | None:
    import subprocess

    try:
        return _run_git(folder, *arguments).strip() or None
    except subprocess.CalledProcessError:
        return None


def _run_git(folder: str, *arguments: str) -> str:
    return _run_git_bytes(folder, *arguments).decode("utf-8", "backslashreplace")


def _run_git_bytes(folder: str, *arguments: str) -> bytes:
    import subprocess

    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    # the repository's configuration must not make git run other programs
    harmless = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    return subprocess.run(
        ["git", *harmless, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=_GIT_TIMEOUT_S,
    ).stdout


def _describe_git_error(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "git is not installed"
    stderr = getattr(error, "stderr", None)
    if isinstance(stderr, bytes) and stderr.strip():
        return stderr.decode("utf-8", "backslashreplace").strip()[:500]
    return str(error)[:500]
