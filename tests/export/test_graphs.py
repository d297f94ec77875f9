"""Graphs and pictures, read back by their own libraries and programs."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pydot
import pytest
from hypothesis import HealthCheck, given, settings
from plans import RUNS, record

import provml
from provml.base.format_names import format_names
from provml.export import export_bundles, find_format
from provml.graph.flat import flat_graph
from provml.graph.view import View
from provml.journal.reader import Journal
from provml.model.mapping import RunMapping

FLAT = ("cytoscape-json", "gexf", "graphml")
NEEDS_DOT = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
HOSTILE = '<script>alert(1)</script> "quoted" & <b>\'\\N\\l\x1b[31m\x00\u202e 🦉 実験 &lt;'
SVG = "{http://www.w3.org/2000/svg}"


def written(recorded: provml.RecordedRun, form: str, **options: Any) -> bytes:
    """Write the document."""
    detail = options.pop("detail", None)
    sink = io.BytesIO()
    recorded.export(form, sink, detail, View(**options))
    return sink.getvalue()


def read(form: str, content: bytes) -> Any:
    """Read a graph with networkx."""
    if form == "cytoscape-json":
        return nx.cytoscape_graph(json.loads(content))
    reader = nx.read_graphml if form == "graphml" else nx.read_gexf
    return reader(io.BytesIO(content))


def comparable(graph: Any, *added: str) -> tuple[Any, Any]:
    """Return nodes and edges in which NaN equals NaN, and 1, 1.0 and True differ."""

    def facts(data: dict[str, Any]) -> frozenset[tuple[str, str, str]]:
        return frozenset(
            (name, type(value).__name__, repr(value))
            for name, value in data.items()
            # an empty text is no text in GraphML
            if name not in added and value != ""
        )

    nodes = {node: facts(data) for node, data in graph.nodes(data=True)}
    edges = Counter((u, v, facts(data)) for u, v, data in graph.edges(data=True))
    return nodes, edges


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=RUNS)
def test_networkx_reads_every_graph_back(plan: dict[str, Any]) -> None:
    """A node, an edge or an attribute would be lost, changed, or have another type."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        for detail in ("sample", "series"):
            graph = flat_graph([RunMapping(Journal(recorded.path), detail)], View())
            assert set(graph) == set(recorded.to_networkx(detail))
            for form in ("gexf", "graphml"):
                found = read(form, written(recorded, form, detail=detail))
                assert comparable(found) == comparable(graph), form
            found = read("cytoscape-json", written(recorded, "cytoscape-json", detail=detail))
            for _, data in graph.nodes(data=True):
                for name, value in data.items():
                    if isinstance(value, float) and not math.isfinite(value):
                        data[name] = str(value).replace("inf", "INF").replace("nan", "NaN")
            own = ("id", "value", "source", "target", "key")
            assert comparable(found, *own) == comparable(graph, *own)


@pytest.fixture
def hostile(store: Path) -> provml.RecordedRun:
    """A run in which every name is awkward, and many nodes are similar."""
    with provml.start_run(HOSTILE, store=store, run_id="hostile", formats=()) as run:
        run.log_params({f"{number}{HOSTILE}": HOSTILE for number in range(5)})
        run.log_params({"": "", " ": " ", "n": 2**70, "nan": float("nan"), "list": [1, "<b>"]})
        for context in (HOSTILE, "", " "):
            for number in range(3):
                run.log_metric(f"{HOSTILE}{number}", number / 3, context, 1, epoch=2)
                run.log_metric(f"{HOSTILE}{number}", float("inf"), context, 2**62, epoch=2)
            run.log_metric("", "text", context)
        for number in range(3):
            run.log_event(HOSTILE, source=HOSTILE, metadata={HOSTILE: HOSTILE})
            run.log_model(HOSTILE, {"w": number}, context=HOSTILE, step=number)
        run.log_dataset(HOSTILE, np.arange(3))
    return provml.load(run.path)


def test_attributes_are_of_one_type_each(hostile: provml.RecordedRun) -> None:
    """A graph tool's column would hold numbers in some rows and text in others."""
    graph = flat_graph([RunMapping(Journal(hostile.path), "sample")], View())
    for rows in (graph.nodes(data=True), graph.edges(data=True)):
        types: dict[str, set[type]] = {}
        for *_, data in rows:
            for name, value in data.items():
                types.setdefault(name, set()).add(type(value))
        assert {name for name, found in types.items() if len(found) > 1} == set()
        assert set.union(*types.values()) <= {str, int, float, bool}
    graphml = ElementTree.fromstring(written(hostile, "graphml", detail="sample"))
    keys = [(key.get("for"), key.get("attr.name")) for key in graphml if key.tag.endswith("key")]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("form", FLAT)
def test_a_graph_file_keeps_awkward_names(hostile: provml.RecordedRun, form: str) -> None:
    """A name would be read as markup, or make a file that no XML parser accepts."""
    graph = read(form, written(hostile, form))
    labels = {data["label"] for _, data in graph.nodes(data=True) if data.get("label")}
    assert HOSTILE.replace("\x00", "\\x00").replace("\x1b", "\\x1b") in labels


