"""Counting FLOPs: correct by hand and by another counter, and free of side effects."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import provml
from provml.collect.batches import call_arguments
from provml.collect.flop_counter import BlockCounter, count_module
from provml.collect.peak_flops import _look_up_peak

pytest.importorskip("torch", reason="torch is not installed")

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


def count(module: nn.Module, batch: Any, backward: bool = False) -> int:
    """The FLOPs of a module on a batch."""
    return count_module(module, call_arguments(module, batch), backward).flops


class Attention(nn.Module):
    """Attention after a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(8, 8, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return scaled_dot_product_attention(self.query(inputs), inputs, inputs)


PROJECTED = 2 * (2 * 4 * 16) * 8 * 8  # two sequences, four heads, 16 steps of width 8
ATTENDED = 2 * (2 * 4) * 16 * 16 * 8  # one product of two that attention takes

# forward; backward: the weights' gradients, and the inputs' but of the first layer
BY_HAND: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, int]] = {
    "linear": (lambda: nn.Linear(10, 20), (4, 10), 2 * 4 * 10 * 20, 2 * 4 * 10 * 20),
    "two linears": (
        lambda: nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5)),
        (4, 10),
        2 * 4 * (10 * 20 + 20 * 5),
        2 * 4 * (10 * 20 + 2 * 20 * 5),
    ),
    "linear over steps": (lambda: nn.Linear(3, 2), (5, 7, 3), 2 * 35 * 6, 2 * 35 * 6),
    "bilinear form of a vector": (lambda: nn.Linear(3, 2), (3,), 2 * 6, 2 * 6),
    "conv1d": (lambda: nn.Conv1d(3, 4, 5), (2, 3, 20), 2 * 2 * 16 * 4 * 15, 2 * 2 * 16 * 4 * 15),
    "conv2d": (
        lambda: nn.Conv2d(3, 8, 3, stride=2, padding=1),
        (2, 3, 10, 10),
        2 * 2 * 25 * 8 * 27,
        2 * 2 * 25 * 8 * 27,
    ),
    "grouped conv2d": (
        lambda: nn.Conv2d(4, 8, 3, groups=2),
        (2, 4, 10, 10),
        2 * 2 * 64 * 8 * 18,
        2 * 2 * 64 * 8 * 18,
    ),
    "conv2d after another": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 3, groups=2)),
        (2, 2, 6, 6),
        2 * 2 * (36 * 4 * 2 + 16 * 8 * 18),
        2 * 2 * (36 * 4 * 2 + 2 * 16 * 8 * 18),
    ),
    "transposed conv2d": (
        lambda: nn.ConvTranspose2d(4, 6, 3),
        (2, 4, 5, 5),
        2 * 2 * 25 * 4 * 6 * 9,
        2 * 2 * 25 * 4 * 6 * 9,
    ),
    "lstm": (  # four gates, each of the inputs and of the state; backward it knows no first layer
        lambda: nn.LSTM(5, 7, batch_first=True),
        (2, 6, 5),
        2 * 12 * 4 * 7 * (5 + 7),
        2 * 2 * 12 * 4 * 7 * (5 + 7),
    ),
    "two bidirectional lstms": (
        lambda: nn.LSTM(5, 7, num_layers=2, bidirectional=True),
        (6, 2, 5),
        2 * 12 * 2 * 4 * 7 * (5 + 7 + 14 + 7),
        2 * 2 * 12 * 2 * 4 * 7 * (5 + 7 + 14 + 7),
    ),
    "attention": (
        Attention,
        (2, 4, 16, 8),
        PROJECTED + 2 * ATTENDED,
        # keys and values take no gradient, but the kernel computes all: four products, and the
        # weights once more
        PROJECTED + 5 * ATTENDED,
    ),
    "nothing but elements": (lambda: nn.Sequential(nn.ReLU(), nn.LayerNorm(4)), (2, 4), 0, 0),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_layers_are_counted_as_by_hand(name: str) -> None:
    """A figure would be wrong without anybody noticing."""
    make, shape, forward, backward = BY_HAND[name]
    module = make()
    assert count(module, torch.zeros(shape)) == forward
    assert count(module, torch.zeros(shape), backward=True) == forward + backward


def test_a_gru_and_a_transformer_are_counted_as_by_hand() -> None:
    """Layers of several operators would be counted only in part."""
    assert count(nn.GRU(5, 7), torch.zeros(6, 2, 5)) == 2 * 12 * 3 * 7 * (5 + 7)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    by_hand = 2 * 10 * 16 * (48 + 16 + 32 + 32) + 2 * 2 * (2 * 2) * 5 * 5 * 8
    assert count(layer, torch.zeros(2, 5, 16)) == by_hand
    assert count(layer.eval(), torch.zeros(2, 5, 16)) == by_hand  # in one fused operator otherwise


