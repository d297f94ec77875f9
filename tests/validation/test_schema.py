"""The JSON Schemas accept what provml writes, and refuse documents that break a rule."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from prov.model import ProvDocument

import provml
from provml.validation import validate
from provml.validation.report import Finding
from provml.validation.schema import (
    PROV_JSON,
    PROVML_JSON,
    find_schema_violations,
    load_schema,
    rule_iris,
)

CORPUS = Path(os.environ.get("PROVML_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
ASSERTIONS = {
    "type", "const", "enum", "not", "anyOf", "required", "pattern", "minimum", "minItems",
    "minLength", "dependentRequired",
}  # fmt: skip
LACKING = {  # what PROV-DM demands and these test cases leave out, as their PROV-N does
    "communication1.json": "prov:informant is missing",
    "communication2.json": "prov:informed is missing",
    "derivation9.json": "prov:usedEntity is missing",
    "end4.json": "prov:activity is missing",
    "influence2.json": "prov:influencee is missing",
    "issues_unification-membership-f2-FAIL-DM.json": "prov:collection is missing",
}

Json = dict[str, Any]


def findings(content: object, schema: str = PROV_JSON) -> list[Finding]:
    """The findings of a schema."""
    return list(find_schema_violations(content, schema))


def document(**kinds: Any) -> Json:
    """A PROV-JSON document with some records."""
    return {"prefix": {"ex": "https://example.org/"}, **kinds}


def relation(kind: str, **attributes: Any) -> Json:
    """A document with one relation, its attributes in PROV's namespace."""
    return document(**{kind: {"_:r": {f"prov:{n}": v for n, v in attributes.items()}}})


def entity(value: Any, attribute: str = "ex:a") -> Json:
    """A document with an entity that has a value."""
    return document(entity={"ex:e": {attribute: value}})


DICTIONARY = {"prov:dictionary": "ex:d"}
GENERIC: dict[str, Json] = {
    "document": document(wasEndedby={}),
    "prefixes": {"prefix": []},
    "prefix": {"prefix": {"a:b": "https://example.org/"}},
    "namespace": {"prefix": {"ex": "example"}},
    "records": document(entity=[]),
    "record-name": document(entity={"ex:a b": {}}),
    "record": document(used={"ex:u": [{"prov:activity": "ex:a"}, []]}),
    "attribute-name": entity("x", "ex:a<b"),
    "name": relation("used", activity={"$": "ex:a", "type": "xsd:QName"}),
    "time": relation("used", activity="ex:a", time="yesterday"),
    "value": entity(None),
    "single-value": entity([[1]]),
    "typed-value": entity({"type": "xsd:int"}),
    "content": entity({"$": [], "type": "xsd:int"}),
    "datatype": entity({"$": "1", "type": "an int"}),
    "language": entity({"$": "chat", "lang": "fr_FR!"}),
    "members": relation("hadMember", collection="ex:c", entity=[]),
    "key-entity-set": document(
        hadDictionaryMember={"_:r": DICTIONARY | {"prov:key-entity-set": {}}}
    ),
    "key-entity": document(
        hadDictionaryMember={"_:r": DICTIONARY | {"prov:key-entity-set": [{"key": "a"}]}}
    ),
    "entity": document(entity={"ex:e": []}),
    "activity": document(activity={"ex:a": "ex:b"}),
    "agent": document(agent={"ex:a": None}),
    "wasGeneratedBy": relation("wasGeneratedBy", activity="ex:a"),
    "used": relation("used", entity="ex:e"),
    "wasInformedBy": relation("wasInformedBy", informed="ex:a"),
    "wasStartedBy": relation("wasStartedBy", trigger="ex:e"),
    "wasEndedBy": relation("wasEndedBy", trigger="ex:e"),
    "wasInvalidatedBy": relation("wasInvalidatedBy", activity="ex:a"),
    "wasDerivedFrom": relation("wasDerivedFrom", usedEntity="ex:e"),
    "wasAttributedTo": relation("wasAttributedTo", entity="ex:e"),
    "wasAssociatedWith": relation("wasAssociatedWith", agent="ex:a"),
    "actedOnBehalfOf": relation("actedOnBehalfOf", responsible="ex:a"),
    "wasInfluencedBy": relation("wasInfluencedBy", influencee="ex:a"),
    "specializationOf": relation("specializationOf", generalEntity="ex:e"),
    "alternateOf": relation("alternateOf", alternate1="ex:e"),
    "mentionOf": relation("mentionOf", specificEntity="ex:e", generalEntity="ex:f"),
    "hadMember": relation("hadMember", entity="ex:e"),
    "hadDictionaryMember": document(hadDictionaryMember={"_:r": {}}),
    "derivedByInsertionFrom": relation("derivedByInsertionFrom", after="ex:d"),
    "derivedByRemovalFrom": relation("derivedByRemovalFrom", before="ex:d"),
    "bundles": document(bundle=[]),
    "bundle": document(bundle={"ex:b": {"bundle": {}}}),
}


