"""Finds the named values in a printed line, and the line's epoch, step and context.

    Train Epoch: 3 [640/60000 (1%)]	Loss: 0.412     Loss in training, epoch 3, step 640
    step 250: train loss 2.4, val loss 2.5           loss in training and in validation, step 250

`read_fields` does not decide whether the values are metrics. `_shapes` does, because it compares
several lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from provml.base.context import Context
from provml.capture.lines import _vocabulary as vocabulary
from provml.capture.lines._tokens import BREAK, FRACTION, NUMERAL, OPAQUE, UNITS, WORD, Token

_MAX_NAME_WORDS: Final = 5
_MAX_LABEL_WORDS: Final = 4
_SETTINGS: Final = vocabulary.word_set(
    "parameters params config hparams hyperparameters args arguments settings options namespace"
)
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+")
_WHOLE: Final = re.compile(r"[-+]?\d+")
_NOT_A_NAME: Final = re.compile(
    r"::|/[^ ]*/|\.(?:py|c|cc|cpp|cu|h|js|ts|go|rs|java|sh|log|txt|json|ya?ml|bin|pth?|ckpt)\b"
    r"|\b(?:float|int|double|const|var|let|auto|assert|return|PASSED|FAILED|SKIPPED|ok)\b|\.{4}"
)
"""Matches paths, test results and source code."""
_COMPARING: Final = vocabulary.word_set(
    "above below from to by than over under in after before between within exceeds exceeded reached"
)
_CLOSING: Final = {"[": "]", "(": ")"}
_CONTEXT_FREE: Final = vocabulary.word_set("lr learning grad gnorm gradnorm norm time dt ms")
_OF_TRAINING: Final = vocabulary.word_set("lr learning gnorm grad gradnorm norm")


class Field(NamedTuple):
    """A number in a line, and its name.

    Attributes:
        name: the name as printed, such as ``val loss``.
        short: the name without the word for its context, such as ``loss``.
        context: the context of the value; None if the line does not name a context.
        text: the number, as printed.
        unit: the unit of the number, such as ``ms``; None if there is no unit.
        has_separator: whether a colon or an equals sign joins the name and the number.
        start: the offset of the number in the line.
    """

    name: str
    short: str
    context: Context | None
    text: str
    unit: str | None
    has_separator: bool
    start: int = -1


@dataclass(slots=True)
class LineFields:
    """The named values of a line, with its epoch, step and context.

    Attributes:
        fields: the named values.
        epoch: the epoch, as text; None if the line has no epoch.
        step: the step, as text; None if the line has no step.
        names_place: whether a word such as ``epoch`` or ``step`` names the epoch or step.
        is_bare_step: whether the step is a number without a name, such as ``[10]`` at the start.
        context: the context of the whole line, as in ``Test set: ...``; None if there is none.
        words: the number of words in the line.
        prose: the number of words that belong to no name, label or unit.
        epoch_start, step_start: the offsets of the epoch and step in the line; -1 if there is none.
        loose: the number of numbers, dates and similar words that have no name.
    """

    fields: list[Field] = field(default_factory=list)
    epoch: str | None = None
    step: str | None = None
    names_place: bool = False
    is_bare_step: bool = False
    context: Context | None = None
    words: int = 0
    prose: int = 0
    loose: int = 0
    epoch_start: int = -1
    step_start: int = -1


def read_fields(tokens: list[Token]) -> LineFields:
    """Return the named values of a line, and its epoch, step and context."""
    scanner = _Scanner(tokens)
    scanner.scan()
    return scanner.finish()


def _context_of(word: str) -> Context | None:
    found = vocabulary.context_of(word) or vocabulary.split_name(word).context
    if found is None and word.endswith(")"):  # ``Epoch(train)``
        return vocabulary.context_of(word[:-1].partition("(")[2])
    return found


def _separate_names(fields: list[Field]) -> list[Field]:
    """Return the fields with unique names.

    If fields with different names have the same short name, the full names are used. If a name
    occurs twice, only its first field is kept.
    """
    full_names: dict[tuple[str, Context | None], set[str]] = {}
    for one in fields:
        full_names.setdefault((one.short, one.context), set()).add(one.name)
    found: dict[tuple[str, Context | None], Field] = {}
    for one in fields:
        is_unclear = len(full_names[one.short, one.context]) > 1
        own = one._replace(short=one.name) if is_unclear else one
        found.setdefault((own.short, own.context), own)
    return list(found.values())


class _Bare(NamedTuple):
    """A number without a name, which may be the line's step or epoch.

    Attributes:
        text: the number, or the numerator of a fraction.
        is_fraction: whether the number is a fraction.
        in_brackets: whether the number is in square brackets or parentheses.
        is_first: whether no words and no named values precede the number in the line.
        start: the offset of the number in the line.
    """

    text: str
    is_fraction: bool
    in_brackets: bool
    is_first: bool
    start: int


class _Scanner:
    """A scanner of the tokens of one line, from left to right."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._line = LineFields()
        self._words: list[str] = []
        self._separator = False
        self._open: list[tuple[str, list[str], bool]] = []
        self._step_rank = -1
        self._bare: list[_Bare] = []
        # the name of a fraction, as in ``Accuracy: 9/10 (90%)``
        self._fraction_name: list[str] = []
        self._place_words: list[str] | None = None  # the words before ``at step 3:``
        self._own_context: Context | None = None  # the last context that a name has implied
        self._aside_unit: str | None = None
        self._aside = ""  # the words in parentheses after a name: ``f1-score (micro avg)``
        self._follows_settings = False  # whether a word such as ``parameters:`` came before

    def scan(self) -> None:
        """Read all tokens of the line, and collect its named values."""
        tokens = self._tokens
        index = 0
        while index < len(tokens):
            token = tokens[index]
            kind = token.kind
            if kind == WORD:
                self._line.words += 1
                self._words.append(token.text)
            elif kind in (NUMERAL, FRACTION):
                index = self._read_number(index)
            elif kind in ":=":
                index = self._read_separator(index)
            elif kind in "([{":
                index = self._open_bracket(index)
            elif kind in ")]}":
                self._close_bracket()
            elif kind == OPAQUE and self._read_grouped_place(token):
                pass
            elif kind in (OPAQUE, BREAK) or kind in ",;|":
                self._line.loose += kind == OPAQUE
                self._drop_words()
            index += 1
        self._drop_words()

    # -- marks --------------------------------------------------------------------------------

    def _peek(self, index: int) -> str:
        return self._tokens[index].kind if index < len(self._tokens) else ""

    def _starts_number(self, index: int) -> bool:
        """Return whether a token is a number, or a bracket that is followed by a number."""
        kind = self._peek(index)
        if kind in ("[", "("):
            return self._peek(index + 1) in (NUMERAL, FRACTION)
        return kind in (NUMERAL, FRACTION)

    def _read_separator(self, index: int) -> int:
        if self._starts_number(index + 1):
            if self._words or self._place_words is not None or not self._line.fields:
                self._separator = True
            return index
        if self._peek(index + 1) == OPAQUE:
            if self._words and vocabulary.place_of(self._words[-1]) is not None:
                return index
            self._use_label()
        elif self._tokens[index].kind == "=" and self._words:
            self._words.clear()
            if self._peek(index + 1) == WORD:  # a value that is not a number
                self._line.words += 1
                return index + 1
        else:
            self._use_label()
        return index

    def _use_label(self) -> None:
        """Use the words before a colon as a label: ``Test set`` in ``Test set: loss: 1``."""
        words = self._words
        if words and words[-1].lower() in _SETTINGS:
            self._follows_settings = True
        if words and len(words) <= _MAX_LABEL_WORDS:
            self._note_context(words)
            words.clear()
        self._drop_words()

    def _note_context(self, words: list[str]) -> None:
        for word in words:
            found = _context_of(word)
            if found is not None and self._line.context is None:
                self._line.context = found
                return

    def _drop_words(self) -> None:
        words = self._words
        if words:
            if len(words) <= 2 and any(_context_of(word) for word in words):
                self._note_context(words)
            elif not (len(words) == 1 and words[0].isupper()):
                self._line.prose += len(words)
            self._words = []
        self._separator = False
        self._place_words = None
        self._aside_unit, self._aside = None, ""

    def _open_bracket(self, index: int) -> int:
        mark = self._tokens[index].kind
        if self._words and self._tokens[index].glued and self._words[-1].lower() in _SETTINGS:
            return self._skip_brackets(index)  # ``Namespace(lr=0.1)``
        if mark == "{":
            if self._follows_settings:
                return self._skip_brackets(index)
            self._drop_words()
            return index
        closing = _CLOSING[mark]
        is_single = self._starts_number(index) and self._peek(index + 2) == closing
        is_place = bool(self._words) and vocabulary.place_of(self._words[-1]) is not None
        if is_single and (self._separator or is_place):
            self._separator = True  # ``Epoch [3/10]``, ``lr=[0.1]``
            self._open.append((mark, [], True))
            return index
        self._open.append((mark, self._words, self._separator))
        self._words, self._separator = [], False
        return index

    def _skip_brackets(self, index: int) -> int:
        """Return the index of the token that closes a bracket with settings."""
        depth = 0
        for at in range(index, len(self._tokens)):
            kind = self._tokens[at].kind
            depth += (kind in "([{") - (kind in ")]}")
            if depth == 0:
                self._follows_settings = False
                self._words = []
                return at
        return len(self._tokens)

    def _close_bracket(self) -> None:
        if not self._open:
            self._drop_words()
            return
        _, outer, separator = self._open.pop()
        if self._words:
            aside = " ".join(self._words)
            unit = "s" if aside in ("sec", "seconds") else aside
            if aside in UNITS:
                self._aside_unit = unit
            elif outer:
                self._aside = aside
            elif not outer:
                self._note_context(self._words)
        self._words, self._separator = outer, separator and bool(outer)

    # -- numbers ------------------------------------------------------------------------------

    def _read_number(self, index: int) -> int:
        token = self._tokens[index]
        if (
            token.text[-1].isalpha()
            and self._words
            and self._words[-1].lower() in ("of", "no", "a")
        ):
            self._words.append(token.text)  # ``number of nan iterations``
            return index
        words, separator = vocabulary.trim_words(self._words), self._separator
        if self._words and self._words[-1].lower() in _COMPARING:
            self._line.loose += 1
            words = []  # ``accuracy above 0.9``
        prose = len(self._words) - len(words)
        before, self._words, self._separator = self._words, [], False
        place_words, self._place_words = self._place_words, None
        is_fraction = token.kind == FRACTION
        text = token.text.partition("/")[0].strip() if is_fraction else token.text
        if (token.unit is None and not is_fraction and _WHOLE.fullmatch(text) and not words) or (
            is_fraction and not words
        ):
            following = self._read_following_place(index, text)
            if following is not None:
                return following
        if words:
            name = " ".join(words)
            place = vocabulary.place_of(name)
            if place is not None and token.unit is None and self._is_place_value(place[0], text):
                self._take_place(place, text, token.start)
                self._note_context(words)
                self._place_words = vocabulary.trim_words(words[:-1])
                self._line.prose += 0 if self._place_words or len(before) < 4 else prose
                return index
            if self._peek(index + 1) == "[" and _context_of(name) and len(words) == 1:
                self._note_context(words)  # timm's ``Train: 3 [50/1251 (4%)]``
                self._take_place(("epoch", 2), text, token.start)
                return index
            if is_fraction:
                self._fraction_name = words
                if not vocabulary.is_metric_name(name):
                    self._add_bare(index, text)
                    self._note_context(words)
                return index
            if len(words) <= _MAX_NAME_WORDS + separator:
                self._add_field(words, token, separator)
                self._line.prose += prose
            else:
                self._line.prose += len(before)
            return index
        if separator and place_words and token.kind == NUMERAL:
            self._add_field(place_words, token, True)
            return index
        self._line.prose += prose
        if self._fraction_name and token.unit == "%" and self._open:
            if vocabulary.is_metric_name(" ".join(self._fraction_name)):
                self._add_field(self._fraction_name, token, True)
            self._fraction_name = []
            return index
        self._line.loose += 1
        if token.unit is None and _WHOLE.fullmatch(text):
            self._add_bare(index, text)
        return index

    def _read_grouped_place(self, token: Token) -> bool:
        """Read an epoch or step such as ``1,200/5,000``; return whether the token is one."""
        words = vocabulary.trim_words(self._words)
        place = vocabulary.place_of(" ".join(words)) if words else None
        number = token.text.partition("/")[0]
        if place is None or _GROUPED.fullmatch(number) is None:
            return False
        self._take_place(place, number.replace(",", ""), token.start)
        self._words, self._separator = [], False
        return True

    @staticmethod
    def _is_place_value(kind: str, text: str) -> bool:
        return bool(_WHOLE.fullmatch(text)) or (kind == "epoch" and text[-1:].isdigit())

    def _read_following_place(self, index: int, text: str) -> int | None:
        """Read an epoch or step whose word follows its number, as in ``200/2983 batches``.

        Returns the index of the word; None if the number is not an epoch or step.
        """
        if self._peek(index + 1) != WORD or self._starts_number(index + 2):
            return None
        token, word = self._tokens[index], self._tokens[index + 1].text
        place = vocabulary.place_of(word)
        if place is None or self._peek(index + 2) in (":", "=", WORD):
            return None
        self._line.words += 1
        self._take_place((place[0], 0), text, token.start)
        return index + 1

    def _take_place(self, place: tuple[str, int], text: str, start: int) -> None:
        kind, rank = place
        line = self._line
        line.names_place = True
        if kind == "epoch":
            if line.epoch is None:
                line.epoch, line.epoch_start = text, start
        elif rank > self._step_rank:
            line.step, line.step_start, self._step_rank = text, start, rank

    def _add_bare(self, index: int, text: str) -> None:
        line, token = self._line, self._tokens[index]
        is_first = not line.fields and not line.words
        is_fraction = token.kind == FRACTION
        if is_fraction and self._peek(index + 1) == OPAQUE:
            return  # the date before a time: ``11/30 10:00:00``
        self._bare.append(_Bare(text, is_fraction, bool(self._open), is_first, token.start))

    def _add_field(self, words: list[str], token: Token, separator: bool) -> None:
        name = " ".join(words).strip(".*#-:/ ")
        if not name or _NOT_A_NAME.search(name) is not None:
            self._line.loose += 1
            return
        context, short = vocabulary.split_name(name)
        if self._open and not separator and not vocabulary.is_metric_name(name):
            return  # an aside, such as ``(best 0.12)``
        parts = vocabulary.name_parts(short)
        is_free = not _CONTEXT_FREE.isdisjoint(parts) and "loss" not in parts
        if context is not None:
            if len(words) > 1:
                self._own_context = context
        elif self._own_context is not None and not is_free:
            context = self._own_context
        unit = token.unit or self._aside_unit
        if self._aside:
            name = f"{name} ({self._aside})"
        self._aside_unit, self._aside = None, ""
        self._line.fields.append(
            Field(name, short or name, context, token.text, unit, separator, token.start)
        )

    # -- the end ------------------------------------------------------------------------------

    def finish(self) -> LineFields:
        """Decide the line's step, epoch and context. Return all that was read from the line."""
        line = self._line
        self._place_bare_numbers()
        if line.context is None and all(
            one.context is None or vocabulary.is_skipped_name(one.name) for one in line.fields
        ):
            for one in line.fields:
                if (
                    not _OF_TRAINING.isdisjoint(vocabulary.name_parts(one.short)[:1])
                    and one.short.lower() != "norm"
                ):
                    line.context = Context.TRAINING
                    break
        trains = any(one.context is Context.TRAINING for one in line.fields)
        fields = [
            one
            if one.context is not None
            else one._replace(context=self._guess_context(one, trains))
            for one in line.fields
        ]
        line.fields = _separate_names(fields)
        return line

    def _guess_context(self, field: Field, trains: bool) -> Context | None:
        """Return the context of a value whose name does not imply one.

        Args:
            trains: whether another value of the line belongs to training.
        """
        if trains and not _OF_TRAINING.isdisjoint(vocabulary.name_parts(field.short)):
            return Context.TRAINING
        return self._line.context

    def _place_bare_numbers(self) -> None:
        line, bare = self._line, self._bare
        first = [one for one in bare if one.is_first and one.in_brackets]
        if line.epoch is None and line.step is None and len(first) == 2:
            line.epoch, line.epoch_start = first[0].text, first[0].start
            line.step, line.step_start = first[1].text, first[1].start
            return
        if line.step is not None:
            return
        fractions = [one for one in bare if one.is_fraction]
        bracketed = [one for one in bare if one.in_brackets and not one.is_first]
        found: _Bare | None = None
        if fractions:
            found, line.is_bare_step = fractions[0], line.epoch is None
        elif line.epoch is not None and bracketed:
            found = bracketed[0]
        elif line.epoch is None and bare and bare[0].is_first:
            found, line.is_bare_step = bare[0], True
        if found is not None:
            line.step, line.step_start = found.text, found.start
