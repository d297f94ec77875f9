"""The questions that a store of runs is asked, over a pipeline of four runs."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damaging
import networkx as nx
import numpy as np
import pytest
from prov.model import ProvDocument

import provml
from provml.base.format_names import format_names
from provml.export import find_format
from provml.lineage import trace


def names(lineage: Any) -> set[str]:
    """The names of the contents reached, but for the script that all runs here used."""
    places = [place for content in lineage.contents.values() for place in content.places]
    return {place["name"] for place in places if place["kind"] != "script"}


@pytest.mark.parametrize("form", format_names())
def test_a_lineage_is_written_in_every_format(pipeline: Any, tmp_path: Path, form: str) -> None:
    """The graph over several runs could not be drawn, or handed on in some form."""
    if form in ("svg", "png", "pdf") and shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    target = tmp_path / "lineage"
    lineage = provml.open_store(pipeline.store).lineage(pipeline.work / "report.json")
    if find_format(form).samples_only:
        with pytest.raises(provml.ExportError, match="a lineage has no samples"):
            lineage.export(form, target)
        assert not target.exists()
        return
    lineage.export(form, target)
    assert target.stat().st_size > 1000


def test_a_file_leads_back_through_all_runs(pipeline: Any) -> None:
    """The origin of a report would end at the run that wrote it."""
    found = provml.open_store(pipeline.store).lineage(pipeline.work / "report.json")
    assert names(found) == {
        "report.json",
        "tuned.bin",
        "tuned",
        "base.bin",
        "base",
        "clean.csv",
        "raw.csv",
    }
    assert set(found.runs) == {
        pipeline.runs[k] for k in ("preprocess", "train", "tune", "evaluate")
    }
    steps = {c.facts["name"]: c.up for c in found.contents.values()}
    assert (steps["report.json"], steps["tuned"], steps["raw.csv"]) == (0, 1, 4)
    lr = dict(found.params.items())[pipeline.runs["tune"]]
    assert [(row["name"], row["number"]) for row in lr if row["name"] == "lr"] == [("lr", 0.001)]


def test_what_came_of_a_dataset(pipeline: Any) -> None:
    """A bad raw file would not lead to the models made from it."""
    found = provml.open_store(pipeline.store).impact(pipeline.work / "raw.csv")
    assert {c.facts["name"] for c in found.contents.values()} == {
        "raw.csv", "clean.csv", "base", "tuned", "report.json",
    }  # fmt: skip
    assert pipeline.runs["apart"] not in found.runs
    assert {c.facts["name"]: c.down for c in found.contents.values()}["report.json"] == 4


def test_a_run_that_only_uses_is_reached(store: Path, tmp_path: Path, step: Any) -> None:
    """An evaluation that makes no file would not be among what a dataset reached."""
    data = tmp_path / "test.csv"
    data.write_text("data")
    run = step("evaluate", [data], [], accuracy=0.5)
    assert set(provml.open_store(store).impact(data).runs) == {run}


def test_both_ways_and_depth(pipeline: Any) -> None:
    """--depth and --both would not do what they say."""
    store = provml.open_store(pipeline.store)
    both = store.lineage(pipeline.work / "base.bin", "both")
    ways = {c.facts["name"]: (c.up, c.down) for c in both.contents.values()}
    assert ways["base"] == (0, 0)
    assert ways["clean.csv"] == (1, None) and ways["tuned"] == (None, 1)
    near = store.lineage(pipeline.work / "base.bin", "both", depth=1)
    assert {"raw.csv", "report.json"}.isdisjoint(names(near))
    assert set(near.runs) == {pipeline.runs["train"], pipeline.runs["tune"]}
    none = store.lineage(pipeline.work / "base.bin", depth=0)
    assert {c.facts["name"] for c in none.contents.values()} == {"base"}
    for wrong in ({"direction": "sideways"}, {"depth": -1}):
        with pytest.raises(provml.QueryError):
            store.lineage(pipeline.work / "base.bin", **wrong)


def test_a_file_is_found_by_its_content(pipeline: Any, tmp_path: Path) -> None:
    """A file that was renamed, moved or copied would be unknown."""
    moved = tmp_path / "elsewhere.xyz"
    shutil.copyfile(pipeline.work / "tuned.bin", moved)
    (pipeline.work / "tuned.bin").unlink()
    store = provml.open_store(pipeline.store)
    found = store.lineage(moved)
    assert pipeline.runs["preprocess"] in found.runs
    digest = found.starts[0]
    by_other_names = [
        digest,
        digest[:10],
        digest.upper(),
        str(pipeline.work / "tuned.bin"),
        "tuned",
        "tuned.bin",
        "run:model/tuned",
        next(iter(store.sql("SELECT iri FROM nodes WHERE node = 'run:model/tuned'").rows))[0],
    ]
    for text in by_other_names:
        assert set(store.lineage(text).contents) == set(found.contents), text


def test_a_file_that_changed_since_says_so(pipeline: Any) -> None:
    """The lineage of what lay there before would pass for that of what lies there now."""
    path = pipeline.work / "clean.csv"
    path.write_text("changed")
    found = provml.open_store(pipeline.store).lineage(path)
    assert "has changed since" in found.notes[0]
    assert "raw.csv" in names(found)


def test_a_run_and_a_parameter_have_a_lineage(pipeline: Any) -> None:
    """Only files could be asked about."""
    store = provml.open_store(pipeline.store)
    run = pipeline.runs["tune"]
    up, down = store.lineage(run), store.lineage(pipeline.store / run, "down")
    assert {"base.bin", "raw.csv"} <= names(up) and "report.json" not in names(up)
    assert {"tuned", "report.json"} <= names(down) and "raw.csv" not in names(down)
    rows = store.lineage("run:param/rows", "down")
    assert {"clean.csv", "report.json"} <= names(rows)
    assert pipeline.runs["apart"] not in rows.runs


def test_folders_and_objects_join_runs(store: Path, tmp_path: Path) -> None:
    """A data folder, or an array in memory, would break the chain."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text("a")
    array = np.arange(5.0)
    with provml.start_run("make", store=store, formats=()) as made:
        made.log_artifact(folder)
        made.log_model("weights", array)
    with provml.start_run("use", store=store, formats=()) as used:
        used.log_dataset("copied", shutil.copytree(folder, tmp_path / "copied"))
        used.log_model("final", {"x": array})
    opened = provml.open_store(store)
    assert {run.split("/")[0] for run in opened.lineage("final").runs} == {"make", "use"}
    assert {run.split("/")[0] for run in opened.impact(folder).runs} == {"use"}


