"""The tables on the disk: always up to date, deletable, safe from two at once and from SIGKILL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from waiting import LIMIT_S

import provml
from provml.journal.store import scan_runs
from provml.lineage import segments
from provml.lineage.questions import Store


def experiments(store: Store) -> list[str]:
    """The experiments of all runs."""
    return sorted(store.runs().column("experiment"))


def test_only_what_is_new_is_read(pipeline: Any, step: Callable[..., str]) -> None:
    """Each question would read the whole store again."""
    store = provml.open_store(pipeline.store)
    assert store.refresh() == 5
    assert store.refresh() == 0
    assert provml.open_store(pipeline.store).refresh() == 0
    step("new", [], [])
    assert provml.open_store(pipeline.store).refresh() == 1
    assert "new" in experiments(store)


def test_a_run_under_way_is_read_as_it_stands(store: Path) -> None:
    """A run would be missing, or stand still, until it ends; or never be seen as ended."""
    opened = None
    with provml.start_run("live", store=store, formats=()) as run:
        opened = provml.open_store(store)
        for step in range(3):
            run.log_metric("m", step, "training", step)
            run.log_param(f"p{step}", step)
            (row,) = opened.runs(show=["metrics.m.count", f"params.p{step}"])
            assert (row["status"], row["metrics.m.count"]) == ("running", step + 1)
            assert row[f"params.p{step}"] == step
            samples = opened.sql("SELECT count(*) FROM samples").rows
            assert samples == [(step + 1,)]
        assert opened.sql("SELECT ended_ns FROM runs").rows == [(None,)]
        assert not opened._database.segments.names()  # nothing to be written again and again
    assert opened.runs("status == 'finished' and sample_count == 3").column("id") == [run.id]
    assert opened.refresh() == 0
    assert len(provml.open_store(store)._database.segments.names()) == 1


def test_readings_are_no_metrics(store: Path) -> None:
    """A run of three losses would seem to have logged hundreds, a temperature among them."""

    class Room:
        name = "room"

        def collect(self) -> dict[str, float]:
            return {"temperature": 21.0}

    options = {"store": store, "formats": (), "sample_interval_s": 1000}
    with provml.start_run("read", collect=[Room()], **options) as run:
        for step in range(3):
            run.log_metric("loss", 1.0, "training", step)
    opened = provml.open_store(store)
    (row,) = opened.runs(show=["sample_count", "metrics.temperature"])
    assert (row["sample_count"], row["metrics.temperature"]) == (3, None)
    assert len(opened.runs('"temperature" in metrics')) == 0
    kinds = opened.sql("SELECT DISTINCT kind FROM series WHERE name = 'temperature'").rows
    assert kinds == [("room",)]


def test_a_killed_run_is_there(store: Path) -> None:
    """What a crashed run made would have no origin."""
    script = f"""
        import os, signal, provml
        open("made.txt", "w").write("made")
        run = provml.start_run("dead", store={str(store)!r}, formats=())
        run.log_metric("m", 1.5, "training", 0)
        run.log_artifact("made.txt")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    store.mkdir()
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=store)
    assert done.returncode == -signal.SIGKILL
    opened = provml.open_store(store)
    assert opened.runs("status == 'crashed' and metrics.m.last == 1.5").column("experiment") == [
        "dead"
    ]
    assert len(opened.lineage(store / "made.txt").runs) == 1
    assert opened.refresh() == 0


def test_a_changed_journal_is_read_again(pipeline: Any) -> None:
    """The tables would say what a journal said once."""
    opened = provml.open_store(pipeline.store)
    opened.refresh()
    path = pipeline.store / pipeline.runs["train"]
    with provml.start_run(
        "train", store=pipeline.store, run_id=path.name, resume=True, formats=()
    ) as run:
        run.log_param("added", 1)
    assert opened.refresh() == 1
    assert opened.runs("params.added == 1").column("run") == [pipeline.runs["train"]]


