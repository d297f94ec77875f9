"""Reads tables of metrics: rows below a header, and boxes with a name and a value in each row.

      epoch    train_loss    valid_acc     dur        | train/          |          |
    -------  ------------  -----------  ------        |    loss         | 0.0123   |
          1        0.6905       0.5150  0.0145        | total_timesteps | 2048     |

- A header has a column for the epoch or step, and at least one column for a metric.
- A box is recorded when it ends, if it contains a metric. A row with only a name that ends in ``/``
  begins a group; the names below it belong to the group.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from provml.capture.lines import _vocabulary as vocabulary
from provml.capture.lines._fields import Field
from provml.capture.lines._shapes import is_recordable
from provml.capture.lines._tokens import FRACTION, NUMERAL, Token, split_line

_MAX_COLUMNS: Final = 64
_MAX_ROWS: Final = 256
_MAX_OTHER_LINES: Final = 20
"""A table ends if more than this number of successive lines are not rows."""
_CELL: Final = re.compile(r"[^\s|│┃](?:[^\s|│┃]| (?=[^\s|│┃]))*+")
_ROW_CELL: Final = re.compile(r"[^\s|│┃]++")
_BOX_ROW: Final = re.compile(
    r"\s*[|│┃]\s*(?P<name>[^|│┃]*[^|│┃\s])\s*[|│┃]\s*(?P<value>[^|│┃\s]*)\s*[|│┃]\s*"
)
_BORDER: Final = re.compile(r"[\s\-=_+|:│┃─━═┏┓┗┛┡┩└┘┌┐├┤┬┴┼╇╈╪╤╧*]+")
_BAR: Final = re.compile(r":? *(?P<percent>\d+)%\|.*")
_PLACE_COLUMNS: Final = {"e": ("epoch", 2), "#": ("step", 2)}

Cells = dict[int, Token]


class Row(NamedTuple):
    """The values of a row or box, with its epoch and step.

    Attributes:
        fields: the values.
        epoch, step: the epoch and step, as text; None if there is none.
    """

    fields: list[Field]
    epoch: str | None
    step: str | None


class _Column(NamedTuple):
    name: str
    start: int
    end: int


class TableReader:
    """A reader of the tables in one text.

    Attributes:
        is_open: whether a table or box has begun, so that the next lines may be rows.
    """

    def __init__(self, record: Callable[[Row, str], None]) -> None:
        """Create a reader.

        Args:
            record: a function to call with each row and its line, and with each box and its last
                line.
        """
        self._record = record
        self._columns: list[_Column] = []
        self._others = 0
        self._group = ""
        self._box: list[tuple[str, Token]] = []
        self._box_line = ""
        self._box_open = False

    @property
    def is_open(self) -> bool:
        """Whether a table or box has begun."""
        return bool(self._columns) or self._box_open

    def read(self, text: str) -> bool:
        """Read a line; return whether it is part of a table."""
        match = _BOX_ROW.fullmatch(text) if "|" in text or "│" in text or "┃" in text else None
        if match is not None and self._read_box_row(match["name"], match["value"], text):
            return True
        if self._box_open and _BORDER.fullmatch(text) is not None:
            self.close_box()
            return True
        if not self._columns:
            return False
        if _BORDER.fullmatch(text) is not None or self._read_row(text):
            self._others = 0
            return True
        self._others += 1
        if self._others > _MAX_OTHER_LINES:
            self._columns = []
        return False

    # -- rows below a header ------------------------------------------------------------------

    def read_header(self, text: str) -> bool:
        """If a line is the header of a table, begin the table. Return False for other lines."""
        columns = [_Column(one[0], one.start(), one.end()) for one in _CELL.finditer(text)]
        if not 2 <= len(columns) <= _MAX_COLUMNS:
            return False
        names = [column.name for column in columns]
        if any(name[0].isdigit() for name in names) or any(len(name) > 40 for name in names):
            return False
        if not any(map(_place_of_column, names)) or not any(map(vocabulary.is_metric_name, names)):
            return False
        if any(mark in text for mark in ":=;,!?"):
            return False
        self._columns, self._others = columns, 0
        return True

    def _read_row(self, text: str) -> bool:
        bar = _BAR.search(text)
        if bar is not None:
            text = text[: bar.start()]
        found = self._assign_cells(text)
        if found is None:
            return False
        if bar is not None and bar["percent"] != "100":
            return True
        fields: list[Field] = []
        places: dict[str, tuple[int, str]] = {}
        for index, token in found.items():
            name = self._columns[index].name
            place = _place_of_column(name)
            if place is not None:
                if token.kind not in (NUMERAL, FRACTION):
                    return False  # a row of another table, whose header was not recognized
                number = token.text.partition("/")[0].strip()
                places[place[0]] = max(places.get(place[0], (-1, "")), (place[1], number))
            elif token.kind == NUMERAL:
                context, short = vocabulary.split_name(name)
                field = Field(name, short, context, token.text, token.unit, True)
                if _is_value(field):
                    fields.append(field)
        if not places:
            return False
        epoch, step = places.get("epoch"), places.get("step")
        self._record(Row(fields, epoch and epoch[1], step and step[1]), text)
        return True

    def _assign_cells(self, text: str) -> Cells | None:
        """Return the cells of a row, keyed by column index; None if the line is not a row."""
        cells = list(_ROW_CELL.finditer(text))
        columns = self._columns
        if not 2 <= len(cells) <= len(columns):
            return None
        found: Cells = {}
        numbers = 0
        for position, cell in enumerate(cells):
            tokens = split_line(cell[0])
            if len(tokens) != 1:
                return None
            if len(cells) == len(columns):
                index = position
            else:  # some cells are empty: take the column whose end is nearest
                index = min(range(len(columns)), key=lambda one: abs(columns[one].end - cell.end()))
                if index in found:
                    return None
            found[index] = tokens[0]
            numbers += tokens[0].kind in (NUMERAL, FRACTION)
        return found if 2 * numbers > len(cells) else None

    # -- boxes --------------------------------------------------------------------------------

    def _read_box_row(self, name: str, value: str, text: str) -> bool:
        tokens = split_line(value)
        if not self._box_open:
            opens = (
                name.endswith("/")
                if not tokens
                else tokens[0].kind == NUMERAL
                and (vocabulary.is_metric_name(name) or vocabulary.place_of(name) is not None)
            )
            if not opens:
                return False
            self._box_open = True
        if not tokens and name.endswith("/"):
            self._group = name
        elif len(tokens) == 1 and tokens[0].kind == NUMERAL and len(self._box) < _MAX_ROWS:
            self._box.append((name, tokens[0]))
            self._box[-1] = (self._group + name, tokens[0])
            self._box_line = text
        return True

    def close_box(self) -> None:
        """End the current box, if there is one, and record its metrics."""
        rows, self._box = self._box, []
        self._box_open, self._group = False, ""
        fields: list[Field] = []
        places: dict[str, tuple[int, str]] = {}
        for name, token in rows:
            own = name.rpartition("/")[2]
            place = vocabulary.place_of(own)
            if place is not None and token.unit is None and token.text.isdigit():
                places[place[0]] = max(places.get(place[0], (-1, "")), (place[1], token.text))
                continue
            context, short = vocabulary.split_name(name)
            field = Field(name, short, context, token.text, token.unit, True)
            if _is_value(field) and not name.startswith("time/"):
                fields.append(field)
        if any(vocabulary.is_metric_name(one.name) for one in fields):
            epoch, step = places.get("epoch"), places.get("step")
            self._record(Row(fields, epoch and epoch[1], step and step[1]), self._box_line)


def _place_of_column(name: str) -> tuple[str, int] | None:
    return vocabulary.place_of(name) or _PLACE_COLUMNS.get(name.lower())


def _is_value(field: Field) -> bool:
    """Return whether the value in a cell is a metric rather than a counter."""
    is_whole = field.text.lstrip("+-").isdigit()
    return is_recordable(field) and (not is_whole or vocabulary.is_metric_name(field.name))
