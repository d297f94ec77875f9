"""How text, times and numbers look on a terminal and in a pipe.

What was recorded is data: nothing of it reaches a terminal as a control code or as markup.
Imports `clock`; rich when a table is made.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import click

from provml.base.clock import iso_text
from provml.base.text import printable as printable
from provml.base.text import size_text as size_text
from provml.journal.values import Array, Moment, Opaque

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

STYLES: Final = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "crashed": "red",
    "interrupted": "yellow",
}

_PIPE_WIDTH: Final = 10_000
_NARROWEST: Final = 8
_EXACT_INTEGER: Final = 2**53
_NS_PER_S: Final = 1_000_000_000


def shortened(text: str, length: int) -> str:
    """Text cut to some number of characters, the cut marked."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def echo_note(text: str) -> None:
    """A line on standard error, for people."""
    click.echo(text, err=True)


def echo_json(content: Any) -> None:
    """JSON on standard output, in ASCII, so that no terminal can mistake it."""
    click.echo(json.dumps(content, indent=2, allow_nan=False))


# -- values -----------------------------------------------------------------------------------


def exact(value: Any) -> Any:
    """A decoded value as plain JSON: what JSON can't hold exactly is a string."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT_INTEGER else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Moment):
        return time_text(value.time_ns)
    if isinstance(value, Opaque):
        return value.text
    if isinstance(value, Array):
        return {"dtype": value.dtype, "shape": list(value.shape), "values": exact(value.elements)}
    if isinstance(value, (list, tuple)):
        return [exact(member) for member in value]
    if isinstance(value, dict):
        return {key: exact(member) for key, member in value.items()}
    return value


def value_text(value: Any) -> str:
    """A decoded value for people: text as it is, numbers to six digits, the rest as JSON."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    plain = exact(value)
    return printable(plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False))


# -- times ------------------------------------------------------------------------------------


def time_text(time_ns: int | None) -> str | None:
    """A time as xsd:dateTime in UTC; None where there is none, or none that a calendar has."""
    if time_ns is None:
        return None
    try:
        return iso_text(time_ns)
    except OverflowError:
        return None


def local_text(time_ns: int | None, short: bool = False) -> str:
    """A time on the clock of this machine; in short, to the minute, the year if it is another."""
    if time_ns is None:
        return "-"
    try:
        moment = datetime.fromtimestamp(time_ns // _NS_PER_S).astimezone()
    except (OverflowError, ValueError, OSError):
        return "?"
    if not short:
        return f"{moment:%Y-%m-%d %H:%M:%S}"
    this_year = moment.year == datetime.now().astimezone().year
    return f"{moment:%b %d %H:%M}" if this_year else f"{moment:%Y-%m-%d}"


def duration_s(started_ns: int, ended_ns: int | None) -> float | None:
    """Seconds from start to end; None without an end that makes sense."""
    if ended_ns is None or abs(ended_ns - started_ns) >= 2**64:  # a damaged end
        return None
    return (ended_ns - started_ns) / _NS_PER_S


def duration_text(seconds: float | None) -> str:
    """A duration in one or two units."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} m" if hours < 48 else f"{hours // 24} d {hours % 24:02} h"


# -- tables -----------------------------------------------------------------------------------


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def console(stderr: bool = False) -> Console:
    """A console on which text is never markup; in a pipe it is wide and has no colours."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    terminal = stream.isatty()
    return Console(
        file=stream,
        markup=False,
        highlight=False,
        emoji=False,
        force_terminal=terminal,
        no_color=None if terminal else True,
        width=None if terminal else _PIPE_WIDTH,
        legacy_windows=False,
    )


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Text]],
    right: Collection[str] = (),
    cut: Sequence[str] = (),
) -> Table:
    """A table without lines.

    Args:
        right: the columns that hold numbers.
        cut: the columns that give way where the terminal is narrow, the first one first.
    """
    from rich.table import Table

    made = Table(
        box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False, pad_edge=False
    )
    lengths = [
        max([len(name), *(row[place].cell_len for row in rows)])
        for place, name in enumerate(columns)
    ]
    widths = dict(zip(columns, lengths, strict=True))
    excess = sum(lengths) + 2 * (len(lengths) - 1) - console().width
    # only where that is not enough are the columns' own names cut
    steps = [(name, max(len(name), _NARROWEST)) for name in cut]
    for name, narrowest in [*steps, *((name, _NARROWEST) for name in cut)]:
        given = min(max(0, excess), max(0, widths[name] - narrowest))
        widths[name] -= given
        excess -= given
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=widths[name],
        )
    for row in rows:
        made.add_row(*row)
    return made


def show(*parts: RenderableType) -> None:
    """Print tables and texts; in a pipe without the spaces that end lines."""
    target = console()
    if on_terminal():
        target.print(*parts, sep="\n")
        return
    with target.capture() as captured:
        target.print(*parts, sep="\n")
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
