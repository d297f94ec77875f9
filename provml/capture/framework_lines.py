"""Finds the lines of a command's output that only repeat what an integration records.

Keras, for example, prints ``loss: 0.2134`` in its progress bar. The integration for Keras records
the exact value, so the reader of the output must not record the rounded one as well. The
integration and the reader run in different processes:

- In the script's process, an integration calls `announce`, which creates a mark in the run's
  folder.
- In the process of ``provml run``, `FrameworkLines` recognises the lines that a framework prints,
  and looks for the mark of that framework.

`provml.capture_output` reads lines in the script's own process. It needs no marks, because `STATE`
lists the frameworks that were announced there.

If no integration records a framework, the lines that the framework prints are read like all others.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from provml.base import store_files
from provml.capture.state import STATE

PRINTED_BY: Final[dict[str, str]] = {
    "catboost": r"\d++:\s++(?:learn|test|bestTest)\w*: ",
    "ignite": r"(?:Epoch|Iteration).*\[\d+/\d+\].*%\|",
    "keras": r"\d++/(?:\d++|Unknown) |- \d+s\b|Epoch \d+/\d+$|Epoch \d+: \S+ (?:improved|did not)",
    "lightgbm": r"\[\d+\]\t\S.*: ",
    "lightning": (
        r"(?:Epoch \d+|Sanity Checking|Training|Validation|Testing|Predicting)\b.*"
        r"(?:%\||[━╸╺]|\d+/\d+)|[│┃|]| *\d+ *[|│]|[\d.]++ *+[KMB]? *+(?:\S++ )*?params"
    ),
    "optuna": r"(?:\[I [^\]]*\] )?Trial \d+ (?:finished|pruned|failed)",
    "ray": r"(?:[│╭╰├]|Trial \S+ (?:finished|completed|started|reported))",
    "skorch": r"(?:[-+]?(?:\d++(?:\.\d*+)?|nan|inf)(?:e[-+]?\d++)?(?:\s++|$)(?:\+\s++)?){3,}+$",
    "transformers": r"\{'.*'epoch': .*\}$",
    "xgboost": r"\[\d+\]\t\S+-\S+:",
}
"""For each framework, a pattern that matches the lines that the framework prints.

White space at both ends of a line must be removed first.
"""

_MARK_PREFIX: Final = ".printed-by-"
_MAX_LINE_LENGTH: Final = 1024
_MOMENT_NS: Final = 10**8


class _RecordedFrameworks:
    """The frameworks that integrations record in this process."""

    def __init__(self) -> None:
        self.names: set[str] = set()


def announce(run_folder: str | os.PathLike[str] | None, framework: str) -> None:
    """Announce that an integration records a framework, so that lines printed by it are ignored.

    Remembers the framework in this process, and creates a mark in the run's folder. Idempotent.

    Args:
        run_folder: the folder of the run that ``provml run`` started; None if there is no such run.
        framework: a key of `PRINTED_BY`.
    """
    STATE.part(_RecordedFrameworks).names.add(framework)
    if run_folder is None:
        return
    folder = Path(run_folder)
    os.close(
        store_files.open_or_create_file(store_files.store_root(folder), _mark(folder, framework))
    )


def _mark(folder: Path, framework: str) -> Path:
    return folder / f"{_MARK_PREFIX}{framework}"


@cache
def _match_any() -> Callable[[str], object]:
    """Return a function that tests whether any framework could have printed a line."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in PRINTED_BY.values())).match


class FrameworkLines:
    """Finds the printed lines whose values are already recorded by an integration."""

    def __init__(self, run_folder: Path | None) -> None:
        """Prepare to check the lines of a text. The first check compiles the patterns.

        Args:
            run_folder: the folder of the run, which contains the marks; None if this process prints
                the text.
        """
        self._folder = run_folder
        self._announced: set[str] = set()
        self._absent_at: dict[str, int] = {}

    def repeats_record(self, line: str) -> bool:
        """Return whether an integration records the values in a line.

        Costs about one microsecond, or a few if a framework could have printed the line.
        """
        if len(line) > _MAX_LINE_LENGTH:
            return False
        text = line.strip()
        if _match_any()(text) is None:
            return False
        return any(
            re.match(pattern, text) is not None and self._is_announced(name)
            for name, pattern in PRINTED_BY.items()
        )

    def _is_announced(self, name: str) -> bool:
        if self._folder is None:
            return name in STATE.part(_RecordedFrameworks).names
        if name not in self._announced and self._has_mark(self._folder, name):
            self._announced.add(name)
        return name in self._announced

    def _has_mark(self, folder: Path, name: str) -> bool:
        change = _read_last_change(folder)
        if change is not None and self._absent_at.get(name) == change:
            return False  # no file has been created since the last check
        if store_files.is_file(store_files.store_root(folder), _mark(folder, name)):
            return True
        if change is not None:
            self._absent_at[name] = change
        return False

    def remove_marks(self) -> None:
        """Remove the marks of all frameworks. Call this once the output has been read."""
        if self._folder is None:
            return
        root = store_files.store_root(self._folder)
        for name in PRINTED_BY:
            mark = _mark(self._folder, name)
            if store_files.is_file(root, mark):
                store_files.remove_file(root, mark)


def _read_last_change(folder: Path) -> int | None:
    """Return when a file was last created in a folder, in nanoseconds since the epoch.

    Returns None if that time is unknown or less than 0.1 s ago. A file that is created less than
    0.1 s after another file may leave the folder's time unchanged.
    """
    try:
        change = os.stat(folder).st_mtime_ns
    except OSError:
        return None
    return change if time.time_ns() - change > _MOMENT_NS else None
