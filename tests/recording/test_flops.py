"""Logging FLOPs: per batch, per epoch and of a block; what is recorded, stated and refused."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prov.model import ProvDocument

import provml
from provml.journal import layout

pytest.importorskip("torch", reason="torch is not installed")

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

TRAINING = provml.Context.TRAINING
FORWARD = 2 * 4 * (10 * 20 + 20 * 5)  # of a batch of four
BOTH = FORWARD + 2 * 4 * (10 * 20 + 2 * 20 * 5)


@pytest.fixture
def net() -> nn.Module:
    """A small model."""
    return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))


def values(run: provml.Run, label: str, context: Any = TRAINING) -> tuple[list[int], list[int]]:
    """The increments and the totals of a label."""
    recorded = provml.load(run.path)
    increments = recorded.series(label, context, kind="flops").value.tolist()
    return increments, recorded.series(label, context, kind="cumulative-flops").value.tolist()


def test_batches_are_logged_with_their_total(run: provml.Run, net: nn.Module) -> None:
    """A user would not see what a batch takes, nor what the training took so far."""
    run.log_model("net", net)
    batch = (torch.zeros(4, 10), torch.zeros(4))
    run.log_flops_per_batch("train", TRAINING, 0, batch=batch)
    run.log_flops_per_batch("train", TRAINING, 1)
    run.log_flops_per_batch("train", TRAINING, 2, batch=torch.zeros(2, 10), epoch=0)
    run.log_flops_per_batch("train", TRAINING)
    run.log_flops_per_batch("train", TRAINING, 3, backward=False, batch=batch)
    net.eval()
    run.log_flops_per_batch("train", "validation", 3)
    assert values(run, "train") == (
        [BOTH, BOTH, BOTH // 2, BOTH // 2, FORWARD],
        [BOTH, 2 * BOTH, 2 * BOTH + BOTH // 2, 3 * BOTH, 3 * BOTH + FORWARD],
    )
    assert values(run, "train", "validation") == ([FORWARD], [3 * BOTH + 2 * FORWARD])
    series = provml.load(run.path).series("train", TRAINING)
    assert series.step.tolist() == [0, 1, 2, layout.NO_STEP, 3]
    assert series.epoch.tolist() == [-1, -1, 0, -1, -1]


def test_calls_alike_follow_batch_and_model(run: provml.Run, net: nn.Module) -> None:
    """What was counted for one shape or model would be logged for another."""

    def log(model: nn.Module, batch: Any) -> int:
        run.log_flops_per_batch("train", TRAINING, model=model, batch=batch)
        return values(run, "train")[0][-1]

    rows = torch.zeros(4, 10)
    assert [log(net, (rows, rows)) for _ in range(2)] == [BOTH, BOTH]
    rows.resize_(2, 10)
    assert [log(net, (rows, rows)) for _ in range(2)] == [BOTH // 2, BOTH // 2]
    assert log(net, (rows[:1], rows)) == BOTH // 4
    assert log(net, [rows, [rows, "two"], None]) == BOTH // 2
    assert log(net, {"input": rows}) == BOTH // 2
    net.eval()
    assert log(net, (rows, rows)) == FORWARD // 2
    for width in (5, 50, 5):  # the next may be at the address of the one before
        assert log(nn.Linear(10, width).eval(), (rows, rows)) == 2 * 2 * 10 * width


def test_a_model_is_counted_once(run: provml.Run, net: nn.Module) -> None:
    """Every batch would cost what the first one does."""
    ran: list[int] = []
    forward = net.forward
    net.forward = lambda inputs: (ran.append(1), forward(inputs))[1]  # type: ignore[method-assign]
    for step in range(10):
        run.log_flops_per_batch("a", TRAINING, step, model=net, batch=torch.zeros(4, 10))
        run.log_flops_per_batch("b", "other", step, batch=[torch.zeros(4, 10), 1])
    assert len(ran) == 1
    records = list(provml.load(run.path)._records("flops", "series"))
    assert [r["record"] for r in records] == ["flops", "series", "series"] * 2


class Doubled(Dataset[Any]):
    """A dataset that transforms what it gives, at random, and notes what was asked for."""

    def __init__(self, length: int) -> None:
        self.asked: list[int] = []
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.asked.append(index)
        return torch.rand(10), 0


class Stream(IterableDataset[Any]):
    """A dataset that can be read once."""

    def __iter__(self) -> Any:
        raise AssertionError("it was read")


TENSORS = TensorDataset(torch.zeros(10, 10), torch.zeros(10))
EPOCH = BOTH // 4 * 10
DATASETS: dict[str, tuple[Callable[[], Any], int]] = {
    "loader": (lambda: DataLoader(TENSORS, batch_size=4), EPOCH),
    "loader that drops": (
        lambda: DataLoader(TENSORS, batch_size=4, drop_last=True),
        EPOCH // 10 * 8,
    ),
    "shuffled loader": (lambda: DataLoader(TENSORS, batch_size=3, shuffle=True), EPOCH),
    "loader of a large batch": (lambda: DataLoader(TENSORS, batch_size=64), EPOCH),
    "dataset": (lambda: TENSORS, EPOCH),
    "subset": (lambda: Subset(TENSORS, [1, 2, 3, 4, 5]), EPOCH // 2),
    "random dataset": (lambda: Doubled(20), 2 * EPOCH),
    "array": (lambda: np.zeros((10, 10)), EPOCH),
    "arrays": (lambda: (np.zeros((10, 10), np.float32), np.zeros(10)), EPOCH),
    "tensor": (lambda: torch.zeros(10, 10), EPOCH),
}


@pytest.mark.parametrize("name", DATASETS)
def test_epochs_over_any_dataset(run: provml.Run, net: nn.Module, name: str) -> None:
    """A dataset of some kind would be counted short, or change by being counted."""
    make, expected = DATASETS[name]
    data = make()
    random_state = torch.get_rng_state()
    run.log_flops_per_epoch("epoch", data, TRAINING, 0, model=net)
    assert torch.equal(torch.get_rng_state(), random_state)
    run.log_dataset("named", data)
    run.log_flops_per_epoch("epoch", data, TRAINING, 1)
    assert values(run, "epoch") == ([expected] * 2, [expected, 2 * expected])
    if not isinstance(data, tuple):
        run.log_flops_per_epoch("epoch", "named", TRAINING, 2)
        assert values(run, "epoch")[0] == [expected] * 3
    if isinstance(data, Doubled):
        assert set(data.asked) == {0}


def test_a_length_is_of_batches_like_those_known(run: provml.Run, net: nn.Module) -> None:
    """A number of samples, all that some scripts know, could not be given."""
    with pytest.raises(provml.InvalidArgumentError, match=r"batch is unknown: pass batch="):
        run.log_flops_per_epoch("epoch", 10, TRAINING, model=net)
    run.log_flops_per_epoch("epoch", 10, TRAINING, model=net, batch=torch.zeros(4, 10))
    run.log_flops_per_epoch("epoch", 8, TRAINING)
    assert values(run, "epoch")[0] == [EPOCH, EPOCH // 10 * 8]


def test_a_batch_of_a_dataset_that_was_logged(run: provml.Run, net: nn.Module) -> None:
    """The call of three arguments would never do without a batch."""
    run.log_model("net", net)
    run.log_dataset("train", DataLoader(TENSORS, batch_size=4))
    loader = DataLoader(TENSORS, batch_size=4)
    run.log_dataset("train", loader)
    run.log_flops_per_batch("train", TRAINING, 0)
    assert values(run, "train")[0] == [BOTH]


def test_what_is_missing_is_named(run: provml.Run, net: nn.Module) -> None:
    """A user would not learn what to do."""
    refused = [
        (lambda: run.log_flops_per_batch("f", None), "no model .* log_model.* model="),
        (lambda: run.log_flops_per_batch("f", None, model="net"), "'net' was not logged"),
        (lambda: run.log_flops_per_batch("f", None, model=7), "torch modules, not for int"),
        (lambda: run.log_flops_per_batch("f", None, model=net), "batch is unknown: pass batch="),
        (lambda: run.log_flops_per_batch(7, None, model=net, batch=torch.zeros(1, 10)), "label"),
        (lambda: run.log_flops_per_batch("f", 7, model=net, batch=torch.zeros(1, 10)), "context"),
        (lambda: run.log_flops_per_epoch("f", None, None, model=net), "dataset is missing"),
        (lambda: run.log_flops_per_epoch("f", "d", None, model=net), "'d' was not logged"),
        (lambda: run.log_flops_per_epoch("f", iter([]), None, model=net), "length .* unknown"),
        (lambda: run.log_flops_per_epoch("f", Stream(), None, model=net), "length .* unknown"),
        (lambda: run.log_flops_per_epoch("f", [], None, model=net), "pass batch="),
        (lambda: run.log_flops_per_epoch("f", -1, None, model=net), "1 or more"),
        (lambda: run.count_flops("f", None, "one").__enter__(), "step"),
    ]
    for call, message in refused:
        with pytest.raises(provml.InvalidArgumentError, match=message):
            call()  # type: ignore[no-untyped-call]
    run.log_model("net", nn.Linear(1, 1))
    gc.collect()
    with pytest.raises(provml.InvalidArgumentError, match="'net' no longer exists"):
        run.log_flops_per_batch("f", None, model="net")
    with pytest.raises(provml.InvalidArgumentError, match="not a torch module: 'net'"):
        run.log_flops_per_batch("f", None)
    assert not any(provml.load(run.path)._records("flops"))


def test_a_refused_step_adds_nothing(run: provml.Run, net: nn.Module) -> None:
    """A call that raised would have changed the total."""
    for step in (0, 2**63, -(2**63), True, 0.5, 1):
        try:
            run.log_flops_per_batch("f", TRAINING, step, model=net, batch=torch.zeros(4, 10))  # type: ignore[arg-type]
        except provml.InvalidArgumentError:
            continue
    assert values(run, "f") == ([BOTH, BOTH], [BOTH, 2 * BOTH])


def test_a_model_is_not_kept_alive(run: provml.Run) -> None:
    """A model's memory would stay taken to the end of the run."""
    import weakref

    net = nn.Linear(10, 5)
    run.log_model("net", net)
    run.log_flops_per_batch("f", None, batch=torch.zeros(1, 10))
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_a_block_of_code_is_counted_as_it_runs(run: provml.Run, net: nn.Module) -> None:
    """What is no module, or no plain pass, could not be counted; or would run otherwise."""
    inputs, other = torch.rand(4, 10), torch.rand(10, 3)
    expected = net(inputs)
    with run.count_flops("block", TRAINING, 3):
        assert torch.equal(net(inputs), expected)
        with run.count_flops("inner", TRAINING):
            inputs @ other
    with pytest.raises(KeyError), run.count_flops("block", TRAINING, 4):
        net(inputs).sum().backward()
        raise KeyError
    inner = 2 * 4 * 10 * 3
    assert values(run, "block")[0] == [FORWARD + inner, BOTH]
    assert values(run, "inner")[0] == [inner]