def test_overwritten_files_end(store: Path, tmp_path: Path, step: Any) -> None:
    """A file that is an input and an output would be followed for ever."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("A")
    other.write_text("B")
    step("same", [one], [one])
    step("forth", [one], [other])
    step("back", [other], [one])
    opened = provml.open_store(store)
    for path in (one, other):
        for direction in ("up", "down", "both"):
            found = opened.lineage(path, direction)
            assert {
                c.facts["name"] for c in found.contents.values() if c.facts["kind"] != "script"
            } >= {
                "one",
                "other",
            }
            assert len(found.runs) == 3


def test_empty_files_join_nothing(store: Path, tmp_path: Path, step: Any) -> None:
    """Every run with an empty marker file would descend from every other one."""
    (tmp_path / "DONE").touch()
    (tmp_path / "a").write_text("a")
    first = step("one", [tmp_path / "a"], [tmp_path / "DONE"])
    second = step("two", [tmp_path / "DONE"], [])
    opened = provml.open_store(store)
    assert set(opened.lineage(second).runs) == {second}
    assert first in opened.lineage(tmp_path / "DONE").runs  # found all the same


def test_a_long_chain_is_followed_to_its_end(
    store: Path, tmp_path: Path, step: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lineage would end after some number of runs."""
    length = 40
    monkeypatch.setattr(trace, "_FIRST_LIMIT", 8)  # the recursive query has to go on
    paths = [tmp_path / f"{number}.txt" for number in range(length + 1)]
    for number, path in enumerate(paths):
        path.write_text(f"content {number}")
    for before, after in itertools.pairwise(paths):
        step("chain", [before], [after])
    found = provml.open_store(store).lineage(paths[-1])
    assert len(found.runs) == length
    assert max(content.up for content in found.contents.values()) == length


def test_diamonds_do_not_multiply(store: Path, tmp_path: Path, step: Any) -> None:
    """Two ways at each of forty steps would be a million million ways."""
    pairs = [[tmp_path / f"{side}{number}" for side in "ab"] for number in range(41)]
    for pair in pairs:
        for path in pair:
            path.write_text(path.name)
    for before, after in itertools.pairwise(pairs):
        step("wide", before, after)
    found = provml.open_store(store).lineage(pairs[-1][0])
    assert len([c for c in found.contents.values() if c.facts["kind"] != "script"]) == 81


def test_what_is_unknown_is_refused(pipeline: Any, tmp_path: Path) -> None:
    """A slip of the pen would answer with nothing, as if a file had no origin."""
    store = provml.open_store(pipeline.store)
    (tmp_path / "new").write_text("never seen")
    unknown = ("no such thing", "", "deadbeefdeadbeef", "a\0b", "x" * 5000, "\udcff", "\ud800")
    for start in (tmp_path / "new", tmp_path, *unknown):
        with pytest.raises(provml.QueryError):
            store.lineage(start)
    with pytest.raises(provml.StoreError):
        provml.open_store(tmp_path / "nowhere")


