r"""Reads JSON lines, with one object per line: ``{"metric": "NLL Loss", "value": 0.5, "step": 3}``.

- ``metric``: the name of the metric, at most 4,096 characters long.
- ``value``: an integer of any size, or a float. ``NaN`` and ``Infinity`` are allowed.
- ``step``, ``epoch``: optional; null counts as missing. A step is a whole number. An epoch may be
  fractional (see `Run.log_metric`).
- ``rank``: optional; the rank of the process, a whole number.
- ``timestamp``: optional; the time in seconds since 1970. If the timestamp is not a number, the
  time when the line arrived is used.

Other keys are ignored. The context comes from the metric's name (see `metric_contexts`).

A line is refused and counted in these cases:

- The value is missing, or is true, false, null, text, a list or an object.
- The line looks like an object with a metric, but is not valid JSON.
- One of the keys above occurs twice.
- A number is out of range.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from provml.base.clock import to_time_ns
from provml.capture.lines._sink import MAX_STEP, LineSink, RefusedError
from provml.capture.metric_contexts import context_from_name
from provml.errors import InvalidArgumentError

_KNOWN_KEYS: Final = frozenset({"metric", "value", "step", "epoch", "timestamp", "rank"})
_LARGEST_RANK: Final = 10**6
_LARGEST_EPOCH: Final = 2**31 - 1
_NAMES_OF_REFUSED_TYPES: Final = {
    bool: "true or false",
    type(None): "null",
    str: "text",
    list: "a list",
    tuple: "an object",
}


def _parse_finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise RefusedError("a number is too large for a float")
    return value


def _parse_exact_integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RefusedError("an integer has too many digits") from None


# read objects as tuples of pairs, to find duplicate keys
_decode: Final = json.JSONDecoder(
    object_pairs_hook=tuple, parse_float=_parse_finite_float, parse_int=_parse_exact_integer
).decode


def _find_json(data: bytes, start: int, end: int) -> int:
    at = data.find(b"{", start, end)
    if at < 0 or data.rfind(b'metric"', at, end) < 0:  # `rfind` of this text takes half as long
        return -1
    return data.find(b'"metric"', at, end)


class Parser:
    """A parser for the JSON lines in one text, such as a stream."""

    finders = (_find_json,)

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink

    def read(self, text: str, rewrites: bool) -> bool:
        """Record the metric in a line; return whether the line has this format."""
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
            self._sink.reject("the line is nested too deeply", line)
        except ValueError:
            self._sink.reject("the line is not JSON", line)
        return True

    def _record(self, pairs: tuple[tuple[str, Any], ...], line: str) -> None:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise RefusedError(f"the key {key!r} occurs twice")
            if key in _KNOWN_KEYS:
                found[key] = value
        name = found["metric"]
        if not isinstance(name, str):
            raise RefusedError("the metric's name is not text")
        if "value" not in found:
            raise RefusedError("the key 'value' is missing")
        value = found["value"]
        if type(value) in _NAMES_OF_REFUSED_TYPES:
            raise RefusedError(f"the value is {_NAMES_OF_REFUSED_TYPES[type(value)]}")
        rank = found.get("rank")
        if type(rank) is int and 0 <= rank <= _LARGEST_RANK:
            self._sink.rank = rank
        self._sink.record_metric(
            name,
            value,
            context_from_name(name),
            step=_read_step(found),
            epoch=_read_number(found, "epoch", 0, _LARGEST_EPOCH),
            time_ns=_read_time_ns(found.get("timestamp")),
            line=line,
        )

    def finish(self) -> None:
        """Do nothing: `read` records each metric at once."""


def _read_step(found: dict[str, Any]) -> int | None:
    step = _read_number(found, "step", -MAX_STEP, MAX_STEP)
    if isinstance(step, float) and not step.is_integer():
        raise RefusedError("the step is not a whole number")
    return None if step is None else int(step)


def _read_number(found: dict[str, Any], key: str, least: int, most: int) -> int | float | None:
    value = found.get(key)
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:
        raise RefusedError(f"the {key} is not a number")
    if not least <= value <= most:
        raise RefusedError(f"the {key} is out of range")
    return value


def _read_time_ns(timestamp: object) -> int | None:
    if type(timestamp) not in (int, float):
        return None
    try:
        return to_time_ns(timestamp)
    except InvalidArgumentError:
        raise RefusedError("the timestamp is out of range") from None
