"""`provml query` and `provml push` as people and scripts call them."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from sparql.conftest import record
from sparql.servers import graph_size, oxigraph
from store_names import base_iri
from waiting import LIMIT_S, until

import provml

COMMAND = [sys.executable, "-m", "provml"]
IDS = "SELECT ?id { ?run a provml:Run ; provml:runId ?id } ORDER BY ?id"
ENDLESS = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }"


def call(*arguments: object, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with its streams in pipes."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        env=os.environ | variables,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two runs."""
    place = tmp_path / "provenance"
    record(place, 1)
    record(place, 2)
    return place


class TestQuery:
    def test_a_pipe_gets_csv(self, store: Path) -> None:
        """`provml query ... | cut -d, -f1` breaks."""
        done = call("query", IDS, "--store", store)
        assert (done.stdout, done.stderr) == ("id\nrun1\nrun2\n", "")
        assert call("query", "run2", IDS, "--store", store).stdout.split() == ["id", "run2"]

    def test_the_query_comes_from_a_file_or_the_input(self, store: Path, tmp_path: Path) -> None:
        """A query of many lines could not be kept."""
        file = tmp_path / "q.rq"
        file.write_text(
            f"# What runs there are.\n# id: of one run\n{IDS}".replace(
                "{ ?run", "{ VALUES ?id { UNDEF } ?run"
            )
        )
        assert call("query", "--file", file, "--store", store).stdout.split()[1:] == [
            "run1",
            "run2",
        ]
        one = call("query", "--file", "-", "run1", "--store", store, stdin=IDS)
        assert one.stdout.split() == ["id", "run1"]
        chosen = call("query", "--file", file, "--set", "id=run2", "--store", store)
        assert chosen.stdout.split() == ["id", "run2"]

    def test_ready_queries_are_listed_and_asked(self, store: Path) -> None:
        """Nobody would know what there is to ask."""
        listed = call("query", "--list").stdout
        assert re.search(r"^best-step +\w", listed, re.MULTILINE)
        assert "--set metric=..." in listed
        asked = ("--name", "best-step", "--set", "metric=loss", "--set", "extreme=lowest")
        done = call("query", "run1", *asked, "--format", "json", "--store", store)
        (row,) = json.loads(done.stdout)["results"]["bindings"]
        assert (row["step"]["value"], row["value"]["value"]) == ("7", "1")

    def test_files_take_their_format_from_the_ending(self, store: Path, tmp_path: Path) -> None:
        """Parquet would hold CSV."""
        target = tmp_path / "x.parquet"
        name = ("--name", "metric-samples", "--set", "metric=loss")
        done = call("query", *name, "-o", target, "--store", store)
        assert (done.returncode, done.stdout) == (0, "")
        assert pyarrow.parquet.read_table(target)["value"].to_pylist()[7] == 1.0
        graph = tmp_path / "x.ttl"
        made = "CONSTRUCT { ?run provml:runId ?id } WHERE { ?run provml:runId ?id }"
        assert call("query", made, "-o", graph, "--store", store).returncode == 0
        assert "provml:runId" in graph.read_text()

    def test_nothing_need_be_kept(self, store: Path) -> None:
        """A question asked once would leave a database behind."""
        done = call("query", IDS, "--in-memory", "--store", store)
        assert (done.stdout.split(), done.stderr) == (["id", "run1", "run2"], "")
        assert {path.name for path in store.iterdir()} == {"store.json", "digits"}

    def test_yes_and_no_are_words(self, store: Path) -> None:
        """A shell could not tell."""
        assert call("query", "ASK { ?run a provml:Run }", "--store", store).stdout == "true\n"
        assert call("query", "ASK { ?run a provml:Ran }", "--store", store).stdout == "false\n"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["SELECT ?x {\n ?x prov:value }"], "line 2, column 16: unexpected '}'"),
            (["DELETE WHERE { ?s ?p ?o }"], "line 1, column 1: unexpected 'DELETE'"),
            (["SELECT * { SERVICE <http://localhost/> { ?s ?p ?o } }"], "SERVICE is not supported"),
            (["nothing", IDS], "run 'nothing' not found"),
            (["latest"], "'latest' is not a query"),
            ([], "the query is missing"),
            (["--name", "best"], "unknown query 'best'; use one of alerts, best-step"),
            (
                ["--name", "series", "--set", "metrik=loss"],
                "no parameter 'metrik'; use one of metric",
            ),
            (["--name", "series", "--set", "metric"], "--set takes NAME=VALUE"),
            (["--name", "series", "--file", "q.rq"], "not both"),
            (["--name", "series", "--format", "turtle"], "turtle is a format for graphs"),
            (["--name", "series", "-o", "no/where.csv"], "there is no folder no"),
            (["--name", "series", "--endpoint", "http://a:b@c/"], "URL contains credentials"),
        ],
        ids=range(13),
    )
    def test_misuse_is_one_line(self, store: Path, arguments: list[str], said: str) -> None:
        """A mistake would end in a traceback."""
        done = call("query", *arguments, "--store", store)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1

    def test_trouble_is_one_line(self, store: Path, tmp_path: Path) -> None:
        """A file that is not there would end in a traceback."""
        done = call("query", "--file", tmp_path / "none.rq", "--store", store)
        assert done.returncode == 1
        assert done.stderr.endswith("none.rq: No such file or directory\n")
        (tmp_path / "binary.rq").write_bytes(b"\xff\xfe")
        done = call("query", "--file", tmp_path / "binary.rq", "--store", store)
        assert "is not UTF-8 text" in done.stderr

    def test_a_time_limit_ends_a_query(self, store: Path, tmp_path: Path) -> None:
        """A query that multiplies everything by everything would run for ever."""
        target = tmp_path / "x.csv"
        done = call("query", ENDLESS, "--timeout", "2", "-o", target, "--store", store)
        assert done.returncode == 1
        assert "did not finish within 2 s" in done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["provenance"]
        assert call("query", IDS, "--store", store).returncode == 0

    def test_an_interrupt_ends_a_query(self, store: Path) -> None:
        """Ctrl-C would do nothing until the engine comes back."""
        command = [*COMMAND, "query", ENDLESS, "--store", str(store)]
        with subprocess.Popen(command, start_new_session=True, text=True) as process:
            index = store / ".provml" / "sparql" / "index.json"
            until(index.exists)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(LIMIT_S) == 130

    def test_a_terminal_gets_a_table_with_six_digits(self, store: Path) -> None:
        """Numbers are hard to compare, or never exact, or names could steer the terminal."""
        hostile = "[red]\x1b[31m\u202e"
        with provml.start_run("e", store=store, formats=(), run_id="odd") as run:
            run.log_param(hostile, 0.1 + 0.2)
        command = [*COMMAND, "query", "odd", "--name", "parameters", "--store", str(store)]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
        shown = ""
        for options, digits in (((), "0.3"), (("--exact",), "0.30000000000000004")):
            master, slave = pty.openpty()
            subprocess.run(
                [*command, *options], stdout=slave, env=environment, check=True, timeout=LIMIT_S
            )
            os.close(slave)
            shown = os.read(master, 65536).decode()
            os.close(master)
            assert digits in shown.split()
        assert "[red]\\x1b[31m\\u202e" in shown
        assert "\x1b[31m" not in shown


