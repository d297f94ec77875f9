"""Curves as the pages' scripts take them. Imports `curves`; numpy when it runs."""

from __future__ import annotations

from typing import Any

from provml.plot.curves import AXES, Curve


def curve_data(curve: Curve) -> dict[str, Any]:
    """A curve as JSON: what is no number is null, an axis without places is left out."""
    import numpy as np

    finite = curve.value[np.isfinite(curve.value)]
    made: dict[str, Any] = {
        "count": curve.count,
        "shown": len(curve.value),
        "low": float(finite.min()) if len(finite) else None,
        "high": float(finite.max()) if len(finite) else None,
        "value": _numbers(curve.value),
    }
    for name in AXES:
        places = getattr(curve, name)
        if np.isfinite(places).any():
            made[name] = _numbers(places)
    return made


def _numbers(values: Any) -> list[float | int | None]:
    return [
        None if value != value else int(value) if value.is_integer() else value
        for value in values.tolist()
    ]
