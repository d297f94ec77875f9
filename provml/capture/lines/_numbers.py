"""Numbers as programs print them. Imports `_sink`."""

from __future__ import annotations

import math
import re
from typing import Final

from provml.capture.lines._sink import RefusedError

NUMBER: Final = (
    r"[-+]?(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?|[iI]nf(?:inity)?|[nN]a[nN])"
)
"""A regular expression of a number: ``3``, ``-0.5``, ``1.2e-05``, ``nan``, ``inf``."""

_NUMBER: Final = re.compile(NUMBER)


def to_number(text: str) -> int | float:
    """The number that a text is: an int where it is written as one, exact; else a float.

    Raises RefusedError.
    """
    if _NUMBER.fullmatch(text) is None:
        raise RefusedError("the value is not a number")
    try:
        return int(text)
    except ValueError:
        return to_float(text)


def to_float(text: str) -> float:
    """The float nearest to a number's text, but no infinity for what is finite.

    Raises RefusedError.
    """
    if _NUMBER.fullmatch(text) is None:
        raise RefusedError("the value is not a number")
    value = float(text)
    if math.isinf(value) and "n" not in text.lower():
        raise RefusedError("the value is beyond what a float holds")
    return value
