"""Allowed queries, refused queries, and the answers of the ready queries."""

from __future__ import annotations

import gzip
import io
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from sparql.servers import scripted
from store_names import base_iri

import provml
from provml.model.statements import Iri
from provml.sparql import LoadedRuns, load_runs
from provml.sparql.query import bind_parameters, refuse_service
from provml.sparql.ready_queries import describe_query, find_ready_query, list_ready_queries

ERRORS = [
    ("SELECT ?x WHERE { ?x ?y }", "line 1, column 25: unexpected '}'"),
    (
        "SELECT *\nWHERE {\n  ?x foo:a ?y }",
        "line 3, column 6: unknown prefix in 'foo:a'; known prefixes",
    ),
    ("INSERT DATA { <urn:a> <urn:b> 1 }", "line 1, column 1: unexpected 'INSERT'; a query starts"),
    ("DROP ALL", "line 1, column 1: unexpected 'DROP'; a query starts with"),
    ("SELECT * { ?s ?p ?o } ODER BY ?s", "line 1, column 23: unexpected 'ODER'"),
    ("SELECT * {\n ?s ?p 'é>{' .\n 'é' ?x ?? }", "line 3, column 9: unexpected '?'"),
    ("SELECT * # a { comment\n{ ?s ?p ?o", "line 2, column 11: the query is incomplete"),
    ("SELECT ?a\nWHERE { ?a ?b ?c .\n FILTER(?a = ) }", "line 3, column 14: unexpected ')'"),
    ("SELECT * { ?s ?p <urn:a b> }", "line 1, column 26: unexpected '>'"),
    ("SELECT * { ?a ?b ?c } }", "line 1, column 23: unexpected '}'"),
    ("SELECT (SUM(?x) AS ?y) ?z { ?z ?p ?x }", "a variable that is unbound"),
    ("", "line 1, column 1: the query is incomplete"),
]

SERVICES = [
    "SELECT * { SERVICE <URL> { ?s ?p ?o } }",
    "SELECT * { service silent <URL> { ?s ?p ?o } }",
    "SELECT * { ?s ?p 5 .SERVICE<URL>{ ?s ?p ?o } }",
    "SELECT * { ?s ?p 5 # '\n SERVICE <URL> { ?s ?p ?o } }",
    "PREFIX x: <URL> SELECT * { SERVICE x: { ?s ?p ?o } }",
    "PREFIX : <URL> SELECT * { SERVICE:{ ?s ?p ?o } }",
    "SELECT * { ?s ?p '''it's''' , \"\\\"\" SERVICE <URL> { ?s ?p ?o } }",
    "PREFIX x: <urn:x> SELECT * { ?s ?p x:a\\' SERVICE <URL> { ?s ?p \"'\" } }",
    "SELECT * { VALUES ?u { <URL> } SERVICE ?u { ?s ?p ?o } }",
    "ASK { FILTER(1<2) SERVICE <URL> { ?s ?p ?o } FILTER(2>1) }",
]


@pytest.fixture
def loaded(store: Path) -> Any:
    """Both runs, loaded."""
    with load_runs(None, store) as runs:
        yield runs


