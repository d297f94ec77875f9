"""RDF from other tools, with the freedom that PROV-O allows, and with other vocabularies."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from prov.model import ProvDocument
from rdflib import Graph
from rdflib.compare import isomorphic

from provml.errors import DocumentError
from provml.reading import Document, read

from .conftest import written

Reading = Callable[[str], Document]


def records(document: Document) -> set[str]:
    """The document's statements in PROV-N."""
    return {str(record) for record in document.prov.get_records()}


def test_types_that_are_implied(turtle: Reading) -> None:
    """Statements would be lost if a type is implied rather than stated."""
    document = turtle("""
        ex:bob a prov:Person ; foaf:name "Bob"@en .
        ex:run prov:startedAtTime "2020-01-01T00:00:00Z"^^xsd:dateTime .
        ex:run prov:qualifiedUsage [ prov:entity ex:data ; prov:hadRole ex:input ] .
        ex:new prov:qualifiedRevision [ prov:entity ex:old ] ; dcterms:title "New" .
        ex:doc prov:wasAttributedTo ex:carl . ex:carl foaf:name "Carl" .
    """)
    assert records(document) == {
        "agent(ex:bob, [prov:type='prov:Person', foaf:name=\"Bob\"@en])",
        "activity(ex:run, 2020-01-01T00:00:00+00:00, -)",
        "used(ex:run, ex:data, -, [prov:role='ex:input'])",
        "wasDerivedFrom(ex:new, ex:old, -, -, -, [prov:type='prov:Revision'])",
        'entity(ex:new, [dcterms:title="New"])',
        "wasAttributedTo(ex:doc, ex:carl)",
        'agent(ex:carl, [foaf:name="Carl"])',
    }
    assert document.notes == []


def test_blank_nodes_get_names(turtle: Reading) -> None:
    """Entities without names could not leave RDF, or two would become one."""
    text = '[] a prov:Entity ; prov:wasDerivedFrom [ a prov:Entity ; prov:value "x" ] .'
    first, again, other = turtle(text), turtle(text), turtle(text + " ex:e a prov:Entity .")
    assert records(first) == records(again)
    assert len(records(first)) == 3
    names = [{r.identifier for r in each.prov.get_records()} - {None} for each in (first, other)]
    assert len(names[0]) == 2
    assert not names[0] & names[1]
    assert any("2 blank nodes were given names" in note for note in first.notes)


def test_what_is_no_prov_is_noted(turtle: Reading) -> None:
    """A list would be lost silently."""
    document = turtle("ex:e a prov:Entity ; ex:list (1 2) . ex:other foaf:knows ex:another .")
    assert len(records(document)) == 1
    assert any("5 triples that are not PROV were dropped" in note for note in document.notes)
    with pytest.raises(DocumentError, match="none of the 1 triples is PROV"):
        _ = turtle("ex:other foaf:knows ex:another .").prov


def test_rdf_to_rdf_loses_nothing(turtle: Reading) -> None:
    """Lists, literals and other vocabularies would be lost between two RDF syntaxes."""
    text = """ex:e a prov:Entity ; ex:list (1 2.50 "x"@de) ; foaf:maker [ foaf:name "M" ] ;
        prov:generatedAtTime "2020-01-01T00:00:00.123456789Z"^^xsd:dateTime, "soon" .
        ex:s a prov:Start ; prov:atTime "1", "2" ; prov:hadActivity ex:a, ex:b ."""
    document = turtle(text)
    before = Graph().parse(data=written(document, "ntriples"), format="nt11")
    for form in ("turtle", "jsonld", "trig", "nquads"):
        again = read(written(document, form), form)
        after = Graph().parse(data=written(again, "ntriples"), format="nt11")
        assert isomorphic(before, after), form
    assert isomorphic(before, Graph().parse(data=written(document, "turtle"), format="turtle"))
    assert b"123456789Z" in written(document, "turtle")


def test_equal_input_gives_equal_bytes(turtle: Reading) -> None:
    """Converting a file twice would give two different files."""
    text = "[] a prov:Entity ; foaf:maker [ foaf:name 'M' ], [] . _:x a prov:Agent ."
    for form in ("ntriples", "turtle", "provjson"):
        assert written(turtle(text), form) == written(turtle(text), form)


def test_a_plain_triple_is_not_another_ones(turtle: Reading) -> None:
    """The wrong agent would be made responsible: prov alone takes the last node."""
    document = turtle("""
        ex:a a prov:Activity ; prov:wasAssociatedWith ex:ann, ex:bob ;
            prov:qualifiedAssociation [ prov:agent ex:ann ; prov:hadPlan ex:p ] .
    """)
    assert records(document) == {
        "activity(ex:a, -, -)",
        "wasAssociatedWith(ex:a, ex:ann, ex:p)",
        "wasAssociatedWith(ex:a, ex:bob, -)",
    }
    legacy = turtle("""
        ex:a prov:wasAssociatedWith ex:ann ; prov:qualifiedAssociation [ prov:hadPlan ex:p ] .
    """)
    assert records(legacy) == {"wasAssociatedWith(ex:a, ex:ann, ex:p)"}


