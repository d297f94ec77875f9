"""Datasets by kind: tables, Hugging Face datasets, streams; their digests and figures."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest

import provml
from provml.collect.datasets import describe_dataset


def facts(data: object) -> dict[str, Any]:
    """The facts recorded about a dataset."""
    return describe_dataset(data, Path(), copy=False)


PLAIN: dict[str, list[Any]] = {
    "count": [1, 2, -3],
    "share": [0.5, 1.5, -0.0],
    "name": ["a", "é🦉", ""],
    "kept": [True, False, True],
}
HOLES: dict[str, list[Any]] = {
    "count": [1, None, 3],
    "name": ["a", None, "b"],
    "list": [[1], None, [2, 3]],
}


def frames(columns: dict[str, list[Any]]) -> list[Any]:
    """The same table in every library, whole and in parts."""
    pandas_columns = {
        name: pandas.array(values, dtype="Int64") if name == "count" else values
        for name, values in columns.items()
    }
    table = pyarrow.table(columns)
    return [
        pandas.DataFrame(pandas_columns),
        polars.DataFrame(columns),
        table,
        pyarrow.RecordBatch.from_pydict(columns),
        pyarrow.concat_tables([table.slice(0, 1), table.slice(1)]),
        polars.concat([polars.DataFrame(columns)[:1], polars.DataFrame(columns)[1:]]),
    ]


@pytest.mark.parametrize("columns", [PLAIN, HOLES], ids=["plain", "holes"])
def test_a_table_has_one_digest_in_every_library(columns: dict[str, list[Any]]) -> None:
    """The same data would get another digest if another library read it, or in chunks."""
    described = [facts(frame) for frame in frames(columns)]
    assert len({d["sha256"] for d in described}) == 1
    assert all(d["shape"] == [3, len(columns)] and d["length"] == 3 for d in described)
    assert all(list(d["schema"]) == list(columns) for d in described)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_table_digest_depends_on_content(library: str) -> None:
    """A changed cell, column or row would go unseen."""
    make: Callable[[Any], Any] = {
        "pandas": pandas.DataFrame,
        "polars": polars.DataFrame,
        "pyarrow": pyarrow.table,
    }[library]
    tables: list[dict[str, Any]] = [
        {"a": [1, 2], "b": ["x", "y"]},
        {"a": [2, 1], "b": ["x", "y"]},
        {"a": [1, 2], "b": ["xy", ""]},
        {"b": ["x", "y"], "a": [1, 2]},
        {"c": [1, 2], "b": ["x", "y"]},
        {"a": [1.0, 2.0], "b": ["x", "y"]},
        {"a": [1, 2, 3], "b": ["x", "y", "z"]},
        {"a": [1, 2]},
        {"a": [None, 2], "b": ["x", "y"]},
        {"a": [1, 2], "b": [None, "xy"]},
        {"a": [1, 2], "b": ["xy", None]},
    ]
    digests = [facts(make(table))["sha256"] for table in tables]
    assert len(set(digests)) == len(tables)
    assert digests == [facts(make(table))["sha256"] for table in tables]


def test_a_pandas_index_counts_if_it_names_rows() -> None:
    """Tables with different row names would get one digest, or renumbering rows would change it."""
    frame = pandas.DataFrame({"a": [1, 2, 3]})
    by_name = frame.set_axis(["x", "y", "z"])
    rows = pandas.DataFrame({"a": [2, 3]})
    assert facts(frame[1:].reset_index(drop=True))["sha256"] == facts(rows)["sha256"]
    assert facts(frame)["sha256"] != facts(by_name)["sha256"]
    assert list(facts(by_name)["schema"]) == ["index", "a"]
    assert facts(frame["a"])["sha256"] == facts(frame)["sha256"]


def test_a_summary_holds_figures_and_no_data() -> None:
    """A record would contain private data, or wrong figures."""
    frame = pandas.DataFrame(
        {
            "number": [1.0, 2.0, 6.0, np.nan],
            "secret": ["alice", "bob", None, "carol"],
            "when": pandas.to_datetime(["2026-01-01"] * 4).tz_localize("Europe/Rome"),
            "kind": pandas.Categorical(["alice", "bob", "bob", "bob"]),
        }
    )
    described = facts(frame)
    assert described["summary"] == {
        "number": {"min": 1.0, "max": 6.0, "mean": 3.0, "not_finite": 1},
        "secret": {"missing": 1},
    }
    assert described["schema"]["kind"] == "category"
    text = json.dumps(described)
    assert "alice" not in text and "2026" not in text
    array = facts(np.array([[1, 2], [3, 6]]))
    assert array["summary"] == {"min": 1, "max": 6, "mean": 3.0}
    assert "summary" not in facts(np.array(["alice"]))
    assert facts(np.array([np.nan]))["summary"] == {"not_finite": 1}
    highest = float(np.finfo(np.float64).max)
    assert facts(np.full(2, highest))["summary"] == {"min": highest, "max": highest}


def test_unreadable_cells_are_reported() -> None:
    """A frame of a user's objects would stop the training, or its digest would cover addresses."""

    class Odd:
        def __repr__(self) -> str:
            return "odd"

        def tolist(self) -> None:
            raise RuntimeError("no")

    described = facts(pandas.DataFrame({"a": [Odd(), Odd()]}))
    assert "sha256" not in described
    assert "RuntimeError" in described["unread"]
    assert described["length"] == 2