def rows(loaded: LoadedRuns, query: str, /, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of a ready query, as dicts."""
    answer = loaded.query(find_ready_query(query).text, **parameters)
    return [dict(zip(answer.variables, row, strict=True)) for row in answer]


@pytest.mark.parametrize(("text", "said"), ERRORS, ids=range(len(ERRORS)))
def test_an_error_is_told_with_its_place(loaded: LoadedRuns, text: str, said: str) -> None:
    """The author of a long query would have to search for the error."""
    with pytest.raises(provml.QueryError) as caught:
        loaded.query(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["SELECT * FROM <urn:x> { ?s ?p ?o }", "ASK from named <u:x> {}"])
def test_from_is_refused(loaded: LoadedRuns, text: str) -> None:
    """The choice of runs would silently replace FROM."""
    with pytest.raises(provml.QueryError, match=r"line 1, column .*FROM is not supported"):
        loaded.query(text)
    loaded.query("SELECT ?from { ?from ?p 'FROM' }")


def test_a_query_too_deep_is_refused(loaded: LoadedRuns) -> None:
    """The engine's stack would overflow and kill the process."""
    with pytest.raises(provml.QueryError, match="nested deeper than 500"):
        loaded.query("SELECT * {" + "{" * 50_000 + "}" * 50_000 + "}")


@pytest.mark.parametrize("text", SERVICES, ids=range(len(SERVICES)))
def test_a_service_is_refused(loaded: LoadedRuns, text: str) -> None:
    """A stranger's query could send data to a server of theirs."""
    with scripted((200, {"Content-Type": "application/sparql-results+json"}, b"{}")) as server:
        with pytest.raises(provml.QueryError, match=r"line \d+, column \d+"):
            list(loaded.query(text.replace("URL", server.url)))
        assert server.requests == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ?service { ?service provml:name 'SERVICE' }",
        "SELECT * { <urn:service> ?p '''service''' } # SERVICE",
        "PREFIX x: <urn:x> SELECT * { x:service ?p 'a'@service }",
    ],
)
def test_the_word_service_may_be_used(loaded: LoadedRuns, text: str) -> None:
    """A metric called service could not be queried."""
    refuse_service(text)
    assert list(loaded.query(text)) == []


def test_values_are_exact(store: Path) -> None:
    """Digits would be lost on the way to an answer."""
    values = [0.1 + 0.2, 5e-324, -0.0, 1e22, float("inf"), 2**70, 3, Decimal("0.10"), "é\n", True]
    with provml.start_run("e", store=store, formats=(), run_id="e", tags={"x": 1}) as run:
        run.log_params({f"p{number}": value for number, value in enumerate(values)})
        run.log_param("nan", float("nan"))
    with load_runs(["e"], store) as loaded:
        found = {row["parameter"]: row["value"] for row in rows(loaded, "parameters")}
        moments = "SELECT ?t { ?r a provml:Run ; provml:startedAt ?t }"
        table = loaded.query(moments).to_arrow()
    assert [found[f"p{number}"] for number in range(len(values))] == values
    assert [type(found[f"p{number}"]) for number in range(len(values))] == list(map(type, values))
    assert np.signbit(found["p2"])
    assert np.isnan(found["nan"])
    assert table["t"].type == pa.timestamp("ns", "UTC")
    (stated,) = (s for s in provml.load("e", store).statements() if s.id == "run:run")
    assert table["t"][0].value == dict(stated.attributes)["provml:startedAt"].time_ns


def test_a_table_of_arrow_is_typed(loaded: LoadedRuns) -> None:
    """Numbers would be text in a data frame."""
    table = loaded.query(find_ready_query("metric-samples").text, metric="loss").to_arrow()
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert types == {
        "run": "string",
        "context": "string",
        "metric": "string",
        "epoch": "int64",
        "step": "int64",
        "time": "timestamp[ns, tz=UTC]",
        "value": "double",
    }
    assert sorted(table["value"].to_pylist())[:2] == [1.0, 1.5]
    mixed = loaded.query("SELECT ?x ?y { VALUES (?x ?y) { (1 true) ('a' false) (UNDEF true) } }")
    table = mixed.to_arrow()
    assert table["x"].to_pylist() == ["1", "a", None]
    assert table["y"].to_pylist() == [True, False, True]
    sizes = loaded.query("SELECT ?x ?y { VALUES (?x ?y) { (1 1) (9223372036854775808 2.5e0) } }")
    table = sizes.to_arrow()
    assert table["x"].to_pylist() == ["1", "9223372036854775808"]
    assert table["y"].to_pylist() == [1.0, 2.5]


