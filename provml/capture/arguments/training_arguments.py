"""Records the ``TrainingArguments`` of Hugging Face transformers."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from provml.capture.arguments.recorded_settings import record_settings
from provml.capture.recorded_calls import RecordedCalls

name: Final = "transformers"
modules: Final = ("transformers.training_args",)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``TrainingArguments.__post_init__``, so that the arguments are recorded."""
    calls.record(module.TrainingArguments, "__post_init__", _created)


def _created(result: None, arguments: Any) -> None:
    import dataclasses

    values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(arguments)}
    defaults = {field.name: field.default for field in dataclasses.fields(arguments)}
    given = {own for own, value in values.items() if repr(value) != repr(defaults[own])}
    record_settings(name, values, given, {"class": type(arguments).__qualname__})
