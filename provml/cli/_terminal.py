"""Formats text, times, numbers and tables for a terminal, a pipe or JSON.

Recorded text may contain anything. Its control characters are therefore escaped before the text is
printed, and the text is never interpreted as markup. Imports only `base` and `journal.values` from
provml; imports rich only to build tables.
"""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from provml.base.clock import iso_text
from provml.base.text import format_duration as format_duration
from provml.base.text import printable as printable
from provml.base.text import size_text as _size_text
from provml.journal.values import Array, Moment, Opaque, is_decimal

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
    "unreadable": "red",
}

_PIPE_WIDTH: Final = 10_000
_NARROWEST: Final = 8
READABLE: Final = 20
"""The default minimum width of a shortened column. It usually suffices to tell cells apart."""
EXACT_KEY: Final = "provml.exact"
"""The key in the metadata of click's context under which the option ``--exact`` is stored."""
GAP: Final = 2
"""The number of spaces between the columns of a table."""
HEADING_WIDTH: Final = 16
"""The width to which headings are folded by default."""
_LONGEST_CELL: Final = 200
_TO_TOP: Final = "\x1b[H"
_CLEAR_LINE: Final = "\x1b[K"
_CLEAR_BELOW: Final = "\x1b[J"
_EXACT_INTEGER: Final = 2**53
_NS_PER_S: Final = 1_000_000_000


def shortened(text: str, length: int) -> str:
    """Shorten text to at most ``length`` characters. Shortened text ends with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def echo_note(text: str) -> None:
    """Print a message to standard error."""
    click.echo(text, err=True)


def echo_notes(notes: Iterable[str]) -> None:
    """Print messages to standard error, one per line, with control characters escaped."""
    for note in notes:
        echo_note(printable(note))


def echo_json(content: Any) -> None:
    """Print a value as JSON to standard output.

    The output is pure ASCII, so recorded text in the value can't control the terminal.
    """
    click.echo(json.dumps(content, indent=2, allow_nan=False))


def tab_line(cells: Iterable[Any]) -> str:
    """Format values exactly, as one line of tab-separated fields. None becomes an empty field."""
    fields: list[str] = []
    for value in cells:
        plain = value if value.__class__ is str else exact(value)
        if isinstance(plain, (list, dict)):
            plain = json.dumps(plain, ensure_ascii=False)
        fields.append("" if plain is None else printable(plain))
    return "\t".join(fields)


# -- values -----------------------------------------------------------------------------------


def exact(value: Any) -> Any:
    """Convert a value to JSON types. A value that JSON can't represent exactly becomes a string."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT_INTEGER else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    if is_decimal(value):
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
        return {str(key): exact(member) for key, member in value.items()}
    return value if value is None or isinstance(value, (str, float)) else str(value)


def is_exact() -> bool:
    """Return whether the user asked for all digits with ``--exact``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(EXACT_KEY))


def size_text(size: int) -> str:
    """Format a number of bytes, such as ``1.5 MB``; with ``--exact``, such as ``1,500,000 B``."""
    return f"{size:,} B" if is_exact() else _size_text(size)


def value_text(value: Any) -> str:
    """Format a value for display: floats to six digits, text unchanged, everything else as JSON.

    With ``--exact``, floats have all their digits.
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        return repr(value) if is_exact() else f"{value:.6g}"
    plain = exact(value)
    return printable(plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False))


# -- times ------------------------------------------------------------------------------------


def time_text(time_ns: int | None) -> str | None:
    """Format a time as xsd:dateTime in UTC.

    Args:
        time_ns: nanoseconds since the epoch, or None.

    Returns:
        The text, or None if the time is None or too large for a date.
    """
    if time_ns is None:
        return None
    try:
        return iso_text(time_ns)
    except OverflowError:
        return None


def local_text(time_ns: int | None, short: bool = False) -> str:
    """Format a time in this machine's time zone.

    Args:
        time_ns: nanoseconds since the epoch, or None.
        short: whether to leave out the seconds and the year. If the time is not in the current
            year, the result is a date without a time of day.
    """
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
    """Return the seconds from start to end, or None if the end is missing or damaged."""
    if ended_ns is None or abs(ended_ns - started_ns) >= 2**64:  # the recorded end is damaged
        return None
    return (ended_ns - started_ns) / _NS_PER_S


# -- tables -----------------------------------------------------------------------------------


def on_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


def console(stderr: bool = False) -> Console:
    """Return a rich console that prints text without interpreting it as markup.

    In a pipe, the console has no colours, and is so wide that it does not wrap lines.
    """
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


def styled(text: str, style: str = "") -> Text:
    """Wrap text in a rich ``Text`` with a style. The text must not contain control characters."""
    from rich.text import Text

    return Text(text, style)


def cell(text: object, style: str = "") -> Text:
    """Build a table cell from recorded text, escaped and shortened to 200 characters."""
    return styled(shortened(printable(text), _LONGEST_CELL), style)