def test_gexf_does_not_tell_the_day_of_writing(hostile: provml.RecordedRun) -> None:
    """A run exported again tomorrow would give a different file."""
    (day,) = re.findall(rb'lastmodifieddate="([^"]*)"', written(hostile, "gexf"))
    assert day.decode() == hostile.started.date().isoformat()


def test_pydot_reads_dot_back(hostile: provml.RecordedRun) -> None:
    """The picture's text would not be valid DOT, or would lack nodes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydot's own, of its parser
        (dot,) = pydot.graph_from_dot_data(written(hostile, "dot").decode())
    made = hostile.to_pydot()
    assert isinstance(made, pydot.Dot)
    assert made.to_string().encode() == written(hostile, "dot")

    def names(graph: Any) -> list[str]:
        return sorted({node.get_name() for node in graph.get_nodes()} - {"node", "edge", "graph"})

    assert names(dot) == names(made)
    assert len(dot.get_edges()) == len(made.get_edges())


@NEEDS_DOT
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=RUNS)
def test_graphviz_draws_every_run(plan: dict[str, Any]) -> None:
    """A name or value would produce a label that Graphviz rejects."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        for detail in ("sample", "series"):
            root = ElementTree.fromstring(written(recorded, "svg", detail=detail))
            shown = [g for g in root.iter(f"{SVG}g") if g.get("class") == "node"]
            nodes = {node.get_name() for node in recorded.to_pydot(detail).get_nodes()}
            assert len(shown) == len(nodes - {"graph", "node", "edge"})


@NEEDS_DOT
@pytest.mark.parametrize("name", ["]", "]]>", "]x", "<![CDATA["])
def test_graphviz_draws_what_looks_like_cdata(store: Path, name: str) -> None:
    """Graphviz would take a bracket for the end of a CDATA section, and draw nothing."""
    with provml.start_run("brackets", store=store, formats=()) as run:
        run.log_param(name, name)
        run.log_event(name)
    root = ElementTree.fromstring(written(provml.load(run.path), "svg"))
    assert name in {(text.text or "").strip() for text in root.iter(f"{SVG}text")}


def shapes(dot: Any) -> dict[str, tuple[str, str]]:
    """Return the shape and colour of each single node, by its name."""
    return {
        node.get("tooltip").strip('"'): (node.get("shape"), node.get("fillcolor"))
        for node in dot.get_nodes()
        if node.get("tooltip")
    }


def test_shapes_and_colours_are_those_of_the_convention(hostile: provml.RecordedRun) -> None:
    """People who know PROV pictures would take an activity for an entity."""
    found = shapes(hostile.to_pydot("sample"))
    assert found["run:run"] == ('"box"', '"#9FB1FC"')
    assert found["run:results"] == ('"ellipse"', '"#FFFC87"')
    assert found[f"base:software/provml-{provml.__version__}"] == ('"house"', '"#FED37F"')
    assert len(found) == len(hostile.to_networkx("sample"))


def test_a_picture_folds_and_a_sample_picture_does_not(hostile: provml.RecordedRun) -> None:
    """A picture would show a node for each sample, or hide samples that were asked for."""
    text = written(hostile, "dot").decode()
    assert "10 parameters" in text
    assert "3 series of" not in text  # four: the one without a name too
    assert "4 series of" in text
    assert "run:metric/" not in text
    assert written(hostile, "dot", detail="sample").decode().count("run:metric/") == 21


@NEEDS_DOT
@pytest.mark.parametrize("detail", ["series", "sample"])
def test_names_are_text_in_an_svg(hostile: provml.RecordedRun, detail: str) -> None:
    """A metric's name would run as a script when somebody opens the picture."""
    content = written(hostile, "svg", detail=detail)
    root = ElementTree.fromstring(content)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "g", "title", "text", "polygon", "path", "ellipse", "polyline", "a"}
    for element in root.iter():
        assert not any(name.lower().startswith("on") for name in element.attrib)
        assert not any(name.endswith("href") and value for name, value in element.attrib.items())
    shown = "".join(text for element in root.iter(f"{SVG}text") for text in element.itertext())
    assert "<script>" in shown
    assert "<b>'\\N\\l\\x1b[31m\\x00\\u202e" in shown.replace("\xa0", "")


