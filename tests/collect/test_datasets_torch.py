"""Torch datasets: loaders, subsets, transforms, data read on demand; digests and figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import provml
from provml.collect.datasets import describe_dataset

pytest.importorskip("torch", reason="torch is not installed")

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset


def facts(data: object) -> dict[str, Any]:
    """The facts recorded about a dataset."""
    return describe_dataset(data, Path(), copy=False)


FOREIGN = """
import torch
from pathlib import Path
from provml.collect.datasets import describe_dataset
from torch.utils.data import DataLoader, Subset, TensorDataset
for data in (
    TensorDataset(torch.arange(6).reshape(3, 2)),
    Subset(TensorDataset(torch.arange(6).reshape(3, 2)), [0, 2]),
):
    print(describe_dataset(data, Path(), False)["sha256"])
"""


@pytest.mark.slow
def test_digests_are_the_same_in_every_process() -> None:
    """The same data would have a different digest in the next run."""
    command = [sys.executable, "-c", FOREIGN]
    one, other = (subprocess.check_output(command, text=True) for _ in range(2))
    tensors = TensorDataset(torch.arange(6).reshape(3, 2))
    own = [facts(data)["sha256"] for data in (tensors, Subset(tensors, [0, 2]))]
    assert one.split() == other.split() == own


TENSORS = TensorDataset(torch.zeros(10, 3), torch.arange(10))


@pytest.mark.parametrize(
    ("options", "length", "batches"),
    [
        ({"batch_size": 4}, 10, 3),
        ({"batch_size": 4, "drop_last": True}, 8, 2),
        ({"batch_size": 4, "shuffle": True}, 10, 3),
        ({"batch_size": 64}, 10, 1),
        ({"batch_size": 3, "sampler": [1, 2, 3, 4]}, 4, 2),
        ({"batch_sampler": [[1, 2], [3]]}, 2, 2),
    ],
)
def test_loaders_say_how_many_samples_and_batches_they_give(
    options: dict[str, Any], length: int, batches: int
) -> None:
    """Samples that a loader drops or repeats would be counted wrongly."""
    loader: DataLoader[Any] = DataLoader(TENSORS, **options)
    described = facts(loader)
    assert described["batches"] == batches == len(list(loader))
    if "batch_sampler" not in options:
        assert described["length"] == length == sum(len(batch[0]) for batch in loader)
    assert described["sha256"] == facts(TENSORS)["sha256"]
    assert described["of_type"].endswith("TensorDataset")


def test_a_subset_differs_from_the_whole() -> None:
    """The training and test splits of one dataset would be recorded as one thing."""
    one, other = Subset(TENSORS, [1, 2]), Subset(TENSORS, torch.tensor([1, 3]))
    digests = {facts(data)["sha256"] for data in (TENSORS, one, other, Subset(one, [0]))}
    assert len(digests) == 4
    assert facts(Subset(TENSORS, [1, 2]))["sha256"] == facts(one)["sha256"]
    assert (facts(one)["length"], facts(DataLoader(one, batch_size=2))["batches"]) == (2, 1)


class Pictures(Dataset[Any]):
    """A dataset as in torchvision: arrays in memory, transforms on access."""

    def __init__(self, transform: Any) -> None:
        self.data = torch.zeros(5, 8, 8, dtype=torch.uint8)
        self.targets = list(torch.arange(5))
        self.transform = transform

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("a sample was read")


def test_transforms_are_named_and_not_run() -> None:
    """A reader would not learn how the data was changed, or the digest would be random."""

    def flip(image: Any) -> Any:
        return image

    named = facts(Pictures(torch.nn.Sequential(torch.nn.ReLU())))["transforms"]
    assert named == {"transform": "Sequential(\n  (0): ReLU()\n)"}
    (text,) = facts(DataLoader(Pictures(flip), batch_size=2))["transforms"].values()
    assert text.endswith("flip") and "0x" not in text
    assert facts(Pictures(flip))["sha256"] == facts(Pictures(None))["sha256"]
    assert "transforms" not in facts(Pictures(None))


class Files(Dataset[Any]):
    """A dataset that reads files on demand."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("a sample was read")


class Stream(IterableDataset[Any]):
    """A dataset without an end."""

    def __iter__(self) -> Any:
        raise AssertionError("it was read")


def test_unhashable_datasets_are_not_read_and_get_a_reason() -> None:
    """A stream would be consumed or samples read, or they would appear to have been hashed."""
    assert "stream" in facts(Stream())["unread"]
    assert "stream" in facts(DataLoader(Stream(), batch_size=2))["unread"]
    assert facts(Files())["length"] == 3
    for data in (Stream(), Files(), DataLoader(Files()), Subset(Files(), [0])):
        described = facts(data)
        assert "sha256" not in described and described["unread"]


def test_facts_of_a_loader_are_stated(run: provml.Run) -> None:
    """The facts would be missing from the graph."""
    run.log_dataset("loader", DataLoader(Subset(TENSORS, [1, 2]), batch_size=2))
    (loader,) = (
        dict(s.attributes)
        for s in provml.load(run.path).statements()
        if ("prov:type", "provml:Dataset") in s.attributes
    )
    stated = [loader[f"provml:{name}"] for name in ("batches", "batchSize", "length")]
    assert stated == [1, 2, 2]
