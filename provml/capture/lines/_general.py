"""Reads metrics from lines without a fixed format, such as ``epoch 3 | loss 0.12 | acc 91.5%``.

This parser gets the lines that no other parser has read. `_tokens` splits a line, `_fields` finds
its named values, and `_shapes` decides which lines are metrics. The words for metrics, steps,
epochs and contexts are in `_vocabulary`.

- A line that gives only an epoch or step, such as ``Epoch 3/10``, applies to the lines below it.
- A line without an epoch or step belongs to the epoch of the last line that has an epoch.
- A heading that names a context, such as ``Test Error:``, applies to the next line.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from provml.base.context import Context
from provml.capture.lines import _vocabulary as vocabulary
from provml.capture.lines._evaluation_reports import ReportReader
from provml.capture.lines._fields import Field, LineFields, read_fields
from provml.capture.lines._line_template import compile_line
from provml.capture.lines._numbers import to_number
from provml.capture.lines._shapes import MAX_WAITING, LineNumbers, Observation, Shape
from provml.capture.lines._sink import MAX_STEP, LineSink, RefusedError
from provml.capture.lines._tables import Row, TableReader
from provml.capture.lines._tokens import NUMERAL, Token, shape_key, split_line

_MAX_LENGTH: Final = 2**12
_MAX_TOKENS: Final = 512
_MAX_SHAPES: Final = 512
_MAX_HOT: Final = 8
_MAX_MISSED: Final = 16
_LARGEST_EPOCH: Final = 2**31 - 1
_PLACE: Final = object()
"""Marks a shape whose lines give an epoch, a step or a context to the lines below them."""
_HEADER: Final = object()
"""Marks a shape whose lines are headers of tables."""
_METER_COUNT: Final = re.compile(r"%\|[^|]*\| *(\d+/\d+) \[")
_BAR: Final = re.compile(r"%\||━━|██|\[[=#>.\- ]{6,}\]|\d(?:it/s|s/it)\b|#{5,}|={6,}>")
_OTHER_TEXT: Final = re.compile(
    r"(?i)\b(?:rtt|jitter|ttl|packets?|pkts|datagrams?|icmp_seq|latency)\b"
    r"|\{[a-z_]\w*(?:[:!][^{}]{0,20})?\}|\w\([\"']|[\"'],?$|;$|^diff |^@@|\bdef |\bimport "
)
"""Matches source code, and network statistics, in which ``loss`` means lost packets."""
_SEARCH_SETTINGS: Final = re.compile(r"(?<=\] END )[^;]*;,")
"""Matches the settings in scikit-learn's ``[CV 1/3] END C=1, gamma=0.1;, score=0.98``."""
_HEADING: Final = re.compile(r"[^\w]*(\w+)(?: [a-zA-Z]+)?:?[^\w]*")


class _HotLine(NamedTuple):
    """The shape of a recent line, with a regular expression that reads more lines of that shape.

    Attributes:
        expression: matches lines of the shape; the groups are the numbers of a line.
        shape: the shape.
        is_place: whether the lines give only an epoch or step, for the lines below them.
    """

    expression: re.Pattern[str]
    shape: Shape
    is_place: bool


