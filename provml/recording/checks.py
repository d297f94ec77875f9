"""Checks the arguments of `Run`'s methods, and converts them to values that the journal can store.

Imports only `base.context`, `collect.secrets`, `errors` and `journal` from provml.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from provml.base.context import Context, context_path, validate_name
from provml.collect.secrets import MASK, is_secret_name, mask_fields
from provml.errors import InvalidArgumentError, InvalidMetricError
from provml.journal.fields import Opaque, index_by_text, read_fields
from provml.journal.layout import MAX_INT64
from provml.journal.values import PartialEpoch, encode, is_decimal, plain_number, small_array

_EPOCH_LIMIT: Final = 2**31
_MAX_VALUE_BYTES: Final = 2**20
_MAX_PARAM_DEPTH: Final = 64


def validate_metric_name(name: object) -> str:
    """Return a metric's name if it is valid; raise InvalidMetricError if it is not."""
    try:
        return validate_name(name, "a metric's name")
    except InvalidArgumentError as error:
        raise InvalidMetricError(str(error)) from None


def encode_value(name: str, value: object) -> tuple[str, Any]:
    """Return the storage type (``f64``, ``i64`` or ``text``) and the encoded value of a metric.

    Raises:
        InvalidMetricError: the value cannot be stored; the message names the metric.
    """
    number = plain_number(value)
    if isinstance(number, float):
        return "f64", float(number)
    if isinstance(number, int) and not isinstance(number, bool):
        number = int(number)
        if -MAX_INT64 - 1 <= number <= MAX_INT64:
            return "i64", number
    array = small_array(value)
    if array is not None and array.elements and value.dtype.kind in "iuf":  # type: ignore[attr-defined]
        return "text", encode(array)
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if is_number or isinstance(number, (str, bytes)) or is_decimal(number):
        if isinstance(number, (str, bytes)) and len(number) > _MAX_VALUE_BYTES:
            raise InvalidMetricError(
                f"metric {name!r}: the value is {len(number):,} characters or bytes long, but "
                f"the limit is {_MAX_VALUE_BYTES:,}; write it to a file and log the file with "
                "log_artifact"
            )
        if isinstance(number, (str, bytes)) and is_secret_name(name):
            number = MASK
        try:
            return "text", encode(number)
        except InvalidArgumentError as error:
            raise InvalidMetricError(f"metric {name!r}: {error}") from None
    raise InvalidMetricError(_explain_refusal(name, value))


def _explain_refusal(name: str, value: object) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    try:
        return f"metric {name!r}: " + _explain_array_refusal(kind, value)
    except Exception as error:  # reading the attributes of a lazy or nested tensor can fail
        return (
            f"metric {name!r}: the value is a {kind} that can't be read: "
            f"{type(error).__name__}: {str(error)[:200]}"
        )


def _explain_array_refusal(kind: str, value: object) -> str:
    if getattr(value, "is_meta", False) is True:
        return f"the value is a {kind} on the meta device, which stores no values"
    shape = getattr(value, "shape", None)
    if shape is None:
        return (
            f"a value must be a number, str, bytes, or a small numpy array, not {kind}: "
            f"{value!r:.80}"
        )
    if hasattr(value, "mask") and hasattr(value, "filled"):
        return (
            f"a masked array of shape {tuple(shape)} has elements without a value; log its mean, "
            "or log value.compressed(), which has only the elements that are not masked"
            if math.prod(shape) != 1
            else "the value is masked, so there is no value to log; skip it, or log float('nan')"
        )
    if math.prod(shape) == 1:
        dtype = getattr(value, "dtype", kind)
        if "complex" in str(dtype):
            return "a complex number is not a single value; log its real and its imaginary part"
        if "datetime" in str(dtype) or "timedelta" in str(dtype):
            return f"a value of dtype {dtype} is not a number; log it in seconds"
        return (
            f"a value of dtype {dtype} cannot be stored exactly in 64 bits: {value!r:.80}; to "
            "round it, convert it with float()"
        )
    return (
        f"a {kind} of shape {tuple(shape)} is not a single value; log its mean, each element under "
        "a different name, or a numpy array of at most 4,096 numbers"
    )


def packs_exactly(value: object) -> bool:
    """Return whether ``struct`` packs values of this class without rounding them.

    The fast path packs only such values, so that it stores the same numbers as `encode_value`. If
    such a value is too large, ``struct`` raises an error.
    """
    if isinstance(value, (int, float)):
        return not isinstance(value, bool)
    numpy = sys.modules.get("numpy")
    return (
        numpy is not None
        and isinstance(value, (numpy.integer, numpy.floating))
        and not isinstance(value, numpy.longdouble)
        and not isinstance(value, numpy.timedelta64)
    )


