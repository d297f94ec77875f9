r"""Reads the progress bars that Keras 2 and 3 print in ``fit`` and ``evaluate``.

    Epoch 2/3
    938/938 [==============================] - 3s 2ms/step - loss: 0.21 - val_loss: 0.18

- The parser reads the output of both ``verbose=1`` and ``verbose=2``. It recognises a bar by a
  metric whose name ends in ``loss``, or by the characters that Keras 3 draws bars with.
- The number ``n`` in ``Epoch n/N`` becomes the step and the epoch of the next full bar.
- Keras rewrites a bar in place. The parser records only the last state of a bar, and only if the
  bar is full.
- After the validation, Keras may rewrite a full bar once more, to add the ``val_`` values. So the
  parser records a full bar without ``val_`` values only when the next bar or epoch begins, or the
  text ends. The recorded time is still the time when the bar arrived.
- Metrics with the prefix ``val_`` belong to the context validation, and other metrics to training.
  A second bar in an epoch, without ``val_``, comes from ``evaluate``: its metrics belong to
  evaluation and have no step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from provml.base.context import Context
from provml.capture.lines._numbers import to_float
from provml.capture.lines._sink import LineSink, RefusedError

_EPOCH_LINE: Final = re.compile(r"Epoch (\d{1,9})/\d{1,9}")
_BAR_LINE: Final = re.compile(
    r"(?P<done>\d{1,12})/(?P<total>\d{1,12}|Unknown) (?:(?P<bar>\[[=>.]*\] |━+ )(?:- )?|- )"
    r"(?:(?P<eta>ETA: )?\d+s|(?:ETA: )?\d+(?::\d\d)+)\b(?P<rest>.*)"
)
_LINE_WITHOUT_COUNT: Final = re.compile(r"- \d+s\b(?P<rest> .*)")
_search_epoch: Final = re.compile(rb"Epoch \d").search


def _find_epoch(data: bytes, start: int, end: int) -> int:
    if data.find(b"E", start, end) < 0 or data.rfind(b"Epoch ", start, end) < 0:
        return -1
    at = data.find(b"Epoch ", start, end)
    found = _search_epoch(data, at, end)
    return -1 if found is None else found.start()


def _find_loss(data: bytes, start: int, end: int) -> int:
    if data.find(b":", start, end) < 0 or data.rfind(b"loss: ", start, end) < 0:
        return -1  # `rfind` takes half as long as `find`
    return data.find(b"loss: ", start, end)


def _find_bar(data: bytes, start: int, end: int) -> int:
    at = data.find(b"\xe2", start, end)
    return at if at < 0 else data.find("━".encode(), at, end)


@dataclass(frozen=True, slots=True)
class _FinishedBar:
    """A full progress bar, as last printed.

    Attributes:
        total: the number of steps that the bar counts, as text.
        texts: the text of each value, keyed by the metric's name.
        line: the line that contains the bar.
        time_ns: the time when the bar arrived, in nanoseconds since the epoch.
    """

    total: str
    texts: dict[str, str]
    line: str
    time_ns: int

    @property
    def validates(self) -> bool:
        return any(name.startswith("val_") for name in self.texts)


class Parser:
    """A parser for the lines that Keras prints in one text, such as a stream."""

    finders = (_find_epoch, _find_loss, _find_bar)

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink
        self._epoch: int | None = None
        self._epoch_done = False
        self._pending: _FinishedBar | None = None
        self._backspaces = False

    def read(self, text: str, rewrites: bool) -> bool:
        """Read a progress bar or the header of an epoch. Return False if the line is neither."""
        line = text.strip()
        header = _EPOCH_LINE.fullmatch(line)
        if header is not None:
            self._record_pending()
            self._epoch, self._epoch_done = int(header[1]), False
            return True
        match = _BAR_LINE.fullmatch(line)
        if match is None:
            match = _LINE_WITHOUT_COUNT.fullmatch(line)
            if match is None:
                return False
            self._record_pending()
            self._pending = self._parse_bar("", match["rest"], line)
            self._record_pending()
            return True
        self._backspaces = self._backspaces or rewrites
        if match["done"] != match["total"]:
            self._record_pending()
            return True
        bar = self._parse_bar(match["total"], match["rest"], line)
        if not self._is_rewritten_by(bar, rewrites):
            self._record_pending()
        self._pending = bar
        if match["bar"] is None or bar.validates:
            self._record_pending()
        return True

    def finish(self) -> None:
        """Record the last bar, if it is still pending."""
        self._record_pending()

    def _parse_bar(self, total: str, rest: str, line: str) -> _FinishedBar:
        texts = {}
        for part in rest.split(" - "):
            name, colon, text = part.rpartition(":")
            if colon and name:
                texts[name] = text.strip()
        return _FinishedBar(total, texts, line, self._sink.arrival_time_ns())

    def _is_rewritten_by(self, bar: _FinishedBar, rewrites: bool) -> bool:
        """Return whether a full bar is a later state of the pending bar, not a new bar.

        Keras moves the cursor back with backspaces. If a log contains no backspaces, `read`
        recognises a new bar by its first state, which is not full. A bar with a single step is
        always full. So it counts as a later state of the pending bar only if it adds metrics.
        """
        if self._pending is None or self._pending.total != bar.total:
            return False
        if self._backspaces:
            return rewrites
        return bar.total != "1" or self._pending.texts.keys() < bar.texts.keys()

    def _record_pending(self) -> None:
        """Record the pending bar, if there is one, because Keras can't rewrite the bar any more."""
        bar, self._pending = self._pending, None
        if bar is None or not bar.texts:
            return
        step = None if self._epoch_done else self._epoch
        others = Context.TRAINING
        if self._epoch_done and not bar.validates:
            others = Context.EVALUATION
        self._epoch_done = self._epoch is not None
        for name, text in bar.texts.items():
            try:
                value = to_float(text)
            except RefusedError as error:
                self._sink.reject(str(error), bar.line)
                continue
            context = Context.VALIDATION if name.startswith("val_") else others
            self._sink.record_metric(
                name, value, context, step=step, epoch=step, time_ns=bar.time_ns, line=bar.line
            )