@pytest.mark.parametrize("form", ["csv", "json", "arrow", "parquet"])
def test_tables_are_written_in_standard_forms(loaded: LoadedRuns, form: str) -> None:
    """Other tools could not read the output."""
    sink = io.BytesIO()
    loaded.query("SELECT ?id { ?r provml:runId ?id } ORDER BY ?id").write(form, sink)
    content = sink.getvalue()
    if form == "csv":
        ids = content.decode().split()[1:]
    elif form == "json":
        ids = [row["id"]["value"] for row in json.loads(content)["results"]["bindings"]]
    elif form == "arrow":
        ids = pa.ipc.open_file(content).read_all()["id"].to_pylist()
    else:
        ids = pa.parquet.read_table(pa.BufferReader(content))["id"].to_pylist()
    assert ids == ["run1", "run2"]


def test_a_recorded_run_answers_itself(store: Path) -> None:
    """A single question would need `load_runs`."""
    recorded = provml.load("run1", store)
    text = "SELECT ?count { VALUES ?m { UNDEF } ?s a provml:Series ; provml:name ?m ; ?p ?count }"
    text = text.replace("?p", "provml:count")
    assert recorded.query(text, m="loss") == [{"count": 20}]
    with pytest.raises(provml.QueryError, match="is a boolean"):
        recorded.query("ASK {}")


def test_a_graph_is_no_table(loaded: LoadedRuns, store: Path) -> None:
    """A format that can't hold an answer would be written empty."""
    graph = "CONSTRUCT { ?r provml:runId ?id } WHERE { ?r provml:runId ?id }"
    sink = io.BytesIO()
    loaded.query(graph).write("ntriples", sink)
    assert sink.getvalue().count(b"\n") == 2
    with pytest.raises(provml.QueryError, match="csv is not a format for graphs"):
        loaded.query(graph).write("csv", sink)
    with pytest.raises(provml.QueryError, match="turtle is a format for graphs"):
        loaded.query("ASK {}").write("turtle", sink)
    assert len(list(loaded.query(f"DESCRIBE <{base_iri(store)}digits/run1/run>"))) > 10


# -- parameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["loss", '"', "\\", "} SERVICE <x> {", "\n", "é", "' UNION {}", ""]
)
def test_a_parameter_is_a_value_whatever_it_holds(loaded: LoadedRuns, value: str) -> None:
    """A name with a quote would break the query, or change its meaning."""
    (found,) = loaded.query("SELECT ?x { VALUES ?x { UNDEF } BIND(1 AS ?y) }", x=value)
    assert found == (value,)


def test_a_parameter_that_is_not_set_restricts_nothing(loaded: LoadedRuns) -> None:
    """A ready query would return nothing without its parameters."""
    assert {row["metric"] for row in rows(loaded, "series")} == {"loss", "level", "accuracy"}
    assert {row["metric"] for row in rows(loaded, "series", metric="loss")} == {"loss"}


def test_a_parameter_must_be_there_and_fit() -> None:
    """A typing error in a parameter's name would be ignored."""
    with pytest.raises(provml.QueryError, match="no parameter 'y'; use one of x"):
        bind_parameters("SELECT * { VALUES ?x { UNDEF } }", {"y": 1})
    for iri in ("x", "urn:a> <urn:b", "urn:{", "urn:a b", ""):
        with pytest.raises(provml.QueryError, match="absolute IRI"):
            bind_parameters("SELECT * { VALUES ?x { UNDEF } }", {"x": Iri(iri)})
    query = describe_query("q", "# title\n# n (integer): a number\nASK { VALUES ?n { UNDEF } }")
    assert query.values({"n": "5"}) == {"n": 5}
    with pytest.raises(provml.QueryError, match="of type integer"):
        query.values({"n": "five"})


# -- the ready queries ------------------------------------------------------------------------


def test_every_ready_query_is_described_and_tested_here() -> None:
    """A query would ship untested, or with an undocumented parameter."""
    queries = list_ready_queries()
    assert len(queries) >= 10
    own = Path(__file__).read_text(encoding="utf-8")
    for query in queries:
        assert query.title
        assert f'"{query.name}"' in own
        assert set(re.findall(r"VALUES \?(\w+) \{ UNDEF \}", query.text)) == set(query.parameters)


