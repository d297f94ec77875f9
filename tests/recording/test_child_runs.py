"""Child runs: which run is the parent of a new run, and what readers and documents say of both."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import provml
from provml.reading import read
from provml.validation import validate

Start = Callable[..., provml.Run]


@pytest.fixture
def start(store: Path) -> Start:
    """Start a run with this id, which writes no document."""

    def start_run(run_id: str, **options: Any) -> provml.Run:
        options = {"formats": (), "sample_interval_s": 0} | options
        return provml.start_run("e", run_id=run_id, store=store, **options)

    return start_run


def parent_of(run: provml.Run | Path) -> str | None:
    """The name of a run's parent."""
    return provml.load(run if isinstance(run, Path) else run.path).parent


def test_a_nested_run_is_a_child(start: Start) -> None:
    """The trials of a search would have no connection with the search."""
    with start("outer") as outer:
        with start("inner") as inner, start("innermost") as innermost:
            pass
        with start("other") as other:
            pass
        with start("apart", parent=False) as apart:
            pass
    with start("later") as later:
        pass
    assert parent_of(inner) == parent_of(other) == "e/outer"
    assert parent_of(innermost) == "e/inner"
    assert [parent_of(run) for run in (outer, apart, later)] == [None, None, None]
    assert [run.id for run in provml.load(outer.path).children()] == ["inner", "other"]


@pytest.mark.parametrize("form", ["run", "recorded", "folder", "path", "name", "id"])
def test_a_parent_can_be_given_in_any_form(start: Start, store: Path, form: str) -> None:
    """A trial that starts elsewhere could not say which search it belongs to."""
    with start("search") as search:
        pass
    given: Any = {
        "run": search,
        "recorded": provml.load(search.path),
        "folder": str(search.path),
        "path": search.path,
        "name": "e/search",
        "id": "search",
    }[form]
    with start("trial", parent=given) as trial:
        pass
    assert parent_of(trial) == "e/search"


def test_a_child_goes_to_the_store_of_its_parent(tmp_path: Path) -> None:
    """A search with a store of its own would lose its trials to the default store."""
    parent_options: dict[str, Any] = {"store": tmp_path / "own", "formats": ()}
    parent = provml.start_run("e", namespace="https://example.org/lab/", **parent_options)
    with parent, provml.start_run("f", formats=()) as child:
        pass
    assert child.path.parent.parent == tmp_path / "own"
    description = json.loads((child.path / "run.json").read_text("utf-8"))
    assert description["namespace"] == "https://example.org/lab/"


def test_a_thread_and_a_process_find_the_parent(start: Start, store: Path) -> None:
    """The trials of a parallel search would be runs without a parent."""
    source = (
        "import provml, sys\n"
        "with provml.start_run('e', run_id='process', formats=(), sample_interval_s=0) as run:\n"
        "    print(run.path)\n"
    )
    environment = {name: text for name, text in os.environ.items() if name != "PROVML_STORE"}
    with start("search"):
        thread = threading.Thread(target=lambda: start("thread").end_run())
        thread.start()
        thread.join()
        command = [sys.executable, "-c", source]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert parent_of(store / "e" / "thread") == "e/search"
    assert Path(done.stdout.strip()) == store / "e" / "process"
    assert parent_of(store / "e" / "process") == "e/search"
    children = [run.id for run in provml.load("search", store).children()]
    assert sorted(children) == ["process", "thread"]


