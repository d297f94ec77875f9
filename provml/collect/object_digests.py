r"""Computes the digests of Python values: mappings, lists, numbers, text, arrays and objects.

The digest is the SHA-256 of the value's canonical form. This form begins with a line that names the
value's kind. In the line of a container, ``<n>`` is the number of members. The members follow the
line:

=================== ==========================================================================
value               canonical form
=================== ==========================================================================
None, True, False   ``none``, ``true``, ``false``
int                 ``int <hexadecimal digits>``
float, complex      ``float <float.hex()>``, ``complex <real> <imaginary>``
str                 ``str <n>``, and a line of n bytes of UTF-8
bytes               ``bytes <n>``, and a line of n bytes
datetime            ``datetime <ISO 8601>``, in UTC if the datetime has a zone
Decimal             ``decimal <text>``
array, tensor       ``array <digest>``; see `arrays`
array of objects    ``objects <shape>``, and its elements
table               ``table <digest>``; see `tables`
list, tuple, range  ``list <n>``, and its members
mapping             ``dict <n>``, and its keys and values, sorted by the bytes of the keys
set                 ``set <n>``, and the digests of its members, sorted
class, function     ``global <module>.<name>``
object with a state ``state <class>``, and the value that its method ``state_dict`` returns
any other object    ``object``, and the function, arguments, state, members and items that
                    ``__reduce_ex__(4)`` returns, as `pickle` would store them
=================== ==========================================================================

The form does not depend on memory addresses, hash order, or whether two equal members are the same
object. A subclass of ``list``, ``dict`` or another built-in class is treated as the built-in class.
If a container contains itself, the inner occurrence is replaced by ``ancestor <n>``, where n is the
number of levels from the inner occurrence up to the outer one.

Imports only `arrays`, `tables`, `content` and `unreadable` from provml.
"""

from __future__ import annotations

import copyreg
import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from provml.collect.arrays import describe_array, is_array
from provml.collect.content import Facts
from provml.collect.tables import describe_table, is_table
from provml.collect.unreadable import UnreadableError, describe_type

_MAX_VALUES: Final = 20_000_000
_MAX_DEPTH: Final = 128
_NUMBER_BYTES: Final = 8


class ValueDigest(NamedTuple):
    """The digest of a value.

    Attributes:
        sha256: the hexadecimal digest.
        size: the total size of the value's arrays, tables and text in bytes, plus 8 bytes for each
            number.
        elements: the total number of elements in the value's arrays.
    """

    sha256: str
    size: int
    elements: int


def digest_value(value: object, array_alone: bool = False) -> ValueDigest:
    """Return the digest of a value's content. Does not change the value.

    Takes about a microsecond for each number or text, and reads the bytes of arrays once.

    Args:
        value: the value, or a container of values.
        array_alone: if True and the value is an array, return the digest of the array itself
            instead of the digest of its canonical form.

    Raises:
        UnreadableError: a part of the value has no data or no reproducible content.
        BaseException: the code of the value's class raised an exception.
    """
    if array_alone and is_array(value) and not is_table(value) and not _is_object_array(value):
        facts = _describe_readable(value)
        return ValueDigest(facts["sha256"], facts["size"], math.prod(facts["shape"]))
    digest = hashlib.sha256()
    writer = _CanonicalWriter(digest.update)
    writer.write(value)
    return ValueDigest(digest.hexdigest(), writer.size, writer.elements)


def read_state(value: Any) -> Mapping[str, Any] | None:
    """Return the ``state_dict`` of a module or optimizer; None for any other object.

    Raises UnreadableError for a sharded module, whose ``state_dict`` would wait for the other
    processes.
    """
    kind = type(value)
    if not callable(inspect.getattr_static(kind, "state_dict", None)) and not callable(
        vars(value).get("state_dict") if hasattr(value, "__dict__") else None
    ):
        return None
    if hasattr(kind, "modules") and any(map(_is_sharded, value.modules())):
        raise UnreadableError(
            "it is distributed over several processes, and its state_dict would wait for them: "
            "save a checkpoint and log the file"
        )
    state = value.state_dict()
    return state if issubclass(type(state), Mapping) else None


