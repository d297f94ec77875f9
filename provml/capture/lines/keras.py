r"""Keras's own lines, of Keras 2 and 3, ``verbose=1`` and ``verbose=2``, ``fit`` and ``evaluate``.

    Epoch 2/3
    938/938 [==============================] - 3s 2ms/step - loss: 0.21 - val_loss: 0.18

- ``Epoch n/N`` gives the step, and the epoch, of the next finished bar.
- A bar is rewritten in place: what counts is its last state, and only where n is N. Such a state
  without ``val_`` may still be rewritten (a callback prints, then come the validation's values):
  it is recorded once the next bar or epoch begins or the text ends, with the time of its reading.
- Names with ``val_`` are of the validation, others of the training. A bar that follows the one
  of its epoch, without ``val_``, is what ``evaluate`` prints: of the evaluation, without a step.
- A bar is seen by a metric whose name ends in ``loss``, or by Keras 3's bar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from provml.base.context import Context
from provml.capture.lines._numbers import to_float
from provml.capture.lines._sink import RefusedError, Sink

_HEADER: Final = re.compile(r"Epoch (\d{1,9})/\d{1,9}")
_BAR: Final = re.compile(
    r"(?P<done>\d{1,12})/(?P<total>\d{1,12}|Unknown) (?P<bar>\[[=>.]*\] |━+ )?(?:- )?"
    r"(?:(?P<eta>ETA: )?\d+s|(?:ETA: )?\d+(?::\d\d)+)\b(?P<rest>.*)"
)
_WITHOUT_COUNT: Final = re.compile(r"- \d+s\b(?P<rest> .*)")
_find_header: Final = re.compile(rb"Epoch \d").search


def _epochs(data: bytes, start: int, end: int) -> int:
    at = data.find(b"E", start, end)
    if at < 0:
        return at
    found = _find_header(data, at, end)
    return -1 if found is None else found.start()


def _losses(data: bytes, start: int, end: int) -> int:
    at = data.find(b":", start, end)
    return at if at < 0 else data.find(b"loss: ", start, end)


def _bars(data: bytes, start: int, end: int) -> int:
    at = data.find(b"\xe2", start, end)
    return at if at < 0 else data.find("━".encode(), at, end)


@dataclass(frozen=True, slots=True)
class _Bar:
    """The state of a finished bar: its total, its texts by metric, and when it was read."""

    total: str
    texts: dict[str, str]
    line: str
    time_ns: int

    @property
    def validates(self) -> bool:
        return any(name.startswith("val_") for name in self.texts)


class Form:
    """Keras's lines of one text."""

    finders = (_epochs, _losses, _bars)

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._epoch: int | None = None
        self._epoch_done = False
        self._held: _Bar | None = None
        self._backspaces = False

    def read(self, text: str, rewrites: bool) -> bool:
        """Take the line's state of a bar, or its epoch; whether it is of this form."""
        line = text.strip()
        header = _HEADER.fullmatch(line)
        if header is not None:
            self._release()
            self._epoch, self._epoch_done = int(header[1]), False
            return True
        match = _BAR.fullmatch(line)
        if match is None:
            match = _WITHOUT_COUNT.fullmatch(line)
            if match is None:
                return False
            self._release()
            self._held = self._bar("", match["rest"], line)
            self._release()
            return True
        self._backspaces = self._backspaces or rewrites
        if match["done"] != match["total"]:
            self._release()
            return True
        bar = self._bar(match["total"], match["rest"], line)
        if not self._is_rewritten_by(bar, rewrites):
            self._release()
        self._held = bar
        if match["bar"] is None or bar.validates:
            self._release()
        return True

    def finish(self) -> None:
        """Record what is held back."""
        self._release()

    def _bar(self, total: str, rest: str, line: str) -> _Bar:
        texts = {}
        for part in rest.split(" - "):
            name, colon, text = part.rpartition(":")
            if colon and name:
                texts[name] = text.strip()
        return _Bar(total, texts, line, self._sink.now())

    def _is_rewritten_by(self, bar: _Bar, rewrites: bool) -> bool:
        """Whether a finished state is a later one of the bar that is held.

        Keras goes back by backspaces; where a log has lost these, a new bar of more than one step
        is told by its first state, and one of a single step by names that it lacks.
        """
        if self._held is None or self._held.total != bar.total:
            return False
        if self._backspaces:
            return rewrites
        return bar.total != "1" or self._held.texts.keys() < bar.texts.keys()

    def _release(self) -> None:
        """Record the bar that is held, if any: nothing rewrites it any more."""
        bar, self._held = self._held, None
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
            self._sink.metric(
                name, value, context, step=step, epoch=step, time_ns=bar.time_ns, line=bar.line
            )
