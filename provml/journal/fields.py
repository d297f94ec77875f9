"""Reads the fields of configuration objects, and describes other objects in text.

Recognises mappings, dataclasses, named tuples, `argparse.Namespace`, `types.SimpleNamespace`, attrs
classes, pydantic models and OmegaConf configurations, without importing their packages. If a field
raises an error when it is read, an `Opaque` object replaces its value.

Imports only `errors` from provml.
"""

from __future__ import annotations

import functools
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from provml.errors import InvalidArgumentError

_MAX_TEXT: Final = 10_000
_ADDRESS: Final = re.compile(r" at 0x[0-9A-Fa-f]{4,16}(?=[>, ])")
_FUNCTIONS: Final = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    type,
)


class Opaque(NamedTuple):
    """An object that has no JSON form, represented by its text and the name of its type."""

    python_type: str
    text: str


def read_fields(value: object) -> dict[Any, Any] | None:
    """Return the fields of a mapping or configuration object; None for any other object.

    Nested values are not converted. The keys of a mapping keep their type. Missing values of
    OmegaConf configurations (``???``) and fields that raise an error become `Opaque` objects.
    """
    try:
        names, read = _find_fields(value)
    except Exception:  # the object only resembles a supported type
        return None
    return None if names is None else {name: _read_field(read, name) for name in names}


def is_sequence(value: object) -> bool:
    """Return whether a value is recorded as a list: any sequence except text, bytes and ranges."""
    if isinstance(value, (list, tuple)):
        return True
    try:
        is_other = isinstance(value, (str, bytes, bytearray, memoryview, range))
        return isinstance(value, Sequence) and not is_other
    except Exception:  # ``__class__`` may be a property that raises
        return False


def read_members(value: Any) -> list[Any]:
    """Return the members of a sequence. Unreadable members of OmegaConf lists become `Opaque`."""
    config = _omegaconf_of(value)
    if config is None:
        return list(value)
    read = functools.partial(_read_configured, config, value)
    return [_read_field(read, index) for index in range(len(value))]


def _find_fields(value: Any) -> tuple[Iterable[Any] | None, Callable[[Any], Any]]:
    """Return the names of an object's fields, and a function that reads a field by its name.

    The names are None if the object is not a mapping or a configuration object.
    """
    kind = type(value)
    config = _omegaconf_of(value)
    if config is not None and isinstance(value, config.DictConfig):
        return list(value), functools.partial(_read_configured, config, value)
    if isinstance(value, Mapping):
        return list(value), value.__getitem__
    get = functools.partial(getattr, value)
    if isinstance(value, type):
        return None, get
    dataclasses = sys.modules.get("dataclasses")  # importing it would also load inspect
    if dataclasses is not None and dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)], get
    if isinstance(value, tuple) and isinstance(getattr(kind, "_fields", None), tuple):
        return list(kind._fields), get
    argparse = sys.modules.get("argparse")
    if kind is types.SimpleNamespace or (argparse and isinstance(value, argparse.Namespace)):
        return list(vars(value)), get
    if isinstance(getattr(kind, "__attrs_attrs__", None), tuple):
        return [field.name for field in kind.__attrs_attrs__], get
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        declared = getattr(kind, "model_fields", None) or getattr(kind, "__fields__", {})
        return [*declared, *(getattr(value, "__pydantic_extra__", None) or {})], get
    return None, get


def _omegaconf_of(value: object) -> Any:
    """Return the ``omegaconf`` package if a value is an OmegaConf configuration, else None."""
    package = sys.modules.get("omegaconf")
    if package is None or not hasattr(package, "OmegaConf"):
        return None
    return package if isinstance(value, (package.DictConfig, package.ListConfig)) else None


def _read_configured(package: Any, config: Any, key: Any) -> Any:
    if package.OmegaConf.is_missing(config, key):
        return Opaque("omegaconf.MISSING", "???")
    return config[key]


def _read_field(read: Callable[[Any], Any], name: Any) -> Any:
    try:
        return read(name)
    except Exception as error:  # a property or an interpolation may raise anything
        reason = f"{type(error).__name__}: {error}"[:_MAX_TEXT]
        return Opaque(type(error).__qualname__, f"<could not be read: {reason}>")


def key_text(key: object) -> str:
    """Return the text of a mapping's key for use in a name, such as ``0`` for the int 0."""
    if hasattr(key, "item") and hasattr(key, "shape"):  # a numpy or torch number
        try:
            key = key.item()
        except Exception:  # a tensor without data has no value
            return stable_text(key)
    if isinstance(key, Enum):
        return str(key.value) if isinstance(key, str) else key.name
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, tuple):
        return ",".join(key_text(part) for part in key)
    return stable_text(key)


def index_by_text(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a mapping's fields, keyed by the text of their original keys.

    Raises InvalidArgumentError if two keys have the same text, because one value would be lost.
    """
    found: dict[str, Any] = {}
    keys: dict[str, object] = {}
    for key, value in fields.items():
        text = key_text(key)
        if text in found:
            raise InvalidArgumentError(
                f"the keys {keys[text]!r:.80} and {key!r:.80} of a mapping would both be recorded "
                f"as {text!r}: rename one of them"
            )
        found[text], keys[text] = value, key
    return found


def stable_text(value: object) -> str:
    """Describe an object in text that is the same in every process, without memory addresses.

    A function, method or class becomes its module and qualified name. Any other object becomes its
    ``repr`` without addresses, of at most 10,000 characters.
    """
    try:
        text = _name_function(value) or _ADDRESS.sub("", repr(value))
    except Exception as error:  # a user's __repr__ may raise anything
        text = f"<repr failed: {type(error).__name__}>"
    return text[:_MAX_TEXT].encode("utf-8", "backslashreplace").decode()


def _name_function(value: object) -> str | None:
    """Return the name of a function, class or `functools.partial`; None for any other object."""
    if isinstance(value, functools.partial):
        own = [stable_text(argument) for argument in value.args]
        own += [f"{name}={stable_text(argument)}" for name, argument in value.keywords.items()]
        return f"functools.partial({', '.join([stable_text(value.func), *own])})"
    # numpy's ufuncs and torch's compiled functions have special classes
    if isinstance(value, _FUNCTIONS) or type(value).__name__ in ("ufunc", "OpOverload"):
        module = getattr(value, "__module__", None)
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if isinstance(name, str):
            return f"{module}.{name}" if isinstance(module, str) and module != "builtins" else name
    return None
