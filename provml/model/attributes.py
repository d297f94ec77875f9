"""Builds the attributes of PROV statements from logged values and from descriptions of content.

Imports `journal.values`, `damage` and `statements`.
"""

from __future__ import annotations

import math
from base64 import b64encode
from decimal import Decimal
from typing import Any, Final

from provml.journal.layout import Record
from provml.journal.values import Moment, Opaque, encode
from provml.model.damage import check_time, json_text_of
from provml.model.statements import Iri, Literal, Name, Value

Attributes = list[tuple[str, Any]]  # not `Value`: ``list`` is invariant

_LESS_COMMON: Final = (
    "left_out",
    "manifest",
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
    """Convert a value from a record to a plain value or a typed literal for a PROV statement."""
    if isinstance(value, (str, bool, int, float, Moment)):
        return value
    if isinstance(value, Decimal):
        return _decimal_literal(value)
    if isinstance(value, bytes):
        return Literal(b64encode(value).decode("ascii"), Name("xsd:base64Binary"))
    if isinstance(value, Opaque):
        return value.text
    return json_literal(encode(value))


def _decimal_literal(value: Decimal) -> Value:
    if value.is_nan():
        return math.nan
    if value.is_infinite():
        return float(value)
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and abs(exponent) > _LONGEST_DECIMAL:
        return Literal(str(value), Name("provml:decimal"))  # xsd:decimal allows no exponent
    return Literal(format(value, "f"), Name("xsd:decimal"))


def json_literal(content: Any) -> Literal:
    """Convert parsed JSON to an ASCII literal of type rdf:JSON.

    Raises the same errors as `json_text_of`.
    """
    return Literal(json_text_of(content), _JSON)


def plain_attributes(record: Record, keys: tuple[str, ...]) -> Attributes:
    """Convert the fields ``keys`` of a record to attributes. Skips fields without a plain value.

    Plain values are strings, booleans, integers and finite floats. The field ``memory_bytes``
    becomes the attribute ``provml:memoryBytes``.
    """
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
    """Convert the description of a file, folder, array or object to attributes.

    Raises DamagedRecordError if a field of the description cannot be read.
    """
    keys = ("kind", "sha256", "size", "files", "path", "copy", "copy_sha256", "masked")
    others = ("dtype", "digest_of", "parameters", *_LESS_COMMON)
    attributes = plain_attributes(content, (*keys, *others))
    if isinstance(content.get("python"), str):
        attributes.append(("provml:pythonType", content["python"]))
    if isinstance(content.get("uri"), str):
        attributes.append(("provml:uri", Iri(content["uri"])))
    if content.get("modified") is not None:
        attributes.append(("provml:modifiedAt", check_time(content["modified"])))
    for key in ("links", "skipped", "shape", "members", "schema", "summary", "transforms"):
        if content.get(key) is not None:
            attributes.append((f"provml:{key}", json_literal(content[key])))
    for key in ("unread", "uncopied"):
        if isinstance(content.get(key), str):
            attributes.append((f"provml:{key}", content[key]))
    return attributes