def attributes(run: provml.Run, kind: str) -> list[dict[str, Any]]:
    """What is stated of the elements of a class."""
    return [
        dict(s.attributes)
        for s in provml.load(run.path).statements()
        if ("prov:type", kind) in s.attributes
    ]


def test_a_count_is_an_activity_that_used_model_and_dataset(
    run: provml.Run, net: nn.Module, read_back: Callable[..., ProvDocument]
) -> None:
    """The graph would not say whose operations they are, and at which step."""
    run.log_metric("loss", 1.0, TRAINING, 7, epoch=2)
    run.log_model("net", net)
    loader = DataLoader(TENSORS, batch_size=4)
    run.log_dataset("train", loader, context=TRAINING)
    run.log_flops_per_epoch("epoch", loader, TRAINING, 7, epoch=2)
    statements = list(provml.load(run.path).statements())
    by_kind: dict[str, list[dict[str, str]]] = {}
    for statement in statements:
        arguments = {k.removeprefix("prov:"): str(v) for k, v in statement.arguments.items()}
        by_kind.setdefault(statement.kind, []).append(arguments)
    made = [r for r in by_kind["wasGeneratedBy"] if "/epoch/0" in r["entity"]]
    assert [r["entity"] for r in made] == [
        "run:flops/training/epoch/0",
        "run:cumulative-flops/training/epoch/0",
    ]
    (counting,) = {r["activity"] for r in made}
    informed = [r["informant"] for r in by_kind["wasInformedBy"] if r["informed"] == counting]
    assert informed == ["run:step/training/2.7"]
    used = {r["entity"] for r in by_kind["used"] if r["activity"] == counting}
    assert {"run:model/net", "run:dataset/train"} < used and len(used) == 3
    agents = [r["agent"] for r in by_kind["wasAssociatedWith"] if r["activity"] == counting]
    assert [agent.partition("-")[0] for agent in agents] == ["base:software/torch"]
    (workload,) = attributes(run, "provml:Workload")
    assert workload["prov:value"] == EPOCH
    assert workload["provml:passes"] == "forward and backward"
    assert workload["provml:extent"] == "epoch"
    assert (workload["provml:length"], workload["provml:batches"]) == (10, 3)
    assert workload["provml:inputs"].lexical == '["float32[4, 10]"]'
    assert '"relu":1' in workload["provml:uncounted"].lexical
    (sample,) = attributes(run, "provml:Flops")
    assert (sample["prov:value"], sample["provml:unit"]) == (EPOCH, "FLOP")
    assert read_back(provml.load(run.path)).get_records()


