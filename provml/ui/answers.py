"""The data that the pages can ask for.

Each answer is a function that takes the store and the query, and returns JSON data. To add an
answer, write its function in a module of its own, and add a line to `ANSWERS`.
"""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, Final

from provml.ui.browsed_store import BrowsedStore
from provml.ui.queries import Query

Answer = Callable[[BrowsedStore, Query], Mapping[str, Any]]

ANSWERS: Final = {
    "runs": "provml.ui.runs_table:answer_runs",
    "curves": "provml.ui.curve_data:answer_curves",
    "compare": "provml.ui.comparison:answer_comparison",
    "run": "provml.ui.run_view:answer_run",
    "output": "provml.ui.kept_output:answer_output",
    "events": "provml.ui.run_view:answer_events",
    "files": "provml.ui.run_view:answer_files",
    "validity": "provml.ui.run_view:answer_validity",
    "file": "provml.ui.file_view:answer_file",
}
"""The module and function of each answer. Each module is imported when a page first needs it."""

_MOST_EXACT: Final = 2**53


def find_answer(name: str) -> Answer | None:
    """Return the function that answers a request; None if no answer has this name."""
    place = ANSWERS.get(name)
    return None if place is None else pkgutil.resolve_name(place)


def json_value(value: Any) -> Any:
    """Convert a recorded value to JSON data that JavaScript can read without loss of precision.

    NaN and the infinities become the texts ``NaN``, ``Infinity`` and ``-Infinity``. An integer that
    JavaScript would round becomes a text of its digits. Any other object becomes ``str(object)``.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _MOST_EXACT else str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return str(value)
