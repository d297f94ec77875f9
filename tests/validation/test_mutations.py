"""Break one thing in a valid document, and check what the report says."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import LIMIT_S

import provml
from provml import reading, validate
from provml.base.format_names import format_names
from provml.errors import DocumentError
from provml.export import export_bundles, find_format
from provml.validation import validate_run

Json = dict[str, Any]


def findings(content: Json) -> set[str]:
    """The names of the constraints that a PROV-JSON document breaks."""
    data = json.dumps(content).encode()
    return {f.name for f in validate(data, "provjson", schema=False, shapes=False).findings}


def some(content: Json, kind: str, *needed: str) -> tuple[str, Json]:
    """The first statement of a kind that has these arguments."""
    for key, record in content[kind].items():
        if all(f"prov:{name}" in record for name in needed):
            return key, record
    raise AssertionError(f"no {kind} with {needed}")


def times_differ(content: Json) -> None:
    """An activity's start is stated twice, with different times."""
    name, activity = some(content, "activity", "startTime")
    other = dict(activity)
    other["prov:startTime"] = "1999-01-01T00:00:00Z"
    content["activity"][name] = [activity, other]


def times_swapped(content: Json) -> None:
    """A start has the time of its activity's end."""
    name, activity = some(content, "activity", "startTime", "endTime")
    activity["prov:startTime"], activity["prov:endTime"] = (
        "2001-01-01T00:00:00Z",
        "2000-01-01T00:00:00Z",
    )
    content.setdefault("wasStartedBy", {})["_:start"] = {
        "prov:activity": name,
        "prov:time": activity["prov:endTime"],
    }


def ended_otherwise(content: Json) -> None:
    """An end has another time than its activity."""
    name, _ = some(content, "activity", "endTime")
    content.setdefault("wasEndedBy", {})["_:end"] = {
        "prov:activity": name,
        "prov:time": "1999-01-01T00:00:00Z",
    }


def generated_twice(content: Json) -> None:
    """A second generation has another identifier."""
    _, record = some(content, "wasGeneratedBy", "entity", "activity")
    content["wasGeneratedBy"]["run:g1"] = dict(record)
    content["wasGeneratedBy"]["run:g2"] = dict(record)


def invalidated_twice(content: Json) -> None:
    """A second invalidation has another identifier."""
    _, record = some(content, "wasGeneratedBy", "entity", "activity")
    content["wasInvalidatedBy"] = {"run:i1": dict(record), "run:i2": dict(record)}


def ids_merged(content: Json) -> None:
    """Two usages share an identifier."""
    first, second, *_ = content["used"].values()
    content["used"] = {"run:u": [first, second]}


def relation_is_thing(content: Json) -> None:
    """A usage has an entity's identifier."""
    name = next(iter(content["entity"]))
    content["used"][name] = content["used"].pop(next(iter(content["used"])))


def relations_overlap(content: Json) -> None:
    """A generation has a communication's identifier."""
    _, made = some(content, "wasGeneratedBy", "entity", "activity")
    maker = made["prov:activity"]
    content["wasGeneratedBy"]["run:x"] = {"prov:entity": "run:new"}
    content.setdefault("wasInvalidatedBy", {})["run:x"] = {"prov:entity": "run:new"}
    assert maker


def retyped(content: Json) -> None:
    """An activity is also an entity."""
    content["entity"][next(iter(content["activity"]))] = {}


def self_derived(content: Json) -> None:
    """A thing is derived from itself."""
    name = next(iter(content["entity"]))
    content.setdefault("wasDerivedFrom", {})["_:d"] = {
        "prov:generatedEntity": name,
        "prov:usedEntity": name,
    }


def derivation_reversed(content: Json) -> None:
    """A source is also derived from what was derived from it."""
    _, record = some(content, "wasDerivedFrom", "generatedEntity", "usedEntity")
    content["wasDerivedFrom"]["_:back"] = {
        "prov:generatedEntity": record["prov:usedEntity"],
        "prov:usedEntity": record["prov:generatedEntity"],
    }


def derivation_unspecified(content: Json) -> None:
    """A derivation names a usage but no activity."""
    _, record = some(content, "wasDerivedFrom")
    record.pop("prov:activity", None)
    record["prov:usage"] = "run:u"


def specialized_in_a_circle(content: Json) -> None:
    """Two things are specializations of each other."""
    one, other = next(iter(content["entity"])), "mut:other"
    content.setdefault("specializationOf", {}).update(
        {
            "_:mut1": {"prov:specificEntity": one, "prov:generalEntity": other},
            "_:mut2": {"prov:specificEntity": other, "prov:generalEntity": one},
        }
    )


def emptied(content: Json) -> None:
    """A collection with members is declared empty."""
    _, record = next(iter(content["hadMember"].items()))
    content["entity"][record["prov:collection"]].setdefault("prov:type", [])
    types = content["entity"][record["prov:collection"]]["prov:type"]
    listed = types if isinstance(types, list) else [types]
    empty = {"$": "prov:EmptyCollection", "type": "prov:QUALIFIED_NAME"}
    content["entity"][record["prov:collection"]]["prov:type"] = [*listed, empty]


