r"""JSON lines: ``{"metric": "NLL Loss", "value": 0.5, "step": 3}``, the whole line one object.

- ``metric``: any text but longer than 4,096 characters. ``value``: an int, exact whatever its
  size, or a float, ``NaN`` and ``Infinity`` as Python writes them too.
- ``step``, ``epoch``: integers where they are there and not null.
- ``timestamp``: seconds since the epoch, where it is a number; else the time of reading counts.
- The context is what the name means by `naming`; other keys are left alone.

Refused, and counted: true, false, null, text, lists and objects as a value, a line that begins as
such an object and is no JSON, a key of these that stands twice, numbers beyond their range.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from provml.base.clock import to_time_ns
from provml.capture.lines._sink import RefusedError, Sink
from provml.capture.metric_contexts import context_from_name
from provml.errors import InvalidArgumentError

_OWN: Final = frozenset({"metric", "value", "step", "epoch", "timestamp"})
_MAX_STEP: Final = 2**63 - 1
_MAX_EPOCH: Final = 2**31 - 1
_KINDS: Final = {
    bool: "true or false",
    type(None): "null",
    str: "text",
    list: "a list",
    tuple: "an object",
}


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise RefusedError("a number is beyond what a float holds")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RefusedError("an integer has too many digits") from None


# objects become tuples of their pairs, so that a key that stands twice is seen
_decode: Final = json.JSONDecoder(
    object_pairs_hook=tuple, parse_float=_finite, parse_int=_integer
).decode


def _find(data: bytes, start: int, end: int) -> int:
    at = data.find(b"{", start, end)
    return at if at < 0 else data.find(b'"metric"', at, end)


class Form:
    """JSON lines of one text."""

    finders = (_find,)

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def read(self, text: str, rewrites: bool) -> bool:
        """Record what the line says; whether it is of this form."""
        line = text.strip().lstrip("\ufeff")
        if not line.startswith("{"):
            return False
        try:
            pairs = _decode(line)
            if not any(key == "metric" for key, _ in pairs):
                return False
            self._record(pairs, line)
        except RefusedError as refused:
            self._sink.reject(str(refused), line)
        except RecursionError:
            self._sink.reject("the line is nested too deep", line)
        except ValueError:
            self._sink.reject("the line is not JSON", line)
        return True

    def _record(self, pairs: tuple[tuple[str, Any], ...], line: str) -> None:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise RefusedError(f"{key!r} stands twice")
            if key in _OWN:
                found[key] = value
        name = found["metric"]
        if not isinstance(name, str):
            raise RefusedError("the metric's name is not text")
        if "value" not in found:
            raise RefusedError("there is no value")
        value = found["value"]
        if type(value) in _KINDS:
            raise RefusedError(f"the value is {_KINDS[type(value)]}")
        self._sink.metric(
            name,
            value,
            context_from_name(name),
            step=_whole(found, "step", -_MAX_STEP, _MAX_STEP),
            epoch=_whole(found, "epoch", 0, _MAX_EPOCH),
            time_ns=_time_ns(found.get("timestamp")),
            line=line,
        )

    def finish(self) -> None:
        """Nothing is held back."""


def _whole(found: dict[str, Any], key: str, least: int, most: int) -> int | None:
    value = found.get(key)
    if value is None:
        return None
    if type(value) is not int:
        raise RefusedError(f"the {key} is not an integer")
    if not least <= value <= most:
        raise RefusedError(f"the {key} is out of range")
    return value


def _time_ns(timestamp: object) -> int | None:
    if type(timestamp) not in (int, float):
        return None
    try:
        return to_time_ns(timestamp)
    except InvalidArgumentError:
        raise RefusedError("the timestamp is no number of seconds since 1970") from None
