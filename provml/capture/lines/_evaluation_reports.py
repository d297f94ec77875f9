"""Reads the evaluation reports of scikit-learn, COCO and Ultralytics.

- scikit-learn's ``classification_report``:

                      precision    recall  f1-score   support

             big dog       0.97      1.00      0.98        28
            accuracy                           0.98        61
           macro avg       0.98      0.98      0.98        61

  Each number is named after its column and its row, such as ``precision/big dog``. The accuracy is
  named ``accuracy``. The column ``support``, which contains counts, is left out.

- Ultralytics' table of classes:

      Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|██|
        all          4         17      0.575       0.85      0.847      0.632

  The numbers in the row ``all`` are named after their column. All other numbers are named after
  their column and their class, such as ``mAP50/dog``. The metrics belong to validation, unless the
  line above the table names another context.

- COCO's summary, whose metrics get their usual short names, such as ``AP``, ``AP50`` and ``ARs``:

      Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.365
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from provml.base.context import Context
from provml.capture.lines._fields import Field
from provml.capture.lines._tables import Row

_LONGEST_LINE: Final = 400
_NUMBER: Final = r"(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan)"
_COUNT: Final = r"\d+(?:\.0)?"
_LABEL: Final = r"\S(?:.{0,100}?\S)?"

_SCORES_HEADER: Final = re.compile(r"\s*precision\s+recall\s+f1-score\s+support\s*")
_SCORES_ROW: Final = re.compile(
    rf"\s*(?P<label>{_LABEL})\s+(?P<values>{_NUMBER}\s+{_NUMBER}\s+{_NUMBER})\s+{_COUNT}\s*"
)
_ACCURACY_ROW: Final = re.compile(rf"\s*accuracy\s+(?P<value>{_NUMBER})\s+{_COUNT}\s*")
_SCORES: Final = ("precision", "recall", "f1-score")
_LAST_LABELS: Final = ("weighted avg", "samples avg")

_CLASSES_HEADER: Final = re.compile(
    r"\s*Class\s+Images\s+(?:Instances|Labels)\s+(?P<columns>[A-Za-z][\w@.()\- ]*?)"
    r":?(?:\s+\d+%\|.*)?\s*"
)
_CLASSES_ROW: Final = re.compile(
    rf"\s*(?P<label>{_LABEL})\s+\d+\s+\d+(?P<values>(?:\s+{_NUMBER}){{1,20}})\s*"
)
_SHORT_COLUMNS: Final = {"P": "precision", "R": "recall"}
_ALL_CLASSES: Final = "all"

_COCO_LINE: Final = re.compile(
    r"\s*Average (?:Precision|Recall)\s+\((?P<kind>AP|AR)\) @\[ IoU=(?P<iou>[\d.:]+)\s*\|"
    r" area=\s*(?P<area>\w+)\s*\| maxDets=\s*(?P<count>\d+) \] = (?P<value>-?\d\.\d+)"
)
_COCO_IOUS: Final = {"0.50": "50", "0.75": "75"}
_COCO_MEANS: Final = "0.50:0.95"
_NOTHING_TO_MEASURE: Final = "-"


class ReportReader:
    """A reader of the evaluation reports in one text.

    Attributes:
        is_open: whether a report has begun, so that the next lines may be rows.
    """

    def __init__(self, record: Callable[[Row, str], None]) -> None:
        """Create a reader.

        Args:
            record: a function to call with the metrics and the line of each row.
        """
        self.is_open = False
        self._record = record
        self._context: Context | None = None
        self._columns: list[str] = []

    def read_start(self, text: str, context: Context | None) -> bool:
        """Read a line that begins a report, or is a whole report. Return False for other lines.

        Args:
            text: the line.
            context: the context that the line above names; None if it names none.
        """
        if len(text) > _LONGEST_LINE:
            return False
        coco = _COCO_LINE.match(text)
        if coco is not None:
            self._context = context or Context.EVALUATION
            if not coco["value"].startswith(_NOTHING_TO_MEASURE):
                self._record_values([(_name_coco(coco), coco["value"])], text)
            return True
        if _SCORES_HEADER.fullmatch(text) is not None:
            self.is_open, self._context, self._columns = True, context, []
            return True
        classes = _CLASSES_HEADER.fullmatch(text)
        if classes is not None:
            self.is_open, self._context = True, context or Context.VALIDATION
            self._columns = _name_columns(classes["columns"])
            return True
        return False

    def read(self, text: str) -> bool:
        """Read a line after `read_start`; return whether it is part of the report."""
        if not self.is_open:
            return False
        if not text.strip():
            return True
        read_row = self._read_class if self._columns else self._read_scores
        self.is_open = len(text) <= _LONGEST_LINE and read_row(text)
        return self.is_open

    def _read_scores(self, text: str) -> bool:
        accuracy = _ACCURACY_ROW.fullmatch(text)
        if accuracy is not None:
            self._record_values([("accuracy", accuracy["value"])], text)
            return True
        row = _SCORES_ROW.fullmatch(text)
        if row is None:
            return False
        values = zip(_SCORES, row["values"].split(), strict=True)
        self._record_values([(f"{name}/{row['label']}", value) for name, value in values], text)
        return True

    def _read_class(self, text: str) -> bool:
        row = _CLASSES_ROW.fullmatch(text)
        values = [] if row is None else row["values"].split()
        if row is None or len(values) != len(self._columns):
            return False
        own = "" if row["label"] == _ALL_CLASSES else f"/{row['label']}"
        named = zip(self._columns, values, strict=True)
        self._record_values([(f"{name}{own}", value) for name, value in named], text)
        return True

    def _record_values(self, values: list[tuple[str, str]], text: str) -> None:
        fields = [Field(name, name, self._context, value, None, True) for name, value in values]
        self._record(Row(fields, None, None), text)


def _name_coco(line: re.Match[str]) -> str:
    """Return the short name of a line of COCO's summary, such as ``AP50``, ``APs`` or ``AR10``."""
    kind, iou = line["kind"], line["iou"]
    if line["area"] != "all":
        return kind + line["area"][0]
    if kind == "AR":
        return kind + line["count"]
    return kind + ("" if iou == _COCO_MEANS else _COCO_IOUS.get(iou, f"@{iou}"))


def _name_columns(text: str) -> list[str]:
    """Return the names of Ultralytics' columns.

    If there are several groups of columns, the name of the group comes first. For example,
    ``Box(P R mAP50) Mask(P R mAP50)`` gives ``Box precision``, ``Box recall`` and so on.
    """
    names: list[tuple[str, str]] = []
    group = ""
    for word in text.split():
        opened, bracket, rest = word.rpartition("(")
        group = opened if bracket else group
        name = rest.rstrip(")")
        names.append((group, _SHORT_COLUMNS.get(name, name)))
    has_groups = len({group for group, _ in names}) > 1
    return [f"{group} {name}" if has_groups else name for group, name in names]
