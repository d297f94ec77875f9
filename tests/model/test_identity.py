"""Names in documents: what two stores share, and what stays apart."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from prov.model import ProvDocument
from store_names import base_iri
from waiting import LIMIT_S

import provml
from provml.export import export
from provml.journal.reader import Journal
from provml.journal.store_identity import open_store_id
from provml.model.mapping import RunMapping

RECORDED = Path(__file__).parent / "recorded"

OWNERS = {
    "ada@example.org": "mailto:ada@example.org",
    "ada+lab@mail.example.org": "mailto:ada+lab@mail.example.org",
    "0000-0002-1825-0097": "https://orcid.org/0000-0002-1825-0097",
    "https://orcid.org/0000-0002-1825-0097": "https://orcid.org/0000-0002-1825-0097",
    "https://example.org/people#ada": "https://example.org/people#ada",
    "https://example.org/ada/": "https://example.org/ada/",
    "https://example.org/who?id=7&name=O'Hara(1);x": (
        "https://example.org/who?id=7&name=O'Hara(1);x"
    ),
    "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6": (
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    ),
    "https://example.org/åsa": "https://example.org/åsa",
    "https://example.org/-ada": "https://example.org/-ada",
    "https://example.org:8080/~ada.l/?a=1%20&b": ("https://example.org:8080/~ada.l/?a=1%20&b"),
}
"""Owners that identify a person everywhere, with the person's IRI."""

LOCAL_OWNERS = {
    "ada": "ada",
    "0000-0002-1825-0098": "0000-0002-1825-0098",  # the checksum is wrong
    "dept:vision": "dept%3Avision",
    "Ada L.": "Ada%20L%2E",
    "https://example.org/ada smith": "https%3A%2F%2Fexample.org%2Fada%20smith",
    "https://[ada": "https%3A%2F%2F%5Bada",
    "https://example.org:port/ada": "https%3A%2F%2Fexample.org%3Aport%2Fada",
    "https://example.org/%xda": "https%3A%2F%2Fexample.org%2F%25xda",
    "https://example.org/a#d#a": "https%3A%2F%2Fexample.org%2Fa%23d%23a",
    "https://example.org/a\u00d7d": "https%3A%2F%2Fexample.org%2Fa%C3%97d",
}
"""Owners that identify a person only within a store, with the last part of the person's name."""


def record(store: Path, **options: Any) -> Path:
    """Record a run with something of each kind that has a name."""
    with provml.start_run("digits", store=store, run_id="run1", formats=(), **options) as run:
        run.log_metric("loss", 0.5, "training", 1)
        run.log_param("lr", 0.1)
    return run.path


def names(folder: Path, detail: str = "sample") -> dict[str, str]:
    """The IRIs of the elements in a run's document, with their types."""
    mapping = RunMapping(Journal(folder), detail)
    prefixes = mapping.prefixes()
    found = {}
    for statement in mapping.statements():
        for one in statement.singly():
            if one.id is not None:
                prefix, _, local = str(one.id).partition(":")
                kinds = [str(value) for name, value in one.attributes if name == "prov:type"]
                found[prefixes[prefix] + local] = kinds[0]
    return found


def test_two_stores_share_no_name(tmp_path: Path) -> None:
    """Merged documents would say that one person, experiment and run did the work of two labs."""
    documents = []
    for lab in ("one", "two"):
        folder = record(tmp_path / lab, owner="root")
        sink = io.BytesIO()
        export(folder, "provjson", sink)
        documents.append(ProvDocument.deserialize(content=sink.getvalue().decode()))
        assert set(names(folder)) == {
            record.identifier.uri for record in documents[-1].get_records() if record.identifier
        }
    one, two = ({r.identifier.uri for r in d.get_records() if r.identifier} for d in documents)
    assert one & two == set()
    documents[0].update(documents[1])
    merged = documents[0].unified()
    kinds = [str(t) for record in merged.get_records() for t in record.get_asserted_types()]
    assert kinds.count("provml:Run") == kinds.count("provml:Experiment") == 2
    assert kinds.count("provml:Host") == kinds.count("prov:Person") == 2


def test_runs_of_one_store_share_their_experiment_and_owner(store: Path) -> None:
    """An experiment would fall apart into its runs."""
    for name in ("one", "two"):
        with provml.start_run("digits", store=store, run_id=name, owner="ada", formats=()):
            pass
    shared = names(store / "digits" / "one").keys() & names(store / "digits" / "two").keys()
    base = base_iri(store)
    assert shared >= {f"{base}experiment/digits", f"{base}person/ada"}


def test_a_namespace_is_shared_on_purpose(tmp_path: Path) -> None:
    """Two groups that agreed on a namespace could not name one experiment."""
    base = "https://example.org/lab/"
    for lab in ("one", "two"):
        found = names(record(tmp_path / lab, namespace=base, owner="ada"))
        assert found[f"{base}experiment/digits"] == "provml:Experiment"
        assert found[f"{base}person/ada"] == "prov:Person"