def test_a_model_that_was_not_logged_is_stated(run: provml.Run, net: nn.Module) -> None:
    """A count would be of nothing."""
    for other in (net, nn.Sequential(nn.Linear(10, 1)), net):
        run.log_flops_per_batch("f", None, model=other, batch=torch.zeros(4, 10))
    first, second = attributes(run, "provml:Model")
    assert (first["provml:name"], second["provml:name"]) == ("Sequential", "Sequential 2")
    assert first["provml:parameters"] == 10 * 20 + 20 + 20 * 5 + 5
    assert "log_model" in first["provml:unread"]


def test_a_later_version_of_the_model_is_used_by_later_counts(
    run: provml.Run, net: nn.Module
) -> None:
    """A checkpoint would get the operations of the one before it."""
    for step in range(2):
        run.log_model("net", net)
        run.log_flops_per_batch("f", TRAINING, step, batch=torch.zeros(4, 10))
    used = [
        str(s.arguments["prov:entity"])
        for s in provml.load(run.path).statements()
        if s.kind == "used" and "model" in s.arguments["prov:entity"]
    ]
    assert used == ["run:model/net", "run:model/net/2"]


def test_rates_are_stated_where_time_and_peak_are_known(run: provml.Run, net: nn.Module) -> None:
    """A user would not see how much of a device is used, or a CPU would get a made-up peak."""
    for step in range(3):
        run.log_flops_per_batch("f", TRAINING, step, model=net, batch=torch.zeros(4, 10))
    recorded = provml.load(run.path)
    series = recorded.series("f", TRAINING)
    seconds = (series.time_ns[-1] - series.time_ns[0]) / 1e9
    (found,) = [a for a in attributes(run, "provml:Series") if "provml:flopsPerSecond" in a]
    assert found["provml:flopsPerSecond"] == pytest.approx(2 * BOTH / seconds)
    assert "provml:utilisation" not in found
    flops = {"record": "flops", "time": 10**18, "target": 50, "name": "g", "context": None}
    flops |= {"unit": "batch", "passes": "forward", "counter": "torch 2.0", "peak": 1000.0}
    run._append(flops | {"flops": 7})
    for number in range(2):
        time_ns = 10**18 + number * 10**9
        key = ("cumulative-flops", "g", None, "FLOP", "i64", 50)
        run._open_writer().sample(key, time_ns, None, None, 250 * (number + 1))
    (found,) = [a for a in attributes(run, "provml:Series") if "provml:utilisation" in a]
    assert (found["provml:flopsPerSecond"], found["provml:utilisation"]) == (250.0, 0.25)


