"""Records settings as parameters of the active run, and logs which of them are defaults.

A launcher or another installed program may also read settings of its own. `is_for_the_script` tells
these settings from the script's settings by the module that called the library.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any, Final

from provml.capture.arguments import SETTINGS_READ as SETTINGS_READ
from provml.capture.outer_run import note_missed
from provml.capture.state import STATE
from provml.capture.trackers.sources import find_active_run
from provml.errors import ProvMLError
from provml.recording.checks import flatten, param_record
from provml.recording.joined_run import SOURCE
from provml.recording.run import Run

_LAUNCHERS: Final = (
    "IPython",
    "accelerate.commands",
    "coverage",
    "deepspeed.launcher",
    "horovod.runner",
    "hydra",
    "ipykernel",
    "jupyter",
    "jupyter_core",
    "multiprocessing",
    "pip",
    "provml",
    "pytest",
    "ray.scripts",
    "runpy",
    "torch.distributed",
    "torch.utils",
    "traitlets",
    "wandb",
)
"""The modules and packages that read settings for themselves, not for the script."""


class _RecordedSettings:
    """The values of the settings that this process has recorded, by run and name.

    The values are kept in encoded form, because the script may change its own objects later.
    """

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Any] = {}

    def is_new(self, run: Run, name: str, value: object) -> bool:
        """Return whether a setting is new or has changed, and remember its value."""
        key, encoded = (str(run.path), name), param_record(name, value)["value"]
        if key in self.values and self.values[key] == encoded:
            return False
        self.values[key] = encoded
        return True


def record_settings(
    library: str,
    values: object,
    given: Collection[str] | None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Record settings as parameters, and log an event that says which settings were given.

    Args:
        library: the name of the library that read the settings.
        values: a mapping or configuration object. Nested names are joined by dots.
        given: the names of the settings that the command line, a file or the environment sets.
            All other settings have their defaults. The name of a group of settings covers all
            settings in the group. None if the library does not report which settings were given.
        facts: further metadata for the event, such as the program's name.
    """
    run = find_active_run()
    if run is None or run.closed:
        return
    recorded = STATE.part(_RecordedSettings)
    new: list[str] = []
    for name, value in flatten(values, "").items():
        try:
            if recorded.is_new(run, name, value):
                run.log_param(name, value)
                new.append(name)
        except ProvMLError as error:  # continue with the other settings
            note_missed(f"{library}: the setting {name[:100]!r}", error)
    if not new:
        return
    metadata: dict[str, Any] = {"library": library, **(facts or {})}
    if given is None:
        metadata["settings"] = sorted(new)
    else:
        metadata["given"] = sorted(name for name in new if _covers(given, name))
        metadata["defaults"] = sorted(name for name in new if not _covers(given, name))
    run.log_event(SETTINGS_READ, source=SOURCE, metadata=metadata)


def is_for_the_script(skip: tuple[str, ...], *, has_own_arguments: bool = False) -> bool:
    """Return whether the settings that a library has just read are settings of the script.

    Args:
        skip: the packages to skip when looking for the code that called the library, such as
            ``("argparse",)``.
        has_own_arguments: whether the caller passed a list of arguments to the library, so that
            the library did not read the command line. If such a caller is an installed package,
            the settings are not the script's.
    """
    caller = _find_caller((*skip, "provml.capture", "functools", "contextlib"))
    if caller is None:
        return True
    name = caller.f_globals.get("__name__", "")
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if name == "__main__" and main is not None:
        name = main.name  # the script was started with python -m
    if any(name == own or name.startswith(f"{own}.") for own in _LAUNCHERS):
        return False
    return not (has_own_arguments and _is_installed(caller.f_code.co_filename))


def _find_caller(skip: tuple[str, ...]) -> Any:
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not any(name == own or name.startswith(f"{own}.") for own in skip):
            return frame
        frame = frame.f_back
    return None


def _is_installed(path: str) -> bool:
    """Return whether a source file belongs to an installed package or the standard library."""
    return "site-packages" in path or "dist-packages" in path or path.startswith(sys.base_prefix)


def _covers(given: Collection[str], name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in given for length in range(1, len(parts) + 1))
