"""Every form of lines keeps the contract: found by discovery, none is left out."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import provml
import provml.capture.lines
from provml.capture.lines._sink import LineSink

MODULES = [
    importlib.import_module(f"provml.capture.lines.{module.name}")
    for module in pkgutil.iter_modules(provml.capture.lines.__path__)
    if not module.name.startswith("_")
]


def test_discovery_finds_them() -> None:
    """The tests below would test nothing."""
    names = {module.__name__.rpartition(".")[2] for module in MODULES}
    assert {"json", "keras", "tqdm"} <= names


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
@given(data=st.binary(max_size=60), start=st.integers(0, 10), end=st.integers(0, 60))
def test_finders_keep_to_their_part(module: ModuleType, data: bytes, start: int, end: int) -> None:
    """A line would be found where another begins, or by what comes after its end."""
    for find in module.Parser.finders:
        found = find(data, start, min(end, len(data)))
        assert found == -1 or start <= found < end
        assert (found >= 0) == (find(data[start:end], 0, len(data[start:end])) >= 0)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
@given(text=st.text(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_taken(module: ModuleType, run: provml.Run, text: str) -> None:
    """A line would stop what prints it."""
    form = module.Parser(LineSink(run, "stdout"))
    assert form.read(text, False) in (True, False)
    assert form.read("", True) is False
    form.finish()
    form.finish()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_it_says_what_it_reads(module: ModuleType) -> None:
    """Nobody would know what is read, and how."""
    assert module.__doc__ and len(module.__doc__.splitlines()) > 5
    assert module.Parser.__doc__
