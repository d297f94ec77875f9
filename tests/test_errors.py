"""The exceptions of the package."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from waiting import LIMIT_S

import provml
from provml import errors

# Arguments as the code passes them, for the constructors that take more than a message.
ARGUMENTS: dict[str, list[tuple[Any, ...]]] = {
    "MissingExtraError": [("a graph", "networkx", "graph")],
    "NoActiveRunError": [("log_metric",)],
    "UnavailableError": [("there is no NVIDIA driver",), ("NVML: no permission", False)],
    "_ObservedExit": [(None,), (3,), ("the data set is missing",)],
}
MESSAGES = [("there is no run 'r1'",), ("line 3:\n a name  with spaces: " + "é" * 600,)]


def exception_classes() -> list[type[BaseException]]:
    """Every exception class that a module of the package defines."""
    found: dict[type[BaseException], None] = {}
    for module in pkgutil.walk_packages(provml.__path__, "provml."):
        if module.name.endswith("__main__"):
            continue
        try:
            contents = vars(importlib.import_module(module.name))
        except ModuleNotFoundError as error:  # a package that is optional for the tests, too
            assert not str(error.name).startswith("provml"), error
            continue
        classes = [value for value in contents.values() if inspect.isclass(value)]
        for kind in classes:
            if issubclass(kind, BaseException) and kind.__module__.startswith("provml."):
                found[kind] = None
    return list(found)


@pytest.mark.parametrize(
    "reproduce",
    [
        copy.copy,
        *(
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
    ids=["copy", *(f"pickle-{protocol}" for protocol in range(pickle.HIGHEST_PROTOCOL + 1))],
)
def test_exceptions_survive_pickle_and_copy(reproduce: Callable[[Any], Any]) -> None:
    """A process pool would break, or report another message, when a worker raises."""
    classes = exception_classes()
    assert {getattr(errors, name) for name in vars(errors) if name.endswith("Error")} <= {*classes}
    for kind in classes:
        for arguments in ARGUMENTS.get(kind.__name__, MESSAGES):
            error = kind(*arguments)
            error.add_note("while logging")
            again = reproduce(error)
            assert type(again) is kind
            assert (again.args, vars(again), str(again)) == (error.args, vars(error), str(error))
            for name in ("errno", "strerror", "filename", "code"):
                assert getattr(again, name, None) == getattr(error, name, None)


def test_a_worker_process_reports_its_exception() -> None:
    """An exception in a worker would end the pool instead of reaching the caller."""
    missing = provml.MissingExtraError("a graph", "networkx", "graph")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert str(pool.submit(copy.copy, missing).result(LIMIT_S)) == str(missing)
        with pytest.raises(provml.InvalidArgumentError, match=r"^experiment"):
            pool.submit(provml.start_run, 5).result(LIMIT_S)


def test_messages_say_what_to_do() -> None:
    """A message would lack the command that helps."""
    missing = provml.MissingExtraError("a graph", "networkx", "graph")
    assert str(missing) == "a graph needs networkx: pip install 'provml[graph]'"
    inactive = provml.NoActiveRunError("log_metric")
    assert str(inactive) == (
        "provml.log_metric() needs an active run: call provml.start_run('my-experiment') first"
    )
    document = provml.DocumentError("line 1:\n" + "x" * 600)
    assert (len(str(document)), str(document)[:9]) == (500, "line 1: x")


def test_every_error_is_drawn_in_the_tree_and_exported() -> None:
    """An exception would be missing from the documentation, or could not be caught by name."""
    names = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    for name in names:
        assert name in provml.__all__
        bases = [base.__name__ for base in getattr(errors, name).__bases__]
        (line,) = [line for line in (errors.__doc__ or "").splitlines() if f"── {name} " in line]
        assert f" {', '.join(bases[1:])} " in line or bases[0] != "ProvMLError"
