"""Questions about runs in progress: current values, without reading the runs again."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import waiting

import provml
from provml import Context
from provml.journal import layout
from provml.lineage.live_runs import SUMMARY_TABLES
from provml.lineage.questions import Store
from provml.lineage.tables import TABLES


def rows_of(store: Store, table: str) -> list[tuple[Any, ...]]:
    """The rows of a table in a fixed order, without the column that names the files."""
    but = "EXCLUDE (fingerprint)" if table == "runs" else ""
    return [tuple(map(repr, row)) for row in store.sql(f"SELECT * {but} FROM {table}").rows]


def assert_current(store: Store, tables: tuple[str, ...] = SUMMARY_TABLES) -> None:
    """Compare a store that has been open for a while with one that reads all runs now."""
    fresh = provml.open_store(store.path)
    for table in tables:
        assert sorted(rows_of(store, table)) == sorted(rows_of(fresh, table)), table


def read_again(store: Store) -> int:
    """Bring the tables of `Store.runs` up to date; return the number of runs read from scratch."""
    return store._database.refresh(SUMMARY_TABLES)


@pytest.fixture
def run(store: Path) -> Iterator[provml.Run]:
    """A run in progress."""
    with provml.start_run("live", store=store, formats=(), collect=()) as run:
        run.log_param("lr", 0.1)
        run.log_metric("loss", 2.0, Context.TRAINING, 0)
        yield run


def test_new_samples_are_read_without_reading_the_run_again(run: provml.Run, store: Path) -> None:
    """A question about a hundred runs in progress would take seconds."""
    opened = provml.open_store(store)
    opened.runs()
    for step in range(1, 5):
        run.log_metric("loss", 1 / step, Context.TRAINING, step)
        run.log_metric(f"new {step}", step, Context.VALIDATION)
        run.log_event("saved", step=step)
        assert read_again(opened) == 0
        shown = opened.runs(show=["metrics.loss", "metrics.loss.min", f'metrics["new {step}"]'])
        assert shown.rows[0][-3:] == (1 / step, 1 / step, step)
        assert shown[0]["sample_count"] == 1 + 2 * step
    run.log_param("late", 3)
    assert read_again(opened) == 1
    assert_current(opened)


def log_float(run: provml.Run, chance: random.Random) -> None:
    value = chance.choice([0.5, -0.0, math.nan, math.inf, chance.random()])
    for step in range(chance.choice([1, 3, 300])):
        run.log_metric("float", value + step, chance.choice([None, "training"]), step)


def log_int(run: provml.Run, chance: random.Random) -> None:
    value = chance.choice([3, 2**60 + 1, -(2**70), True])
    run.log_metric("int", value, "training", chance.randrange(5), epoch=chance.choice([None, 2]))


def log_text(run: provml.Run, chance: random.Random) -> None:
    run.log_metric("float", Decimal("0.1"), "training", unit=chance.choice([None, "s"]))


def log_point(run: provml.Run, chance: random.Random) -> None:
    run.metrics("group").log(value=chance.random())
    if chance.random() < 0.5:
        run.metrics.log(epoch=chance.randrange(3), step=chance.randrange(9))
        run.metrics.flush()


def log_file(run: provml.Run, chance: random.Random) -> None:
    path = run.path.parent.parent.parent / f"file {chance.random()}"
    path.write_text(str(chance.random()))
    run.log_artifact(path, context="training", step=chance.randrange(3))


OPERATIONS: list[Callable[[provml.Run, random.Random], object]] = [
    log_float,
    log_int,
    log_text,
    log_point,
    log_file,
    lambda run, chance: run.log_event(f"noted {chance.random()}", "training"),
    lambda run, chance: run.log_param(f"p{chance.randrange(3)}", chance.random()),
    lambda run, chance: run.set_tag("stage", chance.choice("ab")),
    lambda run, chance: None,
]


@pytest.mark.parametrize("seed", range(2))
def test_every_table_is_current_after_anything(run: provml.Run, store: Path, seed: int) -> None:
    """A question about a run in progress would get values that are not those of its files."""
    chance = random.Random(seed)
    opened = provml.open_store(store)
    for turn in range(8):
        for _ in range(chance.randrange(1, 4)):
            chance.choice(OPERATIONS)(run, chance)
            opened.runs()
        assert_current(opened, tuple(TABLES) if turn % 4 == 3 else SUMMARY_TABLES)


def test_a_file_that_a_run_in_progress_has_just_made_is_known(
    run: provml.Run, store: Path, tmp_path: Path
) -> None:
    """What a run made would be missing until it ends."""
    opened = provml.open_store(store)
    opened.runs()
    for number in range(2):
        made = tmp_path / f"model {number}"
        made.write_text(f"weights {number}")
        run.log_model("net", made, context="training", step=number + 1)
        assert opened.runs().rows
        assert len(opened.lineage(made).runs) == 1
        assert opened.history("net").column("epoch")[-1] is None
        run.log_metric("loss", 1.0, Context.TRAINING, number + 1, epoch=number)
        assert [row["epoch"] for row in opened.history("net")] == list(range(number + 1))


def test_a_slot_that_a_thread_never_filled_does_not_hold_back_later_values(
    run: provml.Run, store: Path
) -> None:
    """After an interrupted call, the values of a run in progress would stand still."""
    opened = provml.open_store(store)
    opened.runs()
    run._samples.slots[1]()  # reserve a slot, as an interrupted call does
    for step in range(1, 4):
        run.log_metric("loss", -step, Context.TRAINING, step)
        (row,) = opened.runs(show=["metrics.loss.min"])
        assert row["metrics.loss.min"] == -step


RECORDS_UNTIL_KILLED = """
import sys, time, provml
run = provml.start_run("live", store=sys.argv[1], formats=(), collect=(), run_id=sys.argv[2])
step = 0
print("ready", flush=True)
for line in sys.stdin:
    if line == "end\\n":
        provml.end_run("failed")
        print("ended", flush=True)
        continue
    run.log_metric("loss", float(line), "training", step)
    step += 1
    print(step, flush=True)
