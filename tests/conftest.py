"""Fixtures for all tests."""

from __future__ import annotations

import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prov.identifier import QualifiedName
from prov.model import Literal, ProvDocument

import provml
from provml.recording import process_hooks

_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
_LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")


@pytest.fixture(autouse=True, scope="session")
def no_readings() -> Iterator[None]:
    """A test that is not of the machine's readings has none among what it records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVML_SAMPLE_INTERVAL_S", "0")
        yield


@pytest.fixture(autouse=True, scope="session")
def main_script() -> Iterator[None]:
    """Runs have a script also in a worker process of the tests, which runs none."""
    with pytest.MonkeyPatch.context() as patch:
        main = sys.modules["__main__"]
        if not os.path.isfile(getattr(main, "__file__", None) or ""):
            patch.setattr(main, "__file__", __file__, raising=False)
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of the caller's reaches a test, and no run outlives one."""
    for name in list(os.environ):
        if name.startswith("PROVML_") and name != "PROVML_CORPUS":
            monkeypatch.delenv(name)
    for name in (*_RANKS, *_LOCAL_RANKS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVML_SAMPLE_INTERVAL_S", "0")
    yield
    while process_hooks.active() is not None:
        process_hooks.active().end_run()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder for runs."""
    return tmp_path / "provenance"


@pytest.fixture
def run(store: Path) -> Iterator[provml.Run]:
    """A run under way, without documents at its end."""
    with provml.start_run("test", store=store, formats=(), owner="tester") as run:
        yield run


def _document(recorded: provml.RecordedRun, detail: str | None = None) -> ProvDocument:
    sink = io.BytesIO()
    recorded.export("provjson", sink, detail)
    return ProvDocument.deserialize(content=sink.getvalue().decode(), format="json")


@pytest.fixture(scope="session")
def read_back() -> Callable[..., ProvDocument]:
    """What the prov library reads from a run's PROV-JSON."""
    return _document


def _comparable(document: ProvDocument) -> Counter[Any]:
    """A document's records such that NaN equals NaN, 1, 1.0 and True differ, and names are IRIs."""

    def text(value: Any) -> tuple[str, str]:
        if isinstance(value, QualifiedName):
            return "QualifiedName", value.uri
        if isinstance(value, Literal):
            datatype = None if value.datatype is None else value.datatype.uri
            return "Literal", repr((value.value, datatype, value.langtag))
        return type(value).__name__, repr(value)

    return Counter(
        (
            str(record.get_type()),
            None if record.identifier is None else record.identifier.uri,
            frozenset((name.uri, *text(value)) for name, value in record.attributes),
        )
        for record in document.get_records()
    )


@pytest.fixture(scope="session")
def comparable() -> Callable[[ProvDocument], Counter[Any]]:
    """Compare documents: ``prov``'s own ``==`` finds none that holds NaN equal to itself."""
    return _comparable