def _is_sharded(module: object) -> bool:
    return any(kind.__name__ == "FullyShardedDataParallel" for kind in type(module).__mro__)


def _describe_readable(value: object) -> Facts:
    facts = describe_array(value)
    if "sha256" not in facts:
        raise UnreadableError(facts["unread"])
    return facts


class _CanonicalWriter:
    """Passes the canonical form of a value to a function, piece by piece, as bytes."""

    def __init__(self, write_bytes: Callable[[bytes], Any]) -> None:
        self.size = 0
        self.elements = 0
        self._emit = write_bytes
        self._count = 0
        self._ancestors: dict[int, int] = {}

    def write(self, value: object) -> None:
        """Write a value and its members. Raises the same errors as `digest_value`."""
        self._count += 1
        if self._count > _MAX_VALUES:
            raise UnreadableError(f"it has more than {_MAX_VALUES:,} values")
        kind = type(value)
        write_leaf = _LEAVES.get(kind)
        if write_leaf is None:
            write_leaf = next((w for base, w in _LEAVES.items() if issubclass(kind, base)), None)
        if write_leaf is not None:
            content = write_leaf(value)
            is_text = write_leaf in (_encode_text, _encode_bytes)
            self.size += len(content) if is_text else _NUMBER_BYTES
            self._emit(content)
            return
        if is_table(value) or is_array(value):
            self._write_array(value)
            return
        if issubclass(kind, type) or kind is FunctionType or _is_builtin_function(value):
            self._emit(b"global %s\n" % _find_global(value).encode())
            return
        self._write_container(value)

    def _write_container(self, value: Any) -> None:
        place = id(value)
        depth = len(self._ancestors)
        if place in self._ancestors:
            self._emit(b"ancestor %d\n" % (depth - self._ancestors[place]))
            return
        if depth >= _MAX_DEPTH:
            raise UnreadableError(f"it is nested deeper than {_MAX_DEPTH} levels")
        self._ancestors[place] = depth
        kind = type(value)
        if issubclass(kind, (list, tuple)):
            base = list if issubclass(kind, list) else tuple
            self._write_members(b"list", list(base.__iter__(value)))
        elif kind is range:
            self._write_members(b"list", value)
        elif issubclass(kind, dict):
            self._write_items(list(dict.items(value)))
        elif issubclass(kind, (set, frozenset)):
            self._write_set(value)
        elif issubclass(kind, Mapping):
            self._write_items(list(value.items()))
        else:
            state = read_state(value)
            if state is None:
                self._write_object(value)
            else:
                self._emit(b"state %s\n" % describe_type(value).encode())
                self.write(state)
        del self._ancestors[place]

    def _write_members(self, kind: bytes, members: Any) -> None:
        self._emit(b"%s %d\n" % (kind, len(members)))
        for member in members:
            self.write(member)

    def _write_items(self, items: list[tuple[Any, Any]]) -> None:
        keys = [(self._encode_key(key), place) for place, (key, _) in enumerate(items)]
        self._emit(b"dict %d\n" % len(items))
        for key, place in sorted(keys):
            self._emit(key)
            self.write(items[place][1])

    def _encode_key(self, key: object) -> bytes:
        if type(key) is str:
            return _encode_text(key)
        parts: list[bytes] = []
        writer = _CanonicalWriter(parts.append)
        writer._ancestors = self._ancestors
        writer.write(key)
        return b"".join(parts)

    def _write_set(self, members: Iterable[Any]) -> None:
        digests = sorted(digest_value(member).sha256 for member in members)
        self._emit(b"set %d\n" % len(digests))
        for digest in digests:
            self._emit(digest.encode() + b"\n")

    def _write_array(self, value: Any) -> None:
        if is_table(value):
            facts = describe_table(value, _digest_cell)
            self._emit(b"table %s\n" % facts["sha256"].encode())
            self.size += facts["size"]
            return
        if _is_object_array(value):
            self._emit(b"objects %s\n" % str(value.shape).encode())
            for element in value.reshape(-1).tolist():
                self.write(element)
            return
        facts = _describe_readable(value)
        self._emit(b"array %s\n" % facts["sha256"].encode())
        self.size += facts["size"]
        self.elements += math.prod(facts["shape"])

    def _write_object(self, value: Any) -> None:
        kind: Any = type(value)
        if kind is object:
            raise UnreadableError("a plain object() has no content")
        reduce = copyreg.dispatch_table.get(kind)
        reduced = kind.__reduce_ex__(value, 4) if reduce is None else reduce(value)
        if isinstance(reduced, str):
            self._emit(f"global {describe_type(value)} {reduced}\n".encode())
            return
        function, arguments, *others = reduced
        state, members, items = (*others, None, None, None)[:3]
        self._emit(b"object\n")
        self.write(function)
        self.write(arguments)
        self.write(state)
        self._write_members(b"list", [] if members is None else list(members))
        self._write_items([] if items is None else list(items))


