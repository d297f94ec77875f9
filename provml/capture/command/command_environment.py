"""Builds the environment variables of a command, which let its processes join the run.

Imports only `bootstrap`, `command_options` and `base.settings` from provml.
"""

from __future__ import annotations

import os
from pathlib import Path

from provml.base.settings import (
    CAPTURE_VARIABLE,
    COMMAND_VARIABLE,
    EXCLUDE_VARIABLE,
    INCLUDE_VARIABLE,
    JOINED_VARIABLE,
    Settings,
)
from provml.capture import bootstrap
from provml.capture.command.command_options import CommandOptions


def build_environment(
    run_folder: Path, token: str, settings: Settings, options: CommandOptions, records_code: bool
) -> dict[str, str]:
    """Return the caller's environment, plus the variables that let processes join the run.

    Args:
        run_folder: the folder of the run.
        token: the text that identifies the command, for ``PROVML_COMMAND``.
        settings: the settings of the run.
        options: what to record.
        records_code: whether to record the code that the command's processes use.
    """
    environment = dict(os.environ)
    environment[JOINED_VARIABLE] = str(run_folder)
    environment[COMMAND_VARIABLE] = token
    chosen = tuple(bootstrap.PARTS) if settings.capture is None else settings.capture
    own = [
        part
        for part in chosen
        if (part != "trackers" or options.trackers)
        and (part != "files" or options.files)
        and (part != "arguments" or options.settings)
        and (part != "code" or records_code)
        and (part != "frameworks" or options.frameworks)
    ]
    if settings.capture is not None or len(own) < len(chosen):
        environment[CAPTURE_VARIABLE] = ",".join(own)
    for name, patterns in (
        (INCLUDE_VARIABLE, settings.include),
        (EXCLUDE_VARIABLE, settings.exclude),
    ):
        if patterns:
            environment[name] = os.pathsep.join(patterns)
    site, others = str(bootstrap.SITE), environment.get("PYTHONPATH", "")
    paths = [path for path in others.split(os.pathsep) if path != site] if others else []
    environment["PYTHONPATH"] = os.pathsep.join([site, *paths])
    return environment
