"""Records the flags that a script defines with absl, but not absl's own flags."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from provml.capture.arguments.recorded_settings import record_settings
from provml.capture.recorded_calls import RecordedCalls

name: Final = "absl"
modules: Final = ("absl.flags._flagvalues",)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``FlagValues.__call__``, which parses the command line, so that flags are recorded."""
    calls.record(module.FlagValues, "__call__", _parsed)


def _parsed(result: Any, flags: Any, *_: Any, **__: Any) -> None:
    values: dict[str, Any] = {}
    given = set()
    for module, own in flags.flags_by_module_dict().items():
        if module.partition(".")[0] == "absl":
            continue
        for flag in own:
            values[flag.name] = flag.value
            if flag.present:
                given.add(flag.name)
    record_settings(name, values, given)