FOREIGN = """
import pandas
from pathlib import Path
from provml.collect.datasets import describe_dataset
frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None], "c": [[1], [2]]})
print(describe_dataset(frame, Path(), False)["sha256"])
"""


def test_a_table_digest_is_the_same_in_every_process() -> None:
    """The same data would have a different digest in the next run."""
    command = [sys.executable, "-c", FOREIGN]
    one, other = (subprocess.check_output(command, text=True).strip() for _ in range(2))
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None], "c": [[1], [2]]})
    assert one == other == facts(frame)["sha256"]


def columns(values: list[Any], **types: Any) -> list[Any]:
    """One column in a pandas type, and in the types of pandas, polars and Arrow for it."""
    return [
        pandas.DataFrame({"a": pandas.array(values, dtype=kind)}) for kind in types["pandas"]
    ] + [
        pyarrow.table({"a": pyarrow.array(values, types["arrow"])}),
        polars.DataFrame({"a": polars.Series(values, dtype=types["polars"])}),
    ]


MOMENT = datetime(2026, 1, 1)


@pytest.mark.parametrize(
    ("values", "types"),
    [
        ([1, None, 3], ("Int64", "int64[pyarrow]", pyarrow.int64(), polars.Int64)),
        ([0.5, None], ("Float64", "double[pyarrow]", pyarrow.float64(), polars.Float64)),
        ([True, None], ("boolean", "bool[pyarrow]", pyarrow.bool_(), polars.Boolean)),
        (["x", None], ("string", "string[pyarrow]", pyarrow.string(), polars.String)),
        (["x", "y"], ("category", "str", pyarrow.string(), polars.Categorical)),
        (
            [MOMENT, None],
            ("datetime64[us]", "timestamp[us][pyarrow]", pyarrow.timestamp("us"), polars.Datetime),
        ),
        (
            [MOMENT.replace(tzinfo=UTC), None],
            (
                "datetime64[us, UTC]",
                "timestamp[us, UTC][pyarrow]",
                pyarrow.timestamp("us", "UTC"),
                polars.Datetime("us", "UTC"),
            ),
        ),
    ],
    ids=["int", "float", "bool", "text", "category", "naive", "aware"],
)
def test_extension_types_share_a_digest(values: list[Any], types: tuple[Any, ...]) -> None:
    """The same column would have another digest in a nullable or Arrow-backed type."""
    frames = columns(values, pandas=types[:2], arrow=types[2], polars=types[3])
    assert len({facts(frame)["sha256"] for frame in frames}) == 1


