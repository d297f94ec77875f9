"""The commands that ask many runs, as people call them: on a real store."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run_command, run_on_terminal
from prov.model import ProvDocument

import provml

pytest.importorskip("duckdb", reason="the extra lineage is not installed")

HOSTILE = "[red]\x1b[31m\u202e 実験 [/bold]\t\n"


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line with both streams in pipes."""
    return run_command(*arguments)


def on_terminal(*arguments: object, columns: int = 120) -> str:
    """Run the command line on a terminal of its own; what it showed."""
    return run_on_terminal(*arguments, columns=columns, NO_COLOR="1")


def plain(shown: str) -> str:
    """Without the colours that are ours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of two runs, of which the second uses what the first made."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("raw.csv", "base.bin", "report.json"):
        (folder / name).write_text(name)
    code = folder / "code.py"
    for number, (used, made) in enumerate((("raw.csv", "base.bin"), ("base.bin", "report.json"))):
        code.write_text(f"number = {number}\nprint({HOSTILE!r})\n")
        with provml.start_run(
            HOSTILE if number else "first", store=folder / "provenance", formats=()
        ) as run:
            run.log_params({"lr": 0.1 / (number + 1), HOSTILE: HOSTILE})
            run.log_source_code(code)
            run.log_dataset(used if number else HOSTILE, folder / used)
            run.log_metric("accuracy", 0.5 + number / 4, "validation")
            if number:
                run.log_artifact(folder / made)
            else:
                run.log_model("base", folder / made)
    return folder


def test_runs(work: Path) -> None:
    """--where, --sort and --show would not reach the store."""
    at = ("--store", work / "provenance")
    found = call("runs", "--where", "params.lr < 0.06", "--show", "params.lr", *at)
    (line,) = found.stdout.splitlines()
    assert line.split("\t")[2] == "finished" and line.split("\t")[-1] == "0.05"
    assert len(line.split("\t")) == 11 and "\x1b" not in line
    listed = call("runs", *at).stdout.splitlines()
    assert line.split("\t")[:10] in [other.split("\t") for other in listed]
    ordered = call("runs", "--sort", "-metrics.accuracy.validation.max", "--json", *at)
    assert [run["experiment"] for run in json.loads(ordered.stdout)] == [HOSTILE, "first"]
    shown = on_terminal("runs", "--show", "metrics.accuracy.validation.max", *at)
    assert "metrics.accuracy.validation.max" in shown and "0.75" in shown
    assert "\u202e" not in shown and "[31m" in plain(shown)
    nothing = call("runs", "--where", "params.lr > 100", *at)
    assert (nothing.stdout, nothing.stderr) == ("", "no runs match\n")
    for wrong, note in (
        ("params.lrr > 0", "no run has a parameter 'lrr'; did you mean 'lr'?"),
        ("metrics.acuracy > 0", "no run has a metric 'acuracy'; did you mean 'accuracy'?"),
        ("metrics.accuracy.validatoin > 0", "in the context 'validatoin'; did you mean"),
        ("tags.none == 1", "no run has a tag 'none'"),
    ):
        assert note in call("runs", "--where", wrong, *at).stderr
    best = call("runs", "--sort", "-params.lr", "--limit", 1, "--show", "params.lr", "--json", *at)
    assert [run["values"] for run in json.loads(best.stdout)] == [{"params.lr": 0.1}]


def test_runs_on_a_narrow_terminal(work: Path) -> None:
    """The ids or the values asked for can't be read in 80 columns."""
    at = ("--store", work / "provenance")
    ids = [run["id"] for run in json.loads(call("runs", "--json", *at).stdout)]
    names = ("metrics.accuracy.validation.max", "params.lr", "status")
    shown = plain(on_terminal("runs", *(f"--show={name}" for name in names), *at, columns=80))
    heading = shown.split("id  ")[-1].splitlines()[0]
    assert all(run in shown for run in ids)
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in heading and "0.75" in shown and "0.05" in shown
    for part in ("metrics.", "accuracy.", "validation.max", "params.lr"):
        assert part in shown


def test_values_that_dont_fit_side_by_side_are_listed_below_each_run(work: Path) -> None:
    """Ids and values are cut until neither can be read."""
    at = ("--store", work / "provenance")
    runs = json.loads(call("runs", "--json", "--show=params.lr", *at).stdout)
    names = ("script", "params.lr", "metrics.accuracy.validation.max", "duration_s")
    shown = plain(on_terminal("runs", *(f"--show={name}" for name in names), *at, columns=60))
    assert max(map(len, shown.splitlines())) <= 60
    for run in runs:
        below = shown.partition(f"{run['id']}  {run['status']}\n")[2]
        lines = [line.rstrip() for line in below.splitlines()]
        assert [line.split()[0] for line in lines if line[:3].strip()][: len(names)] == [*names]
        assert f"  params.lr                        {run['values']['params.lr']}" in lines