"""


class Recorder:
    """A process that records a run, one sample for each line that it is sent."""

    def __init__(self, store: Path, run_id: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RECORDS_UNTIL_KILLED, str(store), run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.path = store / "live" / run_id
        self.receive()

    def receive(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.receive()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def record(store: Path) -> Iterator[Callable[[str], Recorder]]:
    """A function that starts a process that records a run with this id."""
    started: list[Recorder] = []

    def start(run_id: str) -> Recorder:
        started.append(Recorder(store, run_id))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        with one.process:
            pass


def test_the_end_and_the_crash_of_a_run_are_seen(
    record: Callable[[str], Recorder], store: Path
) -> None:
    """A run that has ended, or was killed, would be shown as running."""
    recorder, opened = record("other"), provml.open_store(store)
    recorder.send("0.5")
    assert opened.runs().column("status") == ["running"]
    recorder.send("0.25")
    (row,) = opened.runs(show=["metrics.loss"])
    assert (row["status"], row["metrics.loss"]) == ("running", 0.25)
    os.kill(recorder.process.pid, signal.SIGSTOP)
    assert opened.runs().column("status") == ["running"]
    recorder.kill()
    (row,) = opened.runs(show=["metrics.loss"])
    assert (row["status"], row["metrics.loss"]) == ("crashed", 0.25)
    other = record("ends")
    assert sorted(opened.runs().column("status")) == ["crashed", "running"]
    other.send("end")
    assert sorted(opened.runs().column("status")) == ["crashed", "failed"]
    assert_current(opened, tuple(TABLES))


def test_a_run_that_is_renamed_or_removed_is_no_longer_followed(
    record: Callable[[str], Recorder], store: Path
) -> None:
    """A removed run would stay in the table, and keep its files open."""
    recorder, opened = record("other"), provml.open_store(store)
    recorder.send("0.5")
    assert opened.runs().column("run") == ["live/other"]
    renamed = recorder.path.with_name("renamed")
    recorder.path.rename(renamed)
    recorder.send("0.25")
    (row,) = opened.runs(show=["metrics.loss"])
    assert (row["run"], row["status"], row["metrics.loss"]) == ("live/renamed", "running", 0.25)
    shutil.rmtree(renamed)
    assert opened.runs().rows == []
    assert opened._database._followed == {}
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").glob("*")]
    assert not [link for link in links if layout.EVENTS_SUFFIX in link]


def test_another_run_under_the_same_name_takes_the_place_of_a_removed_one(
    record: Callable[[str], Recorder], store: Path
) -> None:
    """The values of two runs would be mixed."""
    recorder, opened = record("other"), provml.open_store(store)
    for value in ("1", "2", "3"):
        recorder.send(value)
    assert opened.runs(show=["metrics.loss.count"])[0]["metrics.loss.count"] == 3
    recorder.kill()
    shutil.rmtree(recorder.path)
    other = record("other")
    other.send("9")
    (row,) = opened.runs(show=["metrics.loss.count", "metrics.loss"])
    assert (row["metrics.loss.count"], row["metrics.loss"]) == (1, 9.0)
    other.kill()
    waiting.until(lambda: opened.runs().column("status") == ["crashed"], "the crash")


def test_few_files_stay_open(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with hundreds of runs in progress would use up the descriptors of the process."""
    monkeypatch.setattr("provml.lineage.database._MOST_OPEN_FILES", 4)
    store.mkdir()
    opened = provml.open_store(store)
    with ExitStack() as stack:
        options = {"store": store, "formats": (), "collect": ()}
        runs = [
            stack.enter_context(provml.start_run("live", run_id=f"r{number}", **options))
            for number in range(5)
        ]
        for step in range(3):
            for run in runs:
                run.log_metric("loss", step, "training", step)
            assert opened.runs(show=["metrics.loss"]).column("metrics.loss") == [step] * 5
            assert sum(one.open_files for one in opened._database._followed.values()) <= 4
            assert len(opened._database._followed) == 5
    assert opened.runs().column("status") == ["finished"] * 5
