"""Runs are loaded completely, once, and again only after they changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sparql.conftest import record
from store_names import base_iri
from waiting import LIMIT_S

import provml
from provml.sparql import load_runs

SAMPLES = "SELECT (COUNT(?m) AS ?n) { ?s a provml:Series ; prov:hadMember ?m }"
GENERATIONS = "SELECT (COUNT(?g) AS ?n) { ?x a provml:Metric ; prov:qualifiedGeneration ?g }"
RUNS = "SELECT ?id { ?run a provml:Run ; provml:runId ?id } ORDER BY ?id"
INDEX = Path(".provml", "sparql", "index.json")
DATA = Path(".provml", "sparql", "data")


def count(store: Path, *runs: str, detail: str | None = None) -> int:
    """The number of samples in some or all runs."""
    with load_runs(runs or None, store, detail) as loaded:
        ((number,),) = loaded.query(SAMPLES)
    return int(number)


def test_an_unchanged_run_is_loaded_once(store: Path) -> None:
    """Every query would load all runs again."""
    with load_runs(None, store) as loaded:
        assert len(loaded.load_report.loaded) == 2
        assert loaded.load_report.on_disk
        assert [row[0] for row in loaded.query(RUNS)] == ["run1", "run2"]
    with load_runs(None, store) as loaded:
        assert loaded.load_report.loaded == []
        assert loaded.load_report.unchanged == 2
    record(store, 3)
    with load_runs(None, store) as loaded:
        assert loaded.load_report.loaded == [f"{base_iri(store)}digits/run3/bundle"]
        assert loaded.load_report.unchanged == 2
        assert [row[0] for row in loaded.query(RUNS)] == ["run1", "run2", "run3"]


def test_a_run_under_way_is_loaded_again_when_it_grew(store: Path) -> None:
    """A query would show an old state of a running run."""
    run = provml.start_run("live", store=store, formats=(), run_id="live")
    for step in range(5):
        run.log_metric("loss", step, "training", step)
    assert count(store, "live") == 5
    run.log_metric("loss", 6.0, "training", 5)  # in a mapped file, neither size nor time changes
    assert count(store, "live") == 6
    with load_runs(["live"], store) as loaded:
        assert loaded.load_report.loaded == []
    run.end_run()
    with load_runs(["live"], store) as loaded:
        assert list(loaded.query("SELECT ?s { ?r provml:status ?s }")) == [("finished",)]
        # one generation for each sample: not merged with the earlier load
        assert list(loaded.query(GENERATIONS)) == [(6,)]


def test_a_killed_run_is_read_from_its_journal(store: Path) -> None:
    """A crashed run would appear as running, or not at all."""
    script = (
        "import sys, provml\n"
        "run = provml.start_run('killed', store=sys.argv[1], run_id='dead')\n"
        "for step in range(1000): run.log_metric('loss', step * 0.5, 'training', step)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(store)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        status = "SELECT ?s { ?r a provml:Run ; provml:status ?s }"
        with load_runs(["dead"], store) as loaded:
            assert list(loaded.query(status)) == [("running",)]
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT_S)
    with load_runs(["dead"], store) as loaded:
        assert list(loaded.query(status)) == [("crashed",)]
    assert count(store, "dead") == 1000


def test_a_removed_run_is_not_seen_any_more(store: Path) -> None:
    """A deleted run would still appear in answers."""
    assert count(store) == 82
    shutil.rmtree(store / "digits" / "run1")
    with load_runs(None, store) as loaded:
        assert [row[0] for row in loaded.query(RUNS)] == ["run2"]
    record(store, 1)
    assert count(store) == 82


def test_a_few_of_many_are_taken_out_alone(store: Path) -> None:
    """Removing one small run would reload all others."""
    for number in range(3, 12):
        record(store, number)
    assert count(store) == 11 * 41
    shutil.rmtree(store / "digits" / "run5")
    with load_runs(None, store) as loaded:
        assert loaded.load_report.removed == [f"{base_iri(store)}digits/run5/bundle"]
        assert loaded.load_report.loaded == []
        assert list(loaded.query(SAMPLES)) == [(10 * 41,)]


def test_only_the_runs_named_are_seen(store: Path) -> None:
    """A query of one run would count the samples of others."""
    assert count(store) == 82
    assert count(store, "run1") == 41
    with load_runs(["run2"], store) as loaded:
        graphs = [row[0] for row in loaded.query("SELECT ?g { GRAPH ?g { ?r a provml:Run } }")]
        assert graphs == [f"{base_iri(store)}digits/run2/bundle"]
        assert list(loaded.query("SELECT ?s { run:run provml:status ?s }")) == [("finished",)]


def test_detail_is_what_was_asked_for(store: Path) -> None:
    """Series detail would contain samples, or stay when sample detail is requested."""
    assert count(store, "run1", detail="series") == 0
    assert count(store, "run1") == 41
    with pytest.raises(provml.QueryError, match="detail must be"):
        load_runs(None, store, "all")


def test_entailed_triples_and_qualified_ones_are_both_there(store: Path) -> None:
    """A query for prov:used or prov:wasGeneratedBy would find nothing."""
    text = """ASK {
        ?sample a provml:Metric ; prov:wasGeneratedBy ?step .
        ?sample prov:qualifiedGeneration [ prov:activity ?step ; prov:atTime ?time ] .
        ?run a provml:Run ; prov:used ?parameter ; prov:wasAssociatedWith ?agent .
        ?model a provml:Model ; prov:wasDerivedFrom ?dataset }"""
    with load_runs(["run1"], store) as loaded:
        assert loaded.query(text)


@pytest.mark.parametrize(
    "damage",
    [
        lambda store: (store / INDEX).write_text("{"),
        lambda store: (store / INDEX).write_text('{"format": 99, "provml": "99", "graphs": {}}'),
        lambda store: [path.write_bytes(b"x") for path in (store / DATA).glob("MANIFEST-*")],
        lambda store: [path.write_bytes(b"") for path in (store / DATA).glob("CURRENT")],
        lambda store: [path.unlink() for path in (store / DATA).glob("*.sst")],
        lambda store: shutil.rmtree(store / DATA),
    ],
    ids=["index", "newer", "manifest", "current", "tables", "gone"],
)
def test_a_damaged_store_is_made_anew(store: Path, damage: object) -> None:
    """A damaged or foreign file in .provml would break every query, or falsify it."""
    assert count(store) == 82
    damage(store)  # type: ignore[operator]
    notes: list[str] = []
    with load_runs(None, store, note=notes.append) as loaded:
        assert list(loaded.query(SAMPLES)) == [(82,)]
        assert loaded.load_report.on_disk
    assert any("loading it again" in note for note in notes)


def test_deleting_what_is_loaded_costs_a_load(store: Path) -> None:
    """The folder could not be deleted safely."""
    assert count(store) == 82
    shutil.rmtree(store / ".provml")
    assert count(store) == 82
    assert [path.name for path in provml.journal.store.list_run_folders(store)] == ["run1", "run2"]


def test_a_store_that_can_not_be_written_is_asked_in_memory(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only store could not be queried if the user has no cache folder either."""
    (store / ".provml").write_text("in the way")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    notes: list[str] = []
    with load_runs(None, store, note=notes.append) as loaded:
        assert not loaded.load_report.on_disk
        assert list(loaded.query(SAMPLES)) == [(82,)]
        assert [row[0] for row in loaded.query(RUNS)] == ["run1", "run2"]
    assert "into memory" in notes[0]
    assert "None" not in notes[0]


