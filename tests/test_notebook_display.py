"""What notebooks show of runs, stores, answers and pictures, and data frames of series."""

from __future__ import annotations

import base64
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import provml

HOSTILE = "<script>alert(1)</script>\x1b[31m&amp;"


class Texts(HTMLParser):
    """Collects the texts of cells, and the names of all elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Remember an element."""
        self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        """Remember a text."""
        self.texts.append(data)


@pytest.fixture
def recorded(store: Path) -> provml.RecordedRun:
    """A run with three series, one of which has an awkward name."""
    with provml.start_run("plain", store=store, formats=()) as run:
        run.log_params({HOSTILE: HOSTILE, "lr": 0.1234567890123})
        for step in range(3):
            run.log_metric("loss", 0.5**step, "training", step)
            run.log_metric("accuracy", step, "training", step)
            run.log_metric("accuracy", step * 2, "validation", epoch=step)
        run.log_metric(HOSTILE, 1.0)
        run.log_metric("alone", 1.0)
        run.log_metric("alone", 2.0, "training")
    return provml.load(run.path)


def test_a_run_is_shown_as_tables_of_text(recorded: provml.RecordedRun) -> None:
    """A notebook shows a line of plain text, or runs what a run is named."""
    page = Texts(recorded._repr_html_())
    assert {"table", "td"} <= page.elements and "script" not in page.elements
    assert {"finished", "lr", "0.123457", "loss", "training", "0.25"} <= set(page.texts)
    assert "<script>alert(1)</script>\\x1b[31m&amp;" in page.texts


def test_a_run_in_progress_is_shown(store: Path) -> None:
    """The result of `start_run` in a cell says nothing."""
    with provml.start_run(HOSTILE, store=store, formats=()) as run:
        page = Texts(run._repr_html_())
        assert "running" in page.texts and str(run.path) in page.texts
        assert "script" not in page.elements
        assert "running" in Texts(provml.load(run.path)._repr_html_()).texts
    assert "ended" in Texts(run._repr_html_()).texts


def test_a_store_and_its_answers_are_shown_as_tables(
    recorded: provml.RecordedRun, store: Path
) -> None:
    """A notebook shows the number of rows of an answer, but not the rows."""
    opened = provml.open_store(store)
    assert recorded.id in Texts(opened._repr_html_()).texts
    answer = opened.sql("SELECT i AS number, ? AS text FROM range(70) t(i)", [HOSTILE])
    page = Texts(answer._repr_html_())
    assert "script" not in page.elements
    assert {"number", "0", "49", "50 of 70 rows"} <= set(page.texts) and "50" not in page.texts
    with provml.start_run("plain", store=store, formats=()) as other:
        other.log_param("lr", 0.5)
    shown = Texts(opened.diff(recorded.id, other.id)._repr_html_()).texts
    assert {"params", "lr", "0.5"} <= set(shown)
    assert "script" in Texts(opened.lineage(recorded.id)._repr_html_()).texts


def test_a_picture_is_shown_with_or_without_a_file(
    recorded: provml.RecordedRun, tmp_path: Path
) -> None:
    """A plot can be seen in a notebook only after its file was found and opened."""
    pytest.importorskip("matplotlib")
    shown = recorded.plot(None, "loss")._repr_mimebundle_()
    assert list(shown) == ["image/svg+xml"] and "<svg" in shown["image/svg+xml"]
    picture = recorded.plot(tmp_path / "loss.png", "loss")
    content = (tmp_path / "loss.png").read_bytes()
    assert base64.b64decode(picture._repr_mimebundle_()["image/png"]) == content
    assert re.fullmatch(r"<provml.charts.Picture png, [\d.]+ kB>", repr(picture))
    with pytest.raises(provml.InvalidArgumentError, match=r"use a name that ends in \.png"):
        recorded.plot("loss")


def test_an_interactive_page_is_shown_in_a_frame(recorded: provml.RecordedRun) -> None:
    """The page's scripts or styles act on the notebook."""
    pytest.importorskip("mpld3")
    target = recorded.path / "loss.html"
    (page,) = recorded.plot(target, "loss")._repr_mimebundle_().values()
    frame = re.fullmatch(r'<iframe srcdoc="([^"]*)" ([^>]*)></iframe>', page)
    assert frame is not None and 'sandbox="allow-scripts"' in frame[2]


