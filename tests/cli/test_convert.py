"""``provml convert``: files of others in, files for others out."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prov.model import ProvDocument
from waiting import LIMIT_S

import provml
from provml.base.format_names import format_names
from provml.export import find_format
from provml.reading import read
from provml.reading._compare import collect_statements

STATED = [
    name
    for name in format_names()
    if not find_format(name).options and not find_format(name).samples_only
]
"""The forms that state a PROV document; the others are graphs, pictures and samples."""

PROVN = """document
prefix ex <http://example.org/>
entity(ex:e, [prov:label="é"@fr])
wasGeneratedBy(ex:g; ex:e, ex:a, 2020-01-01T00:00:00)
prov:hadDictionaryMember(ex:d, ex:e, "k")
endDocument
"""


PICTURED = """document
prefix ex <http://example.org/>
entity(ex:data, [prov:label="Crime statistics"])
entity(ex:plan, [prov:type='prov:Plan', prov:label="<script>alert(1)</script>"])
activity(ex:compose, 2012-03-31T09:21:00, 2012-04-01T15:21:00)
agent(ex:derek, [prov:type='prov:Person', ex:rank=3])
used(ex:compose, ex:data, -)
wasAssociatedWith(ex:compose, ex:derek, ex:plan)
bundle ex:more
  prefix ex <http://example.org/>
  specializationOf(ex:data, ex:undeclared)
endBundle
endDocument
"""


def convert(
    *arguments: object, data: bytes | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a folder, with standard input."""
    command = [sys.executable, "-m", "provml", "convert", *map(str, arguments)]
    return subprocess.run(
        command, input=data, capture_output=True, cwd=folder, timeout=LIMIT_S, check=False
    )


def test_the_endings_say_the_forms(tmp_path: Path) -> None:
    """A document would be written in another form than its name says."""
    (tmp_path / "a.provn").write_text(PROVN, encoding="utf-8")
    names = ["b.json", "c.provx", "d.trig.gz", "e.ttl", "f.nt", "g.nq.zst", "h.jsonld", "i.xml"]
    before = "a.provn"
    for name in names:
        done = convert(before, name, folder=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), name
        before = name
    assert (tmp_path / "d.trig.gz").read_bytes().startswith(b"\x1f\x8b")
    same = collect_statements(read(tmp_path / "a.provn").content())
    assert collect_statements(read(tmp_path / before).content()).keys() == same.keys()


@pytest.mark.parametrize("form", ["html", "svg", "dot"])
def test_a_document_is_drawn(tmp_path: Path, form: str) -> None:
    """A document of another tool could not be looked at."""
    if form == "svg" and shutil.which("dot") is None:
        pytest.skip("needs Graphviz: apt-get install graphviz")
    (tmp_path / "in.provn").write_text(PICTURED, encoding="utf-8")
    done = convert("in.provn", f"out.{form}", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    text = (tmp_path / f"out.{form}").read_text(encoding="utf-8")
    for name in ("Crime statistics", "compose", "derek", "hadPlan"):
        assert name in text
    assert "<script>alert" not in text
    done = convert("in.provn", "-", "--to", form, folder=tmp_path)
    assert done.stdout.decode() == text


def test_it_stands_in_a_pipe(tmp_path: Path) -> None:
    """It could only be used on files."""
    packed = gzip.compress(PROVN.encode())
    done = convert("-", "-", "--to", "provjson", data=packed, folder=tmp_path)
    assert done.stderr == b""
    content = json.loads(done.stdout)
    assert content["entity"]["ex:e"]["prov:label"] == {"$": "é", "lang": "fr"}
    assert not list(tmp_path.iterdir())


def test_what_can_not_be_carried_is_said_and_nothing_written(tmp_path: Path) -> None:
    """An old document would be replaced by half of a new one."""
    target = tmp_path / "out.prov.jsonld"
    target.write_text("old")
    done = convert("-", target, data=PROVN.encode())
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"provml: error: PROV-JSONLD can't represent PROV-Dictionary")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == [target.name]


