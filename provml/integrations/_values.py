"""Turns the settings of a framework's objects into values that can be parameters.

Imports `journal.fields` and `journal.values`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from provml.journal.fields import stable_text
from provml.journal.values import plain_number

_PLAIN: Final = (bool, int, float, str, type(None))
_MAX_ITEMS: Final = 100
_MAX_DEPTH: Final = 4
_MAX_TEXT: Final = 1000


def plain_settings(settings: Mapping[Any, Any]) -> dict[str, Any]:
    """Return settings by name, with values that can be recorded as parameters.

    Numbers, bools, texts, None and short collections of these are kept. An estimator, or any other
    object with a method ``get_params``, is replaced by the name of its class. All other objects are
    replaced by short descriptions.
    """
    return {str(name): _plain_value(value) for name, value in settings.items()}


def _plain_value(value: Any, depth: int = 0) -> Any:
    number = plain_number(value)
    if isinstance(number, _PLAIN):
        return number
    if isinstance(value, (list, tuple)) and len(value) <= _MAX_ITEMS and depth < _MAX_DEPTH:
        return [_plain_value(item, depth + 1) for item in value]
    if isinstance(value, dict) and len(value) <= _MAX_ITEMS and depth < _MAX_DEPTH:
        return {str(key): _plain_value(item, depth + 1) for key, item in value.items()}
    if hasattr(value, "get_params") and not isinstance(value, type):
        return type(value).__name__
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return stable_text(value)[:_MAX_TEXT]
