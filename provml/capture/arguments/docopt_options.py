"""Records the options and arguments that a script reads with docopt."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from provml.capture.arguments.recorded_settings import record_settings
from provml.capture.recorded_calls import RecordedCalls

name: Final = "docopt"
modules: Final = ("docopt",)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``docopt``, so that the options and arguments that it returns are recorded."""
    calls.record(module, "docopt", _parsed)


def _parsed(result: Mapping[str, Any], *_: Any, **__: Any) -> None:
    words = {word.partition("=")[0] for word in sys.argv[1:]}
    values = {option.strip("-<>"): value for option, value in result.items()}
    given = {option.strip("-<>") for option in result if option in words or "<" in option}
    record_settings(name, values, given)
