"""Converts values to JSON data and back. Objects of unknown types become text.

Strings, booleans, null, lists, objects, finite floats (written with ``.`` or ``e``) and integers
within +-2**53 stay plain JSON. Any other value becomes ``{"$": ..., "type": ...}``:

============== =====================================================
``type``       ``"$"``
============== =====================================================
integer        decimal digits
double         ``NaN``, ``INF`` or ``-INF``
decimal        the decimal's text
base64Binary   base64
dateTime       nanoseconds since the epoch, as decimal digits
array          a list of values, with ``dtype`` and ``shape``
object         an object that itself has the key ``$``
repr           an object's text; ``python`` names its type
============== =====================================================

Mappings, dataclasses, named tuples and other configuration objects become objects; see `fields`.

Imports only `fields`, `base.clock` and `errors` from provml.
"""

from __future__ import annotations

import base64
import math
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard

from provml.base.clock import to_datetime, to_time_ns
from provml.errors import InvalidArgumentError
from provml.journal.fields import Opaque as Opaque
from provml.journal.fields import (
    index_by_text,
    is_sequence,
    read_fields,
    read_members,
    stable_text,
)

if TYPE_CHECKING:
    from decimal import Decimal

_MAX_EXACT_INTEGER: Final = 2**53
_MAX_VALUE_DEPTH: Final = 64
DECODE_ERRORS: Final = (KeyError, TypeError, ValueError, ArithmeticError, RecursionError)
"""The exceptions that `decode` raises for data that provml did not write."""


class Moment(NamedTuple):
    """A point in time, in nanoseconds since the epoch."""

    time_ns: int


class Array(NamedTuple):
    """A small array, with its elements in C order."""

    dtype: str
    shape: tuple[int, ...]
    elements: tuple[Any, ...]


class PartialEpoch(int):
    """The whole part of a fractional epoch, such as 0 for 0.5.

    Attributes:
        exact: the fractional epoch.
    """

    exact: float

    def __new__(cls, epoch: float) -> PartialEpoch:
        """Create an int from the whole part of a fractional epoch, and keep the exact value."""
        own = super().__new__(cls, epoch)
        own.exact = epoch
        return own


_VALUE_CLASSES: Final = (Moment, Array, Opaque)


def is_decimal(value: object) -> TypeGuard[Decimal]:
    """Return whether a value is a `decimal.Decimal`.

    Does not import `decimal`, which takes some milliseconds. A process that has such a value has
    already imported it.
    """
    module = sys.modules.get("decimal")
    return module is not None and isinstance(value, module.Decimal)


def plain_number(value: object) -> object:
    """Convert a numpy scalar, or an array or tensor with one element, to a Python number.

    Returns all other objects unchanged, including numbers that can't be converted exactly.
    """
    if type(value) in (int, float, str, bool, bytes) or is_decimal(value):
        return value
    try:
        return _convert_to_number(value)
    except Exception:  # the tensor may have no data, or its class may raise anything
        return value


def _convert_to_number(value: Any) -> object:
    item = getattr(value, "item", None)
    if item is None:
        as_numpy = getattr(value, "numpy", None)  # some tensor classes have no item()
        if callable(as_numpy) and hasattr(value, "shape"):
            return plain_number(as_numpy())
        return value
    if not callable(item) or not hasattr(value, "shape") or _is_masked(value):
        return value
    shape = tuple(value.shape)
    if math.prod(shape) != 1:
        return value
    if getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):
        return value  # item() would drop the unit of a numpy datetime
    number = item()
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(number, numpy.longdouble):
        exact = float(number)
        return exact if exact == number or math.isnan(exact) else value
    return number.item() if numpy is not None and isinstance(number, numpy.generic) else number


def _has_no_dimensions(value: object) -> bool:
    try:
        return bool(getattr(value, "shape", ()) == ())
    except Exception:  # a tensor class may raise anything
        return False


def _is_masked(value: object) -> bool:
    """Return whether an object is a masked array. Masked elements must not be recorded as data."""
    return hasattr(value, "mask") and hasattr(value, "filled")


