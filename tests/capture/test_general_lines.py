"""Metrics in lines of any shape: names, contexts, steps and epochs, and what must not be one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from capture.logs_without_metrics import LOGS, make_log
from capture.printed_lines import CASES

import provml
from provml.capture.lines import LineReader
from provml.journal.layout import NO_EPOCH, NO_STEP
from provml.journal.reader import Journal

Sample = tuple[str, str | None, float, int | None, int | None, str | None]
Read = Callable[..., list[Sample]]

ROUNDS = (
    {"e": 1, "s": 100, "a": 0.512, "b": 1.53, "c": 0.0875, "d": 0.25, "p": 91, "n": 11},
    {"e": 2, "s": 200, "a": 0.498, "b": 1.42, "c": 0.0715, "d": 0.5, "p": 92.5, "n": 22},
    {"e": 3, "s": 300, "a": 0.377, "b": 1.31, "c": 0.0655, "d": 0.75, "p": 93, "n": 33},
)


@pytest.fixture
def read(run: provml.Run) -> Read:
    """Feed a text to a reader and return what it recorded, in the order of time."""

    def feed(text: str, patterns: tuple[str, ...] = (), *, size: int = 0) -> list[Sample]:
        reader = LineReader(run, patterns)
        data = text.encode()
        step = size or max(1, len(data))
        for number, start in enumerate(range(0, len(data), step), 1):
            reader.feed(data[start : start + step], number * 1000)
        reader.finish()
        run.end_run()
        return list_samples(run)

    return feed


def list_samples(run: provml.Run, rank: int | None = None) -> list[Sample]:
    """Return the name, context, value, step, epoch and unit of each sample, without readings."""
    recorded = provml.load(run.path)
    units = {
        (one.name, one.context): one.unit
        for files in Journal(run.path).writers
        for one in files.series().values()
    }
    found = []
    for name, context in recorded.series_names():
        unit = units[name, context and context.path]
        series = recorded.series(name, context, rank=rank)
        for value, step, epoch, time in zip(
            series.value, series.step, series.epoch, series.time_ns, strict=True
        ):
            place = (
                None if int(step) == NO_STEP else int(step),
                None if int(epoch) == NO_EPOCH else int(epoch),
            )
            sample = (name, str(context) if context else None, float(value), *place, unit)
            found.append((int(time), sample))
    return [sample for _, sample in sorted(found, key=lambda one: one[0])]


def expected_samples(text: str, values: dict[str, Any]) -> list[Sample]:
    """Return the samples that a case in `printed_lines` expects from one round."""
    found: list[Sample] = []
    step: int | None = None
    epoch: int | None = None
    for part in re.split(r" \| | (?=/\w+ )", text.format(**values)):
        place = re.match(r"/(\w+) ", part)
        if place is not None:
            epoch = values["e"] if "e" in place[1] else 1 if "1s" in place[1] else None
            step = values["s"] if "s" in place[1] else None
            if place[1] == "1":
                step = 1200 + values["n"]
            part = part[place.end() :]
        name, _, value = part.rpartition("=")
        name, _, context = name.rpartition("@") if re.search(r"@[a-z]", name) else (name, "", "")
        number, _, unit = value.partition(" ")
        found.append((name, context or None, float(number), step, epoch, unit or None))
    return found


@pytest.mark.parametrize("case", CASES)
def test_lines_of_public_scripts(read: Read, case: str) -> None:
    """A metric that a public script prints would be lost, or have a wrong name or place."""
    lines, records = CASES[case]
    found = read("\n".join(lines.format(**values) for values in ROUNDS) + "\n")
    wanted = [one for values in ROUNDS for one in expected_samples(records, values)]
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


@pytest.mark.parametrize("log", LOGS)
def test_other_logs_give_no_metric(read: Read, log: str) -> None:
    """A build, a download or a server's log would fill the run with numbers that mean nothing."""
    assert read(make_log(LOGS[log], 800, seed=len(log))) == []
