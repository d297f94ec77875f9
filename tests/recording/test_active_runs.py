"""Which run a call records into: nested runs, threads, asyncio tasks, several at once."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from waiting import LIMIT_S

import provml

Start = Callable[[str], provml.Run]


@pytest.fixture
def start(store: Path) -> Start:
    """Start a run with this id, which writes no document."""
    return lambda run_id: provml.start_run("e", store=store, run_id=run_id, formats=())


@pytest.fixture
def heard() -> Iterator[Callable[[], list[str]]]:
    """A function that returns the messages of the warnings that provml has issued so far."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", provml.ProvMLWarning)
        yield lambda: [str(each.message) for each in caught]


def in_threads(*functions: Callable[[], object]) -> None:
    """Run each function in a thread of its own; raise what one of them raises."""
    errors: list[BaseException] = []

    def call(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(each,)) for each in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def values(run: provml.Run) -> dict[str, list[Any]]:
    """The values of each series of a run, by its name."""
    recorded = provml.load(run.path)
    return {
        each.name: recorded.series(each.name).value.tolist() for each in recorded.series_names()
    }


def test_runs_in_threads_stay_apart(start: Start, heard: Callable[[], list[str]]) -> None:
    """Trials that run in parallel threads would record into each other's runs."""
    together = threading.Barrier(6)
    runs: dict[int, provml.Run] = {}

    def trial(number: int) -> None:
        with start(f"trial-{number}") as run:
            runs[number] = run
            for i in range(50):
                together.wait(LIMIT_S)
                provml.log_metric(f"m{number}", i)
            assert provml.active_run() is run
            together.wait(LIMIT_S)

    in_threads(*(lambda number=number: trial(number) for number in range(6)))
    for number, run in runs.items():
        assert values(run) == {f"m{number}": list(range(50))}
    assert heard() == []


def test_runs_in_tasks_stay_apart(start: Start, heard: Callable[[], list[str]]) -> None:
    """Trials that run in asyncio tasks would record into each other's runs."""

    async def step(number: int, i: int) -> None:
        await asyncio.sleep(0)
        provml.log_metric(f"m{number}", i)

    async def trial(number: int) -> provml.Run:
        with start(f"task-{number}") as run:
            for i in range(20):
                await step(number, i)
            await asyncio.gather(*(step(number, i) for i in range(20, 30)))
            await asyncio.to_thread(provml.log_metric, f"m{number}", 30)
        return run

    async def trials() -> list[provml.Run]:
        return await asyncio.gather(*(trial(number) for number in range(4)))

    for number, run in enumerate(asyncio.run(trials())):
        assert values(run) == {f"m{number}": list(range(31))}
    assert heard() == []


def test_threads_that_a_run_starts_belong_to_it(start: Start) -> None:
    """The threads and pools of a trial would record into another trial, or nowhere."""
    together = threading.Barrier(2)
    runs: dict[int, provml.Run] = {}

    def trial(number: int) -> None:
        with start(f"trial-{number}") as run:
            runs[number] = run
            together.wait(LIMIT_S)
            in_threads(
                lambda: provml.log_metric("thread", number),
                lambda: in_threads(lambda: provml.log_metric("grandchild", number)),
            )
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(provml.log_metric, ["pool"] * 3, [number] * 3))
            together.wait(LIMIT_S)

    start_before = threading.Thread.start
    in_threads(lambda: trial(0), lambda: trial(1))
    assert threading.Thread.start is start_before
    for number, run in runs.items():
        expected = {"thread": [number], "grandchild": [number], "pool": [number] * 3}
        assert values(run) == expected


def test_a_pool_that_works_for_several_runs_says_where_its_samples_go(
    start: Start, heard: Callable[[], list[str]]
) -> None:
    """A pool's thread would record one run's work into another run, without a warning."""
    both, used = threading.Barrier(2), threading.Event()
    pool = ThreadPoolExecutor(1)

    def first() -> None:
        with start("first"):
            both.wait(LIMIT_S)
            pool.submit(provml.log_metric, "m", 1.0).result()
            used.set()
            both.wait(LIMIT_S)

    def second() -> None:
        with start("second"):
            both.wait(LIMIT_S)
            used.wait(LIMIT_S)
            for _ in range(3):
                pool.submit(provml.log_metric, "m", 2.0).result()
            both.wait(LIMIT_S)

    in_threads(first, second)
    pool.shutdown()
    (text,) = heard()
    assert "e/first, e/second" in text
    assert "go to e/first" in text


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_lone_run_serves_the_whole_process(start: Start, where: str) -> None:
    """A thread or pool that is older than the run would not record into it."""
    wanted, logged = threading.Event(), threading.Event()

    def wait_and_log() -> None:
        wanted.wait(LIMIT_S)
        provml.log_metric("m", 1.0)
        logged.set()

    older = threading.Thread(target=wait_and_log)
    older.start()
    runs: list[provml.Run] = []
    if where == "main":
        runs.append(start("lone"))
    else:
        in_threads(lambda: runs.append(start("lone")))
    wanted.set()
    assert logged.wait(LIMIT_S)
    older.join()
    contextvars.Context().run(provml.log_metric, "m", 2.0)
    provml.log_metric("m", 3.0)
    provml.end_run()
    assert values(runs[0]) == {"m": [1.0, 2.0, 3.0]}