def encode(value: object, _depth: int = 0) -> Any:
    """Encode a value as JSON data. An object of an unknown type becomes its `stable_text`.

    Raises:
        InvalidArgumentError: the value is nested deeper than 64 levels, or contains a lone
            surrogate, an integer with too many digits, or a mapping with two keys that have the
            same text.
    """
    if _depth > _MAX_VALUE_DEPTH:
        raise InvalidArgumentError(
            f"the value is nested deeper than {_MAX_VALUE_DEPTH} levels: flatten it first"
        )
    if value is None or value is True or value is False:
        return value
    if _has_no_dimensions(value):  # an array with one element must keep its shape
        value = plain_number(value)
    if isinstance(value, str):
        return _require_unicode(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        number = int(value)
        if abs(number) <= _MAX_EXACT_INTEGER:
            return number
        try:
            return {"$": format(number, "d"), "type": "integer"}
        except ValueError:
            raise InvalidArgumentError(
                f"an integer of {number.bit_length():,} bits has more digits than Python converts "
                "to text: record it as a hexadecimal str, or write it to a file"
            ) from None
    if isinstance(value, float):
        return _encode_float(float(value))
    if isinstance(value, _VALUE_CLASSES):
        return _encode_typed(value, _depth)
    fields = read_fields(value)
    if fields is not None:
        return _encode_fields(fields, _depth)
    if isinstance(value, (set, frozenset)):
        return [encode(member, _depth + 1) for member in sorted(value, key=stable_text)]
    if is_sequence(value):
        return [encode(member, _depth + 1) for member in read_members(value)]
    return _encode_typed(value, _depth)


def _encode_typed(value: object, depth: int) -> Any:
    if is_decimal(value):
        return {"$": str(value), "type": "decimal"}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$": base64.b64encode(value).decode("ascii"), "type": "base64Binary"}
    if isinstance(value, Moment):
        return {"$": str(value.time_ns), "type": "dateTime"}
    if isinstance(value, datetime) and _has_time_zone(value):
        return {"$": str(to_time_ns(value)), "type": "dateTime"}
    if isinstance(value, os.PathLike):
        return _require_unicode(os.fsdecode(value))
    if isinstance(value, Array):
        return {
            "$": [encode(element, depth + 1) for element in value.elements],
            "type": "array",
            "dtype": value.dtype,
            "shape": list(value.shape),
        }
    if isinstance(value, Opaque):
        return {"$": value.text, "type": "repr", "python": value.python_type}
    array = small_array(value)
    if array is not None:
        return _encode_typed(array, depth)
    return {
        "$": stable_text(value),
        "type": "repr",
        "python": f"{type(value).__module__}.{type(value).__qualname__}",
    }


def _has_time_zone(value: datetime) -> bool:
    try:
        return value.utcoffset() is not None
    except ValueError:  # pandas' NaT is a datetime, but has no UTC offset
        return False


def small_array(value: object, limit: int = 4096) -> Array | None:
    """Convert a numpy array of at most ``limit`` booleans, real numbers or strings to an `Array`.

    Returns None for any other object, including masked arrays and arrays of long doubles.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray) or _is_masked(value):
        return None
    if value.size > limit or value.dtype.kind not in "biufU" or value.dtype.itemsize > 8 * limit:
        return None
    if value.dtype.kind == "f" and value.dtype.itemsize > 8:
        return None  # tolist() keeps numpy longdoubles, which JSON can't represent
    return Array(str(value.dtype), tuple(value.shape), tuple(value.ravel().tolist()))


def _require_unicode(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(
            f"{value[:80]!r} contains a lone surrogate, which is not valid Unicode: remove it"
        ) from None
    return str.__str__(value)  # str() of a str Enum member would return different text


def _encode_float(value: float) -> Any:
    if math.isfinite(value):
        return value
    return {"$": "NaN" if value != value else "INF" if value > 0 else "-INF", "type": "double"}


def _encode_fields(fields: dict[Any, Any], depth: int) -> Any:
    encoded = {
        _require_unicode(name): encode(member, depth + 1)
        for name, member in index_by_text(fields).items()
    }
    return {"$": encoded, "type": "object"} if "$" in encoded else encoded


def decode(value: Any) -> Any:
    """Decode JSON data that `encode` produced.

    Raises:
        ValueError, TypeError, KeyError: the data was not produced by `encode`.
    """
    if isinstance(value, list):
        return [decode(member) for member in value]
    if not isinstance(value, dict):
        return value
    if "$" not in value:
        return {key: decode(member) for key, member in value.items()}
    content = value["$"]
    kind = value["type"]
    if kind == "object":
        if not isinstance(content, dict):
            raise ValueError(
                f"a value of type 'object' must have an object under '$', not {content!r:.80}"
            )
        return {key: decode(member) for key, member in content.items()}
    if kind == "array":
        return Array(
            str(value["dtype"]), tuple(int(n) for n in value["shape"]), tuple(map(decode, content))
        )
    return _decode_typed(kind, content, value)


def _decode_typed(kind: object, content: object, value: dict[str, Any]) -> Any:
    if not isinstance(content, str):
        raise ValueError(
            f"a value of type {kind!r} must have a string under '$', not {content!r:.80}"
        )
    if kind == "integer":
        return int(content)
    if kind == "double":
        return float(content)
    if kind == "decimal":
        from decimal import Decimal

        return Decimal(content)
    if kind == "base64Binary":
        return base64.b64decode(content, validate=True)
    if kind == "dateTime":
        return Moment(int(content))
    if kind == "repr":
        return Opaque(str(value["python"]), content)
    raise ValueError(f"unknown value type: {kind!r}")


def to_logged_value(value: Any) -> Any:
    """Convert each `Moment`, `Array` and `Opaque` in a decoded value to a standard type.

    A `Moment` becomes a datetime, an `Array` a numpy array, and an `Opaque` a str.
    """
    if isinstance(value, Moment):
        return to_datetime(value.time_ns)
    if isinstance(value, Opaque):
        return value.text
    if isinstance(value, Array):
        import numpy as np

        return np.array(value.elements, dtype=value.dtype).reshape(value.shape)
    if isinstance(value, list):
        return [to_logged_value(member) for member in value]
    if isinstance(value, dict):
        return {key: to_logged_value(member) for key, member in value.items()}
    return value
