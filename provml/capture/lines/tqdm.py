r"""Reads tqdm bars with a postfix: ``train:  45%|████▌  | 45/100 [00:03<00:04, 12.3it/s, loss=1]``.

- Each value in the postfix is a metric. The parser records a value when a bar first shows it, and
  again only when the value changes: tqdm draws a bar about ten times a second, even without new
  values.
- The step is the bar's count, if the count is a whole number.
- The epoch is the number after ``epoch`` in the bar's description.
- The context comes from the metric's name, or else from the description (see `metric_contexts`).

This parser ignores bars without a postfix, and bars of unknown length.
"""

from __future__ import annotations

import re
from typing import Final

from provml.base.context import Context
from provml.capture.lines._numbers import to_number
from provml.capture.lines._sink import MAX_STEP, LineSink, RefusedError
from provml.capture.metric_contexts import context_from_name

_METER: Final = re.compile(
    r"(?P<bar>.*%\|[^|]*)\| *"
    r"(?P<done>\d++)(?P<inexact>\.\d+)?(?P<scale>[kMGTPEZY])?/[^\s/]+ "
    r"\[(?:\d++:)?\d\d:\d\d(?:<[\d:?]+)?, *[^,\]]*, (?P<postfix>[^\]]+)\]"
)
_PERCENT: Final = re.compile(r":? *\d+%\|[^|]*$")
_EPOCH_NUMBER: Final = re.compile(r"(?i)\bepoch\W{0,3}(\d{1,9})\b")
_search_percent: Final = re.compile(rb"%\|").search
_MAX_METER_LENGTH: Final = 4096
_MAX_BARS: Final = 64


def _find_meter(data: bytes, start: int, end: int) -> int:
    at = data.find(b"|", start, end)
    if at < 0:
        return at
    found = _search_percent(data, start, end)
    return -1 if found is None else found.start()


class Parser:
    """A parser for the tqdm bars in one text, such as a stream."""

    finders = (_find_meter,)

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink
        # maps each bar's description to its last count and the last text of each of its values
        self._shown_by_bar: dict[str, tuple[int, dict[str, str]]] = {}

    def read(self, text: str, rewrites: bool) -> bool:
        """Record the new values in a bar; return whether the line is a tqdm bar."""
        match = None if len(text) > _MAX_METER_LENGTH else _METER.fullmatch(text.strip())
        if match is None:
            return False
        self._record(match, _PERCENT.sub("", match["bar"]).strip())
        return True

    def finish(self) -> None:
        """Do nothing: `read` records each value at once."""

    def _record(self, match: re.Match[str], description: str) -> None:
        done = int(match["done"])
        last_done, shown = self._shown_by_bar.pop(description, (0, {}))
        if done < last_done:  # this is a new bar with the same description
            shown = {}
        self._shown_by_bar[description] = done, shown
        if len(self._shown_by_bar) > _MAX_BARS:
            del self._shown_by_bar[next(iter(self._shown_by_bar))]
        is_exact = not (match["inexact"] or match["scale"]) and done <= MAX_STEP
        found = _EPOCH_NUMBER.search(description)
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
            self._sink.record_metric(
                name,
                number,
                _guess_context(name, description),
                step=done if is_exact else None,
                epoch=None if found is None else int(found[1]),
                line=match.string,
            )


def _guess_context(name: str, description: str) -> Context | None:
    return (
        context_from_name(name)
        or context_from_name(description)
        or context_from_name(f"{description}/{name}")
    )