def test_metric_samples(loaded: LoadedRuns) -> None:
    """Samples would be missing, duplicated or at the wrong step."""
    found = rows(loaded, "metric-samples", metric="loss", context="training")
    assert len(found) == 40
    first = [row for row in found if row["run"] == "run1"]
    assert [row["step"] for row in first] == list(range(20))
    assert [row["epoch"] for row in first] == [step // 10 for step in range(20)]
    assert [row["value"] for row in first] == [abs(step - 7) * 0.5 + 1 for step in range(20)]
    (accuracy, _) = rows(loaded, "metric-samples", context="evaluation")
    assert (accuracy["metric"], accuracy["value"], accuracy["step"]) == ("accuracy", 0.9, None)


def test_best_step(loaded: LoadedRuns) -> None:
    """The wrong step would be reported as the best."""
    found = rows(loaded, "best-step", metric="loss", extreme="lowest")
    best = [(row["run"], row["context"], row["value"], row["epoch"], row["step"]) for row in found]
    assert best == [("run1", "training", 1.0, 0, 7), ("run2", "training", 2.0, 0, 7)]
    (flat, _) = rows(loaded, "best-step", metric="level", extreme="highest")
    assert (flat["value"], flat["step"]) == (5, 0)  # the first of several equal values
    (worst, _) = rows(loaded, "best-step", metric="loss", extreme="highest")
    assert (worst["value"], worst["step"]) == (7.0, 19)


def test_series(loaded: LoadedRuns) -> None:
    """A series would have the summary of another one."""
    (first, _) = rows(loaded, "series", metric="loss")
    keys = ("run", "context", "count", "min", "max", "last")
    assert [first[key] for key in keys] == ["run1", "training", 20, 1.0, 7.0, 7.0]


def test_parameters_and_changed_parameters(store: Path, loaded: LoadedRuns) -> None:
    """A comparison of runs would list equal parameters, or values that were replaced."""
    found = {(row["run"], row["parameter"]): row["value"] for row in rows(loaded, "parameters")}
    assert found == {
        ("run1", "lr"): 0.1,
        ("run1", "layers"): 3,
        ("run2", "lr"): 0.2,
        ("run2", "layers"): 3,
    }
    changed = [tuple(row.values()) for row in rows(loaded, "changed-parameters")]
    assert changed == [("lr", "run1", 0.1), ("lr", "run2", 0.2)]
    with provml.start_run("again", store=store, formats=(), run_id="again") as run:
        run.log_param("lr", 0.5)
        run.log_param("lr", 0.25)
    with load_runs(["again"], store) as one:
        assert [row["value"] for row in rows(one, "parameters", parameter="lr")] == [0.25]


def test_model_ancestry(store: Path, tmp_path: Path) -> None:
    """The ancestry of a model would stop at its own run."""
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"weights")
    with provml.start_run("before", store=store, formats=(), run_id="before") as run:
        run.log_model("base", weights)
    with provml.start_run("after", store=store, formats=(), run_id="after") as run:
        run.log_dataset("pretrained", weights)
        run.log_model("tuned", {"w": 1.0})
    with load_runs(["before", "after"], store) as loaded:
        (found,) = rows(loaded, "model-ancestry", model="tuned")
    assert found["ancestor"] == "pretrained"
    assert found["type"] == "https://w3id.org/provml/ns#Dataset"
    assert (found["run"], found["madeBy"]) == ("after", "before")


def test_shared_datasets(loaded: LoadedRuns) -> None:
    """A dataset of one run would appear as shared."""
    found = rows(loaded, "shared-datasets")
    assert [(row["dataset"], row["run"]) for row in found] == [
        ("shared", "run1"),
        ("shared", "run2"),
    ]
    assert len({row["sha256"] for row in found}) == 1