class Classifier(nn.Module):
    """Convolutions, norms and linear layers, as in image models."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, groups=4, bias=False),
        )
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(32, 10, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(images).mean((2, 3))))


def test_another_counter_agrees() -> None:
    """Our counting rules would differ from fvcore's, which counts a multiply-add as one."""
    fvcore = pytest.importorskip("fvcore.nn")
    for module, shape in ((Classifier().eval(), (1, 3, 16, 16)), (nn.Linear(4, 4), (1, 4))):
        inputs = torch.zeros(shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing has warnings of its own
            analysis = fvcore.FlopCountAnalysis(module, inputs).unsupported_ops_warnings(False)
            operators = analysis.by_operator()
        assert count(module, inputs) == 2 * (operators["conv"] + operators["linear"])


class Awkward(Classifier):
    """A model with everything that counting could disturb."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.history: list[Any] = []
        self.cache: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        self.cache = images * 2
        self.history.append(self.cache)
        self.head.touched = True
        random.random(), np.random.random(), torch.rand(3)
        return super().forward(images)


def state_of(model: nn.Module) -> list[Any]:
    """Everything that training depends on, for comparison."""
    return [
        {name: value.clone() for name, value in model.state_dict().items()},
        [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        [p.requires_grad for p in model.parameters()],
        [p.data_ptr() for p in model.parameters()],
        [module.training for module in model.modules()],
        [set(module.__dict__) for module in model.modules()],
        torch.get_rng_state(),
        str(random.getstate()),
        str(np.random.get_state()),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_cache_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
    ]


def same(one: Any, other: Any) -> bool:
    """Equality, of tensors too."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


class LooksAtData(Awkward):
    """A model that can't be counted without data."""

    def forward(self, images: Tensor) -> Tensor:
        if images.sum() > 0:
            images = images + 1
        return super().forward(images)


@pytest.mark.parametrize("kind", [Awkward, LooksAtData])
@pytest.mark.parametrize("setting", ["train", "eval", "no_grad", "inference", "autocast", "double"])
@pytest.mark.parametrize("backward", [False, True])
def test_counting_has_no_effect(kind: type[Awkward], setting: str, backward: bool) -> None:
    """A training would take another course because its FLOPs were counted."""
    model = kind()
    model.features[0].weight.requires_grad_(False)
    if setting == "double":
        model.double()
    ran: list[str] = []
    model.register_forward_hook(lambda *_: ran.append("forward"))
    model.head.register_forward_pre_hook(lambda *_: ran.append("pre"))
    model.head.register_full_backward_hook(lambda *_: ran.append("backward"))
    model.head.weight.register_hook(lambda *_: ran.append("gradient"))
    model.head.weight.register_post_accumulate_grad_hook(lambda *_: ran.append("accumulated"))
    everywhere = nn.modules.module.register_module_forward_hook(lambda *_: ran.append("all"))
    batch = torch.ones(2, 3, 8, 8, dtype=torch.float64 if setting == "double" else torch.float32)
    model(batch).sum().backward()
    hooks = len(ran)
    model.train(setting != "eval")
    before, attributes = state_of(model), (model.calls, model.cache, list(model.history))
    scopes: dict[str, Any] = {
        "no_grad": torch.no_grad,
        "inference": torch.inference_mode,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    }
    with scopes.get(setting, torch.enable_grad)():
        inside = state_of(model)
        counted = count(model, batch, backward)
        assert same(state_of(model), inside)
    everywhere.remove()
    assert same(state_of(model), before)
    assert len(ran) == hooks
    assert counted == count(kind(), torch.ones(2, 3, 8, 8), backward) - (
        2 * 2 * 64 * 16 * 27 if backward else 0  # the first layer is frozen
    )
    calls, cache, history = attributes
    assert model.calls == calls and model.cache is cache
    assert len(model.history) == len(history)
    model.train()(batch).sum().backward()  # and it can be trained on


def test_counting_does_not_change_later_random_numbers() -> None:
    """A seed would no longer give the same training."""

    def numbers(counted: bool) -> list[float]:
        torch.manual_seed(1)
        random.seed(1)
        model, inputs = Awkward(), torch.rand(4, 3, 8, 8)
        if counted:
            count(model, inputs, backward=True)
        return [model(inputs).sum().item(), random.random(), torch.rand(1).item()]

    assert numbers(True) == numbers(False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_counting_has_no_effect_on_a_gpu() -> None:
    """A GPU's random numbers or memory, or the model's device, would change."""
    model = Awkward().cuda()
    batch = torch.ones(2, 3, 8, 8, device="cuda")
    model(batch).sum().backward()
    before = [*state_of(model), torch.cuda.get_rng_state(), torch.cuda.memory_allocated()]
    on_gpu = count(model, batch, backward=True)
    assert on_gpu == count(model, batch.cpu(), backward=True)
    after = [*state_of(model), torch.cuda.get_rng_state(), torch.cuda.memory_allocated()]
    assert same(after, before)


def test_a_count_within_a_count_is_not_counted() -> None:
    """Asking for the FLOPs of a batch inside a block would add them to the block's."""
    module, inputs = nn.Linear(3, 2), torch.zeros(4, 3)
    with BlockCounter() as counter:
        count(module, inputs)
        assert counter.flops == 0
        module(inputs)
    assert counter.flops == 2 * 4 * 6
    assert counter.uncounted == {}


def test_uncounted_operators_are_reported() -> None:
    """A model of elementwise operations would appear to have been counted."""
    module = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.LayerNorm(4), nn.Softmax(-1))
    found = count_module(module, call_arguments(module, torch.zeros(2, 4)), backward=False)
    assert found.uncounted == {"_softmax": 1, "gelu": 1, "native_layer_norm": 1}
    assert found.passes == "forward"


@pytest.mark.filterwarnings("ignore:`torch.jit")  # torch's own, on its way to compile
@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        nn.DataParallel,
        lambda module: nn.utils.parametrizations.weight_norm(module, "weight"),
        lambda module: nn.utils.parametrizations.spectral_norm(module, "weight"),
        copy.deepcopy,
    ],
    ids=["compile", "parallel", "weight_norm", "spectral_norm", "plain"],
)
def test_wrapped_modules_are_counted(wrap: Callable[[Any], Any]) -> None:
    """A compiled or parametrized model would have no count, or a different one."""
    module = wrap(nn.Linear(8, 8))
    extra = 4 * 8 * 8 if wrap.__name__ == "<lambda>" else 0  # the norm's own products, if any
    counted = count(module, torch.zeros(4, 8), backward=True)
    assert 2 * 2 * 4 * 64 <= counted <= 2 * 2 * 4 * 64 + 20 * extra


