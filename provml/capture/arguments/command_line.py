"""Reads the options on a command line, for scripts that use none of the supported libraries.

    train.py data.csv --lr 0.1 --epochs=3 -v

This command line has the options ``lr`` (0.1), ``epochs`` (3) and ``v`` (True). A word after an
option is the value of that option, unless the word is itself an option. All other words are
ignored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

_OPTION: Final = re.compile(r"--?([A-Za-z][\w.\-]*)(?:=(.*))?", re.DOTALL)
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,999})")
_FLOAT: Final = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
)


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """Return the values of the options on a command line, keyed by name.

    A value that is written as a number becomes an int or a float. If an option occurs several
    times, its value is a list. Dashes within a name become underscores, as in argparse.

    Args:
        words: the arguments of the command, without the program's name.
    """
    found: dict[str, list[Any]] = {}
    waiting: str | None = None
    for word in words:
        if word == "--":
            break
        option = _OPTION.fullmatch(word)
        if option is None:
            if waiting is not None:
                found[waiting][-1] = _convert_value(word)
            waiting = None
            continue
        name = option[1].replace("-", "_")
        value = True if option[2] is None else _convert_value(option[2])
        found.setdefault(name, []).append(value)
        waiting = name if option[2] is None else None
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _convert_value(text: str) -> int | float | str:
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
