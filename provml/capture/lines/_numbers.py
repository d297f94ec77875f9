"""Converts printed text to numbers."""

from __future__ import annotations

import math
import re
from typing import Final

from provml.capture.lines._sink import RefusedError

NUMBER: Final = (
    r"[-+]?(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?|[iI]nf(?:inity)?|[nN]a[nN])"
)
"""A regular expression that matches a number: ``3``, ``-0.5``, ``1.2e-05``, ``nan``, ``inf``."""

_NUMBER_PATTERN: Final = re.compile(NUMBER)


def to_number(text: str) -> int | float:
    """Convert text to an exact int if it is written as an integer, else to the nearest float.

    Raises:
        RefusedError: the text is not a number, or the number is too large for a float.
    """
    if _NUMBER_PATTERN.fullmatch(text) is None:
        raise RefusedError("the value is not a number")
    try:
        return int(text)
    except ValueError:
        return to_float(text)


def to_float(text: str) -> float:
    """Convert text to the nearest float. A finite number never becomes infinite.

    Raises:
        RefusedError: the text is not a number, or the number is too large for a float.
    """
    if _NUMBER_PATTERN.fullmatch(text) is None:
        raise RefusedError("the value is not a number")
    value = float(text)
    if math.isinf(value) and "n" not in text.lower():
        raise RefusedError("the value is too large for a float")
    return value
