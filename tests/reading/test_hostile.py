"""Malicious or broken input gives a one-line error with a place, quickly and in little memory."""

from __future__ import annotations

import gzip
import io
import json
import resource
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings

from provml.errors import DocumentError, InvalidArgumentError
from provml.reading import read, reading_formats
from provml.reading.provjson import load_json

from .conftest import DOCUMENTS, PROV_FORMS

XML = '<prov:document xmlns:prov="http://www.w3.org/ns/prov#" xmlns:ex="http://e.example/">'
TTL = b"@prefix prov: <http://www.w3.org/ns/prov#> . @prefix ex: <http://e.example/> .\n"
MANY = 300_000
RDF_XML = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Limit a test to two GB of memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * 2**30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


REFUSED: dict[str, tuple[bytes, str]] = {
    "deep JSON": (b"[" * 100_000, "nested more than 100 levels deep"),
    "deep JSON objects": (b'{"a":' * 100_000, "nested more than 100 levels deep"),
    "deep JSON, closed": (b'{"entity":' + b"[" * 200 + b"]" * 200 + b"}", "more than 100 levels"),
    "deep JSON-LD": (b'{"@id":"http://a.example/","http://b.example/":' * 20_000, "levels deep"),
    "bundles in bundles": (b'{"bundle":{"prov:b":{"bundle":{}}}}', r"\$\.bundle\['prov:b'\]\.bun"),
    "deep Turtle": (TTL + b"ex:a ex:b " + b"(" * MANY, "line 2: .* more than 100,000 levels"),
    "deep TriG": (TTL + b"{ ex:a ex:b " + b"[ ex:p " * MANY, "more than 100,000 levels"),
    "deep PROV-XML": (XML.encode() + b"<prov:entity>" * MANY, "Excessive depth"),
    "deep RDF/XML": (
        RDF_XML.encode() + b"<a><b>" * MANY,
        "elements are nested more than 1,000 levels deep",
    ),
    "PROV-N brackets": (b"document entity(" + b"[" * MANY, "line 1, column 17: expected an id"),
    "a huge name": (b"document entity(" + b"a" * 1_000_001, "a token has more than 1,000,000 char"),
    "a huge string": (b'document entity(prov:e,[prov:a="' + b'\\"' * 600_000, "more than 1,000,0"),
    "endless escapes": (b"document entity(prov:" + b"\\." * MANY, "end of input"),
    "an endless comment": (b"document /*" + b"*/ /*" * MANY, "unterminated comment"),
    "a bomb": (gzip.compress(b"\0" * 200 * 2**20), "larger than the limit of 67,108,864 bytes"),
    "a bomb of zstd": (
        zstandard.compress(b"\0" * 200 * 2**20),
        "larger than the limit of 67,108,864",
    ),
    "half a gzip": (gzip.compress(b'{"entity": {}}')[:-4], "cut short"),
    "half a zstd": (zstandard.compress(b"{}" * 500)[:-3], "cut short"),
    "a damaged gzip": (gzip.compress(b"{}")[:-8] + b"\0" * 8, "gzip data is damaged"),
    "a document type": (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + XML.encode(), "line 1: .*DOCTYPE"),
    "another file": (b'<!DOCTYPE a SYSTEM "/etc/passwd"><document/>', "DOCTYPE"),
    "in UTF-16": ('<!DOCTYPE a SYSTEM "/etc/passwd"><document/>'.encode("utf-16"), "DOCTYPE"),
    "RDF/XML's": (b"<!DOCTYPE rdf:RDF [<!ENTITY b 'c'>]>" + RDF_XML.encode(), "DOCTYPE"),
    "an include": (
        XML.encode() + b'<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>'
        b"</prov:document>",
        "line 1: <i:include> is not an element of PROV-XML",
    ),
    "an entity": (XML.encode() + b"&x;</prov:document>", "line 1"),
    "a context": (
        b'{"@context": "https://e.example/c", "@id": "http://a.example/"}',
        "is not built in",
    ),
    "a context in a term": (
        b'{"@context": {"a": {"@id": "ex:a", "@context": "https://e.example/c"}}}',
        r"\$\['@context'\]\.a\['@context'\]: the context https://e.example/c is not built in",
    ),
    "an import": (b'{"@context": {"@import": "https://e.example/c"}}', "@import is not supported"),
    "PROV-JSONLD's": (
        b'{"@context": ["https://openprovenance.org/prov-jsonld/context.jsonld", "https://e.example/"]}',
        "is not built in",
    ),
    "nothing": (b"", "is empty"),
    "spaces": (b" \n\t ", "is empty"),
    "zeros": (b"\0" * 100, "is empty"),
    "garbage": (bytes(range(256)), "can't be guessed"),
    "no text": (b'{"entity": {"\xff": {}}}', "line 1, byte 13: the text is not valid UTF-8"),
    "half of it": (b'{"entity": {"prov:e', "line 1, column 13: not valid JSON"),
    "NaN": (b'{"entity": {"prov:e": {"prov:v": NaN}}}', "NaN is not valid JSON"),
    "infinity": (b'{"entity": {"prov:e": {"prov:v": -Infinity}}}', "-Infinity is not valid JSON"),
    "beyond a double": (b'{"entity": {"prov:e": {"prov:v": 1e999}}}', "1e999 is too large"),
    "digits": (b'{"entity": {"prov:e": {"prov:v": ' + b"9" * 5000 + b"}}}", "can't be read"),
    "a key twice": (b'{"entity": {"prov:e": {}, "prov:e": {}}}', "'prov:e' appears twice"),
    "half a pair": (
        b'{"entity": {"prov:e": {"prov:v": "\\ud800"}}}',
        r"\['prov:v'\]: the text contains half a",
    ),
    "half a key": (b'{"entity": {"prov:\\udc00": {}}}', "half a surrogate pair"),
    "an escape": (TTL + b'ex:a ex:b "\\ud800" .', "line 2 between columns 12 and 18"),
    "half a string": (TTL + b'ex:a ex:b "x .', "line 2 between columns 11 and 15"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_in_a_line(what: str) -> None:
    """A file could cause a traceback or a hang, fill the memory, or make provml fetch something."""
    data, message = REFUSED[what]
    with pytest.raises(DocumentError, match=message) as caught:
        _ = read(data, max_bytes=64 * 2**20).prov
    assert len(str(caught.value)) <= 500
    assert "\n" not in str(caught.value)


def test_the_limit_can_be_set(tmp_path: Path) -> None:
    """Nobody could read a large document of their own."""
    file = tmp_path / "large.json.gz"
    text = b'{"entity": {"prov:e": {"prov:label": "' + b"a" * 1000 + b'"}}}'
    file.write_bytes(gzip.compress(text))
    with pytest.raises(DocumentError, match="larger than the limit of 1,000 bytes"):
        read(file, max_bytes=1000)
    assert len(read(file, max_bytes=len(text))) == 1
    assert len(read(gzip.compress(text[:20]) + gzip.compress(text[20:]))) == 1


def test_byte_order_marks_are_no_text() -> None:
    """Documents saved on Windows could not be read."""
    text = '{"prefix": {"ex": "http://é.example/"}, "entity": {"ex:é": {}}}'
    turtle = "@prefix prov: <http://www.w3.org/ns/prov#> . <http://é.example/é> a prov:Entity ."
    provn = "document prefix ex <http://é.example/> entity(ex:é) endDocument"
    xml = XML + '<prov:entity prov:id="ex:é"/></prov:document>'
    for document in (text, turtle, provn, xml):
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            (record,) = read(document.encode(encoding)).prov.get_records()
            assert str(record.identifier).endswith("é")


PLAIN: dict[str, Any] = {
    "prefix": {"ex": "http://e.example/"},
    "entity": {"ex:e": {"prov:label": {"$": "l", "lang": "en"}, "ex:n": [1, {"$": "2"}]}},
    "activity": {"ex:a": {"prov:startTime": "2020-01-01T00:00:00"}},
    "used": {"_:u": [{"prov:activity": "ex:a", "prov:entity": "ex:e"}]},
    "hadMember": {"_:m": {"prov:collection": "ex:e", "prov:entity": ["ex:e", "ex:f"]}},
    "hadDictionaryMember": {
        "_:d": {"prov:dictionary": "ex:d", "prov:key-entity-set": [{"key": "k", "$": "ex:e"}]}
    },
    "derivedByRemovalFrom": {
        "ex:r": {"prov:after": "ex:d", "prov:before": "ex:d", "prov:key-set": ["k"], "ex:a": 1}
    },
    "bundle": {"ex:b": {"entity": {"ex:e": {}}}},
}


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All paths in JSON."""
    yield path
    if isinstance(content, (dict, list)):
        members = content.items() if isinstance(content, dict) else enumerate(content)
        for key, member in members:
            yield from places(member, (*path, key))


def replaced(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The content with another value at a path."""
    if not path:
        return value
    copy = json.loads(json.dumps(content))
    within = copy
    for step in path[:-1]:
        within = within[step]
    within[path[-1]] = value
    return copy


@pytest.mark.parametrize("value", [None, [], {}, 1, True, "", "zz:x", [[]], [None]], ids=repr)
def test_a_wrong_type_anywhere_is_said_with_its_place(value: Any) -> None:
    """An error in a large file could not be found, or wrong content would be dropped."""
    assert len(read(json.dumps(PLAIN).encode())) == 8
    refused = 0
    for path in places(PLAIN):
        content = replaced(PLAIN, path, value)
        try:
            read(json.dumps(content).encode(), "provjson").provjson()
        except DocumentError as error:
            refused += 1
            text = str(error)
            assert text.startswith("PROV-JSON: $"), (path, text)
            assert "Error:" not in text, (path, text)  # the name of Python's own exception
            if path[:1] not in ((), ("prefix",)):
                assert str(path[0]) in text, (path, text)
    assert refused > (5 if value == {} else 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"thing": {}}', r"\$\.thing: 'thing' is not a kind of statement"),
        ('{"entity": {"zz:e": {}}}', r"\['zz:e'\]: \"zz:e\" is not a name with a declared prefix"),
        ('{"used": {"zz:u": {"prov:activity": "prov:a"}}}', r"\['zz:u'\]: \"zz:u\" is not a name"),
        ('{"used": {"_:u": {"prov:activity": "zz:a"}}}', r"\['_:u'\]: .*'zz:a' does not resolve"),
        ('{"used": {"_:u": {"prov:time": "noon"}}}', r"\['prov:time'\]: expected an xsd:dateTime"),
        ('{"entity": {"prov:e": {"prov:v": {"$": "1", "type": "zz:t"}}}}', "zz:t"),
        ('{"entity": {"prov:e": {"prov:v": {"$": "1", "x": 1}}}}', "not 'x'"),
        ('{"entity": {"prov:e": {"zz:v": 1}}}', "zz:v"),
        ("[]", "expected an object, not a list"),
    ],
)
def test_prov_json_that_is_none(text: str, message: str) -> None:
    """Wrong content would be dropped, as prov does with a mere warning."""
    with pytest.raises(DocumentError, match=message):
        read(text.encode(), "provjson")


