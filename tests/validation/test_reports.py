"""The formats of a report, and the places of its findings."""

from __future__ import annotations

import gzip
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from prov.model import ProvDocument

import provml
from provml import reading, validate
from provml.cli import execute as command
from provml.errors import DocumentError
from provml.testing import assert_valid
from provml.validation.github_report import build_github_annotations
from provml.validation.html_report import write_html_report
from provml.validation.report import KEPT_FINDINGS, Report
from provml.validation.sarif_report import build_sarif

BAD = """document
  prefix ex <https://example.org/>
  entity(ex:e1)
  entity(ex:e2)
  wasDerivedFrom(ex:e2, ex:e1)
  activity(ex:a)
  wasGeneratedBy(ex:e1, ex:a, -)
  wasStartedBy(ex:s; ex:a, -, -, -)
  wasInfluencedBy(ex:s; ex:a, ex:e2)
  bundle ex:b
    entity(ex:x)
      activity(ex:x)
  endBundle
endDocument
"""
GOOD = BAD.replace("wasStartedBy", "wasEndedBy").replace("activity(ex:x)", "agent(ex:x)")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A document with an ordering error, and one in a bundle."""
    path = tmp_path / "bad <&>.provn"
    path.write_text(BAD)
    return path


def in_form(form: str) -> bytes:
    sink = io.BytesIO()
    reading.read(BAD.encode(), "provn").write(form, sink)
    return sink.getvalue()


def test_a_finding_shows_the_statements_that_break_it_and_where_they_stand() -> None:
    """A reader would have to search for the error."""
    order, types = validate(BAD.encode()).findings
    assert order.name == "generation-within-activity"
    assert order.message.startswith("34 (with 43, 42): ")
    assert "the generation of ex:e1" in order.message
    assert [(e.statement, e.line, e.column) for e in order.evidence] == [
        ("wasDerivedFrom(ex:e2, ex:e1, -, -, -)", 5, 3),
        ("wasStartedBy(ex:s; ex:a, -, -, -)", 8, 3),
        ("wasInfluencedBy(ex:s; ex:a, ex:e2)", 9, 3),
        ("wasGeneratedBy(ex:e1, ex:a, -)", 7, 3),
    ]
    assert types.message.endswith("ex:x, in bundle ex:b")
    assert [(e.line, e.column) for e in types.evidence] == [(11, 5), (12, 7)]


def test_an_explanation_tells_the_inferences_and_merges() -> None:
    """A finding would not explain how a statement leads to it."""
    order = validate(BAD.encode()).findings[0]
    assert order.evidence[1].explanation == (
        "wasStartedBy(ex:s; ex:a, ex:e2, -, -) was completed with "
        "wasInfluencedBy(ex:s; ex:a, ex:e2) by 15 (influence-inference)",
    )
    text = BAD.replace(
        "wasStartedBy(ex:s; ex:a, -, -, -)", "wasDerivedFrom(ex:e1, ex:e2, ex:a, ex:g, -)"
    ).replace("wasGeneratedBy(ex:e1, ex:a, -)", "wasGeneratedBy(ex:other; ex:e1, ex:a, -)")
    found = {f.name: f for f in validate(text.encode()).findings}["unique-generation"]
    lines = [line for each in found.evidence for line in each.explanation]
    assert any("is inferred from wasDerivedFrom" in line and "by 11" in line for line in lines)


@pytest.mark.parametrize("form", ["provjson", "provxml"])
def test_lines_are_known_in_other_forms(form: str) -> None:
    """A finding in a long file would have no line."""
    data = in_form(form)
    if form == "provjson":
        data = json.dumps(json.loads(data), indent=1).encode()
    report = validate(data, form)
    lines = data.decode().splitlines()
    for finding in report.findings:
        for evidence in finding.evidence:
            kind = evidence.statement.partition("(")[0]
            shown = lines[evidence.line - 1]
            assert (evidence.where.rpartition("/")[2] if form == "provjson" else kind) in shown
    if form == "provjson":
        entity = report.findings[-1].evidence[0]
        assert entity.where == "/bundle/ex:b/entity/ex:x"
        assert '"ex:x"' in lines[entity.line - 1]


def test_sarif_is_what_the_standard_asks_for(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A code host would refuse the log, or point at the wrong place."""
    assert command(["validate", "--report", "sarif", str(bad)]) == 1
    log = json.loads(capsys.readouterr().out)
    assert (log["version"], set(log)) == ("2.1.0", {"$schema", "version", "runs"})
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "provml" and driver["version"] == provml.__version__
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids) == 2
    for rule in driver["rules"]:
        assert rule["helpUri"].startswith("https://www.w3.org/TR/prov-constraints/#")
        assert rule["shortDescription"]["text"]
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] == "error"
        assert result["message"]["text"]
        for location in (*result["locations"], *result["relatedLocations"]):
            physical = location["physicalLocation"]
            uri = physical["artifactLocation"]["uri"]
            assert re.fullmatch(r"[A-Za-z0-9/:.%_~-]+", uri)
            assert physical["region"]["startLine"] > 1 < physical["region"]["startColumn"]
            assert set(location) <= {"id", "physicalLocation", "logicalLocations", "message"}
        numbers = [location["id"] for location in result["relatedLocations"]]
        assert numbers == list(range(1, len(numbers) + 1))
    assert run["invocations"][0]["executionSuccessful"] is True


