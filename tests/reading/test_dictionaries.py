"""PROV-Dictionary and PROV-Links survive every format that supports them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provml.errors import DocumentError
from provml.reading import Document, read
from provml.reading._compare import collect_statements

from .conftest import written

PROVN = """document
prefix ex <http://example.org/>
default <http://example.org/default/>
entity(ex:d2)
prov:derivedByInsertionFrom(ex:i; ex:d2, ex:d1, {("a", ex:e1), ("1" %% xsd:int, ex:e2),
  ('ex:k', ex:e3), ("schlüssel"@de, ex:e4), ("1.50" %% xsd:decimal, ex:e5),
  ("true" %% xsd:boolean, e6)}, [ex:note="n", ex:note=2, prov:label="l"@en])
prov:derivedByRemovalFrom(ex:d3, ex:d2, {"a", 7, 'ex:k'})
prov:derivedByRemovalFrom(ex:d4, ex:d3, {})
prov:hadDictionaryMember(ex:d2, ex:e1, "a \\"quoted\\" {key}")
bundle ex:b
  prefix ex2 <http://example.org/2/>
  prov:hadDictionaryMember(ex2:d, ex2:e, "2020-01-01T00:00:00" %% xsd:dateTime)
  mentionOf(ex2:m, ex:g, ex:b)
endBundle
mentionOf(ex:m, ex:g, ex:b)
endDocument
"""


@pytest.fixture
def document() -> Document:
    """A document with each kind of dictionary statement, and a mention."""
    return read(PROVN.encode(), "provn")


@pytest.mark.parametrize("form", ["provjson", "provn", "provxml", "trig", "nquads", "jsonld"])
def test_a_dictionary_is_kept(document: Document, form: str) -> None:
    """A key, its datatype or an entity would be lost in a conversion."""
    assert len(document.dictionaries) == 5
    back = read(written(document, form), form)
    assert set(collect_statements(back.content())) == set(collect_statements(document.content()))
    bundles = [each.bundle and each.bundle.uri for each in back.dictionaries]
    assert bundles.count("http://example.org/b") == 1


def test_keys_keep_their_kinds(document: Document) -> None:
    """The key 1 would be confused with "1", though they name different members."""
    (insertion,) = (each for each in document.dictionaries if each.kind.startswith("derivedByIns"))
    kinds = [type(key).__name__ for key, _ in insertion.pairs]
    assert kinds == ["str", "int", "QualifiedName", "Literal", "Literal", "bool"]
    assert str(insertion.pairs[5][1]) == "e6"


def test_prov_jsonld_refuses_what_it_has_no_terms_for(document: Document) -> None:
    """Statements would be dropped silently."""
    with pytest.raises(
        DocumentError, match=r"can't represent PROV-Dictionary statements, and the document has 5"
    ):
        written(document, "provjsonld")


def test_the_short_forms_of_prov_json_are_read() -> None:
    """ProvToolbox's documents would be refused, or lose keys."""
    text = """{"prefix": {"ex": "http://example.org/"}, "derivedByInsertionFrom": {"_:i": {
        "prov:after": "ex:d2", "prov:before": "ex:d1",
        "prov:key-entity-set": {"$key-datatype": "xsd:int", "1": "ex:e1", "2": "ex:e2"}}},
        "hadDictionaryMember": {"_:m": {"prov:dictionary": "ex:d1", "prov:key-entity-set":
        [{"key": "a", "$": "ex:e"}, {"key": {"$": "2.0", "type": "xsd:double"}, "$": "ex:f"}]}}}"""
    insertion, *members = read(text.encode()).dictionaries
    assert [(key, str(entity)) for key, entity in insertion.pairs] == [(1, "ex:e1"), (2, "ex:e2")]
    assert [member.pairs[0][0] for member in members] == ["a", 2.0]


def test_the_plain_properties_of_rdf_are_read(turtle: Callable[[str], Document]) -> None:
    """An insertion that is stated in one triple would be lost."""
    found = turtle(
        "ex:d2 prov:derivedByInsertionFrom ex:d1 . ex:d3 prov:derivedByRemovalFrom ex:d2 ;"
        " prov:qualifiedRemoval [ a prov:Removal ; prov:dictionary ex:d2 ;"
        ' prov:removedKey "1"^^xsd:int ] .'
    ).dictionaries
    assert [(str(each.old), each.keys) for each in found] == [("ex:d1", ()), ("ex:d2", (1,))]


@pytest.mark.parametrize(
    ("provn", "place"),
    [
        ('prov:derivedByInsertionFrom(ex:a, ex:b, {("k" ex:e)})', "line 3, column 47"),
        ("prov:derivedByInsertionFrom(ex:a, ex:b)", "line 3, column 39"),
        ("prov:derivedByRemovalFrom(ex:a, ex:b, {ex:k})", "line 3, column 40"),
        ("entity(ex:e, {ex:a=1})", "line 3, column 14"),
        ('prov:hadDictionaryMember(ex:d, ex:e, "k", [ex:a=1])', "line 3, column 41"),
    ],
)
def test_a_wrong_dictionary_has_its_place(provn: str, place: str) -> None:
    """Braces would be accepted anywhere, or an error would have no line."""
    text = f"document\nprefix ex <http://example.org/>\n{provn}\nendDocument"
    with pytest.raises(DocumentError, match=place):
        read(text.encode())