def test_other_threads_use_the_run_of_the_main_thread(start: Start) -> None:
    """A callback's thread would record into a run that another thread has for itself."""
    ready, done = threading.Event(), threading.Event()
    inner: list[provml.Run] = []

    def trial() -> None:
        with start("inner") as run:
            inner.append(run)
            provml.log_metric("own", 1.0)
            ready.set()
            done.wait(LIMIT_S)
            with start("innermost"):
                provml.log_metric("own", 2.0)
            provml.log_metric("own", 3.0)

    with start("outer") as outer:
        thread = threading.Thread(target=trial)
        thread.start()
        ready.wait(LIMIT_S)
        in_threads(lambda: provml.log_metric("shared", 1.0))
        provml.log_metric("shared", 2.0)
        assert provml.active_run() is outer
        done.set()
        thread.join()
    assert values(outer) == {"shared": [1.0, 2.0]}
    assert values(inner[0]) == {"own": [1.0, 3.0]}


def test_one_warning_if_several_runs_are_possible(
    start: Start, heard: Callable[[], list[str]]
) -> None:
    """A call that could mean any of several runs would go into one of them, unnoticed."""
    both = threading.Barrier(3)

    def trial(run_id: str) -> None:
        with start(run_id):
            both.wait(LIMIT_S)
            both.wait(LIMIT_S)

    threads = [threading.Thread(target=trial, args=(run_id,)) for run_id in ("a", "b")]
    for thread in threads:
        thread.start()
    both.wait(LIMIT_S)
    for i in range(3):
        provml.log_metric("m", i)
    with provml.count_flops("forward", None):
        provml.log_param("p", 1)
    provml.end_run()
    assert provml.active_run() is None
    both.wait(LIMIT_S)
    for thread in threads:
        thread.join()
    (text,) = heard()
    assert "log_metric() was called" in text
    assert "e/a, e/b" in text
    assert "run.log_metric(...)" in text


def test_a_call_after_the_block_raises_even_if_another_run_is_active(start: Start) -> None:
    """A trial that logs after its end would record into another trial, if one happens to run."""
    other: list[provml.Run] = []
    together = threading.Barrier(2)

    def first() -> None:
        with start("early"):
            together.wait(LIMIT_S)
        with pytest.raises(provml.NoActiveRunError):
            provml.log_metric("m", 1.0)
        together.wait(LIMIT_S)

    def second() -> None:
        with start("other") as run:
            other.append(run)
            together.wait(LIMIT_S)
            together.wait(LIMIT_S)

    in_threads(first, second)
    assert values(other[0]) == {}


def test_a_second_bare_start_says_what_becomes_of_the_first(
    start: Start, heard: Callable[[], list[str]]
) -> None:
    """A notebook's cell that runs twice would leave a run open without a word."""
    first = start("first")
    assert heard() == []
    second = start("second")
    (text,) = heard()
    assert "run e/first has not ended" in text
    assert "into e/second and, after that run has ended, into e/first again" in text
    assert "provml.end_run()" in text
    provml.log_metric("m", 2.0)
    provml.end_run()
    provml.log_metric("m", 1.0)
    provml.end_run()
    with pytest.raises(provml.NoActiveRunError):
        provml.log_metric("m", 0.0)
    assert values(first) == {"m": [1.0]}
    assert values(second) == {"m": [2.0]}


def test_nested_blocks_say_nothing(start: Start, heard: Callable[[], list[str]]) -> None:
    """A script that nests runs on purpose would get a warning for each."""
    with start("outer"), start("inner"):
        provml.log_metric("m", 1.0)
    start("next")
    provml.end_run()
    with provml.start_run("off", disabled=True), start("after"):
        pass
    assert heard() == []


def test_another_tools_wrapper_of_thread_start_survives(start: Start) -> None:
    """A tracer that wraps Thread.start while runs are active would be removed with our wrapper."""
    original = threading.Thread.start
    calls: list[str] = []

    def work() -> None:
        with start("a"):
            ours = threading.Thread.start

            def wrapper(thread: threading.Thread) -> None:
                calls.append(thread.name)
                ours(thread)

            threading.Thread.start = wrapper  # type: ignore[method-assign]

    try:
        in_threads(work)
        in_threads(lambda: None)
        assert len(calls) == 1
        runs: list[provml.Run] = []

        def again() -> None:
            with start("b") as run:
                runs.append(run)
                in_threads(lambda: provml.log_metric("m", 1.0))

        in_threads(again)
        assert values(runs[0]) == {"m": [1.0]}
    finally:
        threading.Thread.start = original  # type: ignore[method-assign]
