"""A store's folder .provml may contain anything: provml changes only the files that it wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import LIMIT_S
from watched import make_victim, take_snapshot

from provml.sparql import load_runs

RUNS = "SELECT ?run { ?run a provml:Run }"


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder outside the store that must not change."""
    folder = make_victim(tmp_path / "victim")
    before = take_snapshot(folder)
    yield folder
    assert take_snapshot(folder) == before


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "provml" / "sparql"


def ask(store: Path) -> list[str]:
    """Ask twice for the runs, and return the notes."""
    notes: list[str] = []
    for _ in range(2):
        with load_runs(None, store, note=notes.append) as loaded:
            assert len(list(loaded.query(RUNS))) == 2
            assert loaded.load_report.on_disk
    return notes


def _make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _link(place: str, target: str) -> Callable[[Path, Path], None]:
    def put(store: Path, victim: Path) -> None:
        _make(store / ".provml" / place).symlink_to(victim / target)

    return put


def _pipe(place: str) -> Callable[[Path, Path], None]:
    return lambda store, victim: os.mkfifo(_make(store / ".provml" / place))


def _files(*places: str) -> Callable[[Path, Path], None]:
    def put(store: Path, victim: Path) -> None:
        for place in places:
            _make(store / ".provml" / place).write_text("years of work")

    return put


_FOREIGN = {
    ".": _link("", ""),
    "dangling": _link("", "missing"),
    "sparql": _link("sparql", "sparql"),
    "data": _link("sparql/data", "data"),
    "index": _link("sparql/index.json", "index.json"),
    "lock": _link("sparql/lock", "lock"),
    "lock is a pipe": _pipe("sparql/lock"),
    "index is a pipe": _pipe("sparql/index.json"),
    "data is a file": _files("sparql/data"),
    "thesis": _files("sparql/thesis.tex"),
    "thesis in data": _files("sparql/data/thesis.tex"),
    "another database": _files("sparql/data/CURRENT", "sparql/data/000012.sst"),
    "another index": _files("sparql/index.json", "sparql/data/000012.sst"),
    "a log that is a link": _link("sparql/data/LOG", "victim.txt"),
}


@pytest.mark.parametrize("put", _FOREIGN.values(), ids=_FOREIGN)
def test_a_database_that_is_not_ours_is_built_in_the_cache(
    put: Callable[[Path, Path], None], store: Path, victim: Path, cache: Path
) -> None:
    """A query would empty a folder outside the store and fill it with the database, or hang."""
    put(store, victim)
    before = take_snapshot(store / ".provml") if not (store / ".provml").is_symlink() else None
    notes = ask(store)
    if before is not None:
        after = take_snapshot(store / ".provml")
        assert {place: facts[3] for place, facts in after.items()} == {
            place: facts[3] for place, facts in before.items()
        }
    assert list(cache.rglob("CURRENT"))
    assert any("are kept in" in note and "because" in note for note in notes)


def test_a_link_that_appears_while_the_database_is_open(store: Path, victim: Path) -> None:
    """Another user of the store could redirect the loading to another folder."""
    notes: list[str] = []
    with load_runs(None, store, note=notes.append):
        data = store / ".provml" / "sparql" / "data"
        data.rename(data.with_name("moved"))
        data.symlink_to(victim / "data")
    ask(store)


def test_provml_query_does_not_write_behind_a_link(store: Path, victim: Path) -> None:
    """`provml query` emptied a folder outside the store."""
    _link("sparql", "sparql")(store, victim)
    line = [sys.executable, "-m", "provml", "query", "--store", str(store), RUNS]
    done = subprocess.run(line, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    assert "run1" in done.stdout
    assert "because" in done.stderr


@pytest.mark.parametrize(
    ("shared", "folders", "files"), [("", 0o700, 0o600), ("007", 0o770, 0o660)]
)
def test_the_database_has_the_permissions_of_the_store(
    shared: str, folders: int, files: int, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others could read the runs of a private store; a group couldn't reload a shared one."""
    monkeypatch.setenv("PROVML_UMASK", shared)
    ask(store)
    modes = {
        (path.is_dir(), path.stat().st_mode & 0o777) for path in (store / ".provml").rglob("*")
    }
    assert modes == {(True, folders), (False, files)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"triples": ', '"triples": "x", "x": '),
        ('"triples": ', '"triples": -1.5e300, "samples": '),
        ('"status": "finished"', '"status": {}'),
        ('"final": true', '"final": []'),
        ('"read_unfinished": []', '"read_unfinished": ["no IRI", 7]'),
        ('"read_unfinished": []', '"read_unfinished": 7'),
        ('"graphs": {"', '"graphs": {"no IRI '),
        ('"graphs": {', '"graphs": {"urn:x": ' + "[" * 5000 + "]" * 5000 + ", "),
    ],
)
def test_an_index_with_other_types(old: str, new: str, store: Path) -> None:
    """A store that somebody else made would end each query with a traceback."""
    ask(store)
    index = store / ".provml" / "sparql" / "index.json"
    text = index.read_text()
    assert old in text
    index.write_text(text.replace(old, new))
    ask(store)


@pytest.mark.parametrize("left", [["LOG", "LOCK"], ["CURRENT", "MANIFEST-000001"], ["000004.sst"]])
def test_a_kill_while_the_database_is_deleted(left: list[str], store: Path) -> None:
    """What remains of a half-deleted database would count as somebody else's for ever."""
    ask(store)
    folder = store / ".provml" / "sparql"
    for path in (folder / "data").iterdir():
        if path.name not in left:
            path.unlink()
    for name in left:
        (folder / "data" / name).touch()
    (folder / "index.json").write_text('{"format": 1, "provml": "", "graphs": {}}')
    (folder / f".index.json.{'a' * 16}.part").write_text("{")
    ask(store)
    assert list((folder / "data").glob("*.sst"))
