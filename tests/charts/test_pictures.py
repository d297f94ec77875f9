"""Pictures of charts: png and svg."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

import provml
from provml import Context
from provml.charts import draw
from provml.charts.figure import MOST_CHARTS
from provml.errors import InvalidArgumentError, MissingExtraError

NAMES = ["loss", "$x_1$ <&>", "_hidden", "bell\x07\x1b[31m", "損失 🦉", "\u202eright"]


@pytest.fixture
def folder(store: Path) -> Path:
    """A run with awkward names, gaps, a single point, and a series without numbers."""
    with provml.start_run("$charts$", store=store, formats=()) as run:
        for name in NAMES:
            for step in range(5):
                value = float("inf") if step == 2 else step - 1.0
                run.log_metric(name, value, Context("_c$a$"), step)
        run.log_metric("one", 1.0)
        run.log_metric("huge", 1e308, step=0)
        run.log_metric("huge", -1e308, step=1)
        run.log_metric("none", float("nan"))
    return run.path


def test_a_picture_has_every_name_as_text(folder: Path) -> None:
    """A dollar sign would start a formula, an underscore would hide a line."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw([folder], folder / "page.svg")
    text = (folder / "page.svg").read_text(encoding="utf-8")
    for part in ("$x_1$ &lt;&amp;&gt;", "_hidden", r"bell\x07\x1b[31m", "損失 🦉", r"\u202eright"):
        assert part in text, part
    assert "_c$a$" in text
    assert "$charts$" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "log"), [("png", True), ("svg", False), ("html", False), ("html", True)]
)
def test_the_same_run_is_the_same_picture(folder: Path, form: str, log: bool) -> None:
    """The digest of a picture would be useless."""
    first, second = io.BytesIO(), io.BytesIO()
    for sink in (first, second):
        draw([folder], sink, format=form, log=log)
    assert first.getvalue() == second.getvalue() != b""


def test_a_png_is_one(folder: Path) -> None:
    """The file could not be opened by any viewer."""
    provml.load(folder).plot(folder / "page.png", "loss", by="time", log=True)
    assert (folder / "page.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.slow
def test_drawing_leaves_matplotlib_as_it_was(folder: Path) -> None:
    """A notebook's own figures would change after a call of provml."""
    program = (
        "import sys, matplotlib\n"
        "def state(): return {k: matplotlib.rcParams[k] for k in matplotlib.rcParams\n"
        "                     if k != 'backend'}\n"  # which, looked at, imports pyplot
        "before = state()\n"
        "from provml.charts import draw; draw([sys.argv[1]], sys.argv[2])\n"
        "assert state() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    command = [sys.executable, "-c", program, str(folder), str(folder / "x.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_misuse_is_said(folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong ending, axis or number of charts, or a missing package, would cause a traceback."""
    with pytest.raises(InvalidArgumentError, match=r"bmp.* is unknown"):
        draw([folder], folder / "picture.bmp")
    with pytest.raises(InvalidArgumentError, match="step, epoch, time"):
        draw([folder], folder / "x.svg", by="day")
    with provml.start_run("many", store=store, formats=()) as run:
        run.log_metrics({f"m{i}": 1.0 for i in range(MOST_CHARTS + 1)})
    with pytest.raises(InvalidArgumentError, match="name the series"):
        draw([run.path], folder / "x.svg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'provml\[plot\]'"):
        draw([folder], folder / "x.svg")
    assert not (folder / "x.svg").exists()


def test_runs_differ_in_colour_and_contexts_in_style(store: Path) -> None:
    """With several runs, nobody could tell whose line it is, or whether it is the training."""
    folders = []
    for lr in (0.1, 0.2):
        with provml.start_run("digits", store=store, formats=()) as run:
            run.log_param("lr", lr)
            for step in range(5):
                run.log_metric("loss", lr * step, Context.TRAINING, step)
                run.log_metric("loss", lr * step + 1, Context.VALIDATION, step)
        folders.append(run.path)
    sink = io.BytesIO()
    charts = draw(folders, sink, format="svg")
    (chart,) = charts.charts
    assert [(line.label, line.hue, line.dash) for line in chart.lines] == [
        ("training", 0, 0),
        ("validation", 0, 1),
        ("training", 1, 0),
        ("validation", 1, 1),
    ]
    assert [(entry.label, entry.hue, entry.dash) for entry in charts.legend()] == [
        (f"lr=0.1 {folders[0].name}", 0, 0),
        (f"lr=0.2 {folders[1].name}", 1, 0),
        ("training", None, 0),
        ("validation", None, 1),
    ]
    text = sink.getvalue().decode()
    assert text.count("stroke-dasharray") >= 2


def test_plot_accepts_runs_in_any_form(store: Path, tmp_path: Path) -> None:
    """A `Run`, a `RecordedRun` and an id would need different calls."""
    with provml.start_run("digits", store=store, run_id="a", formats=()) as run:
        run.log_metric("loss", 1.0, Context.TRAINING, 0)
    file = tmp_path / "chart.svg"
    provml.plot([run, provml.load("a", store), "a", run.path], file, "loss", store=store)
    alone = tmp_path / "alone.svg"
    provml.plot("a", alone, "loss", store=store)
    assert file.read_bytes() == alone.read_bytes()  # the same run is drawn once
    for wrong in ([], 3, None):
        with pytest.raises(InvalidArgumentError, match="runs must"):
            provml.plot(wrong, file)  # type: ignore[arg-type]
