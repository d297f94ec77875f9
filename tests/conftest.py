"""Fixtures for all tests."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from prov.identifier import QualifiedName
from prov.model import Literal, ProvDocument

import provml
from provml.recording.active_runs import active_runs

_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
_LOCAL_RANKS = (
    "LOCAL_RANK",
    "SLURM_LOCALID",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
)

_TESTS = Path(__file__).parent

# What the tests import beyond pytest and the packages that provml depends on.
_PACKAGES = """
    absl codecarbon datasets duckdb fvcore h5py hydra hypothesis ipykernel joblib jsonargparse
    jsonschema lxml matplotlib mlflow mpld3 mypy nbclient nbformat networkx omegaconf pandas
    polars psutil pyarrow pydantic_settings pydot pynvml pyoxigraph pyshacl rdflib referencing
    plotly safetensors selenium sklearn starlette tensorboard tensorboardX torch typer tyro
    uvicorn wandb zstandard
"""
if find_spec("hypothesis") is not None:
    from hypothesis import HealthCheck, settings

    # a busy machine makes any example slow
    settings.register_profile(
        "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any machine")
# Found once, before a test hides an installed package from provml.
_MISSING = frozenset(package for package in _PACKAGES.split() if find_spec(package) is None)
_MODULE_NAMES = {"scikit-learn": "sklearn"}
# Python's message, and that of `provml.MissingExtraError`; in a repr the quotes may be escaped.
_COMPLAINT = re.compile(r"No module named \\*'?(\w+)|needs ([^:\n]*): pip install \\*'provml\[")


def _missing_package(error: BaseException | None, output: Iterable[str] = ()) -> str | None:
    """Find the optional package for want of which a test failed, if there is one.

    This is how the tests run with any subset of the optional packages: a test that needs a missing
    one is skipped, and no test has to say what it needs. A failure counts as one of a missing
    package if both are true:

    - A message names the package as missing: Python's "No module named 'lxml'", or provml's
      "needs lxml: pip install 'provml[xml]'". The message is in the exception or in one that led
      to it, in the values that the test's functions hold (such as what a subprocess wrote), or in
      the output that pytest captured.
    - The package is in `_PACKAGES` and is not installed. So no failure is hidden where all
      packages are installed.

    A test that fails without such a message says by `pytest.importorskip` what it needs.

    Args:
        error: the exception that ended the test.
        output: what the test and its subprocesses wrote.
    """
    texts = [*output]
    while error is not None:
        texts += (str(error), *_held_texts(error))
        error = error.__cause__ or error.__context__
    for match in _COMPLAINT.finditer("\n".join(texts)):
        for name in (match[1] or match[2]).split():
            package = _MODULE_NAMES.get(name, name)
            if package in _MISSING:
                return package
    return None


def _held_texts(error: BaseException) -> Iterator[str]:
    """The texts that an exception, and the tests' functions that it passed through, hold."""
    if isinstance(error, subprocess.CalledProcessError):
        yield repr((error.stdout, error.stderr))
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename).is_relative_to(_TESTS):
            for value in frame.f_locals.values():
                if isinstance(value, (str, bytes, tuple, list, subprocess.CompletedProcess)):
                    yield repr(value)


class _Module(pytest.Module):
    """A test module, skipped as a whole if it imports an optional package that is missing."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            package = _missing_package(error.__cause__)
            if package is None:
                raise
            reason = f"{self.path.name} needs {package}, which is not installed"
            pytest.skip(reason, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Skip modules that need a missing package, instead of ending the collection."""
    module: pytest.Module = _Module.from_parent(parent, path=module_path)
    return module


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test that failed, itself or in a fixture, for want of a package."""
    report = yield
    if report.failed and call.excinfo is not None:
        package = _missing_package(call.excinfo.value, (text for _, text in report.sections))
        if package is not None:
            path, line, _ = item.reportinfo()
            report.outcome = "skipped"
            report.longrepr = (str(path), (line or 0) + 1, f"{package} is not installed")
    return report


@pytest.fixture(autouse=True, scope="session")
def no_readings() -> Iterator[None]:
    """A test records neither readings nor the modules of the tests, unless it asks for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVML_SAMPLE_INTERVAL_S", "0")
        patch.setenv("PROVML_CODE", "off")
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
    monkeypatch.setenv("PROVML_CODE", "off")
    yield
    for run in reversed(active_runs.all.copy()):
        run.end_run()


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
