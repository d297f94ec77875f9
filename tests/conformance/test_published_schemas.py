"""Output is checked against the schemas that others published for it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import jsonschema
import pytest
from lxml import etree

import provml

CORPUS = Path(os.environ.get("PROVML_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
SCHEMAS = CORPUS / "schemas"
pytestmark = pytest.mark.skipif(not SCHEMAS.is_dir(), reason=f"no corpus at {CORPUS}")

LACKS = (
    "is not a valid value of the atomic type 'xs:QName'",
    "syntax-ns#}JSON'",
    "type definition is abs",
)
"""What PROV-XML can't say of our names and JSON values: see the page of known losses."""


@pytest.fixture
def recorded(store: Path) -> provml.RecordedRun:
    """A run with records of most kinds."""
    with provml.start_run("schemas", store=store, formats=(), owner="ada", tags={"a": 1}) as run:
        run.log_params({"lr": 0.1, "layers": [1, 2]})
        for step in range(3):
            run.log_metric("loss", 1 / (step + 1), "training", step, epoch=0, unit="nat")
        run.log_dataset("train", {"x": [1, 2]}, context="training")
        run.log_event("saved", source="trainer", metadata={"a": 1})
        for number in range(2):
            run.log_model("m", {"w": number}, context="training", step=2)
    return provml.load(run.path)


def written(recorded: provml.RecordedRun, form: str, detail: str) -> bytes:
    """The written document."""
    sink = io.BytesIO()
    recorded.export(form, sink, detail)
    return sink.getvalue()


@pytest.mark.parametrize("detail", ["sample", "series"])
def test_prov_jsonld_meets_the_submissions_schema(
    recorded: provml.RecordedRun, detail: str
) -> None:
    """Tools that validate their input would refuse our PROV-JSONLD."""
    schema = json.loads((SCHEMAS / "prov-jsonld.schema.json").read_bytes())
    validator = jsonschema.validators.validator_for(schema)(schema)
    document = json.loads(written(recorded, "provjsonld", detail))
    assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize("detail", ["sample", "series"])
def test_prov_xml_meets_the_notes_schema_but_for_what_is_known(
    recorded: provml.RecordedRun, detail: str
) -> None:
    """Elements would be in places where PROV-XML does not allow them."""
    schema = etree.XMLSchema(etree.parse(SCHEMAS / "prov.xsd"))
    schema.validate(etree.fromstring(written(recorded, "provxml", detail)))
    messages = [error.message for error in schema.error_log]
    assert [text for text in messages if not any(lack in text for lack in LACKS)] == []
