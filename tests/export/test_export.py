"""Where an export is written, and what it must not leave behind."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from prov.model import ProvDocument

import provml
from provml.base.clock import iso_text
from provml.export import _text, provjson


@pytest.fixture
def recorded(store: Path) -> provml.RecordedRun:
    """A small finished run."""
    with provml.start_run("e", store=store, formats=()) as run:
        for step in range(5):
            run.log_metric("loss", 1 / (step + 1), "training", step)
    return provml.load(run.path)


def test_compressed_files_hold_the_same_document(
    recorded: provml.RecordedRun, tmp_path: Path
) -> None:
    """A compressed document would differ from the plain one, or contain the time of writing."""
    for name in ("d.json", "d.json.gz", "d.json.zst", "again.json.gz"):
        recorded.export("provjson", tmp_path / name)
    plain = (tmp_path / "d.json").read_bytes()
    packed = (tmp_path / "d.json.gz").read_bytes()
    assert gzip.decompress(packed) == plain
    assert packed == (tmp_path / "again.json.gz").read_bytes()
    with zstandard.open(tmp_path / "d.json.zst", "rb") as file:
        assert file.read() == plain
    assert json.loads(plain)["entity"]


def test_a_failed_export_leaves_the_old_file(
    recorded: provml.RecordedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A truncated document would replace a complete one."""
    target = tmp_path / "d.json"
    target.write_text("old")
    with pytest.raises(provml.ExportError):
        recorded.export("provjson", target, "no such detail")
    os.truncate(next(recorded.path.glob("journal/*.samples")), 8)
    for samples in recorded.path.glob("journal/*.samples"):
        samples.unlink()
        samples.mkdir()  # only a file has a digest
    with pytest.raises(OSError):
        recorded.export("provjson", Full(), "sample")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


class Full(io.RawIOBase):
    """A sink without space."""

    def write(self, data: Any) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("target", ["", "missing/folder/d.json", "."])
def test_a_target_that_can_not_be_is_refused(
    recorded: provml.RecordedRun, tmp_path: Path, target: str
) -> None:
    """A mistyped target would cause a traceback, or a file that nobody finds."""
    with pytest.raises(provml.ExportError):
        recorded.export("provjson", tmp_path / target)
    with pytest.raises(provml.ExportError, match="binary"):
        recorded.export("provjson", io.StringIO())  # type: ignore[arg-type]


def test_zst_without_its_package_names_the_command(
    recorded: provml.RecordedRun, tmp_path: Path
) -> None:
    """A missing extra would cause a bare ImportError."""
    code = (
        "import sys; sys.modules['zstandard'] = None\n"
        "import provml\n"
        f"provml.load({str(recorded.path)!r}).export('provjson', {str(tmp_path / 'd.zst')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'provml[zstd]'" in done.stderr


def test_series_detail_is_the_default_for_large_runs(
    store: Path, monkeypatch: pytest.MonkeyPatch, read_back: Callable[..., ProvDocument]
) -> None:
    """A document of gigabytes would be written unasked, or a small run would lack samples."""
    from provml.model import mapping

    monkeypatch.setattr(mapping, "SAMPLE_DETAIL_LIMIT", 10)
    with provml.start_run("e", store=store, formats=()) as run:
        for step in range(10):
            run.log_metric("loss", float(step), "training", step)
        # the file has room for far more samples, but the number that it holds counts
        assert len(list(provml.load(run.path).statements())) > 30
        run.log_metric("loss", 10.0, "training", 10)
    recorded = provml.load(run.path)
    document = read_back(recorded)
    assert not [r for r in document.get_records() if "run:metric/" in str(r.identifier)]
    (series,) = [r for r in document.get_records() if "run:series/" in str(r.identifier)]
    summary = {str(name): value for name, value in series.attributes}
    assert summary["provml:count"] == 11
    assert (summary["provml:min"], summary["provml:max"], summary["provml:last"]) == (0, 10, 10)
    assert [r for r in read_back(recorded, "sample").get_records() if "metric/" in str(r)]


def test_the_samples_file_is_linked_by_digest(recorded: provml.RecordedRun) -> None:
    """The samples that series detail leaves out could not be found or verified."""
    import hashlib

    (file,) = recorded.path.glob("journal/*.samples")
    (entity,) = [
        dict(s.attributes)
        for s in recorded.statements("series")
        if ("prov:type", "provml:SamplesFile") in s.attributes
    ]
    assert entity["provml:sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert recorded.path / entity["provml:path"] == file


def test_a_live_run_can_be_exported(
    run: provml.Run, read_back: Callable[..., ProvDocument]
) -> None:
    """A run that is still recording would have no document, or one that says it ended."""
    run.log_metric("loss", 1.0, "training", 0)
    document = read_back(provml.load(run.path))
    (activity,) = [r for r in document.get_records() if str(r.identifier) == "run:run"]
    assert activity.get_endTime() is None
    assert {str(v) for v in activity.get_attribute("provml:status")} == {"running"}


def test_times_are_printed_as_one_by_one() -> None:
    """A column of times would be written differently from a single time."""
    times = np.array(
        [0, 1, -1, 10**18, 1_700_000_000_123_456_789, -(2**62), 2**63 - 1], dtype=np.int64
    )
    assert _text.format_times(times) == [iso_text(t).encode() for t in times.tolist()]


def test_names_that_are_json_syntax(store: Path, read_back: Callable[..., ProvDocument]) -> None:
    """A name could break out of its string."""
    name = '"},"entity":{"x":{"a":"\\'
    with provml.start_run(name, store=store, owner=name, project=name, formats=()) as run:
        run.log_metric(name, 1.0, name, 0)
        run.log_param(name, name)
        run.log_event(name, source=name, metadata={name: name})
    document = read_back(provml.load(run.path))
    labels = {str(v) for r in document.get_records() for v in r.get_attribute("prov:label")}
    assert name in labels
    assert not [r for r in document.get_records() if str(r.identifier) == "x"]


def test_what_waits_in_a_file_is_written_the_same(
    recorded: provml.RecordedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with many events would lose those that were moved to a temporary file."""
    small, large = io.BytesIO(), io.BytesIO()
    recorded.export("provjson", small)
    monkeypatch.setattr(provjson, "_WAITING_BYTES", 100)
    recorded.export("provjson", large)
    assert small.getvalue() == large.getvalue()