def test_a_wrong_condition_is_one_line(work: Path) -> None:
    """A slip would print a traceback, or no place."""
    for condition in ("params.lr <", "lr < 1", "params.a-b < 1", "__import__('os')", HOSTILE):
        done = call("runs", "--where", condition, "--store", work / "provenance")
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.count("\n") == 1 and "column" in done.stderr


def test_a_single_equals_sign_is_answered_with_the_right_one(work: Path) -> None:
    """Somebody who writes `params.lr = 3` has to guess what is wrong."""
    for condition in ("params.lr = 3", "params.lr > 1 and status = 'finished'"):
        done = call("runs", "--where", condition, "--store", work / "provenance")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "use == to compare values" in done.stderr


def test_lineage_as_tree_lines_and_json(work: Path) -> None:
    """The origin of a file could not be seen."""
    at = ("--store", work / "provenance")
    shown = plain(on_terminal("lineage", work / "report.json", *at))
    lines = shown.splitlines()
    assert lines[0].startswith("report.json  artifact")
    assert lines[1].startswith("└─ run ")
    assert any("base = base.bin" in line or "base.bin = base" in line for line in lines)
    assert "lr=0.05" in shown and "code.py" in shown and "\u202e" not in shown
    done = call("lineage", work / "report.json", *at)
    fields = [line.split("\t") for line in done.stdout.splitlines()]
    assert {len(line) for line in fields} == {8}
    assert fields[0][:4] == ["start", "0", "artifact", "report.json"]
    assert ["up", "2"] in [line[:2] for line in fields]
    content = json.loads(call("lineage", work / "report.json", "--json", *at).stdout)
    assert len(content["runs"]) == 2 and content["direction"] == "up"
    assert {run["params"]["lr"] for run in content["runs"]} == {0.1, 0.05}
    near = json.loads(call("lineage", work / "report.json", "--json", "--depth", 1, *at).stdout)
    assert len(near["runs"]) == 1


def test_impact_and_both(work: Path) -> None:
    """What came of a file could not be seen."""
    at = ("--store", work / "provenance")
    down = json.loads(call("impact", work / "raw.csv", "--json", *at).stdout)
    assert {p["name"] for c in down["contents"] for p in c["places"]} >= {"base", "report.json"}
    shown = plain(on_terminal("lineage", "base", "--both", *at))
    assert "report.json" in shown and shown.count("base.bin") >= 2


def test_a_run_is_a_start(work: Path) -> None:
    """The tree of a run would end at the run."""
    at = ("--store", work / "provenance")
    run = json.loads(call("runs", "--json", *at).stdout)[1]["id"]
    up = plain(on_terminal("lineage", run, *at)).splitlines()
    assert up[0].startswith("run ") and any("base" in line for line in up)
    assert any("run first/" in line for line in up[1:])
    down = plain(on_terminal("lineage", run, "--down", *at))
    assert "report.json" in down and "run first/" not in down


def test_a_name_that_is_no_unicode(work: Path) -> None:
    """A file whose name is no Unicode would end in a traceback."""
    path = os.fsencode(work) + b"/bad-\xff.txt"
    with open(path, "wb") as file:
        file.write(b"base.bin")
    at = ["--store", str(work / "provenance")]
    known = call("lineage", os.fsdecode(path), *at)
    assert known.returncode == 0 and "raw.csv" in known.stdout
    for arguments in (["lineage", b"\xff"], ["history", b"\xff"], ["sql", b"SELECT '\xff'"]):
        done = call(*map(os.fsdecode, arguments), *at)
        assert done.returncode == 2 and done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["lineage", "impact"])
def test_the_graph_is_written_in_a_form(work: Path, tmp_path: Path, command: str) -> None:
    """The answer could not be handed to a PROV tool."""
    at = ("--store", work / "provenance")
    done = call(command, work / "raw.csv", "--format", "provjson", *at)
    document = ProvDocument.deserialize(content=done.stdout, format="json")
    assert document.get_records()
    target = tmp_path / "out.ttl"
    assert call(command, work / "raw.csv", "-o", target, *at).returncode == 0
    assert target.read_text().startswith(("@prefix", "PREFIX"))
    refused = call(command, work / "raw.csv", "-o", tmp_path / "out.what", *at)
    assert refused.returncode == 2 and "--format" in refused.stderr


