"""The parameters of a request for data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from provml.errors import InvalidArgumentError

_MOST_PARAMETERS: Final = 2_000
_LONGEST: Final = 10_000


class Query:
    """The parameters of a request, such as ``run=a&run=b&axis=step``.

    All text comes from the browser, so each method checks what it returns.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        """Read the parameters.

        Args:
            pairs: names and values. A name can be repeated.

        Raises:
            InvalidArgumentError: there are too many parameters, or one of them is too long.
        """
        self._values: dict[str, list[str]] = {}
        for count, (name, value) in enumerate(pairs, 1):
            if count > _MOST_PARAMETERS or len(value) > _LONGEST:
                raise InvalidArgumentError(
                    f"the request is too long: use at most {_MOST_PARAMETERS:,} parameters of "
                    f"{_LONGEST:,} characters"
                )
            self._values.setdefault(name, []).append(value)

    def every(self, name: str) -> list[str]:
        """Return all values of a parameter, in the order of the request."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """Return the first value of a parameter; None if the parameter is missing or empty."""
        return next(iter(self.every(name)), None) or None

    def required(self, name: str) -> str:
        """Return the first value of a parameter.

        Raises InvalidArgumentError if the parameter is missing or empty.
        """
        value = self.text(name)
        if value is None:
            raise InvalidArgumentError(f"the request needs the parameter {name!r}")
        return value

    def choice(self, name: str, choices: Iterable[str], default: str) -> str:
        """Return the first value of a parameter, which must be one of the choices."""
        value = self.text(name)
        if value is None:
            return default
        known = list(choices)
        if value not in known:
            raise InvalidArgumentError(f"{name} is {value!r}: use one of {', '.join(known)}")
        return value

    def count(self, name: str, default: int, most: int) -> int:
        """Return the first value of a parameter as an integer from 0 to ``most``."""
        value = self.text(name)
        if value is None:
            return default
        if not (value.isascii() and value.isdecimal() and len(value) < 20) or int(value) > most:
            raise InvalidArgumentError(
                f"{name} is {value!r}: use a whole number from 0 to {most:,}"
            )
        return int(value)

    def number(self, name: str) -> float | None:
        """Return the first value of a parameter as a finite number; None if it is missing."""
        value = self.text(name)
        if value is None:
            return None
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if number - number != 0:
            raise InvalidArgumentError(f"{name} is {value!r}: use a finite number")
        return number
