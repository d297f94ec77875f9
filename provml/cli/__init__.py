"""The command line, a thin layer over the library.

The modules without a leading underscore define the commands, and `_program` lists the commands. A
command imports heavy packages (numpy, prov, DuckDB) only when it runs. The modules of this folder
may import any other part of provml.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings

import click

from provml.cli._program import program
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
_OBJECTS_PER_COLLECTION = 50_000


def main() -> None:
    """Run the ``provml`` command, and exit the process with the command's exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the process was started without this stream
            setattr(sys, name, open(os.devnull, "w"))
        getattr(sys, name).reconfigure(errors="backslashreplace")
    warnings.formatwarning = _warning_text
    # most objects that a command creates live as long as the process, so collect garbage rarely
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    sys.exit(execute(sys.argv[1:]))


def _warning_text(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Format a warning as one line.

    Leaves out the source file and the line number, which do not help a user.
    """
    kind = "" if issubclass(category, ProvMLWarning) else f"{category.__name__}: "
    return f"provml: {kind}{printable(str(message))}\n"


def execute(arguments: list[str]) -> int:
    """Run a command, and print each error on one line.

    Returns:
        The exit status: 0 for success, 1 for findings or failures, 2 for misuse, 130 for Ctrl-C.
    """
    try:
        status = program.main(arguments, "provml", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
        return 1
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "provml"
        return _echo_error(f"{error.format_message().rstrip('.')}; see {where} --help", 2)
    except click.ClickException as error:
        return _echo_error(error.format_message(), 2)
    except ProvMLError as error:
        return _echo_error(str(error), 2 if isinstance(error, _MISUSE) else 1)
    except OSError as error:
        return _echo_error(_os_error_text(error), 1)
    return status if isinstance(status, int) else 0


def _echo_error(message: str, status: int) -> int:
    click.echo(f"provml: error: {printable(message)}", err=True)
    return status


def _os_error_text(error: OSError) -> str:
    """Format an OSError as ``file: reason``, without the error number."""
    if error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


def _close_stdout() -> None:
    """Redirect standard output to the null device.

    Otherwise, Python would flush standard output at exit, and fail because the pipe is closed.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