class TakesMore(nn.Module):
    """A module of several inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, one: Tensor, other: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        return {"out": self.linear(one) + self.linear(other) * scale}


def test_batches_are_passed_as_loaders_give_them() -> None:
    """A batch with targets could not be counted, or its targets would count as inputs."""
    x, y = torch.zeros(4, 3), torch.zeros(4)
    one = nn.Linear(3, 2)
    for batch in (x, (x, y), [x, y], {"input": x, "labels": y}, (x.numpy(), y), x.double()):
        assert count(one, batch) == 2 * 4 * 6
    for batch in ((x, x, y), [x, x], {"one": x, "other": x, "labels": y}):
        assert count(TakesMore(), batch, backward=True) == 2 * 2 * 2 * 4 * 6
    embedding = nn.Sequential(nn.Embedding(10, 3), nn.Linear(3, 2))
    assert count(embedding, torch.zeros(4, 5, dtype=torch.int64)) == 2 * 20 * 6


def test_an_unsuitable_batch_raises_a_clear_error() -> None:
    """A wrong batch would end in a traceback inside torch, or count as nothing."""
    with pytest.raises(provml.InvalidArgumentError, match=r"float32\[4, 5\].*pass batch="):
        count(nn.Linear(3, 2), torch.zeros(4, 5))
    with pytest.raises(provml.InvalidArgumentError, match="tensors or arrays"):
        count(nn.Linear(3, 2), "text")


@pytest.mark.parametrize(
    ("device", "dtype", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.4e12),
        ("NVIDIA H100 PCIe", "float32", 378e12),
        ("NVIDIA A100-SXM4-80GB", "float16", 312e12),
        ("NVIDIA A100 80GB PCIe", "float32", 156e12),
        ("NVIDIA L40S", "bfloat16", 362.05e12),
        ("NVIDIA L40", "bfloat16", 181.05e12),
        ("NVIDIA L4", "float16", 121e12),
        ("Tesla T4", "float16", 65e12),
        ("Tesla T4", "bfloat16", None),  # computed by other units, much slower
        ("Tesla V100-PCIE-32GB", "float16", 112e12),
        ("Tesla V100-SXM2-16GB", "float16", 125e12),
        ("NVIDIA A100-SXM4-80GB", "float64", None),
        ("NVIDIA A100-SXM4-80GB MIG 2g.20gb", "float16", None),
        ("NVIDIA H200 NVL", "float16", None),
        ("NVIDIA H200", "float16", 989.4e12),
        ("NVIDIA A10G", "float16", None),
        ("NVIDIA GeForce RTX 4090", "float16", None),
    ],
)
def test_peaks_depend_on_device_and_type(device: str, dtype: str, peak: float | None) -> None:
    """Utilisation would refer to another device's peak, or to another number type."""
    assert _look_up_peak(device, dtype) == peak
