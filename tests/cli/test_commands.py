"""The commands as people and scripts call them, on real runs."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command, run_on_terminal
from prov.model import ProvDocument
from waiting import LIMIT_S, until

import provml
from provml.base.format_names import format_names

COMMAND = [sys.executable, "-m", "provml"]
HOSTILE = "[red]\x1b[31m\u202e 実験 [/bold]\t\n"


def call(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with both streams in pipes; in a process if it starts one itself."""
    if arguments[:1] not in (("run",), ("query",)):
        return run_command(*arguments, **variables)
    command = [*COMMAND, *map(str, arguments)]
    environment = os.environ | variables
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LIMIT_S, check=False
    )


def on_terminal(*arguments: object, columns: int = 100, **variables: str) -> str:
    """Run the command line on a terminal of its own; what it showed."""
    return run_on_terminal(*arguments, columns=columns, **variables)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a finished run, a failed one of hostile names, and nothing else."""
    place = tmp_path / "runs"
    with provml.start_run("plain", store=place, run_id="first-run") as run:
        run.log_params({"lr": 0.1, "big": 2**60, "bad": float("nan")})
        for step in range(10):
            run.log_metric("loss", 1 / (step + 1), provml.Context.TRAINING, step)
        run.log_event("checkpoint", source="trainer", metadata={"n": 1})
    with (
        pytest.raises(ValueError, match="boom"),
        provml.start_run(HOSTILE, store=place, run_id="second-run") as run,
    ):
        run.log_param(HOSTILE, HOSTILE)
        run.log_metric(HOSTILE, float("inf"), HOSTILE)
        run.log_event(HOSTILE)
        raise ValueError(f"boom {HOSTILE}")
    return place


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """The folder of a run whose process was killed in the middle of it."""
    script = (
        "import sys, time, provml\n"
        "run = provml.start_run('killed', store=sys.argv[1], run_id='dead')\n"
        "for step in range(1000): run.log_metric('loss', step * 0.5, 'training', step)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT_S)
        yield tmp_path / "killed" / "dead"


def safe(text: str) -> bool:
    """Whether text holds no control character but line feeds."""
    return not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


class TestRuns:
    def test_a_pipe_gets_one_line_of_tab_separated_fields_a_run(self, store: Path) -> None:
        """`provml runs | cut -f1` breaks."""
        done = call("runs", "--store", store)
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        assert [row[0] for row in rows] == ["first-run", "second-run"]
        assert [row[2] for row in rows] == ["finished", "failed"]
        assert {len(row) for row in rows} == {10}
        assert rows[0][5] == "10"
        assert Path(rows[1][8]).is_dir()
        assert safe(done.stdout.replace("\t", ""))

    def test_a_pipe_gets_no_colours_even_when_they_are_forced(self, store: Path) -> None:
        """Colour codes reach a file."""
        assert "\x1b" not in call("runs", "--store", store, FORCE_COLOR="1").stdout

    def test_json_is_exact(self, store: Path) -> None:
        """A script reads another name than was given."""
        runs = json.loads(call("runs", "--json", "--store", store).stdout)
        assert [run["experiment"] for run in runs] == ["plain", HOSTILE]
        assert runs[0]["samples"] == 10
        assert runs[0]["started"].endswith("Z")

    def test_a_terminal_gets_a_table_in_which_names_are_text(self, store: Path) -> None:
        """A run's name colours or garbles the terminal."""
        shown = on_terminal("runs", "--store", store)
        assert "finished" in shown
        assert "[red]" in shown
        assert "\\x1b[31m" in shown
        assert "実験" in shown
        assert re.search(r"\x1b\[3[0-9]m ?finished", shown)
        assert safe(re.sub(r"\x1b\[[0-9;]*m", "", shown))

    @pytest.mark.parametrize("columns", [80, 120])
    def test_ids_stay_whole_on_a_narrow_terminal(self, store: Path, columns: int) -> None:
        """An id that is cut can't be given to another command."""
        with provml.start_run("a rather long name of an experiment" * 3, store=store) as run:
            pass
        shown = on_terminal("runs", "--store", store, columns=columns, NO_COLOR="1")
        assert run.id in shown
        assert "finished" in shown

    def test_a_terminal_of_80_columns_has_room_for_every_heading(self, store: Path) -> None:
        """The headings of a list can't be read on an ordinary terminal."""
        for name in ("a rather long name of an experiment", "b"):
            with provml.start_run(name, store=store) as run:
                for step in range(12_345):
                    run.log_metric("loss", 0.5, None, step)
        shown = on_terminal("runs", "--store", store, columns=80, NO_COLOR="1")
        heading, *rows = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
        names = ["id", "experiment", "status", "started", "duration", "samples"]
        assert heading.split() == names
        assert rows[2].endswith("12345")
        assert max(map(len, [heading, *rows])) <= 80

    def test_a_list_with_losses_is_shown(self, store: Path) -> None:
        """A run that lost samples ends the list with a traceback."""
        with provml.start_run("lossy", store=store, run_id="lossy-run", formats=()) as run:
            run._writer.add_dropped(samples=7, events=0)
        shown = on_terminal("runs", "--store", store, NO_COLOR="1")
        assert "dropped" in shown
        assert re.search(r"lossy-run .* 0 +7$", shown, re.MULTILINE)

    def test_runs_that_cant_be_read_are_listed_with_the_reason(self, store: Path) -> None:
        """Runs are missing from the list, and nobody learns which or why."""
        for number in range(7):
            newer = store / "newer" / f"run-{number}"
            newer.mkdir(parents=True)
            (newer / "run.json").write_text('{"format": 99}')
        done = call("runs", "--store", store)
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        unreadable = [row for row in rows if row[2] == "unreadable"]
        assert (len(rows), len(unreadable)) == (9, 7)
        assert all("upgrade provml" in row[9] and row[8].endswith(row[0]) for row in unreadable)
        *reasons, more = done.stderr.splitlines()
        assert [reason.count("upgrade provml") for reason in reasons] == [1] * 5
        assert more == "2 more runs can't be read: use --json to see why"
        described = json.loads(call("runs", "--json", "--store", store).stdout)
        assert sum("upgrade provml" in (run["reason"] or "") for run in described) == 7
        assert "unreadable" in on_terminal("runs", "--store", store)

    def test_running_and_crashed_runs_are_listed(self, killed: Path) -> None:
        """A run that never ended is missing from the list."""
        with provml.start_run("live", store=killed.parents[1], run_id="live"):
            done = call("runs", "--store", killed.parents[1])
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        assert [(row[0], row[2], row[5]) for row in rows] == [
            ("dead", "crashed", "1000"),
            ("live", "running", "0"),
        ]

    def test_the_list_needs_no_duckdb(self, store: Path) -> None:
        """Runs can't be listed without the extra `lineage`."""
        code = "import sys; sys.modules['duckdb'] = None; from provml.cli import main; main()"
        command = [sys.executable, "-c", code, "runs", "--limit", "1", "--store", str(store)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
        assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["first-run"]

    def test_no_color_is_respected(self, store: Path) -> None:
        """NO_COLOR has no effect."""
        shown = on_terminal("runs", "--store", store, NO_COLOR="1")
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)

    def test_an_empty_store_is_no_error(self, tmp_path: Path) -> None:
        """An empty store prints nothing at all, or fails."""
        done = call("runs", "--store", tmp_path)
        assert (done.returncode, done.stdout) == (0, "")
        assert "no runs" in done.stderr and "--store" in done.stderr
        assert json.loads(call("runs", "--json", "--store", tmp_path).stdout) == []

    def test_the_store_comes_from_the_environment(self, store: Path) -> None:
        """PROVML_STORE is ignored."""
        assert "first-run" in call("runs", PROVML_STORE=str(store)).stdout


