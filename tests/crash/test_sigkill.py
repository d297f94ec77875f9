"""SIGKILL at full rate: nothing whose call returned is lost, nothing is wrong."""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
from collections import Counter
from pathlib import Path

import pytest
from waiting import LIMIT_S

import provml

_ACKNOWLEDGED = """
    import mmap, sys
    file = open(sys.argv[1], "r+b")
    shared = mmap.mmap(file.fileno(), 4096)
    acknowledged = memoryview(shared).cast("Q")
"""

_LOG_METRICS = (
    _ACKNOWLEDGED
    + """
    import threading, provml

    run = provml.start_run("kill", store=sys.argv[2], formats=())

    def log(thread):
        name, i = f"m{thread}", 0
        while True:
            run.log_metric(name, thread * 1e9 + i, step=i)
            i += 1
            acknowledged[thread] = i

    threads = [threading.Thread(target=log, args=(n,)) for n in range(1, int(sys.argv[3]))]
    for thread in threads:
        thread.start()
    log(0)
    """
)

_LOG_EVENTS = (
    _ACKNOWLEDGED
    + """
    import provml

    run = provml.start_run("kill", store=sys.argv[2], formats=())
    i = 0
    while True:
        run.log_event(f"e{i}", metadata={"i": i, "text": "x" * (i % 300)}, step=i)
        acknowledged[0] = i + 1
        run.log_param(f"p{i}", i)
        acknowledged[1] = i + 1
        run.log_metric("text", f"value {i}", step=i)
        acknowledged[2] = i + 1
        i += 1
    """
)


@pytest.fixture
def killed(tmp_path, children, until):
    """Runs a script, kills it after a random number of acknowledged calls of every thread."""

    def kill(source, *arguments, counters, most, seed):
        path = tmp_path / "acknowledged"
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096) as shared:
            child = children.start(source, path, tmp_path / "store", *arguments)
            counts = memoryview(shared).cast("Q")
            enough = random.Random(seed).randrange(1, most)
            until(
                lambda: min(counts[:counters]) >= enough or child.poll() is not None,
                f"{enough} calls to return",
            )
            counts.release()
            child.send_signal(signal.SIGKILL)
            assert child.wait(LIMIT_S) == -signal.SIGKILL, child.stderr.read()
            acknowledged = struct.unpack("<8Q", shared[:64])
        (folder,) = (tmp_path / "store" / "kill").iterdir()
        return provml.load(folder), acknowledged

    return kill


@pytest.mark.parametrize("round_number", range(10))
@pytest.mark.parametrize("threads", [1, 4])
def test_no_acknowledged_sample_is_lost(killed, threads, round_number):
    """A killed training would lose samples whose log_metric had returned, or read wrong ones."""
    run, acknowledged = killed(
        _LOG_METRICS, threads, counters=threads, most=60_000 // threads, seed=round_number
    )
    assert run.status == "crashed"
    for thread in range(threads):
        series = run.series(f"m{thread}")
        steps = series.step.tolist()
        # at most the one that was under way is there without having been acknowledged
        assert acknowledged[thread] <= len(series) <= acknowledged[thread] + 1
        assert steps == list(range(len(series)))
        assert series.value.tolist() == [thread * 1e9 + i for i in steps]
        times = series.time_ns.tolist()
        assert times == sorted(times)


@pytest.mark.parametrize("round_number", range(4))
def test_no_acknowledged_event_is_lost(killed, round_number):
    """A killed training would lose events, parameters or text whose call had returned."""
    run, (events, params, texts, *_) = killed(_LOG_EVENTS, counters=3, most=3000, seed=round_number)
    logged = [event for event in run.events() if event.source != "provml"]
    names = [event.name for event in logged]
    assert events <= len(names) <= events + 1
    assert names == [f"e{i}" for i in range(len(names))]
    assert [event.metadata["i"] for event in logged] == list(range(len(names)))
    kept = run.params
    assert params <= len(kept) <= params + 1
    assert kept == {f"p{i}": i for i in range(len(kept))}
    series = run.series("text")
    assert texts <= len(series) <= texts + 1
    assert series.value.tolist() == [f"value {i}" for i in range(len(series))]


def test_a_killed_run_exports(killed, tmp_path: Path):
    """What a killed training left behind could not be turned into a document."""
    run, acknowledged = killed(_LOG_METRICS, 2, counters=2, most=5000, seed=7)
    run.export("provjson", tmp_path / "out.json", detail="series")
    kinds = Counter(statement.kind for statement in run.statements("series"))
    assert kinds["activity"] >= 1
    assert os.path.getsize(tmp_path / "out.json") > 0
    assert acknowledged[0] <= len(run.series("m0"))
