"""Reads the reports of scikit-learn's ``classification_report``.

                  precision    recall  f1-score   support

             cat       1.00      0.97      0.98        33
         big dog       0.97      1.00      0.98        28

        accuracy                           0.98        61
       macro avg       0.98      0.98      0.98        61

Each number becomes a metric that is named after its column and its row, such as
``precision/big dog``. The accuracy keeps its own name, and the support, a count, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from provml.base.context import Context
from provml.capture.lines._fields import Field
from provml.capture.lines._tables import Row

_METRICS: Final = ("precision", "recall", "f1-score")
_HEADER: Final = re.compile(r"\s*precision\s+recall\s+f1-score\s+support\s*")
_NUMBER: Final = r"(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan)"
_CLASS_ROW: Final = re.compile(
    rf"\s*(?P<label>\S(?:.{{0,100}}?\S)?)\s+(?P<values>{_NUMBER}\s+{_NUMBER}\s+{_NUMBER})\s+\d+(?:\.0)?\s*"
)
_ACCURACY_ROW: Final = re.compile(rf"\s*accuracy\s+(?P<value>{_NUMBER})\s+\d+(?:\.0)?\s*")
_LONGEST_LINE: Final = 400
_LAST_LABELS: Final = ("weighted avg", "samples avg")


class ClassReportReader:
    """A reader of the classification reports in one text.

    Attributes:
        is_open: whether a report has begun, so that the next lines may be rows.
    """

    def __init__(self, record: Callable[[Row, str], None]) -> None:
        """Create a reader.

        Args:
            record: a function to call with the metrics of each row, and with its line.
        """
        self.is_open = False
        self._record = record
        self._context: Context | None = None
        self._has_rows = False

    def read_header(self, text: str, context: Context | None) -> bool:
        """If a line is the header of a report, begin the report. Return False for other lines.

        Args:
            text: the line.
            context: the context that the line above the report names; None if it names none.
        """
        if len(text) > _LONGEST_LINE or _HEADER.fullmatch(text) is None:
            return False
        self.is_open, self._has_rows, self._context = True, False, context
        return True

    def read(self, text: str) -> bool:
        """Read a line; return whether it is part of a report."""
        if not self.is_open:
            return False
        if not text.strip():
            return True
        found = self._read_row(text) if len(text) <= _LONGEST_LINE else None
        if found is None:
            self.is_open = False
            return False
        label, values = found
        self._record(Row([self._build_field(*value) for value in values], None, None), text)
        self.is_open = label not in _LAST_LABELS
        return True

    def _read_row(self, text: str) -> tuple[str, list[tuple[str, str]]] | None:
        """Return the label of a row, and the names and values of its metrics; None if none."""
        accuracy = _ACCURACY_ROW.fullmatch(text)
        if accuracy is not None:
            return "accuracy", [("accuracy", accuracy["value"])]
        row = _CLASS_ROW.fullmatch(text)
        if row is None:
            return None
        values = zip(_METRICS, row["values"].split(), strict=True)
        return row["label"], [(f"{metric}/{row['label']}", value) for metric, value in values]

    def _build_field(self, name: str, value: str) -> Field:
        return Field(name, name, self._context, value, None, True)