def test_the_environment_can_name_the_parent(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of a cluster could not become a child of the search that submitted it."""
    with start("search") as search:
        pass
    monkeypatch.setenv("PROVML_PARENT_RUN", str(search.path))
    with start("job") as job, start("part") as part:
        pass
    assert (parent_of(job), parent_of(part)) == ("e/search", "e/job")


def test_nested_runs_under_provml_run_are_children(start: Start, store: Path) -> None:
    """The trials of an unchanged search would all be mixed in the run of the command."""
    source = (
        "import provml\n"
        "options = {'formats': (), 'sample_interval_s': 0}\n"
        "with provml.start_run('search', **options):\n"
        "    provml.log_metric('m', 0)\n"
        "    for number in (1, 2):\n"
        "        with provml.start_run('trial', run_id=f'trial-{number}', **options):\n"
        "            provml.log_metric('m', number)\n"
        "with provml.start_run('next', **options):\n"
        "    provml.log_metric('after', 3)\n"
    )
    with start("command") as command:
        environment = os.environ | {"PROVML_JOINED_RUN": str(command.path)}
        arguments = [sys.executable, "-c", source]
        subprocess.run(arguments, env=environment, check=True, capture_output=True)
    recorded = provml.load(command.path)
    assert sorted(name for name, _ in recorded.series_names()) == ["after", "m"]
    assert recorded.series("m").value.tolist() == [0]
    children = recorded.children()
    assert [run.path.relative_to(store).as_posix() for run in children] == [
        "trial/trial-1",
        "trial/trial-2",
    ]
    assert [run.series("m").value.tolist() for run in children] == [[1], [2]]


def test_an_unknown_parent_is_a_warning(start: Start, store: Path) -> None:
    """A training would stop because somebody deleted the run that started it."""
    with pytest.warns(provml.ProvMLWarning, match="parent of the new run can't be found"):
        run = start("orphan", parent="e/gone")
    run.end_run()
    assert parent_of(run) == "e/gone"
    assert not validate(run.path).findings
    with start("search") as search, start("trial") as trial:
        pass
    shutil.rmtree(search.path)
    assert parent_of(trial) == "e/search"
    for wrong in (3, "", b"e/search"):
        with pytest.raises(provml.InvalidArgumentError, match="parent must be"):
            start("wrong", parent=wrong)
    assert not (store / "e" / "wrong").exists()


def test_the_parent_ends_before_a_child_elsewhere(start: Start, store: Path) -> None:
    """The end of a search would end a trial that another process still records."""
    source = (
        "import provml, sys\n"
        "run = provml.start_run('e', run_id='child', formats=(), sample_interval_s=0)\n"
        "print('started', flush=True)\nsys.stdin.readline()\n"
        "run.log_metric('m', 1)\nprint('logged', flush=True)\nsys.stdin.readline()\n"
    )
    with start("search"):
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        child = subprocess.Popen([sys.executable, "-c", source], text=True, **pipes)
        assert child.stdout is not None and child.stdin is not None
        assert child.stdout.readline() == "started\n"
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "logged\n"
    assert provml.load("child", store).status == "running"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert provml.load("search", store).status == "finished"
    assert provml.load("child", store).status == "crashed"
    assert provml.load("child", store).series("m").value.tolist() == [1]


def test_a_child_that_fails_leaves_its_parent_alone(start: Start) -> None:
    """One bad trial would make the whole search count as failed."""
    with start("search") as search, pytest.raises(ValueError, match="bad"), start("trial"):
        raise ValueError("bad")
    (child,) = provml.load(search.path).children()
    assert (child.status, provml.load(search.path).status) == ("failed", "finished")


@pytest.mark.parametrize("form", ["provjson", "provn", "turtle", "provxml", "jsonld"])
def test_the_documents_relate_parent_and_child(start: Start, tmp_path: Path, form: str) -> None:
    """A graph would not show which trials belong to a search."""
    with start("search") as search, start("trial-1") as trial:
        pass
    for run in (search, trial):
        document = tmp_path / f"{run.id}.document"
        provml.load(run.path).export(form, document)
        assert not validate(document).findings
        relations = {
            tuple(str(end).split("/")[-2] for end in (args["informed"], args["informant"]))
            for args in informed_pairs(document)
        }
        assert ("trial-1", "search") in relations


def informed_pairs(path: Path) -> list[dict[str, str]]:
    """The two IRIs of each ``wasInformedBy`` in a document."""
    found = []
    for record in read(path).prov.flattened().get_records():
        if type(record).__name__ == "ProvCommunication":
            ends = {name.localpart: value.uri for name, value in record.formal_attributes if value}
            found.append(ends)
    return found


def test_a_parent_in_another_namespace_is_named(start: Start, tmp_path: Path) -> None:
    """The name of the parent would lie in the namespace of the child."""
    options: dict[str, Any] = {"store": tmp_path / "other", "formats": ()}
    with provml.start_run("f", run_id="far", **options) as far, start("near") as near:
        pass
    store_id = json.loads((far.path / "run.json").read_text("utf-8"))["store_id"]
    document = tmp_path / "near.json"
    provml.load(near.path).export("provjson", document)
    (pair,) = informed_pairs(document)
    assert pair["informant"] == f"urn:provml:{store_id}/f/far/run"
    assert not validate(document).findings


def test_a_damaged_reference_is_no_parent(start: Start) -> None:
    """A file from elsewhere could put anything in place of the parent's name."""
    with start("search"), start("trial") as trial:
        pass
    path = trial.path / "run.json"
    content = json.loads(path.read_text("utf-8"))
    del content["crc32"]
    for parent in ("text", [1], {"id": 3}, {"id": ""}, {"experiment": "e"}, {"id": "a\ud800"}):
        path.write_text(json.dumps(content | {"parent": parent}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", provml.ProvMLWarning)
            assert parent_of(trial) is None


def test_a_disabled_run_has_no_children(start: Start) -> None:
    """A run would be a child of a run that does not exist."""
    with provml.start_run("e", disabled=True), start("real") as real:
        pass
    assert parent_of(real) is None


def test_ranks_of_one_run_are_not_its_children(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank that another rank starts would make the run a child of itself."""
    monkeypatch.setenv("RANK", "0")
    with start("job") as first:
        monkeypatch.setenv("RANK", "1")
        with start("job"):
            pass
    assert parent_of(first) is None
