"""PROV-N (W3C Recommendation, 2013), with PROV-Dictionary's statements.

The language is read by prov's own lexer and parser, to which these statements are added.
Imports `_dictionary`, `_document`, `_engine`, `_source`; prov when it runs.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.model.vocabulary import XSD
from provml.reading._dictionary import (
    INSERTION,
    KINDS,
    MEMBERSHIP,
    REMOVAL,
    DictionaryStatement,
    normal_value,
)
from provml.reading._document import Document, Places
from provml.reading._engine import guarded, refuse_losses, time_notes
from provml.reading._source import text_of

if TYPE_CHECKING:
    from prov.serializers.provn_parser import ProvNParser

NAME: Final = "PROV-N"
SUFFIXES: Final = (".provn",)

MAX_TOKENS: Final = 5_000_000
"""How many tokens a document may have; each takes some 500 bytes of memory."""

MAX_TOKEN: Final = 1_000_000
"""How many characters a token may have; each takes some 150 bytes while it is matched."""

_TOKENS: Final = re.compile(
    r'"""(?:\\.|[^"\\]++|"(?!""))*+(?:"""|$)|"(?:\\.|[^"\\\n\r]++)*+|'
    r"'(?:\\.|[^'\\\n\r]++)*+|<[^>]*+|//[^\n\r]*+|[^\s\"'<>()\[\]{},;=]++",
    re.S,
)

_START: Final = re.compile(r"(?:\s|//[^\n]*\n|/\*.*?\*/)*document\b", re.S)
_SAME_XSD: Final = (XSD, XSD.rstrip("#"))


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return _START.match(head) is not None or head.startswith("/*")


def read(data: bytes, base: str | None = None) -> Document:
    """The document. Raises DocumentError."""
    text = text_of(data)
    _check_tokens(text)
    with guarded(NAME) as told:
        parser = _parser_class()(text)
        document = parser.parse()
    refuse_losses(NAME, told + parser.warnings)
    return Document(
        document,
        parser.dictionaries,  # type: ignore[attr-defined]
        losses=time_notes(data),
        places=parser.places,  # type: ignore[attr-defined]
    )


def _check_tokens(text: str) -> None:
    """Refuse tokens whose matching would take memory without bound."""
    if len(text) <= MAX_TOKEN:
        return
    for found in _TOKENS.finditer(text):
        if found.end() - found.start() > MAX_TOKEN and not found[0].startswith("//"):
            line = text.count("\n", 0, found.start()) + 1
            raise DocumentError(f"{NAME}: line {line}: more than {MAX_TOKEN:,} characters in one")


@cache
def _parser_class() -> type[ProvNParser]:
    """Prov's parser with the productions of PROV-Dictionary, 2.5 and 3.5.

    A class made when it is first needed, as prov is imported only then.
    """
    from enum import Enum

    from prov.identifier import QualifiedName
    from prov.model import ProvBundle, ProvDocument
    from prov.serializers.provn_lexer import Token, TokenKind, _Lexer
    from prov.serializers.provn_parser import ProvNParser

    class Brace(Enum):
        LEFT = "{"
        RIGHT = "}"

    left: Any = Brace.LEFT
    right: Any = Brace.RIGHT

    class Lexer(_Lexer):
        """prov's lexer, to which braces are tokens."""

        def next_token(self) -> Token:
            char = self.text[self.pos]
            if char in "{}":
                return self.emit(Brace(char), char, char)  # type: ignore[arg-type]
            return super().next_token()

    class Parser(ProvNParser):
        """Collects dictionary statements beside the document."""

        def __init__(self, text: str) -> None:
            super().__init__(text.removeprefix("\ufeff"))
            self.dictionaries: list[DictionaryStatement] = []
            self.places: Places = {}

        def _parse(self) -> ProvDocument:
            # as in the class above, but for the lexer
            tokens = Lexer(self._text, self.warnings).tokens()
            self._tokens = list(islice(tokens, MAX_TOKENS))
            if self._tokens[-1].kind is not TokenKind.EOF:
                raise DocumentError(f"{NAME}: more than {MAX_TOKENS:,} tokens")
            document = ProvDocument()
            self._expect_keyword("document")
            namespaces, default = self._declarations()
            self._scope = {each.prefix: each for each in namespaces}
            self._apply_declarations(document, namespaces, default)
            while not self._at_keyword("endDocument"):
                if self._current.kind is TokenKind.EOF:
                    raise self._error("expected 'endDocument', found end of input")
                if self._at_keyword("bundle"):
                    self._bundle(document)
                else:
                    self._statement(document)
            self._advance()
            if self._current.kind is not TokenKind.EOF:
                raise self._error("unexpected content after 'endDocument'")
            return document

        def _declarations(self) -> Any:
            # xsd may be declared again as what it is, or without the '#', as ProvToolbox does
            namespaces, default = super()._declarations()
            return [each for each in namespaces if each.prefix not in ("xsd", "prov")], default

        def _check_reserved_prefix(self, prefix: str, uri: str, token: Token) -> None:
            if prefix != "xsd" or uri not in _SAME_XSD:
                super()._check_reserved_prefix(prefix, uri, token)

        def _expression(self, bundle: ProvBundle) -> None:
            prefix, local = self._current.value if self._at_name() else ("", "")
            if prefix not in ("", "prov") or local not in KINDS:
                token = self._current
                super()._expression(bundle)
                places = self.places.setdefault(bundle.identifier, [])
                places.append((token.line, token.column))
                return
            self._advance()
            self._expect(TokenKind.LPAREN)
            if local == MEMBERSHIP:
                self.dictionaries.append(self._membership(bundle))
            else:
                self.dictionaries.append(self._derived(local, bundle))
            self._expect(TokenKind.RPAREN)

        def _at_name(self) -> bool:
            return self._current.kind is TokenKind.NAME

        def _took_comma(self) -> bool:
            there = self._current.kind is TokenKind.COMMA
            if there:
                self._advance()
            return there

        def _membership(self, bundle: ProvBundle) -> DictionaryStatement:
            dictionary = self._thing(bundle)
            self._expect(TokenKind.COMMA)
            entity = self._thing(bundle)
            self._expect(TokenKind.COMMA)
            key = self._key(bundle)
            return DictionaryStatement(
                MEMBERSHIP, bundle.identifier, None, dictionary, pairs=((key, entity),)
            )

        def _derived(self, kind: str, bundle: ProvBundle) -> DictionaryStatement:
            identifier = None
            new = self._thing(bundle)
            if self._current.kind is TokenKind.SEMICOLON:
                self._advance()
                identifier, new = new, self._thing(bundle)
            self._expect(TokenKind.COMMA)
            old = self._thing(bundle)
            self._expect(TokenKind.COMMA)
            pairs: list[tuple[Any, QualifiedName | None]] = []
            keys: list[Any] = []
            self._expect(left)
            while self._current.kind is not right:
                if kind == INSERTION:
                    self._expect(TokenKind.LPAREN)
                    key = self._key(bundle)
                    self._expect(TokenKind.COMMA)
                    pairs.append((key, self._thing(bundle)))
                    self._expect(TokenKind.RPAREN)
                else:
                    keys.append(self._key(bundle))
                if not self._took_comma():
                    break
            self._expect(right)
            attributes: tuple[tuple[QualifiedName, Any], ...] = ()
            if self._took_comma():
                attributes = tuple(
                    (name, normal_value(bundle, value))
                    for name, value, _ in self._attributes(bundle)
                )
            return DictionaryStatement(
                kind,
                bundle.identifier,
                identifier,
                new,
                old,
                tuple(pairs),
                tuple(keys),
                attributes,
            )

        def _thing(self, bundle: ProvBundle) -> QualifiedName | None:
            token = self._argument()
            if token.kind is TokenKind.MARKER:
                return None
            if token.kind is not TokenKind.NAME:
                raise self._error(f"expected an identifier, found {token.text!r}", token)
            return self._resolve(token, bundle)

        def _key(self, bundle: ProvBundle) -> Any:
            return normal_value(bundle, self._literal(bundle))

    return Parser


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document. Raises DocumentError."""
    from prov.model import ProvDocument

    prov, statements, _ = document.tidied()
    alone = ProvDocument(prov.get_records(), prov.get_registered_namespaces())
    text = alone.get_provn().removesuffix("endDocument").rstrip()
    pieces = [text, *_lines(statements, None, "  ")]
    for bundle in prov.bundles:
        text = bundle.get_provn(1).removesuffix("endBundle").rstrip()
        pieces += [f"  {text}", *_lines(statements, bundle.identifier, "    "), "  endBundle"]
    sink.write("\n".join([*pieces, "endDocument", ""]).encode())


def _lines(statements: list[DictionaryStatement], bundle: Any, indent: str) -> list[str]:
    return [indent + _text(each) for each in statements if each.bundle == bundle]


def _text(statement: DictionaryStatement) -> str:
    def thing(name: Any) -> str:
        return "-" if name is None else str(name.provn_bare_representation())

    if statement.kind == MEMBERSHIP:
        ((key, entity),) = statement.pairs
        arguments = f"{thing(statement.dictionary)}, {thing(entity)}, {_value_text(key)}"
        return f"prov:{MEMBERSHIP}({arguments})"
    if statement.kind == REMOVAL:
        content = ", ".join(map(_value_text, statement.keys))
    else:
        content = ", ".join(f"({_value_text(k)}, {thing(e)})" for k, e in statement.pairs)
    parts = [thing(statement.dictionary), thing(statement.old), f"{{{content}}}"]
    if statement.attributes:
        attributes = ", ".join(f"{thing(k)}={_value_text(v)}" for k, v in statement.attributes)
        parts.append(f"[{attributes}]")
    identifier = "" if statement.id is None else f"{thing(statement.id)}; "
    return f"prov:{statement.kind}({identifier}{', '.join(parts)})"


def _value_text(value: Any) -> str:
    from prov.model import encoding_provn_value

    written = getattr(value, "provn_representation", None)
    return str(encoding_provn_value(value) if written is None else written())
