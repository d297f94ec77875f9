"""Records the settings that a script receives, as parameters of the run.

Each module in `LIBRARIES` supports one library that reads settings: from the command line, from
configuration files or from environment variables. Each of these modules implements the protocol
`tool_hooks.Tool`. If a script uses none of these libraries, `command_line` reads the options on the
script's command line.

`recorded_settings` records the parameters, and an event that says which values were given and which
are defaults.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast

from provml.capture.state import STATE
from provml.capture.tool_hooks import Tool, ToolHooks

SETTINGS_READ: Final = "settings read"
"""The name of the event that says which settings were given and which are defaults."""

LIBRARIES: Final = (
    "absl_flags",
    "argument_parser",
    "click_command",
    "docopt_options",
    "fire_component",
    "hydra_config",
    "json_argument_parser",
    "pydantic_model",
    "training_arguments",
    "tyro_config",
)
"""The modules of this package that support a library: one module for each library."""


class _ArgumentHooks(ToolHooks):
    """The hooks into all libraries that read settings."""


def install() -> None:
    """Start recording the settings that the script reads. Idempotent."""
    hooks = STATE.part(_ArgumentHooks)
    if not hooks.installed:
        hooks.install(cast(Tool, import_module(f"{__name__}.{name}")) for name in LIBRARIES)


def uninstall() -> None:
    """Stop recording settings, and restore the original functions of all libraries."""
    STATE.part(_ArgumentHooks).uninstall()