def nameless(content: Json) -> None:
    """A usage has no activity."""
    _, record = some(content, "used", "activity")
    del record["prov:activity"]


MUTATIONS = {
    times_differ: "key-object",
    times_swapped: "unique-startTime",
    ended_otherwise: "unique-endTime",
    generated_twice: "unique-generation",
    invalidated_twice: "unique-invalidation",
    ids_merged: "key-properties",
    relation_is_thing: "impossible-object-property-overlap",
    relations_overlap: "impossible-property-overlap",
    retyped: "entity-activity-disjoint",
    self_derived: "derivation-generation-generation-ordering",
    derivation_reversed: "derivation-generation-generation-ordering",
    derivation_unspecified: "impossible-unspecified-derivation-generation-use",
    specialized_in_a_circle: "impossible-specialization-reflexive",
    emptied: "membership-empty-collection",
    nameless: "statement",
}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.__name__)
def test_one_thing_broken_is_one_constraint_named(
    everything: provml.RecordedRun,
    json_of: Callable[..., Any],
    mutation: Callable[[Json], None],
) -> None:
    """An error would be missed, or blamed on a constraint that holds."""
    content = json_of(everything, "sample")
    assert findings(content) == set()
    before = copy.deepcopy(content)
    mutation(content)
    assert content != before
    assert findings(content) == {MUTATIONS[mutation]}


# -- what provml writes ------------------------------------------------------------------------

READABLE = sorted(set(reading.reading_formats()) & set(format_names()))


@pytest.mark.parametrize("detail", ["sample", "series"])
@pytest.mark.parametrize("name", READABLE)
def test_what_provml_writes_is_a_consistent_history(
    everything: provml.RecordedRun, name: str, detail: str
) -> None:
    """A validator would call our documents inconsistent."""
    sink = io.BytesIO()
    everything.export(name, sink, detail)
    report = validate(sink.getvalue(), name, schema=False, shapes=False)
    assert report.conforms, [finding.text() for finding in report.findings]


@pytest.mark.parametrize("detail", ["sample", "series"])
def test_a_run_is_consistent_straight_from_its_journal(
    everything: provml.RecordedRun, detail: str
) -> None:
    """A run and its documents would get different verdicts."""
    assert validate_run(everything.path, detail, schema=False, shapes=False).conforms


@pytest.mark.parametrize("name", ["provjson", "trig", "nquads"])
def test_several_runs_in_one_document_are_consistent(
    everything: provml.RecordedRun, store: Path, name: str
) -> None:
    """Valid runs would be inconsistent together."""
    with provml.start_run("other", store=store, owner="o", formats=()) as run:
        run.log_metric("loss", 1.0, "training", 0)
    sink = io.BytesIO()
    export_bundles([everything.path, run.path], name, sink)
    report = validate(sink.getvalue(), name, schema=False, shapes=False)
    assert report.conforms, [finding.text() for finding in report.findings]
    assert find_format(name).suffix


def test_a_report_from_the_journal_is_that_of_the_document(everything: provml.RecordedRun) -> None:
    """The fast path would check statements other than those in the document."""
    from provml.journal.reader import Journal
    from provml.model.mapping import RunMapping
    from provml.reading.provjson import load_json
    from provml.validation.constraints import prov_instances, provjson_instances, run_instance

    def shown(instances: Any) -> list[tuple[Any, ...]]:
        found = [
            (
                s.kind,
                s.id,
                tuple(a for a in s.arguments if a is None or "T" not in a[:11]),
                sorted(s.types),
            )
            for instance in instances
            for s in instance.statements
        ]
        return sorted(found, key=repr)

    sink = io.BytesIO()
    everything.export("provjson", sink, "sample")
    direct = shown([run_instance(RunMapping(Journal(everything.path), "sample"))])
    assert direct == shown(provjson_instances(load_json(sink.getvalue())))  # type: ignore[arg-type]
    read = reading.read(sink.getvalue(), "provjson")
    assert direct == shown(prov_instances(read.prov))


KILLED = """
import os, signal, sys
import provml

run = provml.start_run("killed", store=sys.argv[1], formats=())
run.log_metric("loss", 1.0, "training", 0)
child = os.fork()
if child == 0:
    run.log_metric("loss", 2.0, "training", 0)
    run.log_metric("loss", 3.0, "validation", 1)
    run.log_event("started", context="training", step=2)
    os._exit(0)
os.waitpid(child, 0)
run.log_event("epoch_started", context="training", step=1)
run.log_metric("loss", 0.5, "training", 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("detail", ["sample", "series"])
def test_a_killed_run_of_two_processes_is_consistent(store: Path, detail: str) -> None:
    """A crashed or merged run would be inconsistent."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-c", KILLED, str(store)], env=environment, timeout=LIMIT_S)
    run = provml.load("latest", store)
    assert run.status != "finished"
    for name in READABLE:
        sink = io.BytesIO()
        run.export(name, sink, detail)
        assert validate(sink.getvalue(), name, schema=False, shapes=False).findings == []
    assert validate(run, schema=False, shapes=False).findings == []
    assert validate_run(run.path, detail).findings == []