def test_removed_runs_are_gone(pipeline: Any) -> None:
    """A deleted run would go on being an origin."""
    opened = provml.open_store(pipeline.store)
    assert len(opened.lineage("report.json").runs) == 4
    shutil.rmtree(pipeline.store / pipeline.runs["tune"])
    assert len(opened.lineage("report.json").runs) == 1
    assert len(opened.runs()) == 4
    assert opened.sql("SELECT count(*) FROM samples").rows == [(6,)]


def test_the_tables_may_be_deleted_or_damaged(pipeline: Any) -> None:
    """A cache would be more than a cache."""
    opened = provml.open_store(pipeline.store)
    before = opened.sql("SELECT * EXCLUDE (fingerprint) FROM runs ORDER BY run").rows
    edges = opened.sql("SELECT * FROM edges ORDER BY ALL").rows

    def same(store: Store) -> None:
        assert store.sql("SELECT * FROM edges ORDER BY ALL").rows == edges
        assert store.sql("SELECT * EXCLUDE (fingerprint) FROM runs ORDER BY run").rows == before

    shutil.rmtree(opened.tables_folder.parent)
    same(opened)
    same(provml.open_store(pipeline.store))
    for table in ("runs", "edges"):
        for path in opened.tables_folder.glob(f"*/{table}.parquet"):
            path.write_bytes(path.read_bytes()[:100])
        same(provml.open_store(pipeline.store))
        for path in opened.tables_folder.glob(f"*/{table}.parquet"):
            path.unlink()
        same(provml.open_store(pipeline.store))


def test_segments_are_merged(store: Path, step: Callable[..., str]) -> None:
    """A thousand questions would leave a thousand small files, or merging would lose a run."""
    opened, runs = provml.open_store(_made(store)), []
    for number in range(30):
        runs.append(step(f"e{number}", [], [], {"number": number}))
        if number == 10:
            shutil.rmtree(store / runs.pop(3))
        opened.refresh()
        assert len(opened._database.segments.names()) <= segments._MOST_SEGMENTS
    for again in (opened, provml.open_store(store)):
        assert again.refresh() == 0
        assert sorted(again.runs("params.number >= 0").column("run")) == sorted(runs)
        assert again.sql("SELECT count(*), count(DISTINCT run) FROM params").rows == [(29, 29)]


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damage_does_not_stop_merging(store: Path, step: Callable[..., str], damage: str) -> None:
    """One damaged file would have every question fail from some number of runs on."""
    opened = provml.open_store(_made(store))
    for number in range(20):
        step("e", [], [], {"number": number})
        opened.refresh()
        assert len(opened._database.runs) == number + 1
        if number == 5:
            path = opened._database.segments.path(opened._database.segments.names()[0], "edges")
            if damage == "cut":
                path.write_bytes(path.read_bytes()[:40])
            else:
                path.unlink()
    for again in (opened, provml.open_store(store)):
        assert len(again.runs()) == 20
        assert again.sql("SELECT count(DISTINCT run) FROM edges").rows == [(20,)]


def _made(store: Path) -> Path:
    store.mkdir(exist_ok=True)
    return store


def test_what_is_no_run_is_passed_over(pipeline: Any, tmp_path: Path) -> None:
    """Somebody's own folder in the store would end every question."""
    (pipeline.store / "notes.txt").write_text("notes")
    (pipeline.store / "foreign" / "sub" / "deep").mkdir(parents=True)
    (pipeline.store / "foreign" / "journal").mkdir()
    (pipeline.store / "dangling").symlink_to(tmp_path / "nowhere")
    (pipeline.store / "loop").symlink_to(pipeline.store)
    empty = pipeline.store / "empty" / "run"
    (empty / "journal").mkdir(parents=True)
    broken = pipeline.store / "broken" / "run"
    (broken / "journal").mkdir(parents=True)
    (broken / "run.json").write_text('{"id": "\\ud800", "experiment": 5')
    (broken / "journal" / "00000000000000000001-1-aaaaaaaa.events.jsonl").write_bytes(
        b'{"record":"writer","format":1}\n\xff\xfe\n{"record":"param","time":1,"name":[],"value":1}\n'
    )
    opened = provml.open_store(pipeline.store)
    assert len(opened.lineage("report.json").runs) == 4
    assert {"broken", "empty"} <= {run.split("/")[0] for run in opened.runs().column("run")}