def _encode_text(text: str) -> bytes:
    content = str.encode(text, "utf-8", "surrogatepass")
    return b"str %d\n%s\n" % (len(content), content)


def _encode_bytes(value: Any) -> bytes:
    content = bytes(value)
    return b"bytes %d\n%s\n" % (len(content), content)


def _encode_datetime(value: datetime) -> bytes:
    if value.tzinfo is None or value.utcoffset() is None:
        return f"datetime {value.isoformat()}\n".encode()
    convert = getattr(value, "tz_convert", None)  # pandas' tz_convert keeps nanoseconds
    moment = value.astimezone(UTC) if convert is None else convert("UTC")
    return f"datetime {moment.isoformat()}\n".encode()


def _encode_complex(value: complex) -> bytes:
    return f"complex {value.real.hex()} {value.imag.hex()}\n".encode()


_LEAVES: Final[dict[type, Callable[[Any], bytes]]] = {
    type(None): lambda _: b"none\n",
    bool: lambda value: b"true\n" if value else b"false\n",
    int: lambda value: b"int %s\n" % int.__format__(value, "x").encode(),
    float: lambda value: b"float %s\n" % float.hex(value).encode(),
    str: _encode_text,
    bytes: _encode_bytes,
    bytearray: _encode_bytes,
    memoryview: _encode_bytes,
    complex: _encode_complex,
    datetime: _encode_datetime,
    date: lambda value: f"date {value.isoformat()}\n".encode(),
    Decimal: lambda value: f"decimal {value}\n".encode(),
}


def _is_builtin_function(value: object) -> bool:
    """Return True if the value is a function written in C, and not a method bound to an object."""
    return type(value) is BuiltinFunctionType and (
        value.__self__ is None or isinstance(value.__self__, ModuleType)
    )


def _find_global(value: Any) -> str:
    """Return the module and name of a class or function.

    Raises UnreadableError if a function can't be imported by its name. For example, the name of a
    lambda does not identify the lambda's code.
    """
    if issubclass(type(value), type):
        return f"{value.__module__}.{value.__qualname__}"
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if module is None and isinstance(getattr(value, "__self__", None), ModuleType):
        module = value.__self__.__name__
    found = sys.modules.get(module) if isinstance(module, str) else None
    for part in str(name).split("."):
        found = getattr(found, part, None)
    if found is not value:
        raise UnreadableError(f"it contains {name!r}, which can't be imported by its name")
    return f"{module}.{name}"


def _is_object_array(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return (
        numpy is not None
        and issubclass(type(value), numpy.ndarray)
        and not issubclass(type(value), numpy.ma.MaskedArray)
        and value.dtype.kind == "O"  # type: ignore[attr-defined]
    )


def _digest_cell(value: object) -> str:
    return digest_value(value).sha256