def test_what_is_lost_is_noted(tmp_path: Path) -> None:
    """What has no place in the other form would vanish without a word."""
    turtle = b"""@prefix prov: <http://www.w3.org/ns/prov#> . @prefix ex: <http://e.example/> .
        ex:e a prov:Entity ; ex:list (1) ; prov:generatedAtTime "2020-01-01T00:00:00.123456789" ."""
    done = convert("-", tmp_path / "out.provn", data=turtle)
    assert done.returncode == 0
    lines = done.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in lines] == ["note"] * 3
    assert "2 triples that are not PROV" in lines[0]
    done = convert("-", "-", "--to", "ntriples", data=turtle)
    assert done.stderr == b""
    assert len(done.stdout.splitlines()) == 5
    merged = b"""document prefix ex <http://e.example/> entity(ex:e, [ex:a=1])
        entity(ex:e, [ex:a=2]) endDocument"""
    done = convert("-", tmp_path / "out.ttl", data=merged)
    assert b"note: Turtle merges statements that share an identifier: 2 statem" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "data", "message"),
    [
        (["-", "-"], b"{}", b"standard output has no file extension: choose its format with --to"),
        (["-", "x.doc"], b"{}", b"x.doc: unknown file suffix; use one of .json .jsonld"),
        (["-", "-", "--to", "provjsom"], b"{}", b"unknown format 'provjsom'; use one of jsonld"),
        (["-", "x.json", "--from", "x"], b"{}", b"unknown format 'x'"),
        (["-", "x.json", "--max-size", "0"], b"{}", b"--max-size"),
        (["-", "no/x.json"], b"{}", b"there is no folder no"),
        (["only"], b"{}", b"Missing argument 'OUT'"),
    ],
)
def test_misuse(tmp_path: Path, arguments: list[str], data: bytes, message: bytes) -> None:
    """A slip would be taken for a broken document."""
    done = convert(*arguments, data=data, folder=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "data", "message"),
    [
        (["none.json", "x.provn"], b"", b"none.json: No such file or directory"),
        ([".", "x.provn"], b"", b"Is a directory"),
        (["-", "x.json"], b"", b"the document is empty"),
        (["-", "x.json"], b"\x1b[31m\x9b", b"can't be guessed"),
        (["-", "x.json"], b'{"\\u001b[31m": {}}', rb"$['\x1b[31m']: '\x1b[31m' is not a kind"),
        (
            ["-", "x.json", "--max-size", "1"],
            b" " * 2**20 + b"{}",
            b"larger than the limit of 1,048,576",
        ),
        (["-", "x.json"], b"[" * 10**6, b"more than 100 levels deep"),
        (["-", "x.rdf"], PROVN.encode(), b"RDF/XML can be read but not written"),
        (["-", "x.ttl", "--base", "no iri"], b"<a> <b> <c> .", b"Invalid base IRI"),
    ],
)
def test_failures(tmp_path: Path, arguments: list[str], data: bytes, message: bytes) -> None:
    """A traceback, or a control code of the document's on the terminal."""
    done = convert(*arguments, data=data, folder=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_rdf_xml_and_relative_iris_are_read(tmp_path: Path) -> None:
    """Documents of older tools could not be read."""
    text = b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
        xmlns:prov="http://www.w3.org/ns/prov#"><prov:Entity rdf:about="e"/></rdf:RDF>"""
    done = convert("-", "-", "--to", "provn", "--base", "http://b.example/", data=text)
    assert b"prefix ns <http://b.example/>" in done.stdout
    assert b"entity(ns:e)" in done.stdout


def test_large_documents_need_no_check() -> None:
    """Reading back, which takes as long again, could not be left out."""
    done = convert("-", "-", "--to", "provxml", "--no-check", data=PROVN.encode())
    assert b"<prov:hadDictionaryMember>" in done.stdout


@pytest.mark.parametrize("form", STATED)
def test_what_provml_exports_is_read(tmp_path: Path, form: str) -> None:
    """Our own documents would be refused, or become others."""
    with provml.start_run("e", store=tmp_path, formats=()) as run:
        run.log_params({"lr": 0.1, "layers": [1, 2], "name": 'a "b" {c}'})
        for step in range(3):
            run.log_metrics({"loss": 1 / (step + 1), "é/x": 2**70}, "training", step, epoch=0)
        run.log_event("saved", source="s")
        run.log_artifact(__file__)
    recorded = provml.load(run.path)
    target = tmp_path / "run.out"
    recorded.export(form, target)
    done = convert("--from", form, target, tmp_path / "out.json")
    assert done.returncode == 0
    (note,) = done.stderr.decode().splitlines()
    assert note.endswith("time values was reduced to microseconds")
    back = ProvDocument.deserialize(str(tmp_path / "out.json"), format="json")
    assert back == recorded.to_prov()


TYPES = (
    *("Run", "Results", "Context", "Step", "Epoch", "Event", "Series", "Metric", "Parameter"),
    *("ReadingSummary", "SourceCode", "Environment", "Host", "Device", "Settings", "Dataset"),
    *("Model", "Artifact", "SamplesFile", "RelatedRun", "SystemReading", "Sampling"),
)
TERMS = (
    *("label", "count", "last", "min", "max", "size", "sha256", "step", "epoch", "status", "rank"),
    *("shape", "packages", "python", "gitCommit", "cpus", "memoryBytes", "unit", "arguments"),
    *("exceptionType", "exceptionMessage", "metadata", "system", "mean", "runId", "experiment"),
)
VALUES: tuple[object, ...] = (
    *("", "x" * 200, "\u202e<b>", -1, 1e308, True, ["a", 2]),
    {"$": "-", "type": "xsd:int"},
    {"$": "{", "type": "rdf:JSON"},
    {"$": "[1,{}]", "type": "rdf:JSON"},
    {"$": "9" * 5000, "type": "xsd:integer"},
)


@pytest.mark.parametrize("form", ["html", "dot"])
def test_a_document_of_odd_values_is_drawn(tmp_path: Path, form: str) -> None:
    """A document that uses provml's terms in other ways would end in a traceback."""
    document: dict[str, dict[str, object]] = {
        "prefix": {
            "ex": "http://example.org/",
            "provml": "https://w3id.org/provml/ns#",
            "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        },
        "entity": {},
        "activity": {},
        "wasGeneratedBy": {},
    }
    for number, kind in enumerate(TYPES):
        for place, value in enumerate(VALUES):
            name = f"ex:n{number}.{place}"
            own = {f"provml:{term}": value for term in TERMS}
            record = {"prov:type": {"$": f"provml:{kind}", "type": "xsd:QName"}, **own}
            if kind in ("Run", "Context", "Step", "Epoch", "Event", "RelatedRun", "Sampling"):
                document["activity"][name] = record
                continue
            document["entity"][name] = record | {"prov:value": value, "prov:label": value}
            made = {"prov:entity": name, "prov:activity": f"ex:n0.{place}"}
            document["wasGeneratedBy"][f"_:{number}.{place}"] = made
    (tmp_path / "in.json").write_text(json.dumps(document), encoding="utf-8")
    done = convert("in.json", f"out.{form}", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / f"out.{form}").stat().st_size > 10_000