class TestPush:
    def test_runs_are_pushed_and_asked_about(self, store: Path, tmp_path: Path) -> None:
        """Runs could not be asked about on a server."""
        with oxigraph(tmp_path / "server") as url:
            to = ("--to", f"{url}/store", "--store", store)
            done = call("push", "run1", "run2", *to)
            graphs = [f"{base_iri(store)}digits/run{number}/bundle" for number in (1, 2)]
            assert (done.returncode, done.stdout.split()) == (0, graphs)
            assert "pushed run1 (1 of 2)" in done.stderr
            at = ("--endpoint", f"{url}/query", "--store", store)
            assert call("query", "run1", "run2", IDS, *at).stdout.split() == ["id", "run1", "run2"]
            assert call("query", "run2", IDS, *at).stdout.split() == ["id", "run2"]
            assert call("push", "run1", *to, "--graph", "urn:mine").returncode == 0
            assert graph_size(url, "urn:mine") == graph_size(url, graphs[0]) > 100

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["run1", "--to", "https://a:secret@host/"], 2, "the URL contains credentials"),
            (["run1", "--to", "host/store"], 2, "must start with https:// or http://"),
            (["none", "--to", "http://localhost/"], 2, "run 'none' not found"),
            (["run1", "run2", "--graph", "urn:g", "--to", "http://localhost/"], 2, "a single run"),
            (["run1", "--graph", "g", "--to", "http://localhost/"], 2, "must be an absolute IRI"),
            (["run1", "--to", "http://example.org/"], 1, "unencrypted: use https://"),
        ],
    )
    def test_misuse_is_one_line(
        self, store: Path, arguments: list[str], status: int, said: str
    ) -> None:
        """A mistake would end in a traceback, or show a password."""
        secret = {"PROVML_SPARQL_TOKEN": "t0ken"}
        done = call("push", *arguments, "--store", store, **secret)
        assert (done.returncode, done.stdout) == (status, "")
        assert said in done.stderr
        assert "secret" not in done.stderr
        assert "t0ken" not in done.stderr
        assert done.stderr.count("\n") == 1
