"""What every format must do. A new file in `provml/export` is found and tested here."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest

import provml
from provml.base.format_names import format_names
from provml.export import (
    document_path,
    export,
    export_bundles,
    find_format,
    write_documents,
)
from provml.export._registry import guess_format

DRAWN = ("pdf", "png", "svg")
NEEDS_DOT = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
FORMATS = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[NEEDS_DOT] * (name in DRAWN)) for name in format_names()],
)
FORMS = pytest.mark.parametrize(
    ("name", "detail"),
    [
        pytest.param(name, detail, marks=[NEEDS_DOT] * (name in DRAWN))
        for name in format_names()
        for detail in ("sample", "series")
        if detail == "sample" or not find_format(name).samples_only
    ],
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> provml.RecordedRun:
    """A run with a record of every kind, and names that are hard to write."""
    store = tmp_path_factory.mktemp("formats") / "provenance"
    with provml.start_run("exp/é", store=store, formats=(), tags={"t": "🦉"}) as run:
        run.log_params({"lr": 0.1, "n": 2**70, "x": [1, None], "nan": float("nan")})
        run.log_dataset("d<&>", np.arange(4), context="training")
        for step in range(20):
            run.log_metrics({"loss": 1 / (step + 1), "n": step}, "training", step, epoch=step // 5)
        run.log_metric('quo"te\n', float("-inf"), provml.Context("in", provml.Context("out")))
        run.log_metric("text", "]]>")
        run.log_event("save_started", source="s")
        run.log_event("save_finish", source="s", metadata={"<script>": 1})
        run.log_model("m", {"w": 1.0}, context="training", step=3)
        run.log_metric("accuracy", 0.5, of="m")
        run.metrics("train").summary_cache.store(loss=0.5)
        run.log_artifact(__file__)
        run.log_source_code(__file__)
        run.log_environment()
    return provml.load(run.path)


@FORMATS
def test_a_format_has_what_it_is_found_by(name: str) -> None:
    """A format would have no file ending, or no documentation."""
    module = find_format(name)
    assert module.suffix.startswith(".")
    assert module.__doc__
    assert module.write.__doc__


def test_no_two_formats_share_an_ending() -> None:
    """One document of a run would overwrite another."""
    endings = [find_format(name).suffix for name in format_names()]
    assert len(set(endings)) == len(endings)


@FORMS
def test_a_format_writes_the_same_bytes_every_time(
    recorded: provml.RecordedRun, name: str, detail: str
) -> None:
    """Two exports of one run would differ, so their digests would be useless."""
    first, second = io.BytesIO(), io.BytesIO()
    recorded.export(name, first, detail)
    recorded.export(name, second, detail)
    assert first.getvalue() == second.getvalue() != b""


@FORMATS
def test_a_format_writes_an_empty_run(store: Path, name: str) -> None:
    """A run that logged nothing could not be exported."""
    with provml.start_run("empty", store=store, formats=()) as run:
        pass
    write_documents(run.path, (name,))
    # the run itself is stated, but there are no samples
    assert (document_path(run.path, name).stat().st_size == 0) == find_format(name).samples_only


@FORMATS
def test_a_format_that_holds_several_runs_writes_the_same_bytes(
    recorded: provml.RecordedRun, store: Path, name: str
) -> None:
    """Several runs could not be written together, or would be written differently each time."""
    with provml.start_run("other", store=store, formats=()) as run:
        pass
    folders = [recorded.path, run.path]
    first, second = io.BytesIO(), io.BytesIO()
    if not find_format(name).holds_several_runs:
        with pytest.raises(provml.ExportError, match=name):
            export_bundles(folders, name, first)
        return
    export_bundles(folders, name, first)
    export_bundles(folders, name, second)
    assert first.getvalue() == second.getvalue() != b""


@FORMATS
def test_several_runs_only_write(recorded: provml.RecordedRun, store: Path, name: str) -> None:
    """A sink that has only `write`, such as the command line's, would not be enough."""

    class Sink:
        size = 0

        def write(self, data: bytes) -> int:
            self.size += len(data)
            return len(data)

    if not find_format(name).holds_several_runs:
        pytest.skip("it holds one run")
    with provml.start_run("other", store=store, formats=()) as run:
        pass
    sink = Sink()
    export_bundles([recorded.path, run.path], name, sink)  # type: ignore[arg-type]
    assert sink.size > 0


@FORMS
def test_a_format_only_writes(recorded: provml.RecordedRun, name: str, detail: str) -> None:
    """An export could not be written to a pipe, which cannot seek or read."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.size = 0

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.size += len(data)
            return len(data)

    pipe = Pipe()
    export(recorded.path, name, pipe, detail)  # type: ignore[arg-type]
    assert pipe.size > 0
    assert not pipe.closed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("r.xml", "provxml"),
        ("r.PROVXML.gz", "provxml"),
        ("r.provjson", "provjson"),
        ("r.prov.jsonld", "provjsonld"),
        ("r.jsonld", "jsonld"),
        ("r.gv", "dot"),
        ("r.txt", None),
    ],
)
def test_the_extensions_that_people_use_select_a_format(name: str, expected: str | None) -> None:
    """``export -o r.xml`` would be refused, although ``convert`` reads and writes it."""
    found = guess_format(name)
    assert (None if found is None else found.name) == expected
