"""Callbacks run once a module has been imported."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from provml.capture import import_hooks


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules named ``waited_*``; they are removed from ``sys.modules`` afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("waited_")]:
        del sys.modules[name]


def test_the_call_comes_after_the_modules_body(modules: Path) -> None:
    """The callback would find an incomplete module."""
    (modules / "waited_a.py").write_text("value = 1\n")
    seen: list[tuple[str, int]] = []

    def call(module: ModuleType) -> None:
        seen.append((module.__name__, module.value))

    import_hooks.call_on_import("waited_a", call)
    assert seen == []
    module = importlib.import_module("waited_a")
    assert seen == [("waited_a", 1)]
    assert type(module.__spec__) is ModuleSpec
    import_hooks.cancel_call_on_import("waited_a", call)
    assert not [
        finder for finder in sys.meta_path if type(finder).__module__ == import_hooks.__name__
    ]


def test_a_module_already_imported_is_called_for_at_once() -> None:
    """Modules that were imported before would not be watched."""
    seen: list[ModuleType] = []
    import_hooks.call_on_import("json", seen.append)
    import_hooks.cancel_call_on_import("json", seen.append)
    assert seen == [sys.modules["json"]]


def test_a_failing_import_fails_as_it_does_without(modules: Path) -> None:
    """The script's tracebacks would show frames of provml."""
    (modules / "waited_bad.py").write_text("raise ValueError('as ever')\n")

    def trace() -> str:
        try:
            importlib.import_module("waited_bad")
        except ValueError:
            return traceback.format_exc()
        raise AssertionError

    plain = trace()
    seen: list[ModuleType] = []
    import_hooks.call_on_import("waited_bad", seen.append)
    try:
        assert trace() == plain
    finally:
        import_hooks.cancel_call_on_import("waited_bad", seen.append)
    assert seen == []


def test_a_failing_call_is_not_the_importers_matter(modules: Path) -> None:
    """The script would end with an error from provml."""
    (modules / "waited_b.py").write_text("value = 1\n")

    def call(module: ModuleType) -> None:
        raise RuntimeError

    import_hooks.call_on_import("waited_b", call)
    try:
        assert importlib.import_module("waited_b").value == 1
    finally:
        import_hooks.cancel_call_on_import("waited_b", call)


def test_a_look_for_a_module_alone_makes_no_call(modules: Path) -> None:
    """`importlib.util.find_spec`, which libraries call, would not find the module."""
    (modules / "waited_c.py").write_text("value = 1\n")
    seen: list[ModuleType] = []
    import_hooks.call_on_import("waited_c", seen.append)
    try:
        assert importlib.util.find_spec("waited_c") is not None
        assert importlib.util.find_spec("waited_absent") is None
        assert seen == []
        importlib.import_module("waited_c")
        assert len(seen) == 1
    finally:
        import_hooks.cancel_call_on_import("waited_c", seen.append)