def test_diff(work: Path) -> None:
    """Two runs could not be held side by side."""
    at = ("--store", work / "provenance")
    first, second = (json.loads(call("runs", "--json", *at).stdout)[n]["id"] for n in (0, 1))
    lines = call("diff", first, second, *at).stdout.splitlines()
    assert "params\tlr\t0.1\t0.05" in lines
    assert "-number = 0" in lines and "+number = 1" in lines
    assert "metrics\taccuracy validation max\t0.5\t0.75" in lines
    shown = plain(on_terminal("diff", first, second, *at))
    assert "code: code.py" in shown and "\u202e" not in shown
    assert json.loads(call("diff", first, second, "--json", *at).stdout)["params"]["lr"]
    assert re.search(r"params +lr +0\.1 +0\.05", shown)
    assert first in shown.splitlines()[0] and second in shown.splitlines()[0]
    same = call("diff", first, first, *at)
    assert (same.stdout, same.stderr) == (
        "",
        "nothing recorded differs\nnot recorded in any run: environment\n",
    )
    assert call("diff", first, *at).returncode == 2


def test_diff_shows_numbers_as_show_does(tmp_path: Path) -> None:
    """Two runs' numbers are cut, rounded to the same text, or not as `provml show` has them."""
    name = "a.parameter.with.a.name.that.is.much.longer.than.sixty.characters.in.all"
    for number in (0, 1):
        with provml.start_run("numbers", store=tmp_path, run_id=f"run-{number}", formats=()) as run:
            run.log_params({name: (1 + number) / 3, "close": 0.1 + number * 1e-12, "v": "1.10"})
            run.log_params({"text": f"2.1{number}"})
    shown = plain(on_terminal("diff", "run-0", "run-1", "--store", tmp_path))
    assert re.search(rf"{name} +0\.333333 +0\.666667", shown)
    assert re.search(r"close +0\.1 +0\.100000000001", shown)
    assert re.search(r"text +2\.10 +2\.11", shown)


def test_history(work: Path) -> None:
    """The versions of a model could not be listed."""
    at = ("--store", work / "provenance")
    (line,) = call("history", "base", *at).stdout.splitlines()
    assert line.split("\t")[2] == "1"
    assert json.loads(call("history", "base", "--json", *at).stdout)[0]["name"] == "base"
    assert "run status" in on_terminal("history", "base", *at)
    unknown = call("history", "nothing", *at)
    assert unknown.returncode == 2 and "'base'" in unknown.stderr


def test_sql(work: Path) -> None:
    """SQL would not be answered, or answered with more than the tables."""
    at = ("--store", work / "provenance")
    query = "SELECT experiment, 1 AS n, [1.5::DOUBLE] AS l FROM runs ORDER BY started_ns"
    done = call("sql", query, *at)
    assert done.stdout.splitlines()[:2] == ["experiment\tn\tl", "first\t1\t[1.5]"]
    assert "\x1b" not in done.stdout and len(done.stdout.splitlines()) == 3
    assert json.loads(call("sql", query, "--json", *at).stdout)[1]["experiment"] == HOSTILE
    assert "\u202e" not in on_terminal("sql", query, *at)
    odd = "SELECT 'NaN'::DOUBLE AS a, DATE '2026-01-01' AS b, 2::HUGEINT ** 100 AS c, NULL AS d"
    assert call("sql", odd, "--json", *at).returncode == 0
    for wrong in ("DROP TABLE runs", "SELECT * FROM read_text('/etc/hostname')", "SELECT nothing"):
        refused = call("sql", wrong, *at)
        assert refused.returncode == 2 and refused.stdout == ""
        assert refused.stderr.count("\n") == 1


def test_index(work: Path) -> None:
    """What is new could not be read ahead of a question."""
    done = call("index", "--samples", "--store", work / "provenance")
    assert re.match(r"indexed 2 runs \(\d read from disk\) in ", done.stdout)
    assert list((work / "provenance" / ".tables").glob("v*/samples/*.parquet"))


@pytest.mark.parametrize(
    "arguments", [("runs",), ("lineage", "x"), ("diff", "a", "b"), ("sql", "SELECT 1"), ("index",)]
)
def test_a_store_that_is_not_there(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A wrong --store would be a traceback, or an empty store made by asking."""
    done = call(*arguments, "--store", tmp_path / "nowhere")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "there is no store" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_without_the_extra(work: Path) -> None:
    """A missing package would be a traceback, not a command that helps."""
    code = "import sys; sys.modules['duckdb'] = None; from provml.cli import main; main()"
    command = [sys.executable, "-c", code, "runs", "--sort", "id"]
    command += ["--store", str(work / "provenance")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "pip install 'provml[lineage]'" in done.stderr
