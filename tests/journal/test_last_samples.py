"""The last sample of each series, read from the end of the file."""

from __future__ import annotations

from pathlib import Path

import provml
from provml.journal.journal_folder import list_writer_files
from provml.journal.last_samples import find_last_samples


def last_values(path: Path, limit_bytes: int) -> dict[str, object]:
    (files,) = list_writer_files(path)
    series = files.series()
    found = find_last_samples(files, series, limit_bytes)
    return {series[number].name: sample.value for number, sample in found.items()}


def test_every_kind_of_value(store: Path) -> None:
    """A last value would be that of another series, or its bits read as another type."""
    with provml.start_run("test", store=store, formats=()) as run:
        run.log_metric("early", 1.5)
        for step in range(70_000):  # more than one block of records
            run.log_metric("loss", step / 2, step=step)
        run.log_metric("integer", 7)
        run.log_metric("large", 10**30)
        run.log_metric("text", "done")
    expected = {"early": 1.5, "loss": 34999.5, "integer": 7, "large": 10**30, "text": "done"}
    assert last_values(run.path, 2**30) == expected


def test_only_the_end_of_a_large_file_is_read(store: Path) -> None:
    """The end of a long training would wait until all its samples were read."""
    with provml.start_run("test", store=store, formats=()) as run:
        run.log_metric("early", 1.5)
        for step in range(100):
            run.log_metric("loss", 0.5, step=step)
    assert last_values(run.path, 32 * 50) == {"loss": 0.5}