def test_sarif_of_nothing_found_is_a_log_too() -> None:
    """A code host could not tell that a document is valid."""
    log = build_sarif([validate(GOOD.encode())])
    assert log["runs"][0]["results"] == []
    assert log["runs"][0]["invocations"][0]["toolExecutionNotifications"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_runs_nothing(
    bad: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A report would download something, or run content of a document."""
    assert command(["validate", "--report", "html", str(bad)]) == 1
    made = capsysbinary.readouterr().out.decode()
    tags = _Tags()
    tags.feed(made)
    assert tags.open == []
    assert not tags.seen & {"script", "img", "link", "iframe", "object"}
    assert all(link.startswith("https://www.w3.org/TR/prov-constraints/#") for link in tags.links)
    assert "bad &lt;&amp;&gt;.provn" in made and "<&>" not in made
    assert "wasDerivedFrom(ex:e2, ex:e1, -, -, -)" in made


def test_the_page_escapes_what_documents_hold() -> None:
    """A document could inject HTML into a report."""
    content = {
        "prefix": {"<b>": "https://example.org/"},
        "entity": {"<b>:<script>alert(1)</script>": {}},
        "activity": {"<b>:<script>alert(1)</script>": {}},
    }
    report = validate(json.dumps(content).encode(), schema=False)
    assert not report.conforms
    assert "<script>" not in write_html_report([report]) and "&lt;script&gt;" in write_html_report(
        [report]
    )


def test_github_annotations_name_file_and_line(
    bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An annotation would have no line, or its text would break the command."""
    assert command(["validate", "--report", "github", str(bad)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"::error file={bad},line=5,col=3,title=constraint generation-with")
    assert "%0A" in lines[0]
    report = Report("a,b:c%\n::error::x", further=1)
    assert list(build_github_annotations([report])) == [
        "::warning file=a%2Cb%3Ac%25%0A%3A%3Aerror%3A%3Ax::and 1 more findings"
    ]


def test_the_command_explains_on_demand(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The chain behind a finding could not be shown, or would hide the finding."""
    assert command(["validate", str(bad)]) == 1
    short = capsys.readouterr().out
    assert "(statement 3, line 5, column 3)" in short and "by 15" not in short
    assert command(["validate", "--explain", str(bad)]) == 1
    assert "by 15 (influence-inference)" in capsys.readouterr().out


def test_only_the_judges_asked_for_judge(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A check would be skipped by default, or run without being requested."""
    assert command(["validate", "--schema", str(bad)]) == 0
    assert command(["validate", "--constraints", "--format", "provn", str(bad)]) == 1
    assert command(["validate", "--constraints", "--format", "auto", str(bad)]) == 1
    assert command(["validate", str(bad), str(bad.with_name("absent"))]) == 2
    capsys.readouterr()


def test_anything_that_holds_a_document_can_be_judged(
    bad: Path, everything: provml.RecordedRun
) -> None:
    """Users would have to write a file to validate a document."""
    prov = ProvDocument.deserialize(content=BAD, format="provn")
    packed = bad.with_name("bad.provn.gz")
    packed.write_bytes(gzip.compress(BAD.encode()))
    for source in (bad, str(bad), BAD.encode(), io.BytesIO(BAD.encode()), prov, packed):
        assert len(provml.validate(source).findings) == 2, source
    for source in (everything, everything.path, str(everything.path)):
        assert provml.validate(source).conforms


def test_assert_valid_says_what_is_wrong(everything: provml.RecordedRun) -> None:
    """A user's test would pass on a broken document, or fail without a reason."""
    assert_valid(everything)
    assert_valid(GOOD.encode())
    with pytest.raises(AssertionError, match=r"34 \(with 43, 42\)(.|\n)*wasDerivedFrom") as raised:
        assert_valid(BAD.encode(), schema=False, shapes=False)
    assert "entity-activity-disjoint" in str(raised.value)
    with pytest.raises(DocumentError):
        assert_valid(b"no document")


def test_all_findings_are_told_up_to_a_limit_and_the_rest_counted() -> None:
    """One finding would hide the others, or a broken document would fill the memory."""
    count = KEPT_FINDINGS + 200
    entities = {f"ex:{n}": {} for n in range(count)}
    content = {
        "prefix": {"ex": "https://example.org/"},
        "entity": entities,
        "activity": entities,
        "bundle": {"ex:b": {"entity": entities, "activity": entities}},
    }
    report = validate(json.dumps(content).encode(), schema=False)
    assert len(report.findings) == KEPT_FINDINGS
    assert report.further == 2 * count - KEPT_FINDINGS


def test_a_large_document_is_judged_by_the_constraints_alone_unless_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A large document would take hours, or skipped checks would not be mentioned."""
    monkeypatch.setattr("provml.validation.LARGE_BYTES", 10)
    report = validate(BAD.encode())
    assert {f.kind for f in report.findings} == {"constraint"}
    assert any("skipped the schema and shapes" in note for note in report.notes)
    asked = validate(BAD.encode(), schema=True, shapes=True)
    assert not any("is larger than" in note for note in asked.notes)


HOOKS = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"


@pytest.mark.skipif(not HOOKS.is_file(), reason="the hooks are not part of a source package")
def test_the_hook_runs_the_command_on_documents() -> None:
    """The hook would call a missing command, or check files that are not provenance."""
    said = dict(line.strip(" -").split(": ", 1) for line in HOOKS.read_text().splitlines())
    assert said["entry"] == "provml validate"
    documents = re.compile(said["files"])
    for name in ("a/provenance.json", "provenance.ttl.gz", "x.provn", "runs/y.provx"):
        assert documents.search(name), name
    for name in ("package.json", "my-provenance.json.bak", "x.ttl", "notprovenance.json"):
        assert not documents.search(name), name
