"""A run's samples as JSON Lines: exact, in order, and valid for any JSON reader."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import damaging
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import EPOCHS, NAMES, RUNS, STEPS, VALUES, record

import provml
from provml.base import clock
from provml.base.context import group_path
from provml.journal.files import WriterFiles
from provml.model.series import SeriesTable
from provml.model.series_columns import series_columns
from provml.recorded_run import NO_EPOCH, NO_STEP

Line = dict[str, Any]
SMALL = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def lines(recorded: provml.RecordedRun) -> list[Line]:
    """Parse each line strictly: no NaN, no repeated key, no empty line."""
    sink = io.BytesIO()
    recorded.export("jsonl", sink)
    assert sink.getvalue().endswith(b"\n") or not sink.getvalue()
    return [parsed(line) for line in sink.getvalue().decode().split("\n")[:-1]]


def parsed(line: str) -> Line:
    """Parse a line as a strict reader does."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    def once(pairs: list[tuple[str, Any]]) -> Line:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    found = json.loads(line, parse_constant=refuse, object_pairs_hook=once)
    assert isinstance(found, dict)
    return found


VALUE_OF: dict[str, Callable[[str], Any]] = {
    "xsd:double": lambda text: float(text.replace("INF", "inf")),
    "xsd:integer": int,
    "xsd:decimal": Decimal,
    "xsd:base64Binary": base64.b64decode,
}


def value(written: Any) -> Any:
    """Return a value as the reader of a line would."""
    return VALUE_OF[written["type"]](written["$"]) if isinstance(written, dict) else written


def told(values: Iterable[Any]) -> list[str]:
    """Return values for comparison: type and digits; for decimals, the number."""
    return [_decimal(one) if isinstance(one, Decimal) else repr(one) for one in values]


def _decimal(number: Decimal) -> str:
    """Return a decimal. One that is not finite is written as a double, as in PROV."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return repr(float(number))
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    return f"Decimal {sign} {kept} {exponent + len(text) - len(kept) if kept else 0}"


def identity(line: Line) -> tuple[Any, ...]:
    """Return the part that the lines of a series have in common."""
    context, of = line["context"], line.get("of")
    path = None if context is None else tuple(context)
    own_of = None if of is None else tuple(of)
    return (line["kind"], path, line["metric"], line.get("rank"), own_of)


@SMALL
@given(plan=RUNS)
def test_samples_are_those_of_the_series(plan: dict[str, Any]) -> None:
    """A sample would be lost, rounded, reordered or given another step, epoch or time."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        found: dict[Any, list[Line]] = {}
        for line in lines(recorded):
            found.setdefault(identity(line), []).append(line)
        table = SeriesTable(recorded._journal)
        assert set(found) == {series.identity for series in table.all}
        for series in table.all:
            own = found[series.identity]
            times, steps, epochs, values = series_columns(table, [series])
            assert [line["index"] for line in own] == list(range(len(own)))
            assert [line["time"] for line in own] == [clock.iso_text(t) for t in times.tolist()]
            assert [line["data"].get("step", NO_STEP) for line in own] == steps.tolist()
            assert [line["data"].get("epoch", NO_EPOCH) for line in own] == epochs.tolist()
            read = [value(line["data"]["value"]) for line in own]
            if values.dtype.kind == "f":  # an array has ints among floats as floats, if exact
                read = [float(one) for one in read]
            assert told(read) == told(values.tolist())


POINTS = st.lists(
    st.tuples(
        st.sampled_from(["train", "val", "a/b", "🦉"]),
        st.dictionaries(NAMES.filter(lambda n: n not in ("step", "epoch")), VALUES, min_size=1),
        STEPS,
        EPOCHS,
        st.sampled_from(["append", "log", "flush", "summary", "metric"]),
    ),
    max_size=12,
)


