"""Records the parameters of commands that a script defines with click or Typer."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from provml.capture.arguments.recorded_settings import is_for_the_script, record_settings
from provml.capture.recorded_calls import RecordedCalls

name: Final = "click"
modules: Final = ("click.core", "typer._click.core")
_DEFAULTS: Final = ("DEFAULT", "DEFAULT_MAP")


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``Command.parse_args``, so that the parameters of each command are recorded."""
    calls.record(module.Command, "parse_args", _parsed)


def _parsed(result: Any, command: Any, ctx: Any, args: Any = None) -> None:
    if not is_for_the_script(("click", "typer")):
        return
    given = set()
    for parameter in ctx.params:
        source = ctx.get_parameter_source(parameter)
        if source is not None and source.name not in _DEFAULTS:
            given.add(parameter)
    record_settings(name, dict(ctx.params), given, {"program": ctx.command_path})
