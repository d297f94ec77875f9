"""The limits of each format: one test for each line of the page of known losses."""

from __future__ import annotations

import io
import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rdflib
from prov.model import ProvDocument

import provml
from provml.base.schema_files import read_schema
from provml.model.vocabulary import ELEMENTS

TESTS = Path(__file__).parent


@pytest.fixture
def recorded(store: Path) -> provml.RecordedRun:
    """A run with a name that XML cannot hold."""
    with provml.start_run("losses", store=store, formats=()) as run:
        run.log_metric("bell\a", "form\f", "training", 1, timestamp=1_700_000_000)
        run.log_metric("loss", 0.5, "training", 1)
    return provml.load(run.path)


def written(recorded: provml.RecordedRun, form: str) -> str:
    """Write the document."""
    sink = io.BytesIO()
    recorded.export(form, sink)
    return sink.getvalue().decode()


def test_every_loss_has_its_test() -> None:
    """The page would make an unchecked claim, or omit a format without bundles."""
    page = read_schema("known-losses.md").decode()
    lines = [line for line in page.splitlines() if line.startswith("| ")][1:]
    tests = "".join(path.read_text("utf-8") for path in TESTS.glob("test_*.py"))
    assert len(lines) > 5
    for line in lines:
        (name,) = re.findall(r"`(test_\w+)` \|$", line)
        assert f"def {name}(" in tests, name


def test_xml_has_no_text_for_control_characters(recorded: provml.RecordedRun) -> None:
    """A control character would be lost, or make the document invalid XML."""
    document = ProvDocument.deserialize(content=written(recorded, "provxml"), format="xml")
    values = {(str(n), str(v)) for r in document.get_records() for n, v in r.attributes}
    for name, text in (("provml:name", "bell\a"), ("prov:value", "form\f")):
        assert (name, f"{json.dumps(json.dumps(text))} %% rdf:JSON") in values
    assert ("prov:label", "bell\ufffd") in values


def test_names_are_no_strict_xml_names(recorded: provml.RecordedRun) -> None:
    """The page would warn of a limit that no longer exists."""
    names = re.findall(r'prov:id="run:([^"]*)"', written(recorded, "provxml"))
    assert any("/" in name for name in names)
    document = ProvDocument.deserialize(content=written(recorded, "provxml"), format="xml")
    read = {record.identifier.localpart for record in document.get_records() if record.identifier}
    assert set(names) <= read


def test_json_values_are_typed_beyond_xml_schema(store: Path) -> None:
    """A list would come back as a plain string."""
    with provml.start_run("json", store=store, formats=()) as run:
        run.log_param("layers", [64, 10])
    text = written(provml.load(run.path), "provxml")
    assert '<prov:value xsi:type="rdf:JSON">[64,10]</prov:value>' in text
    document = ProvDocument.deserialize(content=text, format="xml")
    values = {str(value) for record in document.get_records() for _, value in record.attributes}
    assert '"[64,10]" %% rdf:JSON' in values


@pytest.mark.filterwarnings("ignore:Dataset:DeprecationWarning")  # rdflib's, of its own parser
def test_a_plain_triple_beside_a_qualified_one_is_a_second_statement(
    recorded: provml.RecordedRun,
) -> None:
    """Plain triples could be written again."""
    turtle = written(recorded, "turtle")
    assert "prov:wasGeneratedBy run:step" not in turtle
    found = re.search(r"(run:metric\S+) a .*?prov:activity (run:step\S+)", turtle, re.DOTALL)
    assert found is not None
    more = f"{turtle}\n{found[1]} prov:wasGeneratedBy {found[2]} .\n"
    counts = [
        len(ProvDocument.deserialize(content=text, format="rdf", rdf_format="turtle").records)
        for text in (turtle, more)
    ]
    assert counts[1] == counts[0] + 1


def test_relations_have_no_identifiers(recorded: provml.RecordedRun) -> None:
    """Two relations could share an identifier, which RDF would make one."""
    for detail in ("sample", "series"):
        relations = [s for s in recorded.statements(detail) if s.kind not in ELEMENTS]
        assert relations
        assert all(statement.id is None for statement in relations)


def test_readers_cut_nanoseconds(store: Path) -> None:
    """The document itself would lack digits of a time, not only the reader's result."""
    with provml.start_run("times", store=store, formats=()) as run:
        run.log_metric("loss", 0.5, timestamp=1.123456789)
    recorded = provml.load(run.path)
    turtle = written(recorded, "turtle")
    exact = "1970-01-01T00:00:01.123456789Z"
    assert exact in turtle
    assert exact in {str(o) for o in recorded.to_rdflib().objects()}
    parsed = rdflib.Graph().parse(data=turtle, format="turtle")
    assert exact not in {str(o) for o in parsed.objects()}
    document = ProvDocument.deserialize(content=written(recorded, "provjson"), format="json")
    times = {v for record in document.get_records() for _, v in record.attributes}
    assert datetime(1970, 1, 1, 0, 0, 1, 123456, tzinfo=UTC) in times


def test_json_lines_hold_samples_alone(store: Path) -> None:
    """The page would warn of a limit that no longer exists, or a sample would be missing too."""
    with provml.start_run("all", store=store, formats=()) as run:
        run.log_param("lr", 0.1)
        run.log_event("saved")
        run.log_artifact(__file__)
        run.log_metric("loss", 0.5)
        run.log_system_metrics("training")
    recorded = provml.load(run.path)
    lines = [json.loads(line) for line in written(recorded, "jsonl").splitlines()]
    samples = [s for s in recorded.statements() if ("prov:label", "loss") in s.attributes]
    assert samples
    readings = [name for name, _ in recorded.series_names("system")]
    assert [line["metric"] for line in lines] == ["loss", *readings]


def test_nan_is_not_equal_to_itself_in_prov(store: Path) -> None:
    """The page would warn of a limit that no longer exists."""
    with provml.start_run("nan", store=store, formats=()) as run:
        run.log_metric("loss", math.nan)
    text = written(provml.load(run.path), "provjson")
    first, second = (ProvDocument.deserialize(content=text, format="json") for _ in range(2))
    assert first != second