def validate_step(step: object) -> int | None:
    """Return the step as a 64-bit int; None stays None. A float must be a whole number.

    Raises InvalidArgumentError if the step is not a whole number between -(2**63 - 1) and
    2**63 - 1.
    """
    number = _validate_number(step, "step")
    if isinstance(number, float):
        if not number.is_integer():
            raise InvalidArgumentError(f"step must be a whole number, not {step!r:.80}")
        number = int(number)
    if number is not None and not -MAX_INT64 <= number <= MAX_INT64:
        raise InvalidArgumentError(f"step must be from -(2**63 - 1) to 2**63 - 1, not {step!r}")
    return number


def validate_epoch(epoch: object) -> int | None:
    """Return the epoch as an int; None stays None. A fractional epoch becomes a `PartialEpoch`.

    Raises InvalidArgumentError if the epoch is not a number in the range 0 <= epoch < 2**31.
    """
    if isinstance(epoch, PartialEpoch):
        return epoch
    number = _validate_number(epoch, "epoch")
    if number is not None and not 0 <= number < _EPOCH_LIMIT:
        raise InvalidArgumentError(f"epoch must be between 0 and 2**31 - 1, not {epoch!r:.80}")
    if isinstance(number, float):
        return int(number) if number.is_integer() else PartialEpoch(number)
    return number


def _validate_number(value: object, what: str) -> int | float | None:
    if value is None or value.__class__ is int:
        return value
    number = plain_number(value)
    if isinstance(number, int) and not isinstance(number, bool):
        return int(number)
    if isinstance(number, float) and math.isfinite(number):
        return float(number)
    raise InvalidArgumentError(
        f"{what} must be a number or None, not {type(value).__name__}: {value!r:.80}"
    )


def path_to_list(path: tuple[str, ...] | None) -> list[str] | None:
    """Convert a context's path to a list, which JSON can store; None stays None."""
    return None if path is None else list(path)


def place_fields(
    context: Context | str | None, step: object, epoch: object = None
) -> dict[str, Any]:
    """Check the context, step and epoch of a record, and return them as fields of the record."""
    return {
        "context": path_to_list(context_path(context)),
        "step": validate_step(step),
        "epoch": validate_epoch(epoch),
    }


def param_record(name: str, value: object) -> dict[str, Any]:
    """Build the journal record of a parameter. Mask the value if the name suggests a secret."""
    return _build_setting("param", name, value)


def tag_record(name: object, value: object) -> dict[str, Any]:
    """Build the journal record of a tag."""
    return _build_setting("tag", validate_name(name, "a tag's name"), value)


def metadata_record(name: object, value: object) -> dict[str, Any]:
    """Build the journal record of a metadata key and its value."""
    return _build_setting("metadata", validate_name(name, "a metadata key"), value)


def reading_summary_record(name: str, value: float) -> dict[str, Any]:
    """Build the journal record of a summary of readings, such as ``system.cpu_percent.mean``."""
    return {
        "record": "reading_summary",
        "time": time.time_ns(),
        "name": name,
        "value": encode(value),
    }


def _build_setting(kind: str, name: str, value: object) -> dict[str, Any]:
    own, hidden = mask_fields(name, value, encode(value))
    record = {"record": kind, "time": time.time_ns(), "name": name, "value": own}
    return record | {"masked": True} if hidden else record


def metadata_value(metadata: object) -> Any:
    """Encode metadata for the journal, and mask any secrets in it.

    Raises InvalidArgumentError if the metadata is neither a mapping nor None.
    """
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise InvalidArgumentError(f"metadata must be a mapping, not {metadata!r:.80}")
    return mask_fields("", metadata, encode(metadata))[0]


def flatten(params: object, prefix: str) -> dict[str, Any]:
    """Return the values of a mapping or configuration object by dotted name.

    Nested mappings and configuration objects are flattened too, but empty ones are kept as values.

    Raises:
        InvalidArgumentError: the argument is neither a mapping nor a configuration object, is
            nested deeper than 64 levels, contains itself, or has two values with the same name.
    """
    fields = read_fields(params)
    if fields is None:
        raise InvalidArgumentError(
            "log_params takes a mapping, a dataclass, an argparse.Namespace or another "
            f"configuration object, not {type(params).__name__}: {params!r:.80}"
        )
    found: dict[str, Any] = {}
    for name, value in _walk_leaves(fields, prefix, 0):
        if name in found:
            raise InvalidArgumentError(
                f"two parameters would both be named {name!r:.80}: rename one of them"
            )
        found[name] = value
    return found


def _walk_leaves(fields: dict[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _MAX_PARAM_DEPTH:
        raise InvalidArgumentError(
            f"params must not be nested deeper than {_MAX_PARAM_DEPTH} levels"
        )
    for key, value in index_by_text(fields).items():
        name = prefix + validate_name(key, "a parameter's name")
        nested = None if isinstance(value, Opaque) else read_fields(value)
        if nested:
            yield from _walk_leaves(nested, f"{name}.", depth + 1)
        else:
            yield name, value