def test_threads_lose_no_count(run: provml.Run, net: nn.Module) -> None:
    """The total would be less than the sum of what was added to it."""
    run.log_flops_per_batch("f", TRAINING, model=net, batch=torch.zeros(4, 10))

    def log() -> None:
        for step in range(500):
            run.log_flops_per_batch("f", TRAINING, step)

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    increments, totals = values(run, "f")
    assert increments == [BOTH] * 2001
    assert totals == [BOTH * (number + 1) for number in range(2001)]
    times = provml.load(run.path).series("f", TRAINING).time_ns
    assert (np.diff(times) > 0).all()


def test_a_forked_child_counts_for_itself(run: provml.Run, net: nn.Module) -> None:
    """A child would write into its parent's files, or wait for a lock for ever."""
    run.log_flops_per_batch("f", TRAINING, 0, model=net, batch=torch.zeros(4, 10))
    child = os.fork()
    if child == 0:
        run.log_flops_per_batch("f", TRAINING, 1, model=net, batch=torch.zeros(4, 10))
        run.end_run()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    run.log_flops_per_batch("f", TRAINING, 2)
    increments, totals = values(run, "f")
    assert sorted(increments) == [BOTH] * 3
    assert sorted(totals) == [BOTH, BOTH, 2 * BOTH]


