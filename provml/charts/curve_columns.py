"""Converts curves to JSON for the scripts of HTML pages. Imports numpy only when needed."""

from __future__ import annotations

from typing import Any

from provml.charts.curves import AXES, Curve


def curve_data(curve: Curve) -> dict[str, Any]:
    """Convert a curve to JSON data. NaN becomes null, and an axis with no positions is omitted."""
    import numpy as np

    finite = curve.value[np.isfinite(curve.value)]
    made: dict[str, Any] = {
        "count": curve.count,
        "shown": len(curve.value),
        "low": float(finite.min()) if len(finite) else None,
        "high": float(finite.max()) if len(finite) else None,
        "value": _json_numbers(curve.value),
    }
    for name in AXES:
        places = getattr(curve, name)
        if np.isfinite(places).any():
            made[name] = _json_numbers(places)
    return made


def _json_numbers(values: Any) -> list[float | int | None]:
    return [
        None if value != value else int(value) if value.is_integer() else value
        for value in values.tolist()
    ]
