r"""tqdm's bars with a postfix: ``train:  45%|████▌  | 45/100 [00:03<00:04, 12.3it/s, loss=0.12]``.

- Each value of the postfix is a metric, recorded where a bar first shows it and whenever it has
  changed: tqdm draws a bar some ten times a second, whether or not there is a new value.
- The step is the bar's count, where that is a whole number; the epoch what the description says
  after ``epoch``. The context is what the name means by `naming`, else what the description does.

A bar without a postfix, or of unknown length, says no metric.
Imports `_numbers`, `_sink`, `naming`.
"""

from __future__ import annotations

import re
from typing import Final

from provml.base.context import Context
from provml.capture.lines._numbers import to_number
from provml.capture.lines._sink import RefusedError, Sink
from provml.capture.metric_contexts import context_from_name

_METER: Final = re.compile(
    r"(?P<bar>.*%\|[^|]*)\| *"
    r"(?P<done>\d++)(?P<inexact>\.\d+)?(?P<scale>[kMGTPEZY])?/[^\s/]+ "
    r"\[(?:\d++:)?\d\d:\d\d(?:<[\d:?]+)?, *[^,\]]*, (?P<postfix>[^\]]+)\]"
)
_PERCENT: Final = re.compile(r":? *\d+%\|[^|]*$")
_EPOCH: Final = re.compile(r"(?i)\bepoch\W{0,3}(\d{1,9})\b")
_find_percent: Final = re.compile(rb"%\|").search
_MAX_LENGTH: Final = 4096
_MAX_BARS: Final = 64
_MAX_STEP: Final = 2**63 - 1


def _find(data: bytes, start: int, end: int) -> int:
    at = data.find(b"|", start, end)
    if at < 0:
        return at
    found = _find_percent(data, start, end)
    return -1 if found is None else found.start()


class Form:
    """tqdm's bars of one text."""

    finders = (_find,)

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        # of each bar, by its description, the count that it has shown, and the texts by name
        self._shown: dict[str, tuple[int, dict[str, str]]] = {}

    def read(self, text: str, rewrites: bool) -> bool:
        """Record what is new in a state of a bar; whether it is one."""
        match = None if len(text) > _MAX_LENGTH else _METER.fullmatch(text.strip())
        if match is None:
            return False
        self._record(match, _PERCENT.sub("", match["bar"]).strip())
        return True

    def finish(self) -> None:
        """Nothing is held back."""

    def _record(self, match: re.Match[str], description: str) -> None:
        done = int(match["done"])
        last_done, shown = self._shown.pop(description, (0, {}))
        if done < last_done:  # a new bar under the same words
            shown = {}
        self._shown[description] = done, shown
        if len(self._shown) > _MAX_BARS:
            del self._shown[next(iter(self._shown))]
        is_exact = not (match["inexact"] or match["scale"]) and done <= _MAX_STEP
        found = _EPOCH.search(description)
        for part in match["postfix"].split(", "):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not (name and equals) or shown.get(name) == value:
                continue
            shown[name] = value
            try:
                number = to_number(value)
            except RefusedError as error:
                self._sink.reject(str(error), match.string)
                continue
            self._sink.metric(
                name,
                number,
                _context(name, description),
                step=done if is_exact else None,
                epoch=None if found is None else int(found[1]),
                line=match.string,
            )


def _context(name: str, description: str) -> Context | None:
    return (
        context_from_name(name)
        or context_from_name(description)
        or context_from_name(f"{description}/{name}")
    )
