"""Pages of a metric group's points, read one after another, during the run and after it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import provml
from provml.journal import point_pages


def read_pages(group, limit):
    """The points of all pages, one after another."""
    found, page = [], group.read(0, limit)
    found += page["data"]
    while page["has_more"]:
        page = group.read(len(found), limit)
        found += page["data"]
    return found


@pytest.fixture
def run(tmp_path: Path):
    """A run that is being recorded."""
    with provml.start_run("x", store=tmp_path, formats=(), sample_interval_s=0) as run:
        yield run


def test_all_pages_together_cost_a_few_passes(tmp_path):
    """Reading a long group in pages would take time that grows with the square of its length."""
    with provml.start_run("x", store=tmp_path, formats=(), sample_interval_s=0) as run:
        group = run.metrics("train")
        group.append_batch({"loss": n} for n in range(30_000))
    (samples,) = run.path.glob("journal/*.samples")
    with open("/proc/self/io") as io:
        before = int(io.readline().split()[1])
    found = read_pages(group, 500)
    with open("/proc/self/io") as io:
        cost = int(io.readline().split()[1]) - before
    assert [point.data["loss"] for point in found] == list(range(30_000))
    assert [point.index for point in found] == list(range(30_000))
    assert cost < 40 * os.stat(samples).st_size  # 60 passes without an index


@pytest.mark.parametrize(("records", "limit"), [(3, 7), (5, 2), (4096, 1)])
def test_pages_fit_together_wherever_parts_end(run, monkeypatch, records, limit):
    """A point whose samples lie in two parts would be left out, repeated or cut in two."""
    monkeypatch.setattr(point_pages, "_PART_RECORDS", records)
    group, other = run.metrics("train"), run.metrics("test")
    expected = []
    for n in range(12):
        group.log(loss=n, acc=n / 2, step=n) if n % 3 else group.log(loss=n)
        expected.append({"loss": n, "acc": n / 2, "step": n} if n % 3 else {"loss": n})
        other.log(loss=-n)
    assert [point.data for point in read_pages(group, limit)] == expected
    assert [point.data for point in group.read(7, 4)["data"]] == expected[7:11]


def test_pages_grow_with_the_run(run, monkeypatch):
    """A page of a live run would leave out what was logged after the first page was read."""
    monkeypatch.setattr(point_pages, "_PART_RECORDS", 7)
    group, seen = run.metrics("train"), []
    for n in range(10):
        group.log(loss=n, acc=0.5)
        page = group.read(len(seen), 2)
        seen += page["data"]
        assert (page["total"], page["has_more"]) == (n + 1, False)
    assert [point.data["loss"] for point in seen] == list(range(10))
    assert group.read(0, 1000)["data"] == seen
    assert provml.load(run.path).points("train").data == seen


def test_an_earlier_writer_moves_the_points_of_a_later_one(run):
    """Two processes that log at once would get the same indices, or lose points."""
    group = run.metrics("train")
    group.log(loss=0.0)
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        group.log(loss=100.0)
        os.write(write_end, b"x")
        os._exit(0)
    os.read(read_end, 1)
    os.waitpid(child, 0)
    assert [p.data["loss"] for p in group.read(0, 10)["data"]] == [0.0, 100.0]
    group.log(loss=1.0)
    assert [p.data["loss"] for p in group.read(0, 10)["data"]] == [0.0, 1.0, 100.0]
    assert [p.index for p in group.read(2, 10)["data"]] == [2]
