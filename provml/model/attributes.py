"""How values, and the facts of a file, array or object, become attributes.

Imports `journal.values`, `statements`.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from decimal import Decimal
from typing import Any, Final

from provml.journal.files import Record
from provml.journal.values import Moment, Opaque, encode
from provml.model.statements import Iri, Literal, Name, Value

Attributes = list[tuple[str, Any]]  # values are `statements.Value`s: a list is invariant

_LESS_COMMON: Final = (
    "left_out",
    "length",
    "cut_from",
    "batches",
    "batch_size",
    "of_type",
    "fingerprint",
    "cells",
)
_JSON: Final = Name("rdf:JSON")
_LONGEST_DECIMAL: Final = 10_000


def typed_literal(value: Any) -> Value:
    """A decoded value as PROV has it: a plain one by itself, another by its lexical form."""
    if isinstance(value, (str, bool, int, float, Moment)):
        return value
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, bytes):
        return Literal(b64encode(value).decode("ascii"), Name("xsd:base64Binary"))
    if isinstance(value, Opaque):
        return value.text
    return json_literal(encode(value))


def _decimal(value: Decimal) -> Value:
    if not value.is_finite():
        return float(str(value).replace("sNaN", "NaN"))
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and abs(exponent) > _LONGEST_DECIMAL:
        return Literal(str(value), Name("provml:decimal"))  # xsd:decimal knows no exponent
    return Literal(format(value, "f"), Name("xsd:decimal"))


def json_literal(content: Any) -> Literal:
    """JSON as a value (rdf:JSON), ASCII only."""
    return Literal(json.dumps(content, allow_nan=False, separators=(",", ":")), _JSON)


def plain_attributes(record: Record, keys: tuple[str, ...]) -> Attributes:
    """Facts under the vocabulary's names: ``memory_bytes`` is ``provml:memoryBytes``."""
    attributes: Attributes = []
    for key in keys:
        value = record.get(key)
        if isinstance(value, (str, bool, int)) or (
            isinstance(value, float) and math.isfinite(value)
        ):
            first, *others = key.split("_")
            attributes.append((f"provml:{first}{''.join(map(str.title, others))}", value))
    return attributes


def content_attributes(content: Record) -> Attributes:
    """What a file, folder, array or object is: path, digest, size, shape."""
    keys = ("kind", "sha256", "size", "files", "path", "copy", "dtype", "digest_of", "parameters")
    attributes = plain_attributes(content, (*keys, *_LESS_COMMON))
    if isinstance(content.get("python"), str):
        attributes.append(("provml:pythonType", content["python"]))
    if isinstance(content.get("uri"), str):
        attributes.append(("provml:uri", Iri(content["uri"])))
    if isinstance(content.get("modified"), int):
        attributes.append(("provml:modifiedAt", Moment(content["modified"])))
    for key in ("shape", "members", "schema", "summary", "transforms"):
        if content.get(key) is not None:
            attributes.append((f"provml:{key}", json_literal(content[key])))
    if isinstance(content.get("unread"), str):
        attributes.append(("provml:unread", content["unread"]))
    return attributes