@SMALL
@given(plan=POINTS, chunk=st.sampled_from([1, 2, 3, 100]))
def test_points_are_those_that_are_read(plan: list[Any], chunk: int) -> None:
    """A group's point would be split, joined to another, or have other fields or another index."""
    with tempfile.TemporaryDirectory() as store, pytest.MonkeyPatch.context() as patch:
        with provml.start_run("points", store=store, formats=()) as run:
            for group, fields, step, epoch, how in plan:
                own = run.metrics(group)
                if how == "append":
                    own.append_batch([{**fields, "step": step}, {**fields, "epoch": epoch}])
                elif how == "log":
                    own.log(**fields)
                elif how == "summary":
                    own.summary_cache.keep_raw = True
                    own.summary_cache.store(loss=1.5)
                    own.summary_cache.summarize()
                elif how == "metric":
                    run.log_metric("value", 1, group, step)
                else:
                    run.metrics.log(step=step, epoch=epoch).flush()
        recorded = provml.load(run.path)
        chunks = WriterFiles.chunks  # points continue from one chunk to the next
        patch.setattr(WriterFiles, "chunks", lambda files: chunks(files, chunk))
        found = lines(recorded)
        for group in ("train", "val", "a/b", "🦉"):
            (name,) = group_path(group)
            own_lines = [line for line in found if line.get("group") == name]
            assert {tuple(line["context"]) for line in own_lines} <= {(name,)}
            points = recorded.points(group)["data"]
            assert [line["index"] for line in own_lines] == [p["index"] for p in points]
            for line, point in zip(own_lines, points, strict=True):
                assert line["data"].keys() == point["data"].keys()
                read = {key: value(one) for key, one in line["data"].items()}
                assert told(read.values()) == told(point["data"][key] for key in read)


def test_a_line_is_what_the_page_says(store: Path) -> None:
    """A reader written from the documentation would not find the keys."""
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_metric("loss", 0.5, "training", 3, epoch=1, timestamp=1.5, unit="nats")
        run.log_metric("n", 2**63, timestamp=2)
        run.log_model("net", {"w": 1.0})
        run.log_metric("accuracy", float("-inf"), "evaluation", of="net", timestamp=3)
        run.metrics("train_loss").append(value=0.5, epoch=1)
    loss, large, accuracy, point = lines(provml.load(run.path))
    assert list(loss.items()) == [
        ("metric", "loss"),
        ("context", ["training"]),
        ("kind", "metric"),
        ("unit", "nats"),
        ("index", 0),
        ("time", "1970-01-01T00:00:01.500000000Z"),
        ("data", {"value": 0.5, "step": 3, "epoch": 1}),
    ]
    assert large["context"] is None
    assert large["data"] == {"value": {"$": "9223372036854775808", "type": "xsd:integer"}}
    assert accuracy["of"] == ["model", "net"]
    assert accuracy["data"]["value"] == {"$": "-INF", "type": "xsd:double"}
    assert (point["group"], point["context"]) == ("train_loss", ["train_loss"])
    assert (point["index"], point["data"]) == (0, {"value": 0.5, "epoch": 1})
    assert "metric" not in point


