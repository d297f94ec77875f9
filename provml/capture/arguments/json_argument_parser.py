"""Records the arguments that a script reads with jsonargparse, which Lightning's CLI uses."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from provml.capture.arguments.recorded_settings import is_for_the_script, record_settings
from provml.capture.recorded_calls import RecordedCalls
from provml.recording.checks import flatten

name: Final = "jsonargparse"
modules: Final = ("jsonargparse",)
_VERBS: Final = ("parse_args", "parse_object", "parse_path", "parse_string")


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the parsing methods, so that each configuration that they return is recorded."""
    for verb in _VERBS:
        calls.record(module.ArgumentParser, verb, _parsed)


def _parsed(result: Any, parser: Any, *_: Any, **__: Any) -> None:
    if not is_for_the_script(("jsonargparse", "argparse", "lightning", "pytorch_lightning")):
        return
    values = result.as_dict()
    defaults = _read_defaults(parser, values, "")
    missing = object()
    given = {
        setting
        for setting, value in flatten(values, "").items()
        if repr(defaults.get(setting, missing)) != repr(value)
    }
    record_settings(name, values, given, {"program": parser.prog})


def _read_defaults(parser: Any, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the defaults of a parser and of the chosen sub-commands, keyed by dotted name."""
    found = flatten(parser.get_defaults().as_dict(), prefix)
    for action in parser._actions:
        chosen: Any = values.get(str(action.dest))
        if isinstance(action.choices, Mapping) and chosen in action.choices:
            parsed = values.get(chosen) or {}
            found |= _read_defaults(action.choices[chosen], parsed, f"{prefix}{chosen}.")
    return found
