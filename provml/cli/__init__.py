"""The command line: a thin skin over the library, with its verbs.

A module here whose name begins with no underscore is a group of commands: it has ``COMMANDS``, a
list of click commands. What is heavy (numpy, prov, tables) a command imports when it runs.
Imports `_api` and what lies beneath, `demo`.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import warnings
from functools import cache

import click

from provml.cli._terminal import printable
from provml.errors import (
    ExportError,
    InvalidArgumentError,
    MissingExtraError,
    MissingProgramError,
    ProvMLError,
    ProvMLWarning,
    QueryError,
    RunNotFoundError,
    SeriesNotFoundError,
)
from provml.version import __version__

_MISUSE = (
    RunNotFoundError,
    SeriesNotFoundError,
    InvalidArgumentError,
    ExportError,
    MissingExtraError,
    MissingProgramError,
    QueryError,
)
_INTERRUPTED = 130
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@cache
def program(only: str | None = None) -> click.Group:
    """The command ``provml``, with a command for each that the modules here have.

    Args:
        only: the one module to take them from.
    """

    @click.group("provml", context_settings=_SETTINGS, invoke_without_command=True)
    @click.version_option(__version__, message="provml %(version)s", help="Print the version.")
    @click.pass_context
    def group(context: click.Context) -> None:
        """List, show, export and recover recorded machine-learning runs.

        RUN is a run's folder, its id, a beginning of one that no other has, or latest; where
        several experiments have the id, EXPERIMENT/ID, the folders' names below the store.
        """
        if context.invoked_subcommand is None:
            click.echo(context.get_help(), err=True)
            context.exit(2)

    names = [module.name for module in pkgutil.iter_modules(__path__)] if only is None else [only]
    for name in names:
        if not name.startswith("_"):
            for command in importlib.import_module(f"{__name__}.{name}").COMMANDS:
                group.add_command(command)
    return group


def main() -> None:
    """Run the command line and leave with its exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))
        getattr(sys, name).reconfigure(errors="backslashreplace")
    warnings.formatwarning = _warning_text
    sys.exit(execute(sys.argv[1:]))


def _warning_text(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """One line: where in the code a warning is from says nothing to who gives a command."""
    what = "" if issubclass(category, ProvMLWarning) else f"{category.__name__}: "
    return f"provml: {what}{printable(str(message))}\n"


def execute(arguments: list[str]) -> int:
    """Run one command; its exit status: 0, 1 for a finding or failure, 2 for misuse."""
    try:
        only = "run" if arguments[:1] == ["run"] else None  # the others' imports take time
        status = program(only).main(arguments, "provml", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
        return 1
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "provml"
        return _complain(f"{error.format_message().rstrip('.')}; see {where} --help", 2)
    except click.ClickException as error:
        return _complain(error.format_message(), 2)
    except ProvMLError as error:
        return _complain(str(error), 2 if isinstance(error, _MISUSE) else 1)
    except OSError as error:
        return _complain(_system_message(error), 1)
    return status if isinstance(status, int) else 0


def _complain(message: str, status: int) -> int:
    click.echo(f"provml: error: {printable(message)}", err=True)
    return status


def _system_message(error: OSError) -> str:
    """What the system says, as people write it."""
    if error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


def _close_stdout() -> None:
    """Point standard output nowhere, so that the interpreter's last flush meets no closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
