"""Find the statements of a PROV-N text, and separate the PROV-Dictionary statements from the rest.

The scanner understands only enough of PROV-N to tell where statements, bundles and declarations
start and end. The scanner reports malformed dictionary statements, and texts that exceed its
limits. The ``prov`` library reports all other errors when it parses the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from provml.errors import DocumentError
from provml.model.vocabulary import PROV, XSD
from provml.reading._dictionary import DICTIONARY_KINDS, INSERTION, MEMBERSHIP

MAX_TOKENS: Final = 5_000_000
"""The maximum number of tokens in a document. Parsing takes about 500 bytes of memory per token."""

MAX_TOKEN_CHARS: Final = 1_000_000
"""The maximum length of a token. Matching takes about 150 bytes of memory per character."""

_PROVN_TOKEN: Final = re.compile(
    r"(?P<skip>\s++|//[^\n\r]*+|/\*(?:.*?\*/|.*+))"
    r'|(?P<string>(?:"""(?:\\.|[^"\\]++|"(?!""))*+(?:"""|\Z)|"(?:\\.|[^"\\\n\r]++)*+"?+)'
    r"(?:@[A-Za-z]++(?:-[A-Za-z0-9]++)*+)?)"
    r"|(?P<name>'(?:\\.|[^'\\\n\r]++)*+'?+)"
    r'|(?P<iri><[^<>"\s]*+>?+)'
    r"|(?P<time>-?[0-9]{4,}+-[0-9]{2}-[0-9]{2}T[0-9:.]++(?:Z|[+-][0-9]{2}:[0-9]{2})?)"
    r"|(?P<number>-[0-9]*+)"
    r"|(?P<typed>%%)"
    r"|(?P<word>(?:\\.|[^\s\"'<>()\[\]{},;=\\])++)"
    r"|(?P<mark>.)",
    re.S,
)
_INTEGER: Final = re.compile("-?[0-9]+")
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
_VISIBLE: Final = re.compile(r"[^\r\n]")
_PREDECLARED: Final = {  # ProvToolbox also declares xsd, but without the '#'
    "xsd": (f"<{XSD}>", f"<{XSD.rstrip('#')}>"),
    "prov": (f"<{PROV}>",),
}


class _Token(NamedTuple):
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(slots=True)
class DictionaryText:
    """A statement of PROV-Dictionary, as pieces of PROV-N text.

    Attributes:
        kind: one of `DICTIONARY_KINDS`.
        container: the number of the bundle that contains the statement, counted from 1; 0 if the
            statement is in no bundle.
        id, dictionary, old: the statement's names. A missing name is ``-``.
        pairs: the key-entity pairs of an insertion or a membership.
        keys: the keys that a removal removes.
        attributes: the other attributes, each as ``name=value``.
    """

    kind: str
    container: int
    id: str = "-"
    dictionary: str = "-"
    old: str = "-"
    pairs: list[tuple[str, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)

    def terms(self) -> str:
        """Return this statement's names and values as PROV-N statements that ``prov`` can read."""
        parts = [f"wasInfluencedBy({self.id}; {self.dictionary}, {self.old})"]
        for key, entity in self.pairs:
            parts += [_hold_attribute(f"prov:value={key}"), f"wasInfluencedBy({entity}, -)"]
        parts += [_hold_attribute(f"prov:value={key}") for key in self.keys]
        parts += [_hold_attribute(each) for each in self.attributes]
        return " ".join(parts)


def _hold_attribute(attribute: str) -> str:
    return f"entity(prov:entity, [{attribute}])"


class _Span(NamedTuple):
    """A part of a PROV-N text: a statement, or a prefix declaration that ``prov`` would refuse.

    Attributes:
        start, end: offsets in the text. The part ends before ``end``.
        dictionary: the parsed statement if it belongs to PROV-Dictionary, else None.
        declaration: whether the part is a declaration.
    """

    start: int
    end: int
    dictionary: DictionaryText | None = None
    declaration: bool = False


@dataclass(slots=True)
class ScannedText:
    """A PROV-N text with the positions of its statements.

    Attributes:
        text: the whole text.
        dictionaries: the PROV-Dictionary statements, in the order in which they appear.
        places: the line and column of every other statement, in a list for the statements outside
            bundles, followed by one list for each bundle.
    """

    text: str
    dictionaries: list[DictionaryText] = field(default_factory=list)
    places: list[list[tuple[int, int]]] = field(default_factory=lambda: [[]])
    _spans: list[_Span] = field(default_factory=list)

    def without_dictionaries(self) -> str:
        """Return the text without dictionary statements, so that ``prov`` can parse it.

        Also removes declarations that ``prov`` would refuse. Spaces replace the removed parts, so
        all other statements keep their lines and columns.
        """
        return self._replace(
            (span, "") for span in self._spans if span.dictionary or span.declaration
        )

    def dictionary_terms(self) -> str:
        """Return the text with only the dictionary statements, rewritten by `DictionaryText.terms`.

        Spaces replace all other statements, so line numbers stay the same.
        """
        return self._replace(
            (span, "" if span.dictionary is None else span.dictionary.terms())
            for span in self._spans
        )

    def _replace(self, spans: Iterator[tuple[_Span, str]]) -> str:
        pieces: list[str] = []
        end = 0
        for span, text in spans:
            blank = _VISIBLE.sub(" ", self.text[span.start : span.end])
            pieces += [self.text[end : span.start], text, blank]
            end = span.end
        return "".join([*pieces, self.text[end:]])


def scan_provn(text: str) -> ScannedText:
    """Find the statements of a PROV-N text.

    Costs about 1 us per token.

    Raises:
        DocumentError: a dictionary statement is malformed, or the text exceeds `MAX_TOKENS` or
            `MAX_TOKEN_CHARS`.
    """
    return _ProvnScanner(text).scan()


class _ProvnScanner:
    """A scanner that finds the statements of a text in one pass over its tokens."""

    def __init__(self, text: str) -> None:
        self._scanned = ScannedText(text)
        self._text = text
        self._line_starts = [0, *(found.end() for found in _LINE_BREAK.finditer(text))]
        self._container = 0

    def scan(self) -> ScannedText:
        """Find all statements, and return the text with their positions."""
        tokens = self._tokens()
        word: _Token | None = None  # the last word outside parentheses
        for token in tokens:
            if token.kind == "word":
                if token.text == "bundle":
                    # skip the bundle's identifier, which may look like a keyword
                    next(tokens, None)
                    self._scanned.places.append([])
                    self._container = len(self._scanned.places) - 1
                elif token.text == "endBundle":
                    self._container = 0
                elif token.text == "prefix":
                    self._skip_declaration(token, tokens)
                word = token
            elif token.text == "(" and word is not None:
                self._read_statement(word, tokens)
                word = None
            else:
                word = None
        return self._scanned

    def _tokens(self) -> Iterator[_Token]:
        count = 0
        for found in _PROVN_TOKEN.finditer(self._text):
            kind = str(found.lastgroup)
            if kind == "skip":
                continue
            count += 1
            if count > MAX_TOKENS:
                raise DocumentError(f"PROV-N: the document has more than {MAX_TOKENS:,} tokens")
            if found.end() - found.start() > MAX_TOKEN_CHARS:
                line, _ = self._find_place(found.start())
                raise DocumentError(
                    f"PROV-N: line {line}: a token has more than {MAX_TOKEN_CHARS:,} characters"
                )
            yield _Token(kind, found[0], found.start())

    def _find_place(self, offset: int) -> tuple[int, int]:
        """Return the line and column of an offset, both counted from 1."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def _skip_declaration(self, start: _Token, tokens: Iterator[_Token]) -> None:
        prefix, iri = next(tokens, None), next(tokens, None)
        if prefix is not None and iri is not None and iri.text in _PREDECLARED.get(prefix.text, ()):
            self._scanned._spans.append(_Span(start.start, iri.end, declaration=True))

    def _read_statement(self, head: _Token, tokens: Iterator[_Token]) -> None:
        kind = head.text.removeprefix("prov:")
        content: list[_Token] = []
        depth = 1
        for token in tokens:
            if token.kind == "mark":
                depth += (token.text in "([{") - (token.text in ")]}")
            if depth == 0:
                break
            if kind in DICTIONARY_KINDS:
                content.append(token)
        else:
            token = _Token("mark", "", len(self._text))
        dictionary = None
        if kind in DICTIONARY_KINDS:
            content.append(token)
            dictionary = _DictionaryParser(self, kind, self._container, content).parse()
            self._scanned.dictionaries.append(dictionary)
        else:
            self._scanned.places[self._container].append(self._find_place(head.start))
        self._scanned._spans.append(_Span(head.start, token.end, dictionary))

    def build_error(self, expected: str, token: _Token) -> DocumentError:
        """Build the error for an unexpected token, with its line and column."""
        line, column = self._find_place(token.start)
        found = repr(token.text) if token.text else "the end of the text"
        return DocumentError(
            f"PROV-N: line {line}, column {column}: expected {expected}, found {found}"
        )

    def slice(self, start: int, end: int) -> str:
        """Return the text between two offsets."""
        return self._text[start:end]


class _DictionaryParser:
    """A parser for one statement of PROV-Dictionary (W3C Note, 2013, sections 2.5 and 3.5).

    Its input is the list of tokens after the opening parenthesis, up to and including the closing
    parenthesis.
    """

    def __init__(
        self, scanner: _ProvnScanner, kind: str, container: int, tokens: list[_Token]
    ) -> None:
        self._scanner = scanner
        self._tokens = tokens
        self._at = 0
        self._statement = DictionaryText(kind, container)

    def parse(self) -> DictionaryText:
        """Parse the statement and return it.

        Raises DocumentError if the statement is malformed. The message gives the line and column.
        """
        statement = self._statement
        statement.dictionary = self._take_name()
        if statement.kind == MEMBERSHIP:
            self._expect(",")
            entity = self._take_name()
            self._expect(",")
            statement.pairs.append((self._take_literal(), entity))
        else:
            if self._took(";"):
                statement.id, statement.dictionary = statement.dictionary, self._take_name()
            self._expect(",")
            statement.old = self._take_name()
            self._expect(",")
            self._take_set()
            if self._took(","):
                self._take_attributes()
        self._expect(")")
        return statement

    def _take_set(self) -> None:
        """Parse a set of key-entity pairs or keys, which is enclosed in braces."""
        self._expect("{")
        while not self._took("}"):
            if self._statement.kind == INSERTION:
                self._expect("(")
                key = self._take_literal()
                self._expect(",")
                self._statement.pairs.append((key, self._take_name()))
                self._expect(")")
            else:
                self._statement.keys.append(self._take_literal())
            if not self._took(","):
                self._expect("}")
                return

    def _take_attributes(self) -> None:
        self._expect("[")
        while not self._took("]"):
            name = self._take_name()
            self._expect("=")
            self._statement.attributes.append(f"{name}={self._take_literal()}")
            if not self._took(","):
                self._expect("]")
                return

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        if self._at < len(self._tokens) - 1:
            self._at += 1
        return token

    def _took(self, mark: str) -> bool:
        """Consume the next token if it is ``mark``. Return whether it was consumed."""
        token = self._tokens[self._at]
        if token.kind == "mark" and token.text == mark:
            self._take()
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._took(mark):
            raise self._scanner.build_error(repr(mark), self._tokens[self._at])

    def _take_name(self) -> str:
        token = self._take()
        if token.kind != "word" and token.text != "-":
            raise self._scanner.build_error("an identifier or '-'", token)
        return token.text

    def _take_literal(self) -> str:
        """Consume a value with its datatype or language tag, and return its text."""
        first = last = self._take()
        if first.kind not in ("string", "name") and not _INTEGER.fullmatch(first.text):
            raise self._scanner.build_error("a value", first)
        if first.kind == "string":
            after = self._tokens[self._at]
            if after.kind == "typed":
                self._take()
                last = self._take()
            elif after.text.startswith("@"):
                last = self._take()
        return self._scanner.slice(first.start, last.end)