def test_the_graph_of_it_leaves_in_prov_forms(pipeline: Any) -> None:
    """The answer could not be handed to a PROV tool, or would not hang together there."""
    found = provml.open_store(pipeline.store).lineage(pipeline.work / "report.json")
    sink = io.BytesIO()
    found.export("provjson", sink)
    document = ProvDocument.deserialize(content=sink.getvalue().decode(), format="json")
    labels = {
        str(label)
        for record in document.get_records()
        for label in record.get_attribute("prov:label")
    }
    assert {"raw.csv", "clean.csv", "base", "tuned", "report.json"} <= labels
    assert "apart" not in labels
    graph = found.to_networkx()
    report = next(n for n, a in graph.nodes(data=True) if a.get("prov:label") == "report.json")
    raw = next(n for n, a in graph.nodes(data=True) if a.get("prov:label") == "raw.csv")
    assert nx.has_path(graph, report, raw)
    for form in ("turtle", "provn", "provxml"):
        found.export(form, io.BytesIO())


def test_frames(pipeline: Any) -> None:
    """An answer would not become a frame."""
    store = provml.open_store(pipeline.store)
    found = store.lineage("tuned")
    runs = store.runs(show=["params.lr"])
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    for answer in (
        found,
        runs,
        store.history("tuned"),
        store.diff(*list(pipeline.runs.values())[:2]),
    ):
        rows = len(answer.table() if hasattr(answer, "table") else answer)
        assert rows > 0
        assert isinstance(answer.to_pandas(), pandas.DataFrame)
        assert isinstance(answer.to_polars(), polars.DataFrame)
        assert answer.to_arrow().num_rows == rows
    assert runs.to_pandas()["params.lr"].max() == 0.5
    assert runs.to_arrow().schema.field("started").type == "timestamp[us]"


def test_the_history_of_a_model(pipeline: Any, step: Callable[..., str]) -> None:
    """The versions of a model over the runs could not be told."""
    path = pipeline.work / "base.bin"
    path.write_text("base, again")
    again = step("train", [], [path])
    answer = provml.open_store(pipeline.store).history("base")
    assert answer.column("run") == [pipeline.runs["train"], again]
    assert len(set(answer.column("sha256"))) == 2
    assert answer[0]["step"] == 2 and answer[0]["context"] == "training"
    with pytest.raises(provml.QueryError, match="'apart', 'base', 'tuned'"):
        provml.open_store(pipeline.store).history("nothing")


def test_two_runs_side_by_side(store: Path, tmp_path: Path) -> None:
    """What differs between two runs would have to be looked for."""
    script, runs = tmp_path / "model.py", []
    for number, lr in enumerate((0.1, 0.2)):
        script.write_text(f"import torch\nlr = {lr}\n")
        with provml.start_run("train", store=store, formats=()) as run:
            run.log_params({"lr": lr, "layers": 3})
            run.log_source_code(script)
            run.log_environment()
            run.log_dataset("data", np.arange(number + 2))
            for value in (0.5, 0.9 - number, 0.7):
                run.log_metric("accuracy", value, "validation")
        runs.append(run.path)
    found = provml.open_store(store).diff(*runs)
    assert found.differing("params") == {"lr": ["0.1", "0.2"]}
    assert found.params["layers"] == ["3", "3"]
    assert "-lr = 0.1" in found.code["model.py"] and "+lr = 0.2" in found.code["model.py"]
    assert found.packages["numpy"][0] == np.__version__ and not found.differing("packages")
    assert set(found.differing("data")) == {"dataset data"}
    metric = found.metrics["accuracy validation"]
    assert [m["max"] for m in metric] == [0.9, 0.7] and [m["last"] for m in metric] == [0.7, 0.7]
    with pytest.raises(provml.QueryError):
        provml.open_store(store).diff(runs[0])
    with pytest.raises(provml.RunNotFoundError):
        provml.open_store(store).diff(runs[0], "no such run")
    json.dumps(found.to_dict())


def test_a_copy_outside_the_run_is_not_read(store: Path, tmp_path: Path) -> None:
    """A forged journal would have any file of the machine shown as code."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "a.py").write_text("a = 1\n")
    paths = []
    for _ in range(2):
        with provml.start_run("e", store=store, formats=()) as run:
            run.log_source_code(tmp_path / "a.py")
        paths.append(run.path)
    (events,) = (paths[1] / "journal").glob("*.jsonl")
    text = events.read_text()
    copy = next(
        json.loads(line)["content"]["copy"] for line in text.splitlines() if '"copy"' in line
    )
    outside = os.path.relpath(tmp_path / "secret.txt", paths[1])
    events.write_text(text.replace(copy, outside))
    damaging.seal_again(events)
    assert "secret" not in str(provml.open_store(store).diff(*paths).code.values())