class GeneralParser:
    """A parser for the lines of one text, such as a stream, that no other parser reads.

    Attributes:
        missed: the lines that look like metrics but were not recorded, each with the number of
            lines of the same shape.
    """

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink
        self._shapes: dict[str, Shape | object | None] = {}
        # the epoch and step of the last line that contains nothing else
        self._place: dict[str, str] = {}
        self._last_epoch: str | None = None
        self._heading: Context | None = None
        self._last_meter = ""
        self._tables = TableReader(self._record_row)
        self._reports = ReportReader(self._record_row)
        self._hot: list[_HotLine] = []  # the shapes of the last lines, the latest first
        self.missed: list[tuple[str, int]] = []

    @property
    def reads_all(self) -> bool:
        """Whether the next line has to be read in any case, because a table has begun."""
        return self._tables.is_open or self._reports.is_open

    def read(self, text: str) -> bool:
        """Record the metrics in a line. Return False if lines of this shape can be skipped."""
        if len(text) > _MAX_LENGTH:
            return False
        text = _SEARCH_SETTINGS.sub("", text)
        if self._reports.read(text) or self._read_hot(text):
            return True
        if self._reports.read_start(text, self._heading) or self._tables.read(text):
            return True
        if _BAR.search(text) is not None:
            described = _read_meter(text)
            if described is None or described == self._last_meter:
                return described is not None
            self._last_meter = text = described
        tokens = split_line(text)
        if not 0 < len(tokens) <= _MAX_TOKENS:
            return False
        heading, self._heading = self._heading, None
        key = shape_key(tokens)
        if heading is not None:
            key = f"{key}\2{heading}"
        if key in self._shapes:
            shape = self._shapes[key]
        else:
            shape = self._classify(tokens, text, heading)
            if len(self._shapes) >= _MAX_SHAPES:
                self._forget_shape()
            self._shapes[key] = shape
        if shape is None:
            return False
        if shape is _HEADER:
            self._tables.read_header(text)
            return True
        if not isinstance(shape, Shape):
            line = read_fields(tokens)
            self._take_place(line, text)
            if line.epoch is not None or line.step is not None:
                self._make_hot(text, tokens, Shape(line, tokens), is_place=True)
            return True
        if shape.columns is None and shape.seen >= MAX_WAITING:
            self._give_up(shape)
            self._shapes[key] = None
            return False
        self._observe(shape, shape.read_numbers(tokens), text)
        if shape.columns is not None and heading is None:
            self._make_hot(text, tokens, shape, is_place=False)
        return True

    def _read_hot(self, text: str) -> bool:
        """Read a line with the expressions in `_hot`. Return False if none of them matches."""
        if self._heading is not None or self._tables.is_open:
            return False
        for number, hot in enumerate(self._hot):
            match = hot.expression.fullmatch(text)
            if match is not None:
                if number:
                    self._hot.insert(0, self._hot.pop(number))
                found = hot.shape.read_groups(match.groups())
                if hot.is_place:
                    self._note_place(found.epoch, found.step if hot.shape.names_place else None)
                else:
                    self._observe(hot.shape, found, text)
                return True
        return False

    def _make_hot(self, text: str, tokens: list[Token], shape: Shape, *, is_place: bool) -> None:
        """Prepare to read further lines of a shape without splitting them into tokens."""
        expression = None if _BAR.search(text) else compile_line(text, tokens)
        if expression is not None and not any(
            hot.expression.pattern == expression.pattern for hot in self._hot
        ):
            self._hot.insert(0, _HotLine(expression, shape, is_place))
            del self._hot[_MAX_HOT:]

    def read_header(self, text: str) -> None:
        """Read the epoch of a line that another parser has read, such as ``Epoch 3/10``."""
        if text.lstrip().startswith("Epoch"):
            self._take_place(read_fields(split_line(text)), text)

    def finish(self) -> None:
        """Record the lines that are still waiting, if they are clearly metrics."""
        self._tables.close_box()
        for shape in self._shapes.values():
            if isinstance(shape, Shape) and shape.columns is None and shape.waiting:
                if shape.judge(is_last=True):
                    self._record_waiting(shape)
                else:
                    self._give_up(shape)
                shape.waiting.clear()

    def _give_up(self, shape: Shape) -> None:
        """Add the first line of a shape to `missed`, if the shape looks like metrics."""
        if shape.looks_like_metrics and len(self.missed) < _MAX_MISSED:
            self.missed.append((shape.waiting[0].line, shape.seen))

    def _forget_shape(self) -> None:
        """Forget the oldest shape that has given no metric.

        If all shapes have given metrics, forget the oldest of them.
        """
        for key, shape in self._shapes.items():
            if not isinstance(shape, Shape) or shape.columns is None:
                del self._shapes[key]
                return
        del self._shapes[next(iter(self._shapes))]

    def _classify(
        self, tokens: list[Token], text: str, heading: Context | None
    ) -> Shape | object | None:
        """Return how to read lines of a new shape: a `Shape`, a mark, or None to skip them.

        The marks are `_PLACE` and `_HEADER`.

        Args:
            tokens, text: the tokens and the text of the first line of the shape.
            heading: the context that the previous line names; None if that line is not a heading.
        """
        if not vocabulary.may_name_metric(text) or _OTHER_TEXT.search(text) is not None:
            return None
        if not any(token.kind == NUMERAL for token in tokens) and self._tables.read_header(text):
            return _HEADER
        line = read_fields(tokens)
        if heading is not None and all(one.context is None for one in line.fields):
            line.fields = [one._replace(context=heading) for one in line.fields]
        shape = Shape(line, tokens)
        if shape.may_be_metrics:
            return shape
        if line.names_place and line.prose == 0 and line.words <= 4:
            return _PLACE
        return _PLACE if _context_of_heading(text) is not None else None

    def _take_place(self, line: LineFields, text: str) -> None:
        self._heading = _context_of_heading(text)
        self._note_place(line.epoch, line.step if line.names_place else None)

    def _note_place(self, epoch: str | None, step: str | None) -> None:
        place = {}
        if epoch is not None:
            place["epoch"] = epoch
        if step is not None:
            place["step"] = step
        if place:
            self._place = place if "epoch" in place else {**self._place, **place}
            self._last_epoch = epoch or self._last_epoch

    def _observe(self, shape: Shape, numbers: LineNumbers, text: str) -> None:
        """Record the values of a line, or keep the line until its shape counts as metrics."""
        texts, epoch, step = numbers
        bare = step if shape.has_bare_step else None
        if bare is not None:
            step = None
        if epoch is None:
            if step is None and bare is None:
                step = self._place.get("step")
                epoch = self._place.get("epoch", self._last_epoch)
            else:
                epoch = self._place.get("epoch")
        else:
            self._place = {}
            self._last_epoch = epoch
        seen = Observation(
            self._sink.arrival_time_ns(),
            epoch,
            step,
            texts,
            text,
            self._sink.rank,
            bare,
        )
        shape.seen += 1
        if shape.columns is not None:
            self._record(shape, seen)
            return
        shape.waiting.append(seen)
        if shape.judge():
            self._record_waiting(shape)

    def _record_waiting(self, shape: Shape) -> None:
        rank = self._sink.rank
        for seen in shape.waiting:
            self._sink.rank = seen.rank
            self._record(shape, seen)
        self._sink.rank = rank
        shape.waiting.clear()

    def _record(self, shape: Shape, seen: Observation) -> None:
        step_text = seen.step
        if step_text is None and shape.counts_steps:
            step_text = seen.bare_step
        fields = [
            shape.fields[index]._replace(text=seen.texts[index]) for index in shape.columns or ()
        ]
        self._record_fields(fields, seen.epoch, step_text, seen.time_ns, seen.line)

    def _record_row(self, row: Row, line: str) -> None:
        epoch = row.epoch
        if epoch is None and row.step is None:
            epoch = self._last_epoch
        self._last_epoch = epoch or self._last_epoch
        self._record_fields(row.fields, epoch, row.step, self._sink.arrival_time_ns(), line)

    def _record_fields(
        self, fields: list[Field], epoch: str | None, step: str | None, time_ns: int, line: str
    ) -> None:
        own_epoch = _read_place(epoch, 0, _LARGEST_EPOCH)
        own_step = _read_place(step, -MAX_STEP, MAX_STEP)
        for field in fields:
            if self._sink.is_logged(field.short, field.context):
                continue
            try:
                value = to_number(field.text)
            except RefusedError as error:
                self._sink.reject(str(error), line)
                continue
            self._sink.record_metric(
                field.short,
                value,
                field.context,
                step=own_step,
                epoch=own_epoch,
                unit=field.unit,
                time_ns=time_ns,
                line=line,
            )


def _read_meter(text: str) -> str | None:
    """Return a tqdm bar's description and count: ``loss 0.5 [45/100]``; None for other bars."""
    percent = text.find("%|")
    count = _METER_COUNT.match(text, percent) if percent >= 0 else None
    if count is None:
        return None
    description = text[:percent].rstrip("0123456789").rstrip().removesuffix(":")
    return f"{description} [{count[1]}]" if vocabulary.may_name_metric(description) else None


def _read_place(text: str | None, least: int, most: int) -> int | float | None:
    if text is None:
        return None
    try:
        value = to_number(text)
    except RefusedError:
        return None
    return value if least <= value <= most else None


def _context_of_heading(text: str) -> Context | None:
    """Return the context of a heading such as ``--- Validation ---``; None for other lines."""
    match = _HEADING.fullmatch(text.strip()) if len(text) < 80 else None
    return None if match is None else vocabulary.context_of(match[1])