@pytest.mark.parametrize(
    ("element", "message"),
    [
        ("<ex:thing/>", "line 1: <ex:thing> is not an element of PROV-XML"),
        ("<prov:thing/>", "line 1: <prov:thing> is not a statement"),
        ('\n<prov:entity id="ex:e"/>', "line 2: <prov:entity> has the attribute 'id'"),
        ('<prov:entity prov:id="zz:e"/>', "line 1: .*zz:e"),
        ("<prov:entity/>", "line 1: An identifier is missing"),
        ('<prov:entity prov:id="ex:e">text</prov:entity>', "text between its elements: 'text'"),
        ('<prov:entity prov:id="ex:e"><ex:a><ex:b/></ex:a></prov:entity>', "contains elements"),
        ('<prov:entity prov:id="ex:e"><ex:a b="c"/></prov:entity>', "has the attribute 'b'"),
        ("<prov:used><prov:activity/></prov:used>", "line 1"),
        ("<prov:used><prov:time>noon</prov:time></prov:used>", "line 1: .*noon"),
        ("<prov:bundleContent/>", "has no prov:id"),
        ('<prov:bundleContent prov:id="ex:b"><prov:bundleContent prov:id="ex:c"/>'
         "</prov:bundleContent>", "a bundle can't contain a bundle"),
        ("<prov:hadDictionaryMember><prov:keyEntityPair/></prov:hadDictionaryMember>", "line 1: "),
        ('<prov:entity prov:id="ex:e"><ex:a xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
         'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="r:XMLLiteral">'
         '<b xmlns="//relative/"/></ex:a></prov:entity>', "can't be read"),
    ],
)  # fmt: skip
def test_prov_xml_that_is_none(element: str, message: str) -> None:
    """Wrong content would be dropped, or raise a KeyError."""
    with pytest.raises(DocumentError, match=message):
        read((XML + element + "</prov:document>").encode())


