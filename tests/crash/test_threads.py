"""Threads: growth of the files, new series and the run's end, all while others log."""

from __future__ import annotations

import json
import os
import threading

import numpy as np
import pytest
from waiting import LIMIT_S

import provml

_LOG_UNTIL_CLOSED = """
    import json, sys, threading
    import provml

    kind, rounds = sys.argv[1], int(sys.argv[2])
    sys.setswitchinterval(1e-6)
    result = []
    for _ in range(rounds):
        run = provml.start_run("end", formats=())
        acknowledged = [0] * 4
        errors = []
        started = threading.Barrier(5)
        under_way = threading.Semaphore(0)

        def log(thread):
            verbs = {
                "metric": lambda i: run.log_metric(f"m{thread}", i, step=i),
                "metrics": lambda i: run.log_metrics({f"m{thread}": i}, step=i),
                "text": lambda i: run.log_metric(f"m{thread}", f"text {i}", step=i),
                "param": lambda i: run.log_param(f"p{thread}.{i}", i),
            }
            verb = verbs[kind]
            started.wait()
            try:
                while True:
                    verb(acknowledged[thread])
                    acknowledged[thread] += 1
                    if acknowledged[thread] == 50:
                        under_way.release()
            except provml.RunClosedError:
                pass
            except BaseException as error:
                errors.append(repr(error))
                under_way.release()

        threads = [threading.Thread(target=log, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        for thread in threads:
            under_way.acquire()
        run.end_run()
        for thread in threads:
            thread.join()
        dropped = run.dropped
        result.append([str(run.path), acknowledged, errors, dropped])
    print(json.dumps(result))
"""


def events_lines(run):
    (path,) = run.path.glob("journal/*.events.jsonl")
    return path.read_bytes().splitlines()


def test_none_is_lost_or_torn_as_the_file_grows(tmp_path):
    """Eight training threads would lose or mix up samples where a segment ends."""
    per_thread = 20_000
    with provml.start_run("threads", store=tmp_path, formats=()) as run:
        started = threading.Barrier(8)

        def log(thread):
            started.wait()
            for i in range(per_thread):
                run.log_metric(f"m{thread}", thread * 1e6 + i, "training", step=i, epoch=thread)

        threads = [threading.Thread(target=log, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert run.dropped == (0, 0)
    recorded = provml.load(run.path)
    for thread in range(8):
        series = recorded.series(f"m{thread}", "training")
        assert np.array_equal(series.step, np.arange(per_thread))
        assert np.array_equal(series.value, thread * 1e6 + np.arange(per_thread))
        assert np.all(series.epoch == thread)


def test_threads_declare_series_at_once(tmp_path):
    """Threads that log new names together would declare one twice, or use it undeclared."""
    names = [f"name{i}" for i in range(300)]
    with provml.start_run("threads", store=tmp_path, formats=()) as run:
        started = threading.Barrier(4)

        def log(thread):
            started.wait()
            for i, name in enumerate(names):
                run.log_metric(name, float(i), step=thread)
                run.log_metric(f"{name} of {thread}", i, step=thread)

        threads = [threading.Thread(target=log, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    recorded = provml.load(run.path)
    assert len(recorded.series_names()) == 300 + 4 * 300
    lines = [json.loads(line) for line in events_lines(run)]
    declared = [line for line in lines if line["record"] == "series"]
    assert [line["series"] for line in declared] == list(range(1, len(declared) + 1))
    assert len([line for line in declared if line["kind"] == "metric"]) == 1500
    for i in (0, 1, 150, 299):
        series = recorded.series(names[i])
        assert sorted(series.step.tolist()) == [0, 1, 2, 3]
        assert series.value.tolist() == [i] * 4
        assert recorded.series(f"{names[i]} of 3").value.tolist() == [i]


@pytest.mark.parametrize(
    ("kind", "rounds"),
    [
        pytest.param("metric", 400, marks=pytest.mark.slow),  # the moment that matters is short
        ("metric", 25),
        ("metrics", 25),
        ("text", 25),
        ("param", 25),
    ],
)
def test_a_run_that_ends_while_threads_log(children, kind, rounds):
    """A call that returned while another thread ended the run would be lost, or crash."""
    code, out, err = children.run(_LOG_UNTIL_CLOSED, kind, rounds)
    assert (code, err) == (0, "")
    for path, acknowledged, errors, dropped in json.loads(out):
        assert errors == []
        assert dropped == [0, 0]
        run = provml.load(path)
        assert run.status == "finished"
        for thread, count in enumerate(acknowledged):
            if kind == "param":
                kept = [name for name in run.params if name.startswith(f"p{thread}.")]
                assert len(kept) == count
            else:
                series = run.series(f"m{thread}")
                assert series.step.tolist() == list(range(count))


def test_many_threads_end_one_run(tmp_path):
    """Two threads that end a run at once would raise, or end it twice."""
    errors = []
    for _ in range(50):
        run = provml.start_run("ends", store=tmp_path, formats=())
        started = threading.Barrier(4)

        def end(run=run, started=started):
            started.wait()
            try:
                run.end_run()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=end) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        lines = [json.loads(line) for line in events_lines(run)]
        assert [line["record"] for line in lines].count("end") == 1
    assert provml.active_run() is None


def test_runs_one_after_another_and_nested(tmp_path):
    """Samples of one run would land in another that is active in the same process."""
    with provml.start_run("first", store=tmp_path, formats=()) as first:
        provml.log_metric("m", 1.0)
    with provml.start_run("second", store=tmp_path, formats=()) as second:
        provml.log_metric("m", 2.0)
        outer = second
        with provml.start_run("third", store=tmp_path, formats=()) as third:
            provml.log_metric("m", 3.0)
            outer.log_metric("m", 2.5)
        provml.log_metric("m", 2.75)
    for run, values in ((first, [1.0]), (second, [2.0, 2.5, 2.75]), (third, [3.0])):
        assert provml.load(run.path).series("m").value.tolist() == values


def test_the_outer_run_may_end_first(tmp_path):
    """Ending an outer run would end the inner one, or leave the module's verbs without a run."""
    outer = provml.start_run("outer", store=tmp_path, formats=())
    inner = provml.start_run("inner", store=tmp_path, formats=())
    outer.end_run()
    provml.log_metric("m", 1.0)
    assert provml.active_run() is inner
    provml.end_run()
    assert provml.active_run() is None
    assert provml.load(inner.path).series("m").value.tolist() == [1.0]
    assert provml.load(outer.path).series_names() == []


def test_the_end_leaves_no_descriptor_and_no_thread(tmp_path):
    """A process of many runs would run out of file descriptors or threads."""

    def one_run():
        with provml.start_run("one", store=tmp_path) as run:
            run.log_metric("m", 1.0)

    one_run()
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(20):
        one_run()
    assert sorted(os.listdir("/proc/self/fd")) == before
    for thread in threading.enumerate():
        if thread.name == "provml-sync":
            thread.join(LIMIT_S)
    assert [t for t in threading.enumerate() if t.name == "provml-sync"] == []