def test_who_ran_what_and_run_times(loaded: LoadedRuns) -> None:
    """A person's runs would be counted twice, or missing."""
    who = [(row["person"], row["experiment"], row["run"]) for row in rows(loaded, "who-ran-what")]
    assert who == [("ann", "digits", "run1"), ("ann", "digits", "run2")]
    times = rows(loaded, "run-times", experiment="digits")
    assert [row["run"] for row in times] == ["run1", "run2"]
    assert all(row["started"] <= row["ended"] and row["status"] == "finished" for row in times)


def test_events(loaded: LoadedRuns) -> None:
    """An event would be in the wrong context or at the wrong step."""
    (first, _) = rows(loaded, "events", event="save")
    keys = ("run", "source", "context", "step")
    assert [first[key] for key in keys] == ["run1", "trainer", "training", 3]
    assert first["start"] < first["end"]
    (pause, _) = rows(loaded, "events", event="pause")
    assert (json.loads(pause["metadata"]), pause["context"]) == ({"n": 1}, None)


def test_outputs_and_file_history(store: Path, loaded: LoadedRuns) -> None:
    """A model file could not be traced to its run."""
    (first, second) = rows(loaded, "outputs", name="net")
    assert (first["context"], first["step"]) == ("training", 19)
    recorded = next(made for made in provml.load("run2", store).artifacts() if made.name == "net")
    assert second["sha256"] == recorded.sha256
    (history,) = rows(loaded, "file-history", sha256=recorded.sha256)
    assert (history["run"], history["role"], history["name"]) == ("run2", "made", "net")
    (shared,) = {row["sha256"] for row in rows(loaded, "shared-datasets")}
    used = [(row["run"], row["role"]) for row in rows(loaded, "file-history", sha256=shared)]
    assert used == [("run1", "used"), ("run2", "used")]


def test_failures(store: Path, loaded: LoadedRuns) -> None:
    """A failed run would not be found, or a finished one would be listed."""
    assert rows(loaded, "failures") == []
    loaded.close()
    with (
        pytest.raises(ValueError, match="boom"),
        provml.start_run("bad", store=store, formats=(), run_id="bad"),
    ):
        raise ValueError("boom")
    with load_runs(None, store) as runs:
        (found,) = rows(runs, "failures")
    assert (found["run"], found["status"], found["message"]) == ("bad", "failed", "boom")
    assert found["exception"] == "builtins.ValueError"


def test_alerts() -> None:
    """The sample that triggered an alert would not be found."""
    from pyoxigraph import NamedNode, RdfFormat, Store

    from provml.sparql.query import PREFIXES, ask

    text = """
        <urn:r/run> a provml:Run ; provml:runId "r" .
        <urn:r/results> prov:wasGeneratedBy <urn:r/run> ; prov:hadMember <urn:r/series> .
        <urn:r/series> prov:hadMember <urn:r/sample> .
        <urn:r/sample> prov:value 9.5e0 ; provml:name "loss" .
        <urn:r/alert> prov:wasStartedBy <urn:r/sample> ; provml:name "too high" ."""
    declared = "".join(f"PREFIX {prefix}: <{iri}>\n" for prefix, iri in PREFIXES.items())
    store = Store()
    store.load(declared + text, RdfFormat.TURTLE, to_graph=NamedNode("urn:g"))
    (found,) = ask(store, find_ready_query("alerts").text, {}, {}, ["urn:g"])
    assert found == ("r", None, "too high", "loss", 9.5)


def test_compressed_files_are_what_was_asked(loaded: LoadedRuns, tmp_path: Path) -> None:
    """A .gz file would hold something other than the answer."""
    from provml.base.sinks import open_sink

    with open_sink(tmp_path / "x.csv.gz") as sink:
        loaded.query("SELECT ?id { ?r provml:runId ?id } ORDER BY ?id").write("csv", sink)
    assert gzip.decompress((tmp_path / "x.csv.gz").read_bytes()).split() == [
        b"id",
        b"run1",
        b"run2",
    ]
