"""Digests of tensors, modules and checkpoints."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from torch.utils.data import ConcatDataset, Dataset, StackDataset, Subset, TensorDataset

from provml.collect.datasets import describe_dataset
from provml.collect.models import describe_model


def facts(data: object) -> dict[str, Any]:
    return describe_dataset(data, Path(), copy=False)


def digest(data: object) -> str:
    described = facts(data)
    assert "unread" not in described, described["unread"]
    return str(described["sha256"])


def model_facts(model: object) -> dict[str, Any]:
    return describe_model(model, Path(), None)


INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}
ELEMENT_TYPES = sorted(
    {own for own in vars(torch).values() if isinstance(own, torch.dtype)}, key=str
)
ELEMENT_TYPES = [own for own in ELEMENT_TYPES if not str(own).startswith(("torch.q", "torch.bits"))]


@pytest.mark.filterwarnings("ignore")  # torch's own, about experimental types
@pytest.mark.parametrize("dtype", ELEMENT_TYPES, ids=str)
def test_every_type_has_a_digest_of_its_elements(dtype: torch.dtype) -> None:
    """A tensor of some type would have no digest, or one that depends on strides or addresses."""
    raw = torch.arange(12 * dtype.itemsize, dtype=torch.uint8) % 2
    tensor = raw.view(dtype).reshape(3, 4)
    integers = tensor.view(INTEGERS[dtype.itemsize])
    turned = integers.T.clone(memory_format=torch.contiguous_format).T.view(dtype)
    assert not turned.is_contiguous()
    assert digest(tensor) == digest(turned)
    assert digest(tensor) == digest(torch.nn.Parameter(tensor, requires_grad=False))
    assert facts(tensor)["dtype"] == str(dtype).removeprefix("torch.")
    assert facts(tensor)["shape"] == [3, 4]
    changed = raw.clone()
    changed[0] += 1
    others = {digest(changed.view(dtype).reshape(3, 4)), digest(tensor.reshape(4, 3))}
    assert digest(tensor) not in others and len(others) == 2


def test_types_of_equal_bytes_differ() -> None:
    """A tensor of another type would be taken for the same content."""
    raw = torch.ones(4, dtype=torch.uint8)
    kinds = (torch.uint8, torch.int8, torch.float8_e4m3fn, torch.float8_e5m2, torch.bool)
    assert len({digest(raw.view(kind)) for kind in kinds}) == len(kinds)


def test_views_are_read_as_values() -> None:
    """A conjugated, negated or expanded tensor would have the digest of its storage."""
    assert digest(torch.tensor([1 + 2j]).conj()) == digest(torch.tensor([1 - 2j]))
    assert digest(torch.tensor([1 + 2j]).conj().imag) == digest(torch.tensor([-2.0]))
    row = torch.ones(1, 3, dtype=torch.bfloat16)
    assert digest(row.expand(2, 3)) == digest(torch.ones(2, 3, dtype=torch.bfloat16))
    assert digest(torch.ones(2, 3)) == digest(np.ones((2, 3), np.float32))


@pytest.mark.filterwarnings("ignore")  # torch's own, about these tensors
def test_the_parameters_of_a_quantised_tensor_count() -> None:
    """Another scale would mean other values, but give the same digest."""
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    scales, zeros = torch.tensor([0.1, 0.2]), torch.tensor([0, 1])
    tensors = [
        torch.quantize_per_tensor(values, 0.5, 1, torch.qint8),
        torch.quantize_per_tensor(values, 0.25, 1, torch.qint8),
        torch.quantize_per_tensor(values, 0.5, 2, torch.qint8),
        torch.quantize_per_tensor(values, 0.5, 1, torch.quint8),
        torch.quantize_per_channel(values, scales, zeros, 0, torch.qint8),
        torch.quantize_per_channel(values, scales, zeros, 1, torch.qint8),
    ]
    digests = [digest(tensor) for tensor in tensors]
    assert len(set(digests)) == len(tensors)
    assert digests == [digest(tensor.clone()) for tensor in tensors]


@pytest.mark.filterwarnings("ignore")  # torch's own, about these tensors
def test_a_sparse_tensor_is_known_by_its_entries() -> None:
    """The layout, or the order in which entries were given, would change the digest."""
    dense = torch.tensor([[0, 2.0, 0, 3], [4, 0, 0, 5]])
    unsorted = torch.sparse_coo_tensor([[1, 0, 1, 0, 0], [3, 1, 0, 3, 3]], [5.0, 2, 4, 1, 2])
    layouts = [dense.to_sparse(), dense.to_sparse_csr(), dense.to_sparse_csc(), unsorted]
    layouts += [dense.to_sparse_bsr((1, 2)), dense.to_sparse_bsc((1, 2))]
    assert len({digest(tensor) for tensor in layouts}) == 1
    assert digest(dense.to_sparse()) != digest((dense * 2).to_sparse())
    half = dense.bfloat16().to_sparse()
    assert digest(half) == digest(half.clone()) != digest(dense.to_sparse())


@pytest.mark.filterwarnings("ignore")
def test_tensors_without_values_say_why() -> None:
    """A tensor without data would raise an error into the training, or be given a digest."""
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    assert "meta device" in facts(torch.empty(3, device="meta"))["unread"]
    assert "nested tensor" in facts(nested)["unread"]
    assert "'weight' has no digest" in model_facts(torch.nn.LazyLinear(3))["unread"]
    assert "meta device" in model_facts(torch.nn.Linear(2, 2, device="meta"))["unread"]
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.ones(3)
    assert "fake tensor" in facts(fake)["unread"]


def test_a_masked_tensor_is_a_masked_array() -> None:
    """What a mask hides would count."""
    masked = pytest.importorskip("torch.masked")
    with pytest.warns(UserWarning, match="prototype"):
        tensor = masked.masked_tensor(torch.tensor([1.0, 5, 3]), torch.tensor([True, False, True]))
    array = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0], dtype=np.float32)
    assert digest(tensor) == digest(array)


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_module_is_its_state(dtype: torch.dtype) -> None:
    """A module, its compiled form and its state_dict would be three models."""
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).to(dtype)
    compiled = torch.nn.Sequential(torch.compile(net[0]), net[1])
    forms = [net, copy.deepcopy(net), net.state_dict(), torch.compile(net), compiled]
    described = [model_facts(form) for form in forms]
    assert len({own["sha256"] for own in described}) == 1
    assert all(own["parameters"] == 15 for own in described)
    assert all(own["digest_of"] == "state_dict" for own in described)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight[0, 0] += 1
    assert model_facts(other)["sha256"] != described[0]["sha256"]


def test_a_checkpoint_is_known_by_its_values() -> None:
    """The digest of a checkpoint would depend on addresses, or leave out the optimizer."""
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}
    saved = model_facts(state)
    assert saved["sha256"] == model_facts(copy.deepcopy(state))["sha256"]
    assert saved["sha256"] != model_facts(state | {"epoch": 2})["sha256"]
    before = model_facts(optimizer)["sha256"]
    assert before == model_facts(optimizer.state_dict())["sha256"]
    optimizer.step()
    assert model_facts(optimizer)["sha256"] != before


def test_joined_datasets_cover_all_members() -> None:
    """A ConcatDataset would have no digest, or one that ignores where the parts end."""

    def part(*values: int) -> TensorDataset:
        return TensorDataset(torch.tensor(values))

    one = ConcatDataset([part(1, 2), part(3)])
    others = [ConcatDataset([part(1), part(2, 3)]), ConcatDataset([part(3), part(1, 2)])]
    others += [StackDataset(part(1), part(2)), Subset(one, [0]), Subset(one, [1])]
    assert digest(one) == digest(ConcatDataset([part(1, 2), part(3)]))
    assert len({digest(data) for data in [one, *others]}) == 6
    assert facts(one)["digest_of"] == "members"
    assert facts(one)["length"] == 3


class Labelled(Dataset[Any]):
    """A dataset with labels in memory, and samples in memory or in files."""

    def __init__(self, data: object, targets: object) -> None:
        self.data, self.targets = data, targets

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("a sample was read")


def test_labels_count_but_do_not_stand_for_the_samples() -> None:
    """Changed labels would go unseen, or datasets with equal labels would be taken for one."""
    data = torch.zeros(2, 3)
    assert digest(Labelled(data, [0, 1])) != digest(Labelled(data, [1, 0]))
    assert "samples were not read" in facts(Labelled(["a.png", "b.png"], [0, 1]))["unread"]
