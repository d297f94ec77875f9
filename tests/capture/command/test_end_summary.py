"""The lines that `provml run` prints at its end, for terminals of any width."""

from __future__ import annotations

import pytest

from provml.capture.command.end_summary import RecordedNames, RunEnd, build_lines
from provml.journal.last_samples import LastSample

END = RunEnd("digits/20260102T030405-abcdefgh", "finished", None, 125.0)
HINT = "lines such as 'loss 0.5' look like metrics: provml run --pattern 'loss {loss}'"


def recorded(contexts: int, metrics: int, files: int) -> RecordedNames:
    named = {
        (f"context{n}",): {f"metric {m}": LastSample(m, m / 3) for m in range(metrics)}
        for n in range(contexts)
    }
    read = [f"data/part {n}.csv" for n in range(files)]
    return RecordedNames(named, read, [f"model{n}.pt" for n in range(files)], files, [])


@pytest.mark.parametrize("hint", [None, HINT])
@pytest.mark.parametrize("count", [0, 1, 3, 50])
@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_three_lines_at_most_and_none_too_wide(width: int, count: int, hint: str | None) -> None:
    """A run with many metrics or files fills the terminal, or lines are broken."""
    lines = build_lines(END, recorded(count, count, count), hint, width)
    assert 2 <= len(lines) <= 3
    assert max(map(len, lines)) <= width
    assert all(line.strip() for line in lines)


def test_what_is_left_out_is_counted() -> None:
    """Metrics that were found but do not fit look like metrics that were not found."""
    _, metrics, files = build_lines(END, recorded(2, 20, 12), None, 80)
    assert metrics.endswith(" more")
    assert metrics.count("metric ") + int(metrics.split()[-2]) == 40
    assert files == "  read data/part 0.csv and 11 more; wrote model0.pt and 11 more; 12 parameters"


def test_a_run_without_metrics_says_so_and_gives_the_hint() -> None:
    """A person would take a run without metrics for one that recorded them."""
    first, second, hint = build_lines(END, recorded(0, 0, 0), HINT, 80)
    assert first == "provml: digits/20260102T030405-abcdefgh finished after 2 m 05 s"
    assert second == "  no metrics; no files"
    assert hint == f"  {HINT}"


def test_what_was_not_recorded_is_named() -> None:
    """A person would learn only from `provml show` that something is missing."""
    found = recorded(0, 0, 1)._replace(missed=["stderr", "environment"])
    *_, last = build_lines(END, found, None, 80)
    assert last.endswith("not recorded: stderr and 1 more")


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "provml: digits/20260102T030405-abcdefgh failed after 2 m 05 s: exit status 3"),
        (70, "provml: digits/20260102T030405-abcdefgh failed after 2 m 05 s"),
        (60, "provml: 20260102T030405-abcdefgh failed after 2 m 05 s"),
        (40, "provml: 20260102T030405-abcdefgh failed"),
        (20, "provml: 20260102T03…"),
    ],
)
def test_a_narrow_terminal_keeps_what_matters_most(width: int, line: str) -> None:
    """In a narrow terminal the run's id or how it ended is cut off before its experiment."""
    end = END._replace(status="failed", reason="exit status 3")
    assert build_lines(end, None, None, width) == [line]
