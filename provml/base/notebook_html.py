"""Builds the small HTML tables that notebooks show.

Recorded text may contain anything, so all text is escaped. Imports only `base.text` from provml.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any, Final

from provml.base.text import printable

MOST_ROWS: Final = 50
"""The maximum number of rows that a table shows. A line below the table gives the total number."""

_LONGEST_CELL: Final = 200


class Html(str):
    """Text that is already HTML, such as an ``img`` element. provml does not escape this text."""

    __slots__ = ()


def build_cell_text(value: Any) -> str:
    """Return a value as escaped text. Floats are rounded to six digits; long text is shortened."""
    if value is None:
        return ""
    if isinstance(value, Html):
        return value
    text = f"{value:.6g}" if isinstance(value, float) else printable(value)
    short = text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
    return html.escape(short)


def build_table_html(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    total: int | None = None,
    notes: Iterable[str] = (),
) -> str:
    """Build a table with a heading for each column.

    Args:
        columns: the headings.
        rows: the rows. The table shows only the first `MOST_ROWS` of them.
        total: the total number of rows, if ``rows`` does not contain all of them.
        notes: messages to show below the table.
    """
    total = len(rows) if total is None else total
    shown = rows[:MOST_ROWS]
    heads = "".join(f"<th>{build_cell_text(column)}</th>" for column in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{build_cell_text(value)}</td>' for value in row)}</tr>"
        for row in shown
    )
    below = [] if total <= len(shown) else [f"{len(shown):,} of {total:,} rows"]
    lines = "".join(f"<p>{build_cell_text(note)}</p>" for note in (*below, *notes))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{lines}"


def build_facts_html(title: str, facts: Sequence[tuple[str, Any]]) -> str:
    """Build a title and a table with one row for each named value."""
    rows = "".join(
        f"<tr><th>{build_cell_text(name)}</th><td>{build_cell_text(value)}</td></tr>"
        for name, value in facts
    )
    return f"<p><b>{build_cell_text(title)}</b></p><table><tbody>{rows}</tbody></table>"
