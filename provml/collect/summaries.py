"""Summarises the values of a numeric array. Imports no other part of provml."""

from __future__ import annotations

import math
from typing import Any, Final

_BLOCK_VALUES: Final = 2**20


def summarize_array(array: Any) -> dict[str, float | int]:
    """Return the minimum, maximum and mean of a numpy array, and its number of non-finite values.

    Reads the array once, in blocks of about a million values. Returns an empty dict if the array is
    empty, or if its values are neither integers nor floats.
    """
    if array.dtype.kind not in "iuf" or not array.size:
        return {}
    import numpy as np

    low: Any = math.inf
    high: Any = -math.inf
    total, count = 0.0, 0
    flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel()
    with np.errstate(all="ignore"):  # a sum may overflow; the script must not get a warning
        for start in range(0, flat.size, _BLOCK_VALUES):
            block = flat[start : start + _BLOCK_VALUES]
            if array.dtype.kind == "f":
                block = block[np.isfinite(block)]
            if block.size:
                low, high = min(low, _to_number(block.min())), max(high, _to_number(block.max()))
                total += float(block.sum(dtype=np.float64))
                count += block.size
    summary: dict[str, float | int] = {}
    if count:
        mean = total / count
        summary = {} if math.inf in (abs(low), abs(high)) else {"min": low, "max": high}
        if math.isfinite(mean):
            summary["mean"] = mean
    if count < flat.size:
        summary["not_finite"] = int(flat.size - count)
    return summary


def _to_number(value: Any) -> float | int:
    """Convert a numpy scalar to a Python number. Rounds long doubles, which JSON can't store."""
    number = value.item()
    return number if isinstance(number, (int, float)) else float(number)
