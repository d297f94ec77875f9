"""Configuration objects and other objects as values: fields, keys and text without addresses."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import subprocess
import sys
import types
from typing import Any

import pytest

from provml.errors import InvalidArgumentError
from provml.journal.values import encode


@dataclasses.dataclass
class Optimizer:
    """A nested configuration."""

    lr: float = 0.1
    schedule: Any = None


class Plain:
    """An object with the default repr."""


class Hostile:
    """An object whose attributes raise."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Raise an error."""
        raise ZeroDivisionError

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        return "hostile"


def cosine(step: int) -> float:
    """A schedule."""
    return float(step)


Pair = collections.namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Optimizer(), {"lr": 0.1, "schedule": None}),
        (argparse.Namespace(lr=1, opt=Optimizer(2)), {"lr": 1, "opt": {"lr": 2, "schedule": None}}),
        (types.SimpleNamespace(a=[Pair(1, {2: 3})]), {"a": [{"left": 1, "right": {"2": 3}}]}),
        (collections.deque([1, 2]), [1, 2]),
        ({(1, "a"): 2, None: 3, 0.5: 4}, {"1,a": 2, "None": 3, "0.5": 4}),
    ],
)
def test_configuration_objects_are_recorded_by_their_fields(value: object, expected: Any) -> None:
    """A whole configuration would be one text, which no condition and no diff can search."""
    assert encode(value) == expected


def test_attrs_and_pydantic() -> None:
    """Their fields would be lost in one text."""
    attrs, pydantic = pytest.importorskip("attrs"), pytest.importorskip("pydantic")
    own = attrs.make_class("Own", ["a"])(1)
    model = pydantic.create_model("Model", b=(int, 2), __config__={"extra": "allow"})(c=own)
    assert encode(model) == {"b": 2, "c": {"a": 1}}


def test_omegaconf_with_missing_values() -> None:
    """A missing value or a broken interpolation would raise, and nothing would be recorded."""
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({"lr": 0.1, "out": "???", "l": [1, "${x}"], "r": "${lr}"})
    found = encode(config)
    assert found["lr"] == found["r"] == 0.1
    assert found["out"] == {"$": "???", "type": "repr", "python": "omegaconf.MISSING"}
    assert found["l"][0] == 1
    assert found["l"][1]["$"].startswith("<could not be read: Interpolation")


def test_a_field_that_raises_hides_no_other() -> None:
    """The other fields of the configuration would be lost."""
    config = Optimizer()
    del config.lr
    type.__delattr__(Optimizer, "lr")
    try:
        found = encode(config)
    finally:
        Optimizer.lr = 0.1
    assert found["schedule"] is None
    assert found["lr"]["$"].startswith("<could not be read: AttributeError")


@pytest.mark.parametrize("value", [{1: "a", "1": "b"}, {True: 1, "True": 2}, {None: 1, "None": 2}])
def test_keys_with_the_same_text_are_refused(value: dict[Any, Any]) -> None:
    """One of the two values would be lost."""
    with pytest.raises(InvalidArgumentError, match="rename one of them"):
        encode(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (cosine, f"{__name__}.cosine"),
        (Plain, f"{__name__}.Plain"),
        (Plain(), f"<{__name__}.Plain object>"),
        (functools.partial(cosine, step=Plain()), None),
        (print, "print"),
    ],
)
def test_the_text_of_an_object_has_no_address(value: object, text: str | None) -> None:
    """Two equal runs would differ in every function and object among their parameters."""
    found = encode(value)["$"]
    assert "0x" not in found
    if text is not None:
        assert found == text
    else:
        assert found == f"functools.partial({__name__}.cosine, step=<{__name__}.Plain object>)"


def test_an_object_whose_attributes_raise() -> None:
    """The error of the user's class would reach the script."""
    assert encode(Hostile())["$"] == "hostile"


def test_sets_have_one_order_in_every_process() -> None:
    """A set of functions would be recorded in the order of their addresses."""
    code = (
        "import json, math; from provml.journal.values import encode;"
        "print(json.dumps(encode({math.sin, math.cos, math.tan, object, 'x'})))"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(3)
    }
    assert len(outputs) == 1
