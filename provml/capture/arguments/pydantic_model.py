"""Records the settings that a script reads with pydantic-settings."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from provml.capture.arguments.recorded_settings import is_for_the_script, record_settings
from provml.capture.recorded_calls import RecordedCalls

name: Final = "pydantic-settings"
modules: Final = ("pydantic_settings.main",)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``BaseSettings.__init__``, so that the fields of each settings object are recorded."""
    calls.record(module.BaseSettings, "__init__", _created)


def _created(result: None, settings: Any, *_: Any, **__: Any) -> None:
    if is_for_the_script(
        ("pydantic", "pydantic_settings", "pydantic_core"), has_own_arguments=True
    ):
        given = set(settings.model_fields_set)
        record_settings(name, settings, given, {"class": type(settings).__qualname__})