def test_totals_beyond_64_bits_are_exact(run: provml.Run) -> None:
    """A large training's total would wrap around, or stop."""
    net = nn.Linear(2**20, 2**20, bias=False, device="meta")
    batch = torch.empty(2**20, 2**20, device="meta")
    for step in range(6):
        run.log_flops_per_batch("f", TRAINING, step, model=net, batch=batch, backward=False)
    increments, totals = values(run, "f")
    assert increments == [2**61] * 6
    assert totals == [2**61 * (number + 1) for number in range(6)]


def test_the_module_s_verbs_are_those_of_the_run(store: Path, net: nn.Module) -> None:
    """A script of module-level calls could not log FLOPs; a disabled run would import torch."""
    with provml.start_run("e", store=store, formats=()) as run:
        provml.log_flops_per_batch("f", TRAINING, 0, model=net, batch=torch.zeros(4, 10))
        provml.log_flops_per_epoch("f", 4, TRAINING, 1)
        with provml.count_flops("f", TRAINING, 2):
            net(torch.zeros(4, 10))
    assert values(run, "f")[0] == [BOTH, BOTH, FORWARD]
    with pytest.raises(provml.RunClosedError):
        run.log_flops_per_batch("f", TRAINING, 0, model=net, batch=torch.zeros(4, 10))
    with provml.start_run("e", store=store, disabled=True) as run:
        run.log_flops_per_batch("f", TRAINING)
        run.log_flops_per_epoch("f", None, TRAINING)
        with run.count_flops("f", TRAINING) as nothing:
            assert nothing is None
    with pytest.raises(provml.NoActiveRunError):
        provml.count_flops("f", TRAINING)