@NEEDS_DOT
@pytest.mark.parametrize(
    ("form", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG\r\n"), ("pdf", b"%PDF-")]
)
def test_pictures_are_what_they_say(hostile: provml.RecordedRun, form: str, magic: bytes) -> None:
    """A picture would be a file that no program opens, or contain the time of drawing."""
    content = written(hostile, form)
    assert content.startswith(magic)


@NEEDS_DOT
def test_a_pdf_does_not_tell_the_time_of_drawing(store: Path) -> None:
    """A run drawn again tomorrow would give a different file."""
    with provml.start_run("old", store=store, formats=()) as run:
        run.log_metric("loss", 1.0, timestamp=1_000_000_000)
    assert b"(D:20010909014640" in written(provml.load(run.path), "pdf")


@NEEDS_DOT
def test_a_run_of_twenty_series_fits_a_page(store: Path) -> None:
    """A picture would have to be cut up to be printed, or be too small to read."""
    contexts = ("training", "validation", "evaluation")
    with provml.start_run("digits", store=store, formats=(), owner="ada") as run:
        run.log_params({f"parameter {number}": number for number in range(8)})
        run.log_dataset("train", np.arange(3), context="training")
        run.log_dataset("test", np.arange(4), context="validation")
        for epoch in range(12):
            for number in range(20):
                run.log_metric(f"m{number // 3}", number, contexts[number % 3], epoch, epoch=epoch)
            if epoch % 4 == 3:
                run.log_event("saved", source="trainer", context="training", step=epoch)
                run.log_model("net", {"w": epoch}, context="training", step=epoch, epoch=epoch)
    recorded = provml.load(run.path)
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", written(recorded, "pdf"))
    short, long = sorted(map(float, box))
    assert (short, long) <= (596, 843)
    svg = ElementTree.fromstring(written(recorded, "svg"))
    width, height = (float(svg.attrib[side].removesuffix("pt")) for side in ("width", "height"))
    scale = min(long / max(width, height), short / min(width, height))
    sizes = [float(text.attrib["font-size"]) for text in svg.iter(f"{SVG}text")]
    assert min(sizes) * scale > 4.5  # points: the heads of columns


@NEEDS_DOT
def test_a_view_reaches_the_picture(hostile: provml.RecordedRun) -> None:
    """Options that select what to show would have no effect."""
    whole = written(hostile, "svg")
    names = [data["name"] for _, data in hostile.to_networkx().nodes(data=True)]
    (model,) = [name for name in names if name.startswith("run:model/") and name.endswith("/2")]
    views: list[dict[str, Any]] = [
        {"around": model, "depth": 1},
        {"only": ("model",)},
        {"direction": "TB"},
    ]
    for options in views:
        assert written(hostile, "svg", **options) != whole
        direction = options.get("direction")
        assert (
            direction is None
            or f"rankdir={direction}" in written(hostile, "dot", **options).decode()
        )
    around = written(hostile, "dot", **views[0]).decode()
    assert model in around
    assert "run:param" not in around


def test_a_format_of_the_whole_refuses_a_view(hostile: provml.RecordedRun) -> None:
    """A document of the whole run would be taken for a part of it."""
    for form in format_names():
        if not find_format(form).options:
            with pytest.raises(provml.ExportError, match=rf"{form} does not support around.*svg"):
                written(hostile, form, around="run:run")
    with pytest.raises(provml.ExportError, match="graphml does not support direction"):
        written(hostile, "graphml", direction="LR")
    assert len(read("graphml", written(hostile, "graphml", around="run:run", depth=0))) == 1


@NEEDS_DOT
@pytest.mark.parametrize("form", [*FLAT, "dot", "svg"])
def test_several_runs_are_one_graph(hostile: provml.RecordedRun, store: Path, form: str) -> None:
    """Runs written together would be mixed."""
    with provml.start_run("other", store=store, formats=()) as run:
        run.log_metric("loss", 1.0)
    sink = io.BytesIO()
    export_bundles([hostile.path, run.path], form, sink)
    if form in FLAT:
        graph = read(form, sink.getvalue())
        bundles = {
            bundle for _, data in graph.nodes(data=True) for bundle in data["bundles"].split()
        }
        assert len(bundles) == 2
        return
    text = sink.getvalue().decode()
    assert len(re.findall(r"subgraph cluster_|class=\"cluster\"", text)) == 2


def test_a_missing_package_is_named(hostile: provml.RecordedRun) -> None:
    """Without networkx or pydot, nothing would say what to install."""
    script = (
        "import sys, io; sys.modules[sys.argv[1]] = None; import provml\n"
        "provml.load(sys.argv[2]).export(sys.argv[3], io.BytesIO())"
    )
    for package, form in (("networkx", "graphml"), ("networkx", "gexf"), ("pydot", "dot")):
        command = [sys.executable, "-c", script, package, str(hostile.path), form]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        last = done.stderr.splitlines()[-1]
        assert "MissingExtraError" in last
        assert f"needs {package}: pip install 'provml[graph]'" in last


def test_a_missing_program_is_one_line_that_helps(
    hostile: provml.RecordedRun, tmp_path: Path
) -> None:
    """Without Graphviz, the user would see only a traceback."""
    command = [sys.executable, "-m", "provml", "export", str(hostile.path), "--format", "png"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "x.png")],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(r"provml: error: png .* apt-get install graphviz.*\n", done.stderr)
    assert not (tmp_path / "x.png").exists()


@NEEDS_DOT
def test_a_picture_of_too_much_is_refused(store: Path) -> None:
    """Graphviz would spend an hour on a picture that nobody can read."""
    with provml.start_run("long", store=store, formats=()) as run:
        for step in range(1_000):
            run.log_metric("loss", 1.0, "training", step)
    recorded = provml.load(run.path)
    with pytest.raises(provml.ExportError, match=r"2,0\d\d nodes.*--detail series"):
        written(recorded, "svg", detail="sample")
    assert b"1,000 samples" in written(recorded, "dot")