def of_class(document: Json, name: str) -> Json:
    """The last element of a provml class."""
    return [
        record
        for kind in ("entity", "activity")
        for record in document[kind].values()
        if f'"provml:{name}"' in json.dumps(record["prov:type"])
    ][-1]


Breaking = Callable[[Json], None]


def without(name: str, *attributes: str) -> Breaking:
    """Remove attributes from an element of a class."""

    def broken(document: Json) -> None:
        record = of_class(document, name)
        for attribute in attributes:
            del record[attribute]

    return broken


def having(name: str, attribute: str, value: Any) -> Breaking:
    """Change an attribute of an element of a class."""

    def broken(document: Json) -> None:
        of_class(document, name)[attribute] = value

    return broken


def integer(content: Any, datatype: str = "xsd:int") -> Json:
    """A typed value."""
    return {"$": content, "type": datatype}


def prefixed(prefix: str, iri: str) -> Breaking:
    """Declare a prefix in a document."""

    def broken(document: Json) -> None:
        document["prefix"][prefix] = iri

    return broken


def _prefix_of_another(document: Json) -> None:
    prefixed("provml", "https://example.org/")(document)
    prefixed("ml", "https://w3id.org/provml/ns#")(document)


def _agent_of_ours(document: Json) -> None:
    next(iter(document["agent"].values()))["prov:type"] = integer("provml:Robot", "xsd:QName")


def _tag_of_an_early_version(document: Json) -> None:
    document["entity"]["run:tag/kind"] = {
        "prov:type": integer("provml:Tag", "xsd:QName"),
        "prov:label": "kind",
        "provml:name": "kind",
    }