def fold_heading(heading: str, width: int = HEADING_WIDTH) -> str:
    """Break a heading into lines of up to ``width`` characters, after dots, slashes and dashes.

    A line is longer than ``width`` only if it contains no such character to break after.
    """
    lines = [""]
    for part in re.split(r"(?<=[./_[-])", heading):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Text]],
    right: Collection[str] = (),
    cut: Sequence[str] = (),
    drop: Sequence[str] = (),
    readable: int = READABLE,
) -> Table:
    """Build a table without borders that fits the width of the terminal.

    Args:
        columns: the headings of the columns. A heading may have several lines.
        rows: the rows of the table, each with one cell per column.
        right: the headings of the columns to align to the right.
        cut: the headings of the columns that may be shortened in a narrow terminal, in the order
            in which to shorten the columns.
        drop: the headings of the columns that may be left out, in the order in which to leave out
            the columns.
        readable: the minimum width of a shortened column. Columns become even narrower only if no
            more columns can be left out.
    """
    from rich.table import Table

    widths = _measure_columns(columns, rows)
    room = console().width
    kept = _kept_columns(columns, widths, cut, drop, room, readable)
    _cut_widths(columns, widths, kept, cut, room)
    built = Table(
        box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False, pad_edge=False
    )
    for place in kept:
        built.add_column(
            columns[place],
            justify="right" if columns[place] in right else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=widths[place],
        )
    for row in rows:
        built.add_row(*(row[place] for place in kept))
    return built


def show_wide_table(
    columns: Sequence[str], rows: Sequence[Sequence[Text]], right: Collection[str] = ()
) -> None:
    """Print a table. Leaves out the last columns if the table is too wide, and says so.

    The columns in ``right`` are aligned to the right. The other columns may be shortened.
    """
    cut = [name for name in columns if name not in right]
    drop = columns[:0:-1]
    show(table(columns, rows, right, cut, drop))
    widths, room = _measure_columns(columns, rows), console().width
    kept = _kept_columns(columns, widths, cut, drop, room, READABLE)
    left_out = [printable(name) for place, name in enumerate(columns) if place not in kept]
    if left_out:
        names = shortened(", ".join(left_out), _LONGEST_CELL)
        echo_note(f"not shown, because the terminal is too narrow: {names}")


def _measure_columns(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[int]:
    return [
        max([heading_width(name), *(row[place].cell_len for row in rows)])
        for place, name in enumerate(columns)
    ]


def pairs_table(rows: Sequence[tuple[str, Text]]) -> Table:
    """Build a table of names and values, indented by two spaces. Long values are wrapped."""
    from rich.table import Table

    built = Table.grid(padding=(0, 2, 0, 0))
    built.add_column(no_wrap=True, style="dim")
    built.add_column(overflow="fold")
    for name, value in rows:
        built.add_row(styled(f"  {name}"), value)
    return built


def heading_width(heading: str) -> int:
    """Return the length of the longest line of a heading."""
    return max(map(len, heading.split("\n")))


def _kept_columns(
    columns: Sequence[str],
    widths: list[int],
    cut: Sequence[str],
    drop: Sequence[str],
    room: int,
    readable: int,
) -> list[int]:
    """Return the indices of the columns to show in a table of width ``room``.

    If shortening the columns in ``cut`` to ``readable`` characters is not enough, leaves out the
    columns in ``drop``, one after the other, until the table fits.
    """
    kept = list(range(len(columns)))
    for name in drop:
        least = [
            min(widths[place], max(heading_width(columns[place]), readable))
            if columns[place] in cut
            else widths[place]
            for place in kept
        ]
        if sum(least) + GAP * (len(kept) - 1) <= room:
            break
        kept = [place for place in kept if columns[place] != name]
    return kept


def _cut_widths(
    columns: Sequence[str], widths: list[int], kept: list[int], cut: Sequence[str], room: int
) -> None:
    """Reduce ``widths`` in place, for the columns in ``cut``, until the table fits.

    A column becomes narrower than its heading only if the table would not fit otherwise.
    """
    excess = sum(widths[place] for place in kept) + GAP * (len(kept) - 1) - room
    places = [place for name in cut for place in kept if columns[place] == name]
    steps = [(place, max(heading_width(columns[place]), _NARROWEST)) for place in places]
    for place, narrowest in [*steps, *((place, _NARROWEST) for place in places)]:
        given = min(max(0, excess), max(0, widths[place] - narrowest))
        widths[place] -= given
        excess -= given


def show(*parts: RenderableType) -> None:
    """Print tables and texts to standard output. In a pipe, lines have no trailing spaces."""
    if on_terminal():
        console().print(*parts, sep="\n")
        return
    for line in render(*parts).splitlines():
        click.echo(line.rstrip())


def render(*parts: RenderableType) -> str:
    """Return, as a string, the tables and texts in the form in which `show` prints them."""
    target = console()
    with target.capture() as captured:
        target.print(*parts, sep="\n")
    return captured.get()


def redraw(*parts: RenderableType) -> None:
    """Replace the terminal's content with tables and texts. Leaves out lines that do not fit."""
    lines = render(*parts).splitlines()
    room = max(1, console().height - 1)
    if len(lines) > room:
        more = f"{len(lines) - room + 1:,} more lines do not fit the terminal"
        lines = [*lines[: room - 1], click.style(more, dim=True)]
    # overwrite the lines instead of clearing the terminal first, which would flicker
    shown = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
    click.echo(f"{_TO_TOP}{shown}{_CLEAR_BELOW}", nl=False)
