"""Records the configuration that a script reads with tyro."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Final

from provml.capture.arguments.recorded_settings import record_settings
from provml.capture.recorded_calls import RecordedCalls
from provml.journal.fields import read_fields

name: Final = "tyro"
modules: Final = ("tyro",)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``tyro.cli``, so that the configuration that it returns is recorded."""
    calls.record(module, "cli", _parsed)


def _parsed(result: Any, *_: Any, **__: Any) -> None:
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], list):
        result = result[0]  # the script passed return_unknown_args=True
    if read_fields(result):
        words = [word.partition("=")[0] for word in sys.argv[1:] if word.startswith("--")]
        given = {word[2:].removeprefix("no-").replace("-", "_") for word in words}
        record_settings(name, result, given)