OURS: dict[str, Breaking] = {
    "provml-prefix": _prefix_of_another,
    "other-prefix": prefixed("ml", "https://w3id.org/provml/ns#"),
    "text": having("Run", "provml:reason", ["a", "b"]),
    "texts": having("Series", "provml:unit", 3),
    "known-attribute": having("Metric", "provml:colour", "red"),
    "integer": having("Step", "provml:step", 1),
    "integer-content": having("Step", "provml:step", integer("1.5")),
    "integer-type": having("Step", "provml:step", integer("1", "xsd:double")),
    "count": having("Series", "provml:count", 1),
    "count-content": having("Series", "provml:count", integer("-1")),
    "count-type": having("Series", "provml:count", integer("1", "xsd:string")),
    "moment": having("Run", "provml:startedAt", "2026-01-01T00:00:00Z"),
    "moment-content": having("Run", "provml:startedAt", integer("2026-01-01", "xsd:dateTime")),
    "moment-type": having("Run", "provml:startedAt", integer("2026-01-01T00:00:00Z", "xsd:date")),
    "json": having("Run", "provml:arguments", "[]"),
    "json-content": having("Run", "provml:arguments", integer("", "rdf:JSON")),
    "json-type": having("Run", "provml:arguments", integer("[]", "xsd:string")),
    "iri": having("Model", "provml:uri", "hf://group/model"),
    "iri-content": having("Model", "provml:uri", integer("", "xsd:anyURI")),
    "iri-type": having("Model", "provml:uri", integer("hf://group/model", "xsd:string")),
    "boolean": having("Parameter", "provml:masked", "yes"),
    "sha256": having("Model", "provml:sha256", "abc"),
    "status": having("Run", "provml:status", "done"),
    "detail": having("Run", "provml:detail", "some"),
    "severity": having("Alert", "provml:severity", "grave"),
    "kind": having("Model", "provml:kind", "thing"),
    "digest-of": having("Model", "provml:digestOf", "bytes"),
    "metric": without("Metric", "prov:value"),
    "one-value": having("Metric", "prov:value", [1, 2]),
    "sample": without("Sample", "provml:name"),
    "experiment-entity": without("Experiment", "provml:name"),
    "results": without("Results", "prov:label"),
    "series": without("Series", "provml:max"),
    "samples-file": without("SamplesFile", "provml:sha256"),
    "parameter": without("Parameter", "prov:value"),
    "reading-summary": without("ReadingSummary", "prov:value"),
    "tag": _tag_of_an_early_version,
    "dataset": without("Dataset", "provml:kind"),
    "input": without("Input", "provml:kind"),
    "artifact": without("Artifact", "provml:kind"),
    "model": without("Model", "provml:kind"),
    "script": without("Script", "provml:kind"),
    "diff": without("Diff", "provml:kind"),
    "source-code": without("SourceCode", "provml:kind"),
    "digest": without("Artifact", "provml:sha256"),
    "environment": without("Environment", "provml:packages"),
    "host": without("Host", "provml:name"),
    "reading": without("GpuReading", "prov:value"),
    "settings": without("Settings", "prov:value"),
    "device": without("Device", "provml:name"),
    "sampling": without("Sampling", "prov:startTime"),
    "alert": without("Alert", "provml:severity"),
    "run": without("Run", "provml:status"),
    "run-end": without("Run", "prov:endTime"),
    "context": without("Context", "provml:name"),
    "step": without("Step", "provml:step"),
    "epoch": without("Epoch", "provml:epoch"),
    "event": without("Event", "prov:endTime"),
    "span": without("Span", "provml:endEvent"),
    "loss": without("Loss", "provml:count"),
    "flops": without("Flops", "prov:value"),
    "cumulative-flops": without("CumulativeFlops", "prov:label"),
    "workload": without("Workload", "provml:passes"),
    "flops-counting": without("FlopsCounting", "prov:endTime"),
    "metadata": without("Metadata", "prov:value"),
    "window": without("Window", "provml:lastTime"),
    "summarising": without("Summarising", "prov:startTime"),
    "extent": having("Workload", "provml:extent", "year"),
    "passes": having("Workload", "provml:passes", "sideways"),
    "double": having("Workload", "provml:peakFlopsPerSecond", 1.5),
    "double-content": having("Workload", "provml:peakFlopsPerSecond", integer("x", "xsd:double")),
    "double-type": having("Workload", "provml:peakFlopsPerSecond", integer("1", "xsd:int")),
    "entity-type": having("Metric", "prov:type", integer("provml:Metrics", "xsd:QName")),
    "activity-type": having("Step", "prov:type", [integer("provml:Steps", "xsd:QName")]),
    "agent-type": _agent_of_ours,
}


@pytest.fixture(scope="module")
def written(everything: provml.RecordedRun, json_of: Callable[..., Any]) -> dict[str, Json]:
    """A run with everything, as PROV-JSON at each detail."""
    return {detail: json_of(everything, detail) for detail in ("sample", "series")}


def changed(content: Json, before: Json) -> Json:
    """The statements that differ. The schemas look at one statement at a time, so these suffice."""
    kept: Json = {}
    for kind, statements in content.items():
        if kind == "prefix" or kind not in before or not isinstance(statements, dict):
            kept[kind] = statements
        else:
            old = before[kind]
            kept[kind] = {key: s for key, s in statements.items() if s != old.get(key)}
    return kept


@pytest.mark.parametrize("detail", ["sample", "series"])
def test_what_is_written_passes(written: dict[str, Json], detail: str) -> None:
    """Our own documents would be called invalid."""
    assert findings(written[detail], PROVML_JSON) == []
    bundled = document(bundle={"ex:b": written[detail]})
    assert findings(bundled, PROVML_JSON) == []


@pytest.mark.parametrize("rule", rule_iris())
def test_every_rule_refuses_what_breaks_it(written: dict[str, Json], rule: str) -> None:
    """A rule would have no effect, or its finding would not name it."""
    if rule in GENERIC:
        content, schema = GENERIC[rule], PROV_JSON
    else:
        detail = "series" if rule == "samples-file" else "sample"
        content, schema = copy.deepcopy(written[detail]), PROVML_JSON
        OURS[rule](content)
        content = changed(content, written[detail])
    found = findings(content, schema)
    assert rule in {finding.rule.rpartition("#")[2] for finding in found}, found
    if rule in OURS:  # the same error is found in a bundle
        bundled = findings(document(bundle={"ex:b": content}), PROVML_JSON)
        assert {f.where for f in bundled} == {f"/bundle/ex:b{f.where}" for f in found}
    for finding in found:
        assert len(finding.text().splitlines()) == 1
        assert len(finding.text()) < 500
    assert validate(json.dumps(content).encode(), shapes=False, constraints=False).findings == found