def test_what_xml_says_beside_prov_is_noted() -> None:
    """Content that is not PROV would be dropped silently."""
    text = XML + "\n<prov:other><ex:x/></prov:other></prov:document>"
    assert read(text.encode()).notes == [
        "1 prov:other elements were dropped; the first is on line 2"
    ]


def test_times_beyond_the_microsecond_are_noted() -> None:
    """Nanoseconds would be lost silently, or reported as lost although they are kept."""
    text = '{"used": {"_:u": {"prov:activity": "prov:a", "prov:time": "2020-01-01T00:00:00.%sZ"}}}'
    document = read((text % "123456789").encode())
    assert document.notes == []
    assert "1 time values was reduced to microseconds" in document.write("provn", io.BytesIO())[0]
    assert read((text % "123456000").encode()).write("provn", io.BytesIO()) == []
    turtle = TTL + b'ex:a a prov:Activity ; prov:endedAtTime "2020-01-01T00:00:00.123456789Z" .'
    document = read(turtle)
    assert document.write("ntriples", io.BytesIO()) == []
    assert "microsecond" in document.write("provjson", io.BytesIO())[0]
    assert document.write("ntriples", io.BytesIO()) == []


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Warnings of libraries would mix with a command's output."""
    text = '{"prefix": {"ex": "http://e.example/"}, "entity": {"ex:a b": {"ex:v": {"$": "x",' + (
        ' "type": "xsd:int", "lang": "en_US"}}}}'
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        document = read(text.encode())
        for form in reading_formats():
            try:
                document.write(form, io.BytesIO())
            except DocumentError:
                pass
    assert capfd.readouterr() == ("", "")


def test_forms_that_can_not_carry_it_say_so() -> None:
    """The output would state something other than the document."""
    odd = {
        "provxml": (
            {"prov:v": "\u0001"},
            r"can't represent the character U\+0001, .* in prov:v of",
        ),
        "turtle": ({"prov:v": {"$": "x", "lang": "no tag"}}, "RDF needs a language tag"),
    }
    for form, (attributes, message) in odd.items():
        document = read(json.dumps({"entity": {"prov:e": attributes}}).encode())
        with pytest.raises(DocumentError, match=message):
            document.write(form, io.BytesIO())
    spaced = read(b'{"prefix": {"ex": "http://e.example/"}, "entity": {"ex:a b": {}}}')
    for form, message in (
        ("ntriples", "RDF needs an IRI"),
        ("provn", "can't represent 1 of the document's 1"),
    ):
        with pytest.raises(DocumentError, match=message):
            spaced.write(form, io.BytesIO())
    twice = read(
        b'{"used": {"prov:u": [{"prov:activity": "prov:a", "prov:v": 1},'
        b' {"prov:activity": "prov:a", "prov:v": 2}, {"prov:activity": "prov:b"}]}}'
    )
    with pytest.raises(DocumentError, match="3 statements share its identifier, and PROV-O"):
        twice.write("turtle", io.BytesIO())


def test_an_unknown_format_is_misuse() -> None:
    """A typing error in a format's name would look like a broken document."""
    with pytest.raises(InvalidArgumentError, match="unknown format 'provjsom'; use one of jsonld"):
        read(b"{}", "provjsom")


def test_load_json_keeps_what_it_reads() -> None:
    """A number or text would change while it is checked."""
    text = (
        '{"a": [1, 12345678901234567890, 0.1, "\U0001f989", "\\ud83e\\udd89", null, {"é": true}]}'
    )
    assert load_json(text.encode()) == json.loads(text)


# -- mutations ----------------------------------------------------------------------------------

ORIGIN = {".json": "provjson", ".provn": "provn", ".provx": "provxml", ".xml": "provxml",
          ".trig": "trig", ".ttl": "turtle", ".nt": "ntriples", ".jsonld": "jsonld"}  # fmt: skip
SAMPLES = sorted(path for path in DOCUMENTS.rglob("*.*") if path.suffix in ORIGIN)[::7]
BITS = [b"", b"null", b'""', b"[]", b"{}", b"_:x", b"prov:", b"zz:", b"xsd:int", b"\\ud800", b"'",
        b'"', b"\0", b"\xff", b"{", b")", b"<", b"1e999", b"9" * 400, b"prov:entity"]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> tuple[bytes, str | None]:
    """A corpus document with one to three random changes, and the format to read it in."""
    path = draw(st.sampled_from(SAMPLES))
    data = path.read_bytes()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        bit = draw(st.one_of(st.sampled_from(BITS), st.binary(max_size=6)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            data = data[:start] + bit + data[end:]
        elif kind == 1:
            data = data.replace(data[start:end] or b"ex:", bit, draw(st.sampled_from([1, -1])))
        elif kind == 2:
            data = data[:start] + data[start:end] * 3 + data[end:]
        else:
            data = data[:start] if draw(st.booleans()) else data[:start] + data[end:]
    return data, draw(st.sampled_from([ORIGIN[path.suffix], ORIGIN[path.suffix], None]))


@pytest.mark.skipif(not SAMPLES, reason=f"no corpus at {DOCUMENTS}: see PROVML_CORPUS")
@settings(
    max_examples=1500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(given=mutated(), form=st.sampled_from(sorted(PROV_FORMS)))
def test_a_wounded_document_is_read_or_refused(given: tuple[bytes, str | None], form: str) -> None:
    """A broken file would end in a traceback."""
    data, origin = given
    try:
        document = read(data, origin)
        document.provjson()
        document.write(form, io.BytesIO())
    except DocumentError as error:
        text = str(error)
        assert text
        assert "\n" not in text
        assert not any(name in text for name in ("KeyError", "TypeError", "AttributeError"))
    assert sys.exc_info() == (None, None, None)