class TestShow:
    def test_json_has_what_was_recorded(self, store: Path) -> None:
        """A number in the overview is rounded, or makes the JSON invalid."""
        found = json.loads(call("show", "first", "--json", "--store", store).stdout)
        assert found["params"] == {"lr": 0.1, "big": str(2**60), "bad": "NaN"}
        (series,) = found["series"]
        assert (series["count"], series["last"], series["max"]) == (10, 0.1, 1.0)
        assert series["context"] == ["training"]
        assert found["events"]["last"][0]["metadata"] == {"n": 1}
        size = (store / "plain" / "first-run" / "provenance.json").stat().st_size
        assert found["documents"] == {"provenance.json": {"size": size, "out_of_date": False}}

    def test_hostile_names_are_shown_as_text(self, store: Path) -> None:
        """A run can write control codes to the terminal of who looks at it."""
        for shown in (
            call("show", "second-run", "--store", store).stdout,
            on_terminal("show", "second-run", "--store", store),
        ):
            assert safe(re.sub(r"\x1b\[[0-9;]*m", "", shown))
            assert "\\x1b[31m" in shown
            assert "boom" in shown
            assert "inf" in shown
        found = json.loads(call("show", "second-run", "--json", "--store", store).stdout)
        assert found["params"] == {HOSTILE: HOSTILE}
        assert found["exception"]["message"] == f"boom {HOSTILE}"

    def test_a_run_under_way_can_be_shown(self, tmp_path: Path) -> None:
        """Only ended runs can be looked at."""
        with provml.start_run("live", store=tmp_path) as run:
            run.log_metric("loss", 1.5)
            shown = call("show", "latest", "--store", tmp_path).stdout
        assert "running" in shown
        assert "1.5" in shown

    def test_damage_is_told(self, store: Path) -> None:
        """Lines that can't be read go missing without a word."""
        (events,) = (store / "plain" / "first-run" / "journal").glob("*.jsonl")
        with events.open("ab") as file:
            file.write(b'{"record": "par')
        asked = (
            ["export", "first-run", "-o", "-"],
            ["export", "first-run", "second-run", "-o", "-", "--format", "provn"],
            ["query", "first-run", "ASK { ?s ?p ?o }"],
            ["runs", "--sort", "id"],
            ["lineage", "first-run"],
        )
        assert (
            "bytes were added after the last line"
            in call("show", "first-run", "--store", store).stdout
        )
        for arguments in asked:
            told = call(*arguments, "--store", store).stderr
            assert "can't" in told and "left out" in told, arguments

    def test_a_document_older_than_the_journal_is_told(self, store: Path) -> None:
        """A document that lacks what came later is taken for the whole run."""
        assert "out of date" not in call("show", "first-run", "--store", store).stdout
        document = store / "plain" / "first-run" / "provenance.json"
        os.utime(document, (0, 0))
        shown = call("show", "first-run", "--store", store).stdout
        assert "out of date: run provml export to write it again" in shown
        found = json.loads(call("show", "first-run", "--json", "--store", store).stdout)
        assert found["documents"]["provenance.json"]["out_of_date"] is True

    def test_versions_are_contents_that_differ(self, tmp_path: Path) -> None:
        """The same data logged in two contexts looks like two versions in the last one."""
        with provml.start_run("contents", store=tmp_path) as run:
            for context in ("training", "validation", "training"):
                run.log_dataset("same", np.zeros(3), context=context)
            for value in (1, 2, 1):
                run.log_dataset("other", np.array([value]))
        same, other = json.loads(call("show", run.path, "--json").stdout)["contents"]
        assert (same["versions"], same["contexts"]) == (1, [["training"], ["validation"]])
        assert (other["versions"], other["contexts"]) == (2, [None])
        shown = call("show", run.path).stdout
        assert re.search(r"^  same +dataset +training, validation ", shown, re.MULTILINE)
        assert re.search(r"^  other \(2 versions\) +dataset +- ", shown, re.MULTILINE)

    def test_events_are_in_the_order_of_time(self, tmp_path: Path) -> None:
        """What a second process did first is listed last, after the end."""
        with provml.start_run("events", store=tmp_path) as run:
            for name, time_s in (("third", 30), ("first", 10), ("fourth", 40), ("second", 20)):
                run.log_event(name, timestamp=time_s)
            for number in range(2):
                run.log_event(f"early {number}", timestamp=number)
        shown = call("show", run.path).stdout
        assert re.findall(r"(first|second|third|fourth|early) ", shown) == [
            "early",
            "first",
            "second",
            "third",
            "fourth",
        ]
        names = [event.name for event in provml.load(run.path).events()]
        assert names == ["early 0", "early 1", "first", "second", "third", "fourth"]

    def test_a_failed_run_shows_the_end_of_its_errors(self, tmp_path: Path) -> None:
        """To learn why a run failed, one has to search its folder."""
        script = tmp_path / "train.py"
        script.write_text(
            "import sys\n"
            "print('all is well')\n"
            "for n in range(20): print(f'step {n}\\rstep {n}, done', file=sys.stderr)\n"
            "sys.exit('no \\x1b[31mspace')\n"
        )
        store = tmp_path / "runs"
        call("run", "--store", store, "--", sys.executable, script)
        shown = call("show", "latest", "--store", store).stdout
        assert "end of stderr (--output shows all of it)" in shown
        assert "\n  step 19, done\n  no \\x1b[31mspace\n" in shown
        assert "step 10," not in shown
        assert re.search(rf"^  script +{script}, sha256 [0-9a-f]{{12}}$", shown, re.MULTILINE)
        errors = call("show", "latest", "--copy", "stderr", "--store", store).stdout
        assert errors.startswith("step 0") and errors.endswith("no \x1b[31mspace\n")
        assert call("show", "latest", "--copy", "stdout", "--store", store).stdout == (
            "all is well\n"
        )
        whole = call("show", "latest", "--output", "--store", store)
        assert (whole.stdout, whole.stderr) == ("all is well\n", errors)
        displayed = on_terminal("show", "latest", "--copy", "stderr", "--store", store)
        assert "\x1b" not in displayed
        wrong = call("show", "latest", "--copy", "weights", "--store", store)
        assert wrong.returncode == 1
        assert "kept no copy named 'weights'; it has: 'stdout', 'stderr'" in wrong.stderr

    def test_the_output_of_a_running_command_is_shown(self, tmp_path: Path) -> None:
        """What a training prints can be read only when it is over."""
        store, folder = tmp_path / "runs", tmp_path
        script = folder / "train.py"
        script.write_text("print('epoch 1', flush=True)\nprint(input(), flush=True)\n")
        command = [sys.executable, "-m", "provml", "run", "--run-id", "live", "--store", str(store)]
        with subprocess.Popen(
            [*command, "--", sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == "epoch 1\n"
            # a line is shown on the terminal before it is kept
            until(lambda: call("show", "live", "--output", "--store", store).stdout == "epoch 1\n")
            process.communicate("the end\n", LIMIT_S)
        assert call("show", "live", "--output", "--store", store).stdout == "epoch 1\nthe end\n"
        with provml.start_run("plain", store=store, formats=()) as run:
            pass
        none = call("show", run.path, "--output")
        assert (none.returncode, none.stdout) == (1, "")
        assert "kept no output" in none.stderr

    def test_all_digits_are_shown_on_request(self, store: Path) -> None:
        """A number would be rounded in one command, or exact only in JSON."""
        with provml.start_run("digits", store=store, run_id="exact", formats=()) as run:
            run.log_param("lr", 0.1 + 0.2)
            run.log_metric("loss", 2 / 3, None, 0)
            run.log_artifact(run.path / "run.json", "big")
        options = ("--store", store)
        for command, text in (
            (("show", "exact"), "0.30000000000000004"),
            (("show", "exact"), "0.6666666666666666"),
            (("plot", "exact", "loss"), "0.6666666666666666"),
        ):
            assert text in call(*command, *options, "--exact").stdout
            assert text not in call(*command, *options).stdout
        for command in (("runs", "--show", "params.lr"), ("sql", "SELECT last FROM series")):
            pytest.importorskip("duckdb")
            exact = "0.30000000000000004" if command[0] == "runs" else "0.6666666666666666"
            assert exact in on_terminal(*command, *options, "--exact")
            assert exact not in on_terminal(*command, *options)

    def test_a_failed_run_without_output_shows_its_traceback(self, store: Path) -> None:
        """Where in the script the exception was raised, stays hidden."""
        shown = call("show", "second-run", "--store", store).stdout
        assert 'raise ValueError(f"boom' in shown.partition("\ntraceback\n")[2]
        assert safe(shown)

    def test_a_copy_outside_the_run_is_not_shown(self, tmp_path: Path) -> None:
        """A store from elsewhere has a file of the reader's printed."""
        (tmp_path / "secret").write_text("mine")
        with provml.start_run("copies", store=tmp_path / "runs") as run:
            (tmp_path / "stderr").write_text("theirs")
            run.log_artifact(tmp_path / "stderr")
        (events,) = (run.path / "journal").glob("*.jsonl")
        recorded = events.read_text()
        (copy,) = re.findall(r'"copy":"([^"]*)"', recorded)
        for place in ("../../../secret", str(tmp_path / "secret"), "."):
            events.write_text(recorded.replace(copy, place))
            assert "mine" not in call("show", run.path, "--copy", "stderr").stdout
        kept = run.path / copy
        events.write_text(recorded)
        assert call("show", run.path, "--copy", "stderr").stdout == "theirs"
        kept.unlink()
        kept.symlink_to(tmp_path / "secret")
        assert "mine" not in call("show", run.path, "--copy", "stderr").stdout

    def test_a_nested_context_differs_from_a_name_with_a_slash(self, tmp_path: Path) -> None:
        """Two series look as if they were of one context."""
        with provml.start_run("contexts", store=tmp_path) as run:
            run.log_metric("loss", 1.0, provml.Context("warm-up", parent=provml.Context.TRAINING))
            run.log_metric("loss", 2.0, "training/warm-up")
        shown = call("show", run.path).stdout
        assert re.search(r"^  loss +training > warm-up +1 ", shown, re.MULTILINE)
        assert re.search(r"^  loss +training/warm-up +1 ", shown, re.MULTILINE)

    def test_ranks_are_sorted(self, tmp_path: Path) -> None:
        """The ranks stand in the order in which their processes happened to start."""
        code = (
            "import sys, provml\n"
            "with provml.start_run('ranks', store=sys.argv[1], run_id='job') as run:\n"
            "    run.log_metric('loss', 1.0)\n"
            "    run.log_metric('accuracy', 1.0)\n"
        )
        for rank in ("10", "2", "0"):
            environment = os.environ | {"RANK": rank}
            command = [sys.executable, "-c", code, str(tmp_path)]
            subprocess.run(command, env=environment, timeout=LIMIT_S, check=True)
        series = json.loads(call("show", "job", "--json", "--store", tmp_path).stdout)["series"]
        assert [(one["name"], one["rank"]) for one in series] == [
            (name, rank) for name in ("loss", "accuracy") for rank in (0, 2, 10)
        ]


class TestExport:
    def test_without_output_the_runs_own_document_is_written(self, store: Path) -> None:
        """The path printed is not where the document is."""
        folder = store / "plain" / "first-run"
        (folder / "provenance.json").unlink()
        done = call("export", "first-run", "--format", "provjson", "--store", store)
        assert done.stdout == f"{folder / 'provenance.json'}\n"
        assert "sample detail, 10 samples" in done.stderr
        assert ProvDocument.deserialize(str(folder / "provenance.json")).records

    def test_standard_output_gets_the_document_alone(self, store: Path) -> None:
        """`provml export -o - | jq` meets text that is no JSON."""
        done = call("export", "first", "--detail", "series", "-o", "-", "--store", store)
        assert "entity" in json.loads(done.stdout)
        assert done.stderr.count("\n") == 1

    def test_a_file_that_ends_in_gz_is_compressed(self, store: Path, tmp_path: Path) -> None:
        """The ending of the file's name is ignored."""
        target = tmp_path / "run.json.gz"
        assert call("export", "first", "-o", target, "--store", store).returncode == 0
        assert target.read_bytes()[:2] == b"\x1f\x8b"

    def test_the_ending_of_the_file_says_the_format(self, store: Path, tmp_path: Path) -> None:
        """A file named .ttl would hold PROV-JSON."""
        target = tmp_path / "run.ttl.gz"
        assert call("export", "first", "-o", target, "--store", store).returncode == 0
        assert gzip.decompress(target.read_bytes()).startswith(b"@prefix")
        target = tmp_path / "run.prov.jsonld"
        assert call("export", "first", "-o", target, "--store", store).returncode == 0
        assert b'"@type":"Generation"' in target.read_bytes()

    def test_an_ending_that_says_no_format_is_refused(self, store: Path, tmp_path: Path) -> None:
        """A slip in a name would write PROV-JSON under it."""
        done = call("export", "first", "-o", tmp_path / "run.xyz", "--store", store)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "can't tell the format from the extension of " in done.stderr
        assert "run.xyz: choose one with --format" in done.stderr
        assert call("export", "first", "-o", tmp_path / "run", "--store", store).returncode == 0

    def test_several_runs_become_one_document(self, store: Path, tmp_path: Path) -> None:
        """Several runs can't be handed on together."""
        target = tmp_path / "runs.json"
        runs = [path.parent for path in sorted(store.glob("*/*/run.json"))]
        done = call("export", *runs, "-o", target)
        assert f"{len(runs)} runs, sample detail" in done.stderr
        document = ProvDocument.deserialize(str(target))
        assert len(list(document.bundles)) == len(runs) > 1
        done = call("export", *runs, "--format", "turtle", "-o", target)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "turtle supports only one run" in done.stderr
        done = call("export", *runs)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "-o" in done.stderr

    def test_a_large_run_says_how_to_get_every_sample(self, tmp_path: Path) -> None:
        """The samples are missing from a large run's document and nothing says so."""
        with provml.start_run("large", store=tmp_path, formats=()) as run:
            for step in range(1_000_001):
                run.log_metric("loss", 0.5, None, step)
        done = call("export", run.path, "-o", os.devnull)
        wrote, advice = done.stderr.splitlines()
        assert "series detail, 1,000,001 samples" in wrote
        assert "--detail sample" in advice

    def test_a_terminal_sees_that_something_happens(self, store: Path) -> None:
        """A long export looks like a hang, or its progress stays on the screen."""
        shown = on_terminal("export", "first", "--store", store)
        assert "reading" in shown
        assert "wrote" in shown.splitlines()[-1]


class TestFormats:
    def test_each_format_says_what_it_is(self) -> None:
        """A name in `--format` has to be guessed at."""
        rows = [line.split("\t") for line in call("formats").stdout.splitlines()]
        assert [row[0] for row in rows] == list(format_names())
        assert next(row[:3] for row in rows if row[0] == "turtle") == ["turtle", ".ttl", "no"]
        assert all(len(row[3]) > 10 for row in rows)
        described = json.loads(call("formats", "--json").stdout)
        assert [one["name"] for one in described] == list(format_names())
        assert "N-Quads" in on_terminal("formats")


class TestRecover:
    def test_a_killed_run_is_closed_and_has_its_document(self, killed: Path) -> None:
        """A run whose process was killed can't be brought to an end."""
        done = call("recover", killed)
        assert done.returncode == 0
        assert "closed the owner's files of process" in done.stdout
        assert "1,000 samples" in done.stdout
        assert ProvDocument.deserialize(str(killed / "provenance.json")).records
        assert json.loads(call("show", killed, "--json").stdout)["ended"] is not None

    def test_twice_is_once(self, killed: Path) -> None:
        """A second recovery changes the run."""
        call("recover", killed)
        before = {path: path.read_bytes() for path in killed.rglob("*") if path.is_file()}
        done = call("recover", killed)
        assert done.stdout == "already recovered: dead is crashed\n"
        assert {path: path.read_bytes() for path in before} == before

    def test_a_document_that_was_not_reached_is_written(self, killed: Path) -> None:
        """A recovery that was itself cut short leaves the run without its document."""
        call("recover", killed)
        (killed / "provenance.json").unlink()
        assert "wrote" in call("recover", killed).stdout
        assert (killed / "provenance.json").exists()

    def test_a_run_under_way_is_refused(self, tmp_path: Path) -> None:
        """Recovery cuts the files of a living process."""
        with provml.start_run("live", store=tmp_path) as run:
            done = call("recover", run.path)
            run.log_metric("loss", 1.0)
        assert done.returncode == 1
        assert f"process {os.getpid()}" in done.stderr

    def test_an_ended_run_has_nothing_to_recover(self, store: Path) -> None:
        """An ended run is closed again."""
        done = call("recover", "first-run", "--store", store)
        assert done.stdout == "nothing to recover: first-run is finished\n"


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "status", "text"),
        [
            (["show", "nothing"], 2, "not found"),
            (["runs", "--frobnicate"], 2, "No such option"),
            (["frobnicate"], 2, "No such command"),
            (["export", "first-run", "--format", "nope"], 2, "Invalid value"),
            (["export", "first-run", "-o", "/nowhere/x"], 2, "no folder"),
            (["demo", "--epochs", "0"], 2, "Invalid value"),
        ],
    )
    def test_an_error_is_one_line(
        self, store: Path, arguments: list[str], status: int, text: str
    ) -> None:
        """A mistake prints a traceback, or a script can't tell it from success."""
        done = call(*arguments, PROVML_STORE=str(store))
        assert done.returncode == status
        assert done.stdout == ""
        assert done.stderr.startswith("provml: error: ")
        assert done.stderr.count("\n") == 1
        assert text in done.stderr

    def test_the_system_s_trouble_is_a_failure_not_misuse(self, store: Path) -> None:
        """A full disk reads like a wrong option, or prints a traceback."""
        done = call("export", "first-run", "-o", "/dev/full", "--store", store)
        assert done.returncode == 1
        assert done.stderr == "provml: error: No space left on device\n"

    def test_names_in_errors_are_text(self, store: Path) -> None:
        """A name in an error message reaches the terminal as a control code."""
        assert safe(call("show", "a\x1b[31m", "--store", store).stderr)

    @pytest.mark.parametrize("command", [["--help"], ["runs"], ["export", "latest", "-o", "-"]])
    def test_a_closed_pipe_is_quiet(self, store: Path, command: list[str]) -> None:
        """`provml runs | head` prints a traceback."""
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [*COMMAND, *command],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=os.environ | {"PROVML_STORE": str(store)},
            timeout=LIMIT_S,
            check=False,
        )
        os.close(writing)
        assert b"Traceback" not in done.stderr
        assert b"Broken" not in done.stderr
        assert b"Exception" not in done.stderr

    def test_ctrl_c_leaves_with_130(self, tmp_path: Path) -> None:
        """A shell loop goes on after Ctrl-C."""
        pytest.importorskip("sklearn", reason="the demo trains a model of scikit-learn")
        command = [*COMMAND, "demo", "--epochs", "100000", "--store", str(tmp_path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert "epoch" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 130
        assert "Traceback" not in stderr
        assert "interrupted" in call("runs", "--store", tmp_path).stdout

    def test_help_is_quick_because_nothing_heavy_is_imported(self) -> None:
        """`provml --help` takes a second."""
        code = (
            "import sys; from provml.cli import execute; execute(['--help']); "
            "print(sorted({'numpy', 'prov', 'rich', 'sklearn', 'orjson'} & sys.modules.keys()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]"

    def test_no_command_prints_the_help_and_is_misuse(self) -> None:
        """`provml` alone looks as if it had done something."""
        done = call()
        assert (done.returncode, done.stdout) == (2, "")
        assert "Record:" in done.stderr

    def test_version(self) -> None:
        """The version can't be told."""
        assert call("--version").stdout == f"provml {provml.__version__}\n"


def test_show_tells_spans_metadata_and_what_metrics_are_of(tmp_path: Path) -> None:
    """How long things took, or which model a metric is of, could not be seen."""
    told = {"external_id": "ext-1", "framework": "pytorch", "task": "detection"}
    with provml.start_run("told", store=tmp_path, metadata={"layers": 3}, **told) as run:
        run.log_model("net", {"w": 1})
        run.log_metric("accuracy", 0.5, "evaluation", of="net")
        run.log_event("save_started", source="trainer", timestamp=1000)
        run.log_event("save_finish", source="trainer", timestamp=1002.5)
    shown = call("show", run.path).stdout
    for line in ("external id +ext-1", "framework +pytorch", "task +detection", "  layers +3"):
        assert re.search(line, shown), line
    assert re.search("accuracy +evaluation +model net +1 ", shown)
    assert re.search(r"save +trainer +2\.5 s", shown)
    content = json.loads(call("show", run.path, "--json").stdout)
    assert content["metadata"] == {"layers": 3}
    assert {key: content[key] for key in told} == told
    assert [series["of"] for series in content["series"]] == [{"kind": "model", "name": "net"}]
    (span,) = content["spans"]
    assert (span["name"], span["duration_s"], span["source"]) == ("save", 2.5, "trainer")