def test_a_run_apart_from_any_store_is_asked_in_memory(store: Path, tmp_path: Path) -> None:
    """The parent folders of a copied run would be written to."""
    place = tmp_path / "elsewhere"
    shutil.copytree(store / "digits" / "run1", place)
    with load_runs([place]) as loaded:
        assert not loaded.load_report.on_disk
        assert list(loaded.query(SAMPLES)) == [(41,)]
    assert not list(tmp_path.parent.glob(".provml"))


def test_a_copy_within_the_store_counts_once(store: Path) -> None:
    """Two copies of a run would be added up."""
    shutil.copytree(store / "digits" / "run1", store / "digits" / "copy")
    notes: list[str] = []
    with load_runs(None, store, note=notes.append) as loaded:
        assert list(loaded.query(SAMPLES)) == [(82,)]
    assert "are copies of" in notes[0]


def test_a_newer_run_is_left_out_with_a_line(store: Path) -> None:
    """One run in a newer format would block all queries."""
    description = store / "digits" / "run1" / "run.json"
    content = json.loads(description.read_text())
    description.write_text(json.dumps(content | {"format": 99}))
    notes: list[str] = []
    with load_runs(None, store, note=notes.append) as loaded:
        assert [row[0] for row in loaded.query(RUNS)] == ["run2"]
        assert list(loaded.load_report.left_out) == [store / "digits" / "run1"]
    assert "left out" in notes[0]
    with pytest.raises(provml.JournalError, match="upgrade"):
        load_runs(["run1"], store)


LOADER = """
import sys
from provml.sparql import load_runs
with load_runs(None, sys.argv[1]) as loaded:
    ((number,),) = loaded.query(sys.argv[2])
    print(number)
"""


@pytest.mark.slow
def test_two_processes_at_once_both_answer(store: Path) -> None:
    """Two queries at the same time would fail on the database's lock."""
    command = [sys.executable, "-c", LOADER, str(store), SAMPLES]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=LIMIT_S)[0] for process in both] == ["82\n"] * 4


def test_a_query_does_not_keep_others_from_reading(store: Path) -> None:
    """A long query would block all others."""
    with load_runs(None, store), load_runs(None, store) as second:
        assert list(second.query(SAMPLES)) == [(82,)]


@pytest.mark.slow
def test_a_load_killed_in_its_middle_leaves_no_half_run(store: Path) -> None:
    """Half a run would pass for a complete one."""
    with provml.start_run("big", store=store, formats=(), run_id="big") as run:
        for step in range(20_000):
            run.log_metric("loss", step * 0.5, "training", step)
    assert count(store, "run1") == 41
    script = (
        "import os, signal, sys\n"
        "from provml.export import ntriples\n"
        "from provml.sparql import load_runs\n"
        "class Lines(ntriples.Lines):\n"
        "    def __init__(self, sink):\n"
        "        super().__init__(self)\n"
        "        self.real, self.left = sink, 3\n"
        "    def write(self, *given, **named):\n"
        "        if len(given) > 1: return super().write(*given, **named)\n"
        "        self.left -= 1\n"
        "        if not self.left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return self.real.write(given[0])\n"
        "ntriples.Lines = Lines\n"
        "load_runs(None, sys.argv[1])\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(store)], check=False)
    assert killed.returncode == -signal.SIGKILL
    index = json.loads((store / INDEX).read_text())
    assert f"{base_iri(store)}big/big/bundle" not in index["graphs"]
    with load_runs(None, store) as loaded:
        assert list(loaded.query(SAMPLES)) == [(20_082,)]
        assert list(loaded.query(GENERATIONS)) == [(20_082,)]


def test_nothing_to_ask_about_is_said(tmp_path: Path) -> None:
    """An empty store would give an empty table instead of an error."""
    with pytest.raises(provml.RunNotFoundError, match="has no runs"):
        load_runs(None, tmp_path)
    assert os.listdir(tmp_path) == []
