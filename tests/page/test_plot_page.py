"""The page of charts, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import provml
from provml import Context
from provml.charts import draw

SCRIPT = "</script><script>alert(1)</script>"


@pytest.fixture
def folder(store: Path) -> Path:
    """A run with gaps, one point, values below zero, and a name that is markup."""
    with provml.start_run("charts", store=store, formats=()) as run:
        for step in range(10):
            value = float("nan") if step == 4 else 10.0 ** (step - 3)
            run.log_metric("loss", value, Context.TRAINING, step)
            run.log_metric("loss", -1.0, Context.VALIDATION, step)
        run.log_metric(SCRIPT, 1, Context.TRAINING, 0)
        run.log_metric("text", "none")
    return run.path


def test_a_chart_for_each_name_with_its_contexts(folder: Path, browser: Any) -> None:
    """Contexts could not be compared, or a name would run as a script."""
    draw([folder], folder / "page.html")
    browser.open(folder / "page.html")
    titles = browser.run("return [...document.querySelectorAll('h2')].map(h => h.textContent)")
    assert titles == ["loss", SCRIPT, "text"]
    browser.until("return document.querySelectorAll('svg path.curve').length >= 3")
    keys = browser.run(
        "return [...document.querySelectorAll('.key')[0].children].map(k => k.innerText.trim())"
    )
    assert keys == ["training", "validation"]
    assert "no numbers to show" in browser.find("main").text


def test_what_is_no_number_is_a_gap(folder: Path, browser: Any) -> None:
    """A NaN would be bridged, as if there were a value."""
    draw([folder], folder / "page.html", ["loss"], contexts=["training"])
    browser.open(folder / "page.html")
    path = browser.until("return document.querySelector('path.curve').getAttribute('d')")
    assert path.count("M") == 2


def test_the_axes_are_chosen_on_the_page(folder: Path, browser: Any) -> None:
    """A chart over time, or on a log scale, would need another export."""
    draw([folder], folder / "page.html", ["loss"])
    browser.open(folder / "page.html")
    look = "return document.querySelector('svg').getAttribute('aria-label')"
    assert browser.until(look) == "loss: 19 points over step"
    browser.find("#log").click()
    assert browser.run(look) == "loss: 9 points over step"
    browser.click("By time")
    assert browser.run(look) == "loss: 9 points over time since the start"


@pytest.fixture
def measured(store: Path) -> Path:
    """A run with readings in two contexts."""
    with provml.start_run("charts", store=store, formats=(), collect=()) as run:
        for context in (Context.TRAINING, Context.VALIDATION):
            for step in range(3):
                run.log_metric("loss", 1.0, context, step, epoch=step)
                run.log_system_metrics(context=context, step=step)
    return run.path


def test_readings_stay_on_their_axis_of_time(measured: Path, browser: Any) -> None:
    """A reading would be a dot over the epochs, or the machine would look like the process."""
    draw([measured], measured / "page.html")
    browser.open(measured / "page.html")
    titles = browser.run("return [...document.querySelectorAll('h2')].map(h => h.textContent)")
    assert titles[0] == "loss"
    assert {"machine Memory usage (%)", "machine Disk usage (%)"} <= set(titles[1:])
    look = "return [...document.querySelectorAll('svg')].map(s => s.getAttribute('aria-label'))"
    before = browser.run(look)
    browser.click("By epoch")
    after = browser.run(look)
    assert before[0].endswith("over step")
    assert after[0].endswith("over epoch")
    assert after[1:] == before[1:]
    assert all(label.endswith("over time since the start") for label in after[1:])
    curves = browser.run("return document.querySelectorAll('section:last-child path.curve').length")
    assert curves == 1  # one line for the whole run, not one for each context
