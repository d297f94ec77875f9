"""Executes a command, in place of this process or as its child.

Imports only `exit_status`, `program`, `base.executables` and `base.text` from provml.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from typing import Any, Final

from provml.base.executables import find_executable
from provml.base.text import printable_path
from provml.capture.command.exit_status import CommandExit
from provml.capture.command.program import Program

_STATUS_NOT_FOUND: Final = 127
_STATUS_NOT_EXECUTABLE: Final = 126


def print_message(text: str) -> None:
    """Print a line on standard error. Do nothing if standard error is closed."""
    try:
        os.write(2, f"provml: {printable_path(text)}\n".encode())
    except OSError:
        pass


def become_command(program: Program, environment: dict[str, str]) -> CommandExit:
    """Replace this process with the command. Return only if the command can't be executed."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores SIGPIPE; the command must not
    if hasattr(signal, "SIGXFSZ"):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvpe(program.command[0], program.command, environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            return report_not_started(program, error)
    os.execvpe("/bin/sh", build_shell_command(program), environment)


def build_shell_command(program: Program) -> list[str]:
    """Return a command line with which ``/bin/sh`` runs a script that has no ``#!`` line."""
    path = find_executable(program.command[0]) or program.command[0]
    return ["/bin/sh", path, *program.command[1:]]


def report_not_started(program: Program, error: OSError) -> CommandExit:
    """Print why a command can't be executed; return the exit status that a shell would return."""
    missing = isinstance(error, FileNotFoundError)
    what = "command not found" if missing and "/" not in program.command[0] else error.strerror
    print_message(f"{program.command[0]}: {what}")
    return CommandExit(_STATUS_NOT_FOUND if missing else _STATUS_NOT_EXECUTABLE)


def spawn_command(
    program: Program,
    words: list[str],
    environment: Mapping[str, str],
    **options: Any,
) -> int:
    """Start a command as a child of this process, and return its process id.

    Args:
        program: the program that the command runs.
        words: the command line.
        environment: the environment variables of the command.
        options: further arguments for `os.posix_spawn`.

    Raises:
        OSError: the command can't be executed.
    """
    try:
        return os.posix_spawnp(words[0], words, environment, **options)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return os.posix_spawn("/bin/sh", build_shell_command(program), environment, **options)
