"""A store's folder .tables may contain anything: provml changes only the files that it wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import LIMIT_S
from watched import make_victim, take_snapshot

import provml
from provml.lineage.tables import TABLES_VERSION

VERSION = f"v{TABLES_VERSION}"
SEGMENT = "01700000000000000000-1-abcdef"
PARTIAL = f".part-{SEGMENT}"


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder outside the store that must not change."""
    folder = make_victim(tmp_path / "victim")
    for name in (SEGMENT, PARTIAL):
        (folder / name).mkdir()
        (folder / name / "thesis.tex").write_text("years of work")
    before = take_snapshot(folder)
    yield folder
    assert take_snapshot(folder) == before


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one run and no tables yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with provml.start_run(
        "x", store=tmp_path / "store", run_id="a", sample_interval_s=0, formats=()
    ) as run:
        run.log_metric("loss", 0.5, step=1)
        run.log_model("net", {"w": 1.0})
    return tmp_path / "store"


def ask(store: Path) -> list[str]:
    """Ask everything that reads tables; check the answers, and return the notes."""
    opened = provml.open_store(store)
    runs = opened.runs()
    assert runs.column("id") == ["a"]
    assert opened.sql("SELECT value FROM samples").rows == [(0.5,)]
    assert opened.history("net").column("run") == ["x/a"]
    assert provml.open_store(store).runs().column("id") == ["a"]
    return list(runs.notes)


def _make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _link(place: str, target: str) -> Callable[[Path, Path], None]:
    def put(store: Path, victim: Path) -> None:
        _make(store / ".tables" / place).symlink_to(victim / target)

    return put


def _pipe(place: str) -> Callable[[Path, Path], None]:
    return lambda store, victim: os.mkfifo(_make(store / ".tables" / place))


def _file(place: str) -> Callable[[Path, Path], None]:
    def put(store: Path, victim: Path) -> None:
        _make(store / ".tables" / place).write_text("years of work")

    return put


_LINKED = {
    ".": _link("", ""),
    "dangling": _link("", "missing"),
    VERSION: _link(VERSION, ""),
    "lock": _link(f"{VERSION}/lock", "lock"),
    "samples": _link(f"{VERSION}/samples", "samples"),
    "pipe": _pipe(VERSION),
    "lock is a pipe": _pipe(f"{VERSION}/lock"),
    "a file": _file(VERSION),
}


@pytest.mark.parametrize("put", _LINKED.values(), ids=_LINKED)
def test_tables_that_are_not_ours_are_built_in_the_cache(
    put: Callable[[Path, Path], None], store: Path, victim: Path, tmp_path: Path
) -> None:
    """A question would delete or replace files outside the store, or hang."""
    put(store, victim)
    before = take_snapshot(store)
    notes = ask(store)
    assert take_snapshot(store) == before
    assert list((tmp_path / "cache" / "provml" / "tables").rglob("runs.parquet"))
    assert any("the tables are in" in note and "because" in note for note in notes)


_FOREIGN = {
    "segment": _link(f"{VERSION}/{SEGMENT}", SEGMENT),
    "partial": _link(f"{VERSION}/{PARTIAL}", PARTIAL),
    "file of a segment": _link(f"{VERSION}/{SEGMENT}/runs.parquet", "victim.txt"),
    "pipe in a segment": _pipe(f"{VERSION}/{SEGMENT}/runs.parquet"),
    "year": _file(f"{VERSION}/2024/thesis.tex"),
    "thesis in a segment": _file(f"{VERSION}/{SEGMENT}/thesis.tex"),
    "folder": _file(f"{VERSION}/notes/thesis.tex"),
}


@pytest.mark.parametrize("put", _FOREIGN.values(), ids=_FOREIGN)
def test_foreign_content_among_the_tables_stays(
    put: Callable[[Path, Path], None], store: Path, victim: Path
) -> None:
    """A folder whose name begins with a digit would count as a damaged segment and be deleted."""
    put(store, victim)
    before = take_snapshot(store / ".tables" / VERSION)
    notes = ask(store)
    after = take_snapshot(store / ".tables" / VERSION)
    assert {place: after[place] for place in before if place != "."} == {
        place: before[place] for place in before if place != "."
    }
    if "partial" not in str(put):
        assert any("provml did not write" in note for note in notes)


def test_a_thesis_in_a_partial_segment_stays(store: Path) -> None:
    """Sweeping what killed processes left would take the user's files with it."""
    _file(f"{VERSION}/{PARTIAL}/thesis.tex")(store, store)
    _file(f"{VERSION}/{PARTIAL}/runs.parquet")(store, store)
    ask(store)
    assert os.listdir(store / ".tables" / VERSION / PARTIAL) == ["thesis.tex"]


def test_a_damaged_segment_is_removed_alone(store: Path) -> None:
    """A damaged segment would stay for ever, or more than our files would be removed."""
    _file(f"{VERSION}/{SEGMENT}/runs.parquet")(store, store)
    ask(store)
    assert not (store / ".tables" / VERSION / SEGMENT).exists()


@pytest.mark.parametrize("table", ["runs", "params", "nodes"])
def test_a_segment_with_other_columns_is_built_again(table: str, store: Path) -> None:
    """A file with other columns would stop every question about the store."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    ask(store)
    (path,) = (store / ".tables" / VERSION).glob(f"0*/{table}.parquet")
    rows = pq.read_table(path)
    pq.write_table(rows.append_column("more", pa.array([1] * len(rows))), path)
    opened = provml.open_store(store)
    assert opened.sql(f"SELECT count(*) FROM {table}").rows[0][0] == len(rows)
    ask(store)


def test_samples_behind_a_link_are_neither_read_nor_replaced(store: Path, victim: Path) -> None:
    """SQL would read a file outside the store as the samples of a run, or overwrite it."""
    ask(store)
    (samples,) = (store / ".tables" / VERSION / "samples").glob("*.parquet")
    samples.unlink()
    samples.symlink_to(victim / "victim.txt")
    ask(store)
    assert not samples.is_symlink()


def test_leftovers_of_killed_processes_are_removed(store: Path) -> None:
    """Each killed question would leave files in the store for ever."""
    folder = store / ".tables" / VERSION
    ask(store)
    (folder / "samples" / f".part-{'a' * 24}-1-abcdef").write_text("half")
    for name, age_s in (("1-" + "a" * 16, 2 * 86_400), ("2-" + "b" * 16, 0)):
        spill = folder / f".part-spill-{name}"
        spill.mkdir()
        (spill / "duckdb_temp_storage_DEFAULT-0.tmp").write_text("half")
        status = spill.stat()
        os.utime(spill, (status.st_atime, status.st_mtime - age_s))
    ask(store)
    assert [path.name for path in folder.glob(".part-*")] == [f".part-spill-2-{'b' * 16}"]
    assert not list((folder / "samples").glob(".part-*"))


@pytest.mark.parametrize("command", ["runs", "index", "history", "sql", "lineage"])
def test_no_command_deletes_what_the_tables_link_to(
    command: str, store: Path, victim: Path
) -> None:
    """`provml runs` deleted the folders of another project."""
    _link(VERSION, "")(store, victim)
    words = {"history": ["net"], "sql": ["SELECT id FROM runs"], "lineage": ["net"]}
    line = [sys.executable, "-m", "provml", command, *words.get(command, []), "--store", str(store)]
    done = subprocess.run(line, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    assert command == "index" or "a" in done.stdout


def test_tables_are_private(store: Path) -> None:
    """Others could read the parameters of all runs in a private store."""
    ask(store)
    for path in (store / ".tables", *(store / ".tables").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
