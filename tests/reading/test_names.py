"""IRIs with awkward names still stand for the same IRIs after a conversion."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provml.reading import Document, read

from .conftest import by_prov, written

IRIS = [
    "http://example.org/",
    "http://example.org",
    "http://example.org/a/",
    "http://example.org/a#",
    "http://example.org/a/b#c",
    "http://example.org/%20x",
    "http://example.org/a%2Fb",
    "http://example.org/é/ü",
    "http://é.example/y",
    "http://other.example/p?q=1&r=2",
    "http://other.example/p#q?x",
    "http://other.example/(a)",
    "http://other.example/a,b;c=d",
    "http://other.example/a:b",
    "http://other.example/a'b",
    "http://other.example/a.b.",
    "http://other.example/-x",
    "http://other.example/1-2",
    "http://other.example/\U0001d4b3",
    "http://other.example/\u0301a",
    "http://other.example/_x0041_",
    "http://[::1]/x",
    "urn:x",
    "urn:uuid:123-456",
    "mailto:a@b.example",
    "tag:x.example,2020:y",
    "nih:sha-256;abc",
    "http://www.w3.org/ns/prov#Foo",
    "http://www.w3.org/2001/XMLSchema#bar",
    "http://www.w3.org/XML/1998/namespacelang",
]
FORMS = ["provjson", "provn", "provxml", "provjsonld", "turtle", "trig"]


def iris_of(document: object) -> set[str]:
    """All IRIs in a document of the prov library."""
    found = set()
    for record in document.get_records():  # type: ignore[attr-defined]
        found.add(record.identifier and record.identifier.uri)
        for name, value in record.attributes:
            found |= {name.uri, getattr(value, "uri", None)}
    return found - {None}


@pytest.mark.parametrize("form", FORMS)
def test_names_stand_for_the_same_iris(turtle: Callable[[str], Document], form: str) -> None:
    """An identifier, a value or an attribute would refer to something else."""
    text = "".join(f"<{iri}> a prov:Entity ; <{iri}> <{iri}> .\n" for iri in IRIS)
    document = turtle(text)
    assert iris_of(by_prov(written(document, form), form)) == set(IRIS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("iri", IRIS)
def test_each_alone(turtle: Callable[[str], Document], form: str, iri: str) -> None:
    """A name would work only beside others that declare its prefix."""
    document = turtle(f"<{iri}> a prov:Entity ; <{iri}> <{iri}> .")
    assert iris_of(by_prov(written(document, form), form)) == {iri}


PREFIXES = ["urn", "http", "xml1", "a.b", "é", "entity", "bundle", "_x", "document", "xsi"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_that_mean_something_else(prefix: str) -> None:
    """A prefix that is legal in one format would break another, or mean a reserved namespace."""
    text = '{"prefix": {"%s": "http://p.example/"}, "entity": {"%s:e": {"%s:k": "v"}}}'
    document = read((text % (prefix, prefix, prefix)).encode())
    expected = {"http://www.w3.org/2001/XMLSchema-instance"} if prefix == "xsi" else set()
    for form in FORMS:
        found = iris_of(by_prov(written(document, form), form))
        assert {iri[:18] for iri in found} <= {
            "http://p.example/e",
            "http://p.example/k",
        } or expected


def test_bundles_may_declare_a_prefix_again() -> None:
    """A name in a bundle would be resolved with the prefixes outside."""
    text = """document
    default <http://one.example/>
    prefix ex <http://ex-one.example/>
    entity(e)
    entity(ex:e)
    bundle ex:b
      default <http://two.example/>
      prefix ex <http://ex-two.example/>
      entity(e)
      entity(ex:e)
    endBundle
    endDocument"""
    document = read(text.encode())
    for form in ("provjson", "provn", "provxml", "provjsonld", "trig"):
        found = by_prov(written(document, form), form)
        (bundle,) = found.bundles
        assert iris_of(found) == {"http://one.example/e", "http://ex-one.example/e"}
        assert iris_of(bundle) == {"http://two.example/e", "http://ex-two.example/e"}


def test_only_prefixes_of_the_document_are_written(turtle: Callable[[str], Document]) -> None:
    """The output would declare vocabularies that the document does not use."""
    document = turtle("ex:e a prov:Entity .")
    assert set(document.provjson()["prefix"]) == {"ex", "foaf", "dcterms"}
    declared = {prefix for prefix, _ in document.rdf().namespaces()}
    assert declared == {"prov", "ex", "foaf", "dcterms", "xsd"}
    provn = read(written(document, "provn"))
    assert {prefix for prefix, _ in provn.rdf().namespaces()} == declared


def test_xsd_declared_again_is_xsd() -> None:
    """ProvToolbox's documents would be refused for a harmless declaration."""
    for iri in ("http://www.w3.org/2001/XMLSchema", "http://www.w3.org/2001/XMLSchema#"):
        text = (
            f'document prefix xsd <{iri}> entity(prov:e, [prov:value="1" %% xsd:int]) endDocument'
        )
        (record,) = read(text.encode()).prov.get_records()
        assert [value for _, value in record.attributes] == [1]