@pytest.mark.parametrize("owner", OWNERS)
def test_an_owner_with_an_identity_is_the_same_everywhere(store: Path, owner: str) -> None:
    """A person would differ between stores, or between formats."""
    folder = record(store, owner=owner)
    assert names(folder)[OWNERS[owner]] == "prov:Person"
    read = []
    for form in ("provjson", "provn", "provxml", "turtle", "ntriples", "jsonld", "provjsonld"):
        sink = io.BytesIO()
        export(folder, form, sink)
        read.append(provml.reading.read(sink.getvalue(), form))
    assert provml.load(folder).owner == owner
    for other in read[1:]:
        assert provml.equivalent(read[0], other)


@pytest.mark.parametrize("owner", LOCAL_OWNERS)
def test_any_other_owner_is_one_of_the_store(store: Path, owner: str) -> None:
    """A login name would be taken for an identity that the whole world shares."""
    found = names(record(store, owner=owner))
    assert found[f"{base_iri(store)}person/{LOCAL_OWNERS[owner]}"] == "prov:Person"


def test_a_moved_run_keeps_its_names(store: Path, tmp_path: Path) -> None:
    """A copy of a run would contradict the documents of the original."""
    folder = record(store)
    record(tmp_path / "other")
    moved = tmp_path / "other" / "digits" / "moved"
    shutil.copytree(folder, moved)
    assert names(moved) == names(folder)
    with provml.start_run(
        "digits", store=tmp_path / "other", run_id="moved", resume=True, formats=()
    ):
        pass
    assert names(folder).keys() <= names(moved).keys()


def test_an_old_run_keeps_its_names(tmp_path: Path) -> None:
    """Documents that were shared before an upgrade would speak of other things than new ones."""
    shutil.copytree(RECORDED / "digits", tmp_path / "digits")
    folder = tmp_path / "digits" / "old"
    description = folder / "run.json"
    description.write_text(description.read_text().replace('"ada"', '"ada@example.org"'))
    assert names(folder)["urn:provml:person/ada%40example.org"] == "prov:Person"
    description.write_text(description.read_text().replace('"ada@example.org"', '"ada"'))
    old = set((RECORDED / "old-names.txt").read_text().split())
    run = "urn:provml:digits/old/"
    changed = {f"{run}tag/kind", f"{run}tag/kind/2", f"{run}tag/seed"}  # now attributes
    changed.add(f"{run}source/train.py")  # now the same entity as the script
    for summary in ("cpu_percent.mean/2", "cpu_percent.max", "memory_percent.mean"):
        changed.add(f"{run}param/system.{summary}")  # now reading summaries
    changed.add(f"{run}param/system.memory_percent.max")
    assert changed < old
    kept = old - changed

    assert kept <= names(folder, "series").keys()
    options: dict[str, Any] = {"store": tmp_path, "run_id": "old", "resume": True}
    with provml.start_run("digits", formats=(), **options):
        pass
    assert kept <= names(folder, "series").keys()
    assert "store_id" not in json.loads((folder / "run.json").read_text())


def _open(store: Path, start: Any, found: Any) -> None:
    start.wait()
    found.put(open_store_id(store))


@pytest.mark.parametrize("links", [True, False])
def test_processes_that_start_at_once_get_one_id(
    store: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ranks that open a new store together would record under different names."""
    if not links:
        monkeypatch.setattr(os, "link", _refuse_links)
    context = multiprocessing.get_context("fork")
    start, found = context.Barrier(6), context.Queue()
    workers = [context.Process(target=_open, args=(store, start, found)) for _ in range(6)]
    for worker in workers:
        worker.start()
    ids = {found.get(timeout=LIMIT_S) for _ in workers}
    for worker in workers:
        worker.join()
    assert ids == {open_store_id(store)}
    assert os.listdir(store) == ["store.json"]


def _refuse_links(*arguments: Any, **options: Any) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"id": 7}', '{"id": "a/b c d e"}', "{" * 9])
def test_a_damaged_id_is_refused(store: Path, content: str) -> None:
    """Runs would be recorded under a name that nothing else has, without a word."""
    store.mkdir()
    (store / "store.json").write_text(content)
    with pytest.raises(provml.StoreError, match=r"store\.json contains no valid id: restore"):
        provml.start_run("digits", store=store)
    (store / "store.json").unlink()
    record(store)


@pytest.mark.parametrize("make", [lambda p: p.symlink_to("/etc/hostname"), os.mkfifo, os.mkdir])
def test_only_a_file_gives_an_id(store: Path, make: Any) -> None:
    """A hostile store could make a run read a file elsewhere, or hang."""
    store.mkdir()
    make(store / "store.json")
    with pytest.raises(provml.StoreError, match=r"store\.json"):
        provml.start_run("digits", store=store)


def test_an_id_of_a_newer_version_is_refused(store: Path) -> None:
    """A run would misread what a later version wrote."""
    store.mkdir()
    (store / "store.json").write_text('{"format": 2, "id": "abcdefghij"}')
    with pytest.raises(provml.JournalError, match="upgrade provml"):
        provml.start_run("digits", store=store)