def test_a_run_of_a_newer_version_is_left_out_and_named(pipeline: Any) -> None:
    """One run of a newer provml would hide all others, or be missing without a word."""
    path = pipeline.store / pipeline.runs["apart"] / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    opened = provml.open_store(pipeline.store)
    answer = opened.runs()
    assert len(answer) == 4
    assert pipeline.runs["apart"] in answer.notes[0] and "upgrade provml" in answer.notes[0]
    assert opened.lineage("report.json").notes == answer.notes
    with pytest.raises(provml.ProvMLError, match="upgrade provml"):
        opened.diff(pipeline.runs["train"], pipeline.store / pipeline.runs["apart"])


def test_two_copies_of_a_run_are_both_there_and_named(pipeline: Any) -> None:
    """A run that was copied and went on would be mixed up with its copy."""
    original = pipeline.store / pipeline.runs["train"]
    shutil.copytree(original, pipeline.store / "elsewhere" / original.name)
    opened = provml.open_store(pipeline.store)
    found = opened.lineage(pipeline.work / "base.bin")
    assert {pipeline.runs["train"], f"elsewhere/{original.name}"} <= set(found.runs)
    assert any("2 times" in note and original.name in note for note in found.notes)
    assert len(opened.runs("experiment == 'train'")) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cant_be_written_is_read(
    pipeline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's runs could not be asked about."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pipeline.store.chmod(0o500)
    try:
        assert len(provml.open_store(pipeline.store).lineage("report.json").runs) == 4
        assert provml.open_store(pipeline.store).refresh() == 0
    finally:
        pipeline.store.chmod(0o700)


def test_a_store_on_a_place_for_no_folders_is_read(
    pipeline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store where the tables can't be made could not be asked about."""
    (pipeline.store / ".tables").write_text("a file is in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    opened = provml.open_store(pipeline.store)
    assert len(opened.runs()) == 5
    assert opened.tables_folder.is_relative_to(tmp_path / "cache")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(provml.open_store(pipeline.store).runs()) == 5


@pytest.mark.parametrize("name", ["we[i]rd *x?", "a'b\"c", "ünï 🦉", "%41"])
def test_any_folder_name(pipeline: Any, tmp_path: Path, name: str) -> None:
    """A store in a folder with a bracket in its name could not be asked."""
    moved = tmp_path / name
    shutil.move(pipeline.store, moved)
    for opened in (provml.open_store(moved), provml.open_store(moved)):
        assert len(opened.lineage("report.json").runs) == 4
        assert opened.sql("SELECT count(*) FROM samples").rows == [(9,)]


@pytest.mark.slow
def test_several_processes_index_at_once(store: Path, step: Callable[..., str]) -> None:
    """Two people who ask at once would damage the tables, or count runs twice."""
    for number in range(16):
        step(f"e{number % 4}", [], [], {"number": number})
    code = (
        "import provml, sys; print(len(provml.open_store(sys.argv[1]).runs('params.number >= 0')))"
    )
    command = [sys.executable, "-c", code, str(store)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        out, err = process.communicate(timeout=LIMIT_S)
        assert (out.strip(), err) == ("16", "")
    opened = provml.open_store(store)
    assert opened.refresh() == 0
    assert opened.sql("SELECT count(*) FROM params").rows == [(16,)]


@pytest.mark.slow
def test_several_threads_ask_one_store(pipeline: Any, step: Callable[..., str]) -> None:
    """A server that asks from its threads would get another's answer."""
    opened = provml.open_store(pipeline.store)

    def ask(number: int) -> tuple[int, int]:
        return len(opened.lineage("report.json").runs), len(opened.runs("params.lr > 0"))

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(24))) == {(4, 3)}


@pytest.mark.slow
def test_a_store_is_read_while_it_is_written(store: Path) -> None:
    """A question amid recording would fail, or give half a run."""
    code = f"""
        import provml
        for number in range(60):
            with provml.start_run("e", store={str(_made(store))!r}, formats=()) as run:
                run.log_param("number", number)
                for step in range(50):
                    run.log_metric("m", step, "training", step)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    opened, counts = provml.open_store(store), [0]
    while process.poll() is None:
        answer = opened.runs(show=["metrics.m.count"])
        counts.append(len(answer))
        ended = [row for row in answer if row["status"] == "finished"]
        assert all(row["metrics.m.count"] == 50 for row in ended)
        assert len(answer) - len(ended) <= 1
    assert process.returncode == 0
    assert counts == sorted(counts)
    assert len(opened.runs("status == 'finished'")) == 60
    assert opened.sql("SELECT count(*) FROM samples").rows == [(3000,)]


KILLED = """
import os, signal, sys
import pyarrow.parquet as pq
import provml
original, left = pq.ParquetWriter.write_table, int(sys.argv[2])
def write_table(*arguments, **options):
    global left
    original(*arguments, **options)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
pq.ParquetWriter.write_table = write_table
for _ in range(12):
    with provml.start_run("more", store=sys.argv[1], formats=()) as run:
        run.log_param("number", 1)
    provml.open_store(sys.argv[1]).refresh()
"""


@pytest.mark.parametrize(
    "writes",
    [
        1,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (10, 95)),
        *(pytest.param(n, marks=pytest.mark.soak) for n in (5, 9, 88, 91, 101)),
    ],
)
def test_a_kill_amid_indexing_costs_nothing(pipeline: Any, writes: int) -> None:
    """A killed index would leave tables that are wrong, or a lock that is never released."""
    command = [sys.executable, "-c", KILLED, str(pipeline.store), str(writes)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    there = len(list(pipeline.store.glob("*/*/run.json")))
    opened = provml.open_store(pipeline.store)
    assert len(opened.runs()) == there
    assert len(opened.lineage("report.json").runs) == 4
    assert opened.sql("SELECT count(*), count(DISTINCT run) FROM runs").rows == [(there, there)]
    assert provml.open_store(pipeline.store).refresh() == 0
    with opened._database.segments.writing():
        pass
    assert not list(opened.tables_folder.glob(".part-*"))


@pytest.mark.slow
def test_a_full_disk_costs_the_tables_only(pipeline: Any) -> None:
    """A question would fail where there is no room to keep its answer."""
    opened = provml.open_store(pipeline.store)
    limit = textwrap.dedent(f"""
        import resource, signal, sys, provml
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        import duckdb, pyarrow.parquet
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
        print(len(provml.open_store({str(pipeline.store)!r}).lineage("report.json").runs))
    """)
    done = subprocess.run([sys.executable, "-c", limit], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("4", 0), done.stderr
    assert len(opened.runs()) == 5


@pytest.mark.parametrize("table", ["runs", "params"])
def test_a_small_file_with_billions_of_rows_is_replaced(store: Path, table: str) -> None:
    """A table of a few kilobytes in a store from elsewhere would fill the memory and the disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with provml.start_run("one", store=store, formats=()) as run:
        run.log_param("lr", 0.5)
    assert provml.open_store(store).runs(show=["params.lr"]).column("params.lr") == [0.5]
    (path,) = store.glob(f".tables/*/*/{table}.parquet")
    rows = pq.read_table(path).slice(0, 1)
    many = rows.take(pa.array([0] * 1_000_000, pa.int32()))
    pq.write_table(many, path, compression="zstd")
    opened = provml.open_store(store)
    assert opened.runs(show=["params.lr"]).column("params.lr") == [0.5]
    (path,) = store.glob(f".tables/*/*/{table}.parquet")
    assert pq.read_metadata(path).num_rows == 1


def test_links_in_the_tables_are_no_unreadable_runs(store: Path, tmp_path: Path) -> None:
    """Each question would name runs that nobody recorded."""
    with provml.start_run("one", store=store, formats=()):
        pass
    provml.open_store(store).refresh()
    (tmp_path / "outside").mkdir()
    for folder in (store / ".tables", store / ".provml"):
        folder.mkdir(exist_ok=True)
        (folder / "link").symlink_to(tmp_path / "outside")
    assert experiments(provml.open_store(store)) == ["one"]
    assert [type(entry).__name__ for entry in scan_runs(store)] == ["RunEntry"]
