"""What the commands say about child runs: `runs` lists them, `show` compares them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from command_line import run_command, run_on_terminal

import provml
from provml.cli._overview import Overview
from provml.cli._overview_reading import FollowedOverview, read_overview
from provml.journal.reader import Journal
from provml.journal.status import read_run_state


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search with nine trials, one of which has a child itself, and a run without a parent."""
    place = tmp_path_factory.mktemp("children") / "runs"
    options = {"formats": (), "sample_interval_s": 0}
    with provml.start_run("e", store=place, run_id="search", **options) as search:  # type: ignore[arg-type]
        search.set_tag("lower_is_better", "energy")
        for number in range(9):
            trial = provml.start_run("e", run_id=f"trial-{number}", **options)  # type: ignore[arg-type]
            with trial:
                trial.log_params({"lr": number / 10, "layers": 3})
                for step in range(2):
                    trial.log_metric("energy", number + step, "validation", step)
                    trial.log_metric("accuracy", number - step, "validation", step)
            if number == 4:
                inner = provml.start_run("e", run_id="part", parent=trial, **options)  # type: ignore[arg-type]
                inner.end_run("failed", reason="no room")
    with provml.start_run("e", store=place, run_id="alone", **options):  # type: ignore[arg-type]
        pass
    return place


def plain(text: str) -> str:
    """The text of a terminal without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_children_are_listed_below_their_parent(store: Path) -> None:
    """A search of a hundred trials would hide all other runs."""
    shown = plain(run_on_terminal("runs", "--store", store)).splitlines()
    ids = [re.split(r"(?<=\S)  ", line)[0].rstrip() for line in shown]
    trials = [f"└ trial-{number}" for number in range(5)]
    assert ids[1:10] == ["search", *trials, "  └ part", "└ 4 more", "alone"]
    assert "4 finished" in shown[8]
    assert "parent ==" in shown[-1]


def test_a_search_of_runs_is_a_flat_list(store: Path) -> None:
    """A run that meets a condition would be left out because its parent does not."""
    condition = "parent == 'search' and params.lr > 0.45"
    shown = plain(run_on_terminal("runs", "--where", condition, "--store", store)).splitlines()
    assert [line.split()[0] for line in shown[1:]] == [f"trial-{n}" for n in (5, 6, 7, 8)]
    rows = run_command("runs", "--store", store).stdout.splitlines()
    assert len(rows) == 12
    runs = {
        run["id"]: run for run in json.loads(run_command("runs", "--json", "--store", store).stdout)
    }
    assert (runs["trial-0"]["parent"], runs["trial-0"]["parent_run"]) == ("search", "e/search")
    assert runs["search"]["parent"] is None


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("parent == 'search'", 9),
        ("parent == 'e/search'", 9),
        ("'e/search' == parent", 9),
        ("parent in ('e/search', 'trial-4')", 10),
        ("parent != 'search'", 1),
        ("parent == None", 2),
        ("children == 9", 1),
        ("children > 0 and parent == 'search'", 1),
        ("children == 0", 10),
    ],
)
def test_conditions_know_parents_and_children(store: Path, condition: str, count: int) -> None:
    """The trials of a search could not be found."""
    done = run_command("runs", "--where", condition, "--store", store)
    assert len(done.stdout.splitlines()) == count, done.stderr


def test_show_compares_the_children(store: Path) -> None:
    """The best trial of a search would have to be looked for in each trial."""
    shown = plain(run_on_terminal("show", "search", "--store", store, columns=120))
    table = shown[shown.index("children (9)") :].splitlines()
    assert table[1].split() == ["energy", "validation", "accuracy", "validation"]
    assert table[2].split() == ["id", "status", "duration", "lr", "min", "max"]
    first = table[3].split()
    assert first[0] == "trial-0"
    assert first[-3:] == ["0", "0", "0"]
    children = json.loads(run_command("show", "search", "--json", "--store", store).stdout)
    assert [child["id"] for child in children["children"]] == [f"trial-{n}" for n in range(9)]
    assert children["children"][3]["params"] == {"lr": 0.3, "layers": 3}
    (energy, _) = children["children"][3]["metrics"]
    assert (energy["name"], energy["min"], energy["max"]) == ("energy", 3, 4)


def test_show_says_if_the_parent_is_gone(store: Path, tmp_path: Path) -> None:
    """A child would name a parent that nobody can find."""
    assert "e/search" in run_command("show", "trial-0", "--store", store).stdout
    assert "not found" not in run_command("show", "trial-0", "--store", store).stdout
    store = Path(shutil.copytree(store, tmp_path / "copy"))
    shutil.rmtree(store / "e" / "search")
    assert "not found in this store" in run_command("show", "trial-0", "--store", store).stdout
    shown = plain(run_on_terminal("runs", "--store", store))
    assert "└" in shown  # the part of a trial
    assert "trial-8" in shown


def test_runs_that_name_each_other_as_parents_are_listed(store: Path, tmp_path: Path) -> None:
    """A damaged store would hide runs, or the list would never end."""
    store = Path(shutil.copytree(store, tmp_path / "copy"))
    path = store / "e" / "search" / "run.json"
    content = json.loads(path.read_text("utf-8"))
    del content["crc32"]
    path.write_text(json.dumps(content | {"parent": {"id": "trial-0", "experiment": "e"}}))
    done = run_command("runs", "--store", store)
    assert len(done.stdout.splitlines()) == 12
    shown = plain(run_on_terminal("runs", "--store", store))
    assert "search" in shown and "alone" in shown


def test_diff_compares_parents(store: Path) -> None:
    """Two trials of different searches would look like trials of the same one."""
    done = run_command("diff", "trial-1", "alone", "--store", store)
    assert "state\tparent\tsearch\t" in done.stdout
    done = run_command("diff", "search", "alone", "--store", store)
    assert "state\tchildren\t9\t0" in done.stdout


def test_a_picture_folds_many_children(store: Path, tmp_path: Path) -> None:
    """The graph of a search would be too large to read, or could not be drawn."""
    pytest.importorskip("networkx", reason="networkx must be installed")
    target = tmp_path / "search.dot"
    done = run_command("export", "search", "--output", target, "--store", store)
    assert done.returncode == 0, done.stderr
    text = target.read_text("utf-8")
    assert "9 child runs" in text
    page = tmp_path / "search.html"
    done = run_command("export", "search", "--output", page, "--store", store)
    assert done.returncode == 0, done.stderr
    assert "9 child runs" in page.read_text("utf-8")


def test_children_of_a_run_in_progress_are_followed(tmp_path: Path) -> None:
    """A sweep would have to be shown again and again to see how its children do."""
    with provml.start_run(
        "search", store=tmp_path, run_id="parent", formats=(), collect=()
    ) as parent:
        followed = FollowedOverview(parent.path)

        def look() -> Overview:
            followed.read_new()
            return followed.build(read_run_state(parent.path))

        assert look().children.count == 0
        with provml.start_run(
            "search", store=tmp_path, run_id="child", parent=parent, formats=(), collect=()
        ) as child:
            child.log_param("lr", 0.5)
            child.log_metric("loss", 0.25, None, 0)
            (seen,) = look().children.seen
            assert (seen.id, seen.status, seen.params) == ("child", "running", {"lr": 0.5})
            assert [series.last for series in seen.series] == [0.25]
            child.log_metric("loss", 0.125, None, 1)
        assert followed.read_new()
        (seen,) = look().children.seen
        assert (seen.status, seen.series[0].last, seen.series[0].count) == ("finished", 0.125, 2)
        assert not followed.read_new()
        with provml.start_run(
            "search", store=tmp_path, run_id="child", resume=True, formats=(), collect=()
        ) as child:
            child.log_metric("loss", 0.0625, None, 2)
            (seen,) = look().children.seen
            assert (seen.status, seen.series[0].last) == ("running", 0.0625)
    followed.read_new()
    found = followed.build(read_run_state(parent.path))
    followed.close()
    whole = read_overview(Journal(parent.path))
    assert found.to_dict() | {"documents": {}} == whole.to_dict() | {"documents": {}}
