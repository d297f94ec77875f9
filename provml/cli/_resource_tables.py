"""Builds the tables that ``provml show --resources`` prints.

Imports only `model`, `_overview_tables` and `_terminal` from provml.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from provml.cli import _terminal as terminal
from provml.cli._overview_tables import format_context
from provml.model.resources import ResourceUse

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


def resource_to_json(use: ResourceUse) -> dict[str, Any]:
    """Return a summary of readings as a dictionary of JSON values."""
    content = asdict(use)
    content["contexts"] = [
        {"context": None if path is None else list(path), "total": total}
        for path, total in use.contexts.items()
    ]
    plain: dict[str, Any] = terminal.exact(content)
    return plain


def build_resource_tables(found: list[ResourceUse]) -> list[RenderableType]:
    """Build a table of all readings, and a table of the energy that each context used."""
    if not found:
        return [terminal.styled("the run has no system readings", "dim")]
    ranked = any(use.rank is not None for use in found)
    numbers = ("mean", "min", "max", "total", "above")
    columns = ["  kind", "name", *(["rank"] if ranked else []), *numbers, "unit"]
    rows: list[list[Text]] = []
    for use in found:
        cells = [f"  {terminal.printable(use.kind)}", terminal.printable(use.name)]
        cells += [terminal.value_text(use.rank)] if ranked else []
        for value in (use.mean, use.minimum, use.maximum, use.total):
            cells.append(_format_amount(value, use.unit))
        cells.append(_format_above(use))
        cells.append("" if use.unit in (None, "B") else terminal.printable(use.unit))
        rows.append([terminal.styled(cell) for cell in cells])
    drop = ("unit", "above", "min", "  kind", "max")
    parts: list[RenderableType] = [
        terminal.table(columns, rows, right=("rank", *numbers), cut=("name", "  kind"), drop=drop)
    ]
    for use in found:
        if use.name == "energy_joules" and any(path is not None for path in use.contexts):
            parts.append(terminal.styled("\nenergy by context", "bold"))
            parts.append(
                terminal.pairs_table(
                    [
                        (format_context(path), terminal.styled(f"{terminal.value_text(total)} J"))
                        for path, total in use.contexts.items()
                    ]
                )
            )
    return parts


def _format_amount(value: float | None, unit: str | None) -> str:
    if value is None:
        return "-"
    return terminal.size_text(round(value)) if unit == "B" else terminal.value_text(value)


def _format_above(use: ResourceUse) -> str:
    """Format how long a reading was above its threshold, for example as ``2 m 05 s > 90``."""
    if use.above_s is None or use.threshold is None:
        return "-"
    return f"{terminal.format_duration(use.above_s)} > {terminal.value_text(use.threshold)}"