def test_equal_documents_in_other_forms_are_equivalent(store: Path) -> None:
    """A document would not be equivalent to itself in another format."""
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_metric("loss", 1.0, "training", 0)
        run.log_param("lr", 0.1)
    recorded = provml.load(run.path)
    json_sink, turtle = io.BytesIO(), io.BytesIO()
    recorded.export("provjson", json_sink)
    recorded.export("turtle", turtle)
    assert provml.equivalent(json_sink.getvalue(), turtle.getvalue())
    assert provml.equivalent(recorded, json_sink.getvalue())
    content = json.loads(json_sink.getvalue())
    content["wasGeneratedBy"].popitem()
    assert not provml.equivalent(json.dumps(content).encode(), recorded)
    retyped(content)
    with pytest.raises(DocumentError, match="not valid"):
        provml.normal_form(json.dumps(content).encode())


# -- documents of others -------------------------------------------------------------------------

CORPUS = Path(os.environ.get("PROVML_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))


def retyped_foreign(content: Json) -> None:
    """An entity is also an activity."""
    content.setdefault("activity", {})[next(iter(content["entity"]))] = {}


def cleared_of_plan(content: Json) -> None:
    """An association is stated with and without a plan."""
    without = {"prov:activity": next(iter(content["activity"])), "prov:agent": "mut:agent"}
    with_plan = {**without, "prov:plan": "mut:plan"}
    content.setdefault("wasAssociatedWith", {})["mut:s"] = [with_plan, without]


def generated_twice_foreign(content: Json) -> None:
    """A generation is stated under two more identifiers."""
    _, record = some(content, "wasGeneratedBy", "entity", "activity")
    plain = {name: record[name] for name in ("prov:entity", "prov:activity")}
    content["wasGeneratedBy"] |= {"mut:g1": plain, "mut:g2": plain}


def derived_from_its_own_special_case(content: Json) -> None:
    """An entity is derived from its own specialization."""
    name = next(iter(content["entity"]))
    content.setdefault("specializationOf", {})["_:mut"] = {
        "prov:specificEntity": "mut:e",
        "prov:generalEntity": name,
    }
    content.setdefault("wasDerivedFrom", {})["_:mut"] = {
        "prov:generatedEntity": name,
        "prov:usedEntity": "mut:e",
    }


def derived_from_what_it_starts(content: Json) -> None:
    """A source is made by an activity that the derived thing starts."""
    name = next(iter(content["entity"]))
    content.setdefault("wasStartedBy", {})["_:mut"] = {
        "prov:activity": "mut:a",
        "prov:trigger": name,
    }
    content.setdefault("wasGeneratedBy", {})["_:mut"] = {
        "prov:entity": "mut:e",
        "prov:activity": "mut:a",
    }
    content.setdefault("wasDerivedFrom", {})["_:mut"] = {
        "prov:generatedEntity": name,
        "prov:usedEntity": "mut:e",
    }


def attributed_to_its_own_work(content: Json) -> None:
    """An entity is attributed to something that was made from it."""
    name = next(iter(content["entity"]))
    content["entity"]["mut:agent"] = {}
    content.setdefault("wasAttributedTo", {})["_:mut"] = {
        "prov:entity": name,
        "prov:agent": "mut:agent",
    }
    content.setdefault("wasDerivedFrom", {})["_:mut"] = {
        "prov:generatedEntity": "mut:agent",
        "prov:usedEntity": name,
    }


FOREIGN = {
    retyped_foreign: "entity-activity-disjoint",
    cleared_of_plan: "key-properties",
    generated_twice_foreign: "unique-generation",
    derived_from_its_own_special_case: "specialization-generation-ordering",
    derived_from_what_it_starts: "generation-within-activity",
    attributed_to_its_own_work: "wasAttributedTo-ordering",
    specialized_in_a_circle: "impossible-specialization-reflexive",
    self_derived: "derivation-generation-generation-ordering",
}


def foreign() -> Iterator[tuple[str, Json]]:
    """Valid documents from other tools: the W3C's cases and the PROV-JSON of the corpus."""
    for file in sorted(CORPUS.glob("constraints/*.provn")):
        content = reading.read(file).provjson()
        if not findings(content):
            yield file.name, content
    for file in sorted(CORPUS.glob("documents/**/*.json")):
        content = json.loads(file.read_bytes())
        if file.stat().st_size < 20_000 and "entity" in content:
            with contextlib.suppress(DocumentError):
                if not findings(content):
                    yield file.name, content


@pytest.mark.parametrize("mutation", FOREIGN, ids=lambda each: each.__name__)
def test_one_thing_broken_in_a_document_of_others(mutation: Callable[[Json], None]) -> None:
    """Errors would be found only in our own documents."""
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS}: set PROVML_CORPUS")
    tried = 0
    for name, content in foreign():
        content.setdefault("prefix", {})["mut"] = "urn:mut:"
        try:
            mutation(content)
        except (AssertionError, KeyError, ValueError, StopIteration):
            continue  # this document has nothing to break
        assert findings(content) == {FOREIGN[mutation]}, name
        tried += 1
    assert tried >= 3
