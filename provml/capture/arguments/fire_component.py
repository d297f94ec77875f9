"""Records the arguments of a function that a script calls through Python Fire.

Fire passes the words of the command line to the function. This module records the options on the
command line, and the defaults of the function's other parameters.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Final

from provml.capture.arguments.command_line import read_options
from provml.capture.arguments.recorded_settings import record_settings
from provml.capture.recorded_calls import RecordedCalls

name: Final = "fire"
modules: Final = ("fire.core",)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``Fire``, so that the arguments of the function that it calls are recorded.

    The arguments are recorded when the function has returned.
    """
    calls.record(module, "Fire", _called, leaf=True)


def _called(result: Any, component: Any = None, command: Any = None, *_: Any, **__: Any) -> None:
    import inspect

    words = sys.argv[1:] if command is None else command
    given = read_options(words.split() if isinstance(words, str) else list(words))
    values: dict[str, Any] = {}
    if inspect.isfunction(component):
        parameters = inspect.signature(component).parameters
        values = {
            own.name: own.default
            for own in parameters.values()
            if own.default is not inspect.Parameter.empty
        }
    record_settings(name, values | given, set(given))
