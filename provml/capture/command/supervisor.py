"""Runs a command for ``provml run`` and records it as a run.

The command starts as early as possible, and its code and environment are described while it runs.
If the recording fails, the command still runs, and this process still ends with the command's exit
status or signal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from provml.base.settings import read_settings
from provml.capture.command.command_files import CommandFiles
from provml.capture.command.command_options import CommandOptions as CommandOptions
from provml.capture.command.command_recording import CommandRecording
from provml.capture.command.execution import become_command, print_message
from provml.capture.command.exit_status import CommandExit
from provml.capture.command.output_recorder import check_patterns
from provml.capture.command.program import find_program
from provml.capture.command.signals import SignalQueue
from provml.errors import (
    InvalidArgumentError,
    JournalError,
    MissingExtraError,
    RunExistsError,
    StoreError,
)
from provml.recording import process_hooks
from provml.recording.child_runs import find_parent
from provml.recording.start import open_run, validate_start


def record_command(
    command: Sequence[str],
    options: CommandOptions = CommandOptions(),  # noqa: B008 - immutable
    *,
    experiment: str | None = None,
    project: str | None = None,
    owner: str | None = None,
    namespace: str | None = None,
    run_id: str | None = None,
    resume: bool = False,
    store: str | None = None,
    tags: Mapping[str, Any] | None = None,
    formats: tuple[str, ...] = ("provjson",),
    sample_interval_s: float | None = None,
) -> CommandExit:
    """Run a command, record it as a run, and return the command's exit status or signal.

    Call this function from the main thread of a process that does nothing else. It handles the
    process's signals, and passes the command's output on to standard output and error. The command
    starts a few tens of milliseconds later than it would without provml. If the run can't be
    recorded, the function says why on standard error, and replaces this process with the command.

    Args:
        command: the command line. If it starts with a ``.py`` or ``.ipynb`` file that is not
            executable, the Python of this process runs the file.
        options: what to record.
        experiment: the experiment's name; the default is the name of the script or command.
        project, owner, namespace, run_id, resume, store, tags, formats, sample_interval_s: as in
            `provml.start_run`.

    Raises:
        InvalidArgumentError, ExportError, RunExistsError, MissingExtraError: an argument is
            invalid. The command did not run.
    """
    if not command or not command[0]:
        raise InvalidArgumentError(
            "there is no command to run: try 'provml run -- python train.py'"
        )
    settings = options.apply_to(read_settings()._replace(joined_run=None))
    check_patterns(options.patterns)
    program = find_program(command)
    if program.is_notebook:
        _require_notebook_extra()
    settings = settings._replace(code=settings.code and options.code)
    start = validate_start(
        settings,
        program.name if experiment is None else experiment,
        project=project,
        owner=owner,
        namespace=namespace,
        tags=tags,
        formats=formats,
        sample_interval_s=sample_interval_s,
    )
    if settings.disabled:
        return become_command(program, dict(os.environ))
    files = CommandFiles(program, settings, options.output) if options.files else None
    if files is not None and settings.trace == "strace":
        files.plan  # noqa: B018 - raises an error if the command can't be traced
    signals = SignalQueue()
    try:
        parent = find_parent(None, settings, store)
        run = open_run(
            settings,
            start,
            program.describe(),
            store=store,
            run_id=run_id,
            resume=resume,
            parent=parent,
        )
    except RunExistsError:
        raise
    except (StoreError, JournalError, OSError) as error:
        signals.release()
        print_message(f"not recording: {_describe_error(error)}")
        return become_command(program, dict(os.environ))
    process_hooks.watch(run)
    return CommandRecording(run, program, options, settings, start, signals, files).follow()


def _describe_error(error: Exception) -> str:
    """Return an error as text, with a hint if the working folder was removed."""
    try:
        os.getcwd()
    except OSError:
        return f"the working folder was removed ({error}): pass an absolute path to --store"
    return str(error)


def _require_notebook_extra() -> None:
    from importlib.util import find_spec

    if find_spec("nbclient") is None or find_spec("ipykernel") is None:
        raise MissingExtraError("running a notebook", "nbclient and ipykernel", "notebook")