def test_times_with_and_without_a_zone_differ() -> None:
    """A wall-clock time would be taken for an instant, or the zone's name would count."""
    naive = pandas.Series(pandas.to_datetime(["2026-01-01", "2026-06-01"]))
    utc = naive.dt.tz_localize("UTC")
    assert facts(naive)["sha256"] != facts(utc)["sha256"]
    assert facts(utc.dt.tz_convert("Europe/Rome"))["sha256"] == facts(utc)["sha256"]
    assert facts(naive.dt.tz_localize("Europe/Rome"))["sha256"] != facts(utc)["sha256"]


def test_columns_and_indexes_are_tables() -> None:
    """An array, an index or a single column would have no digest."""
    frame = facts(pandas.DataFrame({"0": [1, 2]}))["sha256"]
    data = [pandas.array([1, 2]), pandas.Index([1, 2]), pandas.Series([1, 2])]
    data += [pyarrow.array([1, 2]), pyarrow.chunked_array([[1], [2]])]
    assert {facts(own)["sha256"] for own in data} == {frame}
    months = [pandas.period_range(f"202{n}", periods=2, freq="M") for n in range(2)]
    assert facts(months[0])["sha256"] != facts(months[1])["sha256"]
    ranges = [pandas.interval_range(0, 2, closed=side) for side in ("left", "right")]
    assert facts(ranges[0])["sha256"] != facts(ranges[1])["sha256"]


class Cell:
    """An object in a cell, whose default repr contains its address."""

    def __init__(self, value: int) -> None:
        self.value = value


def test_objects_in_cells_are_digested_by_their_content() -> None:
    """The digest would cover a memory address."""
    one, same, other = (facts(pandas.DataFrame({"a": [Cell(n)]}))["sha256"] for n in (1, 1, 2))
    assert one == same != other


def test_a_generator_is_not_read_and_gets_a_reason() -> None:
    """A generator would be consumed, or would appear to have been hashed."""
    generator = (number for number in range(3))
    described = facts(generator)
    assert "sha256" not in described and "read only once" in described["unread"]
    assert list(generator) == [0, 1, 2]


@pytest.fixture
def hub() -> Any:
    """A Hugging Face dataset."""
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})


def test_hugging_face_datasets_are_identified_by_fingerprint(hub: Any) -> None:
    """A dataset would look the same after a transformation, or its whole cache would be read."""
    import datasets

    described = facts(hub)
    assert described["fingerprint"] == hub._fingerprint
    assert described["length"] == 2
    assert list(described["schema"]) == ["text", "label"]
    assert "fingerprint" in described["unread"]
    mapped = facts(hub.select([0]))
    assert mapped["fingerprint"] != described["fingerprint"]
    splits = facts(datasets.DatasetDict({"train": hub, "test": hub.select([0])}))
    assert splits["length"] == 3
    assert set(splits["members"]) == {"train", "test"}


def test_facts_of_datasets_are_stated(run: provml.Run, hub: Any) -> None:
    """The facts would be missing from the graph."""
    run.log_dataset("frame", pandas.DataFrame({"a": [1, 2]}))
    run.log_dataset("hub", hub)
    frame, hugging_face = (
        dict(s.attributes)
        for s in provml.load(run.path).statements()
        if ("prov:type", "provml:Dataset") in s.attributes
    )
    assert json.loads(frame["provml:schema"].lexical) == {"a": "int64"}
    assert json.loads(frame["provml:summary"].lexical)["a"]["mean"] == 1.5
    assert hugging_face["provml:fingerprint"] == hub._fingerprint


def test_the_digest_of_a_table_is_as_documented() -> None:
    """Other programs could not compute the digest."""
    numbers, names = np.array([1, 2]), ["x", "yé"]
    array = hashlib.sha256(b"<i8 (2,)\n" + numbers.tobytes()).hexdigest()
    column = hashlib.sha256(array.encode()).hexdigest()
    lengths = np.array([1, 3], "<i8").tobytes()
    text = hashlib.sha256(lengths + "".join(names).encode()).hexdigest()
    lines = f"{column}  a\n{text}  b\n".encode()
    frame = pandas.DataFrame({"a": numbers, "b": names})
    assert facts(frame)["sha256"] == hashlib.sha256(lines).hexdigest()