def test_every_rule_has_a_breaking_case_of_its_own() -> None:
    """A test case would belong to no rule, or to two."""
    assert sorted([*GENERIC, *OURS]) == sorted(rule_iris())


def subschemas(part: Any, place: str = "") -> Iterator[tuple[str, Json]]:
    """All parts of a schema that may assert something."""
    if isinstance(part, dict):
        yield place, part
        for keyword, content in part.items():
            if keyword in ("if", "not", "const", "enum", "required", "anyOf"):
                continue  # conditions, and what is no schema
            yield from subschemas(content, f"{place}/{keyword}")
    elif isinstance(part, list):
        for number, content in enumerate(part):
            yield from subschemas(content, f"{place}/{number}")


@pytest.mark.parametrize("name", [PROV_JSON, PROVML_JSON])
def test_what_can_fail_has_a_name(name: str) -> None:
    """A finding could not name its rule."""
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    names = [
        part["$anchor"] for _, part in subschemas(schema) if isinstance(part.get("$anchor"), str)
    ]
    assert len(names) == len(set(names))
    for place, part in subschemas(schema):
        if place.endswith(("/properties", "/patternProperties", "/$defs", "/dependentRequired")):
            continue
        if ASSERTIONS & set(part) or part.get("additionalProperties") is False:
            assert part.get("$anchor") and part.get("title"), place


def test_the_corpus_passes() -> None:
    """PROV-JSON from other programs would be refused."""
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS}: set PROVML_CORPUS")
    files = sorted(CORPUS.glob("documents/prov-suite/*.json"))
    files += CORPUS.glob("documents/cwlprov/**/*.cwlprov.json")
    assert len(files) > 100
    for file in files:
        found = findings(json.loads(file.read_bytes()))
        lacking = [LACKING[file.name]] if file.name in LACKING else []
        assert [finding.message.rpartition(": ")[2] for finding in found] == lacking, file


def test_what_the_submission_s_schema_refuses_passes() -> None:
    """Correct PROV-JSON would be refused because of errors in the submission's schema."""
    mention = {"prov:specificEntity": "ex:a", "prov:generalEntity": "ex:b", "prov:bundle": "ex:c"}
    times = [{"prov:activity": "ex:a", "prov:time": f"2026-01-0{day}T00:00:00Z"} for day in (1, 2)]
    content = document(
        wasEndedBy={"_:e": {"prov:activity": "ex:a"}},
        mentionOf={"_:m": mention},
        used={"ex:u": times},
        entity={
            "ex:e": {
                "ex:n": [{"$": 1, "type": "xsd:int"}, {"$": True}, 2, {"$": "a", "lang": "en"}]
            }
        },
        hadMember={"_:h": {"prov:collection": "ex:c", "prov:entity": ["ex:a", "ex:b"]}},
        bundle={"ex:b": {"prefix": {"default": "urn:x:"}, "entity": {"e": {"tag": "x"}}}},
    )
    assert findings(content) == []


def test_what_the_prov_library_writes_passes(
    everything: provml.RecordedRun, written: dict[str, Json]
) -> None:
    """Our documents would be invalid once another program has rewritten them."""
    again = json.loads(everything.to_prov("sample").serialize(format="json"))
    assert findings(again, PROVML_JSON) == []
    assert ProvDocument.deserialize(content=json.dumps(again), format="json")


def test_a_pointer_names_the_place() -> None:
    """Nobody could locate a finding in a large document."""
    content = document(entity={"ex:a/b~c": {"ex:n": [1, {"$": "x", "type": ""}]}})
    (finding,) = findings(content)
    assert finding.where == "/entity/ex:a~1b~0c/ex:n/1/type"
    assert finding.rule == "https://w3id.org/provml/schemas/prov-json/1#datatype"
    assert finding.message.endswith('found ""')


@pytest.mark.parametrize(
    "content", [None, 1, "x", [], [[{}]], {"entity": {"ex:e": {"ex:a": [[[]]]}}}]
)
def test_what_is_no_prov_json_at_all_is_a_finding(content: object) -> None:
    """Validation would end in a traceback."""
    assert findings(content) != []
    assert findings(content, PROVML_JSON) != []