def test_readings_and_ranks_are_told_apart(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """System readings would be taken for metrics, or one process's samples for another's."""
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with provml.start_run("r", store=store, run_id="one", formats=()) as run:
            run.log_metric("loss", float(rank), "training", 0)
            run.log_metric("loss", float(rank), "training", 1)
            run.metrics("val").append(loss=float(rank))
            run.log_system_metrics("training", 1)
    found = lines(provml.load(run.path))
    own = [(x["rank"], x["index"]) for x in found if x.get("metric") == "loss"]
    assert own == [(0, 0), (0, 1), (1, 0), (1, 1)]
    points = [(x["rank"], x["index"]) for x in found if x.get("group") == "validation"]
    assert points == [(0, 0), (1, 1)]
    readings = [line for line in found if line["kind"] == "system"]
    assert {line["metric"] for line in readings} >= {"Memory usage", "Disk usage"}
    assert all(line["data"]["step"] == 1 for line in readings)
    assert {line["unit"] for line in readings} == {"%"}


def test_points_of_several_processes_are_counted_on(store: Path) -> None:
    """The points of a resumed run would start at index 0 again."""
    for number in range(3):
        with provml.start_run("e", store=store, run_id="one", resume=number > 0) as run:
            run.metrics("train").append(loss=number)
            run.metrics("train").append(loss=number)
    recorded = provml.load(run.path)
    found = [(line["index"], line["data"]) for line in lines(recorded)]
    assert found == [(p["index"], p["data"]) for p in recorded.points("train")["data"]]
    assert [index for index, _ in found] == list(range(6))


def test_values_that_were_lost_leave_the_rest(store: Path) -> None:
    """One damaged text would lose the whole point or file, or appear as another value."""
    with provml.start_run("e", store=store, formats=()) as run:
        for number in range(3):
            run.metrics("train").append(name=f"text {number}", loss=number, step=number)
        run.log_metric("name", "text 3")
        run.log_metric("name", "text 4")
    damaging.remove_checksums(run.path)
    (events,) = run.path.glob("journal/*.events.jsonl")
    content = events.read_bytes()
    for lost in (b"text 1", b"text 3"):
        content = content.replace(b'"' + lost + b'"', b"}" * (len(lost) + 2))
    events.write_bytes(content)
    recorded = provml.load(run.path)
    found = lines(recorded)
    points = [line for line in found if "group" in line]
    assert [line["data"] for line in points] == [
        {"name": "text 0", "loss": 0, "step": 0},
        {"loss": 1, "step": 1},
        {"name": "text 2", "loss": 2, "step": 2},
    ]
    assert [line["data"] for line in points] == [
        p["data"] for p in recorded.points("train")["data"]
    ]
    assert [line["data"] for line in found if "metric" in line] == [{"value": "text 4"}]


def test_many_samples_of_many_kinds_keep_their_order(store: Path) -> None:
    """At the boundaries of blocks, a line would be torn or out of order."""
    with provml.start_run("e", store=store, formats=()) as run:
        for step in range(20_000):
            run.log_metric("loss", step * 0.1, "training", step)
            if step % 7 == 0:
                run.log_metric("n", step, "training", step, epoch=step // 100)
            if step % 500 == 0:
                run.log_metric("word", f"w{step}", "training")
    found = lines(provml.load(run.path))
    names = [line["metric"] for line in found if line["metric"] != "word"]
    assert names[:4] == ["loss", "n", "loss", "loss"]
    assert [x["data"] for x in found if x["metric"] == "loss"] == [
        {"value": step * 0.1, "step": step} for step in range(20_000)
    ]
    assert [x["data"] for x in found if x["metric"] == "n"] == [
        {"value": step, "step": step, "epoch": step // 100} for step in range(0, 20_000, 7)
    ]
    assert [x["data"]["value"] for x in found if x["metric"] == "word"] == [
        f"w{step}" for step in range(0, 20_000, 500)
    ]


def test_there_is_no_series_detail(store: Path) -> None:
    """Samples would be missing from a format that holds them all."""
    with provml.start_run("e", store=store, formats=("jsonl",)) as run:
        run.log_metric("loss", 0.5)
    recorded = provml.load(run.path)
    with pytest.raises(provml.ExportError, match="the detail 'series' is not supported"):
        recorded.export("jsonl", io.BytesIO(), "series")
    (line,) = (run.path / "provenance.jsonl").read_text(encoding="utf-8").splitlines()
    assert parsed(line)["data"] == {"value": 0.5}


def test_a_large_run_is_written_whole(
    store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Above the limit for stating samples in documents, the file would be refused or empty."""
    from provml.model import mapping

    monkeypatch.setattr(mapping, "SAMPLE_DETAIL_LIMIT", 10)
    with provml.start_run("e", store=store, formats=()) as run:
        for step in range(30):
            run.log_metric("loss", 0.5, None, step)
    recorded = provml.load(run.path)
    assert len(lines(recorded)) == 30
    recorded.export("jsonl", tmp_path / "run.jsonl.gz")
    assert (tmp_path / "run.jsonl.gz").read_bytes().startswith(b"\x1f\x8b")


MEMORY = """
import pathlib, re, sys
import provml
provml.load(sys.argv[1]).export("jsonl", "/dev/null")
print(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is Linux's")
def test_memory_does_not_grow_with_the_run(store: Path) -> None:
    """A long run's samples could not be written on a small machine."""
    peaks = []
    for samples in (200_000, 1_000_000):
        with provml.start_run("e", store=store, formats=()) as run:
            log = run.log_metric
            for step in range(samples):
                log("loss", 0.1 * step, None)
        command = [sys.executable, "-P", "-c", MEMORY, str(run.path)]
        peaks.append(int(subprocess.check_output(command)) / 1024)
    assert peaks[1] - peaks[0] < 30, peaks  # MB; the lines of the second alone take 120