def test_samples_become_a_data_frame(recorded: provml.RecordedRun) -> None:
    """Times lose nanoseconds, or a missing step looks like a number."""
    pandas = pytest.importorskip("pandas")
    samples = recorded.series("loss", "training")
    frame = samples.to_pandas()
    assert list(frame.columns) == ["time", "step", "epoch", "value"]
    assert frame["value"].tolist() == [1.0, 0.5, 0.25]
    assert frame["step"].tolist() == [0, 1, 2]
    assert frame["epoch"].isna().all()
    assert [time.value for time in frame["time"]] == samples.time_ns.tolist()
    assert frame["time"].dtype == pandas.DatetimeTZDtype("ns", "UTC")
    assert recorded.series("accuracy", "validation").to_pandas()["step"].isna().all()


def test_series_become_tables_of_every_library(recorded: provml.RecordedRun) -> None:
    """Samples could be used only with one data-frame library, or lose a missing step on the way."""
    pyarrow, polars = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    samples = recorded.series("accuracy", "validation")
    table = samples.to_arrow()
    assert table.column_names == ["time", "step", "epoch", "value"]
    assert table.schema.field("time").type == pyarrow.timestamp("ns", "UTC")
    assert table.column("step").null_count == len(samples) == 3
    assert table.column("epoch").to_pylist() == [0, 1, 2]
    frame = samples.to_polars()
    assert isinstance(frame, polars.DataFrame)
    assert frame["value"].to_list() == [0, 2, 4]


@pytest.mark.parametrize(
    ("method", "package", "extra"),
    [
        ("to_pandas", "pandas", "frames"),
        ("to_polars", "polars", "frames"),
        ("to_arrow", "pyarrow", "arrow"),
    ],
)
def test_a_missing_library_is_named(
    recorded: provml.RecordedRun,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    package: str,
    extra: str,
) -> None:
    """The user has to find out which package to install."""
    monkeypatch.setitem(sys.modules, package, None)
    samples = recorded.series("loss")
    with pytest.raises(provml.MissingExtraError, match=rf"{package}: pip install 'provml\[{extra}"):
        getattr(samples, method)()


def plots_in(page: str) -> list[str]:
    """Return the SVG texts of the images on a page."""
    found = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', page)
    return [base64.b64decode(content).decode() for content in found]


def test_runs_and_series_are_shown_with_plots(store: Path) -> None:
    """A notebook shows numbers, but no curve, or a curve that an untrusted notebook removes."""
    with provml.start_run("curves", store=store, formats=()) as run:
        for step in range(5_000):
            value = float("nan") if step == 7 else 1 / (step + 1)
            run.log_metric(HOSTILE, value, "training", step)
            run.log_metric(HOSTILE, 1e308 if step == 9 else -1e308, "validation", step)
        live = run._repr_html_()
    ended = provml.load(run.path)
    series = ended.series(HOSTILE, "training")
    for page in (live, ended._repr_html_(), series._repr_html_()):
        (plot,) = plots_in(page)
        assert "<path" in plot and "nan" not in plot and "inf" not in plot
        assert "<script>" not in plot and "\x1b" not in plot
        assert Texts(page).elements <= {
            "p",
            "b",
            "table",
            "tbody",
            "thead",
            "tr",
            "th",
            "td",
            "img",
        }
        assert len(page) < 60_000
    (plot,) = plots_in(ended._repr_html_())
    assert "training" in plot and "validation" in plot
    pytest.importorskip("duckdb")
    assert len(plots_in(provml.open_store(store)._repr_html_())) == 1


def test_a_series_without_numbers_is_shown_without_a_plot(store: Path) -> None:
    """The summary of a series would fail, or show an empty picture."""
    with provml.start_run("texts", store=store, formats=()) as run:
        run.log_metric("loss", float("nan"))
    page = provml.load(run.path).series("loss")._repr_html_()
    assert "samples" in Texts(page).texts and plots_in(page) == []


def test_a_series_of_one_context_needs_no_context(recorded: provml.RecordedRun) -> None:
    """The only series of a name is not found without its context, or another one is read."""
    assert recorded.series("loss").value.tolist() == [1.0, 0.5, 0.25]
    assert recorded.series("alone").value.tolist() == [1.0]
    message = r"'accuracy' in several contexts \('training', 'validation'\): name the context"
    with pytest.raises(provml.SeriesNotFoundError, match=message):
        recorded.series("accuracy")
    with pytest.raises(
        provml.SeriesNotFoundError, match="no series 'acc' of kind 'metric'; the run has"
    ):
        recorded.series("acc")
    with pytest.raises(provml.SeriesNotFoundError, match="of kind 'metric' in "):
        recorded.series("loss", "validation")