def test_literals_keep_their_text(turtle: Reading) -> None:
    """A number would change its spelling."""
    document = turtle("""ex:e a prov:Entity ; ex:v 1.50, "01"^^xsd:integer, "1999Z"^^xsd:gYear,
        "aGk="^^xsd:base64Binary, "x"^^ex:type, "0FB7"^^xsd:hexBinary .""")
    for form in ("provjson", "provn", "provxml"):
        text = written(document, form)
        for lexical in (b"1.50", b"1999Z", b"aGk=", b"0FB7"):
            assert lexical in text, (form, lexical)
    again = written(read(written(document, "provjson")), "turtle")
    assert b'"1999Z"^^xsd:gYear' in again
    assert b"1.50" in again


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('ex:e prov:wasDerivedFrom "x" .', "is the literal"),
        ("ex:d a prov:Usage, prov:Start .", "exclude each other"),
        ("ex:e prov:qualifiedUsage [ a prov:Start ] .", "as its qualifiedUsage"),
        ("ex:a a prov:Activity ; prov:startedAtTime 'noon' .", "is not an xsd:dateTime"),
        ("ex:a a prov:Activity ; prov:endedAtTime '2020-01-01T00:00:00', '2021-01-01T00:00:00' .",
         "has 2 values"),
        ("ex:u a prov:Usage ; prov:entity ex:a, ex:b ; prov:atTime '2020-01-01T00:00:00', "
         "'2021-01-01T00:00:00' .", "it is unclear which belong together"),
        ("ex:u a prov:Usage ; prov:entity " + ", ".join(f"ex:e{n}" for n in range(101)) + " .",
         "has 101 values"),
        ("ex:d prov:hadDictionaryMember [ prov:pairKey 1, 2 ; prov:pairEntity ex:e ] .", "2 keys"),
        ("ex:e a prov:Entity ; ex:v \"x\"@en--ltr .", "text direction"),
        ("ex:e ex:p << ex:a ex:b ex:c >> .", "triple terms"),
    ],
)  # fmt: skip
def test_what_states_no_prov_is_said(turtle: Reading, text: str, message: str) -> None:
    """Invalid RDF would be read as something else, or ignored."""
    with pytest.raises(DocumentError, match=message):
        _ = turtle(text).prov


def test_several_values_of_one_argument_are_several_statements(turtle: Reading) -> None:
    """Statements that share a node in RDF would be merged or refused."""
    document = turtle(
        "ex:u a prov:Usage ; prov:entity ex:a, ex:b . ex:r prov:qualifiedUsage ex:u ."
    )
    assert records(document) == {"used(ex:u; ex:r, ex:a, -)", "used(ex:u; ex:r, ex:b, -)"}


def test_relative_iris_need_a_base() -> None:
    """A relative IRI would change its meaning with the place of the file."""
    text = b"@prefix prov: <http://www.w3.org/ns/prov#> . <a> a prov:Entity ."
    with pytest.raises(DocumentError, match=r"line 1 .*relative IRIs need a base"):
        read(text)
    assert "http://b.example/c/a" in str(
        [record.identifier.uri for record in read(text, base="http://b.example/c/d").prov.records]
    )
    within = b"@base <http://c.example/> . " + text
    assert b"<http://c.example/a>" in written(read(within), "ntriples")


def test_graphs_need_names_and_forms_that_have_them() -> None:
    """Bundles would be merged."""
    head = "@prefix prov: <http://www.w3.org/ns/prov#> . @prefix ex: <http://example.org/> . "
    document = read((head + "ex:g { ex:e a prov:Entity . }").encode())
    with pytest.raises(DocumentError, match=r"Turtle can't represent the bundle <http://exam"):
        written(document, "turtle")
    with pytest.raises(DocumentError, match="its name must be an IRI, not a blank node"):
        _ = read((head + "_:g { ex:e a prov:Entity . }").encode()).prov


def test_short_ways_to_state_a_relation_are_relations(turtle: Reading) -> None:
    """PROV-O's unqualified forms would become attributes, and a derivation would be lost."""
    document = turtle("""
        ex:a prov:wasRevisionOf ex:r ; prov:generatedAtTime "2020-01-01T00:00:00Z"^^xsd:dateTime .
        ex:act prov:generated ex:b ; prov:invalidated ex:r . ex:x prov:influenced ex:y .
        ex:q prov:hadPrimarySource ex:s ; prov:wasQuotedFrom ex:t .
        ex:n prov:wasRevisionOf ex:m .
        ex:n prov:qualifiedRevision [ a prov:Revision ; prov:entity ex:m ] .
    """)
    assert {text for text in records(document) if not text.startswith("entity")} >= {
        "wasDerivedFrom(ex:a, ex:r, -, -, -, [prov:type='prov:Revision'])",
        "wasGeneratedBy(ex:a, -, 2020-01-01T00:00:00+00:00)",
        "wasGeneratedBy(ex:b, ex:act, -)",
        "wasInvalidatedBy(ex:r, ex:act, -)",
        "wasInfluencedBy(ex:y, ex:x)",
        "wasDerivedFrom(ex:q, ex:s, -, -, -, [prov:type='prov:PrimarySource'])",
        "wasDerivedFrom(ex:q, ex:t, -, -, -, [prov:type='prov:Quotation'])",
    }
    derived = [text for text in map(str, document.prov.get_records()) if "ex:n, ex:m" in text]
    assert len(derived) == 1


@pytest.mark.filterwarnings("ignore:Dataset:DeprecationWarning")  # rdflib's, of its own parser
def test_the_prov_library_reads_every_association() -> None:
    """A lone plain triple would be merged into another association's node."""
    text = b"""{"prefix": {"ex": "http://e.example/"}, "wasAssociatedWith": {
        "_:1": {"prov:activity": "ex:a", "prov:agent": "ex:tool"},
        "_:2": {"prov:activity": "ex:a", "prov:agent": "ex:ada", "prov:plan": "ex:script"}}}"""
    document, sink = read(text, "provjson"), io.BytesIO()
    document.write("turtle", sink)
    content = sink.getvalue().decode()
    back = ProvDocument.deserialize(content=content, format="rdf", rdf_format="turtle")
    assert back == document.prov
