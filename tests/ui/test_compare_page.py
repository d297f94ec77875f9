"""The page that compares runs, in a real browser."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from browser import Browser

import provml

pytest.importorskip("plotly", reason="the charts need plotly")

HOSTILE = '<img src=x onerror="window.hacked=1"></script><b>&amp;\u202e'
TRACES = (
    "arguments[0].querySelector('.chart-plot')._fullData"
    ".filter(trace => /^c\\d+r?$/.test(trace.uid))"
)


def key_of(run: provml.Run) -> str:
    return f"{run.path.parent.name}/{run.path.name}"


@pytest.fixture
def open_page(serve, browser: Browser) -> Iterator[Callable[..., str]]:
    """Serve a store and open the comparison of runs; returns the address of the server."""

    def open_page(store: Path, keys: list[str], more: str = "") -> str:
        address = serve(store)
        runs = "&".join(f"run={quote(key, safe='')}" for key in keys)
        browser.open(f"{address}compare.html?{runs}{more}")
        return str(address)

    yield open_page
    browser.driver.get("about:blank")  # ends the page's wait for news, so that the server can end


def chart(browser: Browser, name: str) -> Any:
    """Return the chart of a series, once it is drawn."""
    find = "const chart = [...document.querySelectorAll('.chart')].find(c => c.dataset.series === "
    return browser.until(f"{find}arguments[0]); return chart?.dataset.drawn && chart", name)


def range_of(browser: Browser, element: Any, axis: str = "xaxis") -> list[float]:
    script = f"return arguments[0].querySelector('.chart-plot')._fullLayout.{axis}.range"
    return list(browser.run(script, element))


def train(store: Path, name: str, lr: float, steps: int = 300) -> str:
    """Record a run with a loss in two contexts and a value that is not a number."""
    with provml.start_run(name, store=store) as run:
        run.log_params({"lr": lr, "layers": 2})
        for step in range(steps):
            value = float("nan") if step == 50 else math.exp(-step * lr)
            run.log_metric("loss", value, "training", step)
            if step % 50 == 49:
                run.log_metric("loss", value + 1, "validation", step)
        run.log_metric("size", 3.0)
    return key_of(run)


def test_curves_of_runs_lie_over_one_another(tmp_path: Path, browser, open_page) -> None:
    """Curves could not be told apart, a NaN would be invisible, or a chart would be empty."""
    keys = [train(tmp_path, "digits", lr) for lr in (0.01, 0.1)]
    open_page(tmp_path, keys)
    loss = chart(browser, "loss")
    colours = browser.run(f"return {TRACES}.map(trace => trace.line.color)", loss)
    dashes = browser.run(f"return {TRACES}.map(trace => trace.line.dash)", loss)
    assert len(set(colours)) == 2 and len(set(dashes)) == 2 and len(colours) == 4
    assert browser.run("return arguments[0].querySelectorAll('.points path').length", loss) >= 2
    assert "2 values are NaN or infinite" in loss.text
    size = chart(browser, "size")
    assert "no step: shown by time" in size.text
    names = [row.text for row in browser.driver.find_elements("css selector", ".legend-name")]
    assert [name.split(" ")[0] for name in names] == ["lr=0.01", "lr=0.1"]


def test_hostile_names_are_text(tmp_path: Path, browser, open_page) -> None:
    """A recorded name could run a script, or appear as a link of ours."""
    keys = []
    for number in range(2):
        with provml.start_run(f"{HOSTILE}{number}", store=tmp_path) as run:
            run.log_params({HOSTILE: f"{HOSTILE}{number}", "__proto__": number})
            run.log_metric(HOSTILE, number, HOSTILE, 1)
            run.log_metric("x" * 4_000, number, "training", 1)
            run.log_event(HOSTILE, step=1)
        keys.append(key_of(run))
    open_page(tmp_path, keys)
    shown = chart(browser, HOSTILE)
    assert browser.run("return arguments[0].querySelector('h3').textContent", shown) == HOSTILE
    browser.run("arguments[0].querySelector('.chart-area').focus()", shown)
    browser.press("\ue014")  # the right arrow
    browser.until("return arguments[0].querySelectorAll('.value').length === 2", shown)
    for tab in ("results", "settings", "relations"):
        browser.run(f"document.getElementById('tab-{tab}').click()")
        text = f"document.getElementById('panel-{tab}').textContent"
        browser.until(f"return {text}.includes(arguments[0])", HOSTILE)
    assert browser.run("return document.querySelectorAll('main img, main b').length") == 0
    assert browser.run("return window.hacked") is None
    width = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


def test_keys_lead_from_a_point_to_its_run(tmp_path: Path, browser, open_page) -> None:
    """Whoever uses the keyboard could not read a value, or reach the run that made it."""
    keys = [train(tmp_path, "digits", lr) for lr in (0.01, 0.1)]
    open_page(tmp_path, keys)
    loss = chart(browser, "loss")
    browser.run("arguments[0].querySelector('.chart-area').focus()", loss)
    browser.press("\ue014", "\ue014", "\ue014")
    spoken = browser.run("return arguments[0].querySelector('[aria-live]').textContent", loss)
    place = re.search(r"training: ([\d.e-]+) at Step (\d+)", spoken)
    assert place is not None
    step = int(place[2])
    assert float(place[1]) == pytest.approx(math.exp(-step * 0.01), rel=1e-5)
    browser.press("\ue007")  # Enter
    links = browser.until(
        "const a = [...document.querySelectorAll('.chart-menu a')];"
        "return a.length && a.map(link => link.getAttribute('href'))"
    )
    run = quote(keys[0], safe="")
    assert links[0] == f"run.html?run={run}&tab=curves&axis=step&at={step}&series=loss"
    assert links[1:] == [f"graph/{keys[0]}.html", f"run.html?run={run}&tab=files"]
    assert browser.run("return document.activeElement.getAttribute('href')") == links[0]
    browser.press("\ue00c")  # Escape
    assert browser.run("return document.querySelector('.chart-menu')") is None
    browser.press("+")
    browser.until("return location.search.includes('from=')")
    low, high = range_of(browser, loss)
    assert high - low < 200


def test_zoom_loads_the_points_between(tmp_path: Path, browser, open_page) -> None:
    """A zoomed chart would only enlarge the thinned curve."""
    keys = [train(tmp_path, "digits", lr, steps=20_000) for lr in (0.001, 0.002)]
    open_page(tmp_path, keys)
    loss = chart(browser, "loss")
    count = (
        "return arguments[0].querySelector('.chart-plot')._fullData.find(t => t.uid === 'c0')"
        ".x.filter(x => x >= 1000 && x <= 1100).length"
    )
    before = browser.run(count, loss)
    assert before < 20
    start, end = (
        browser.run(
            "const p = arguments[0].querySelector('.chart-plot'), a = p._fullLayout.xaxis;"
            f"return a._offset + a.l2p({step})",
            loss,
        )
        for step in (900, 1200)
    )
    from selenium.webdriver.common.action_chains import ActionChains

    area = loss.find_element("css selector", ".chart-area")
    middle = area.rect["width"] / 2
    actions = ActionChains(browser.driver, duration=20)
    actions.move_to_element_with_offset(area, round(start - middle), 0).click_and_hold()
    actions.move_by_offset(round(end - start) + 20, 1).release().perform()
    browser.until("return location.search.includes('from=')")
    browser.until(f"{count} > arguments[1]", loss, 3 * before)
    browser.click("Show all")
    browser.until("return !location.search.includes('from=')")
    browser.until(
        "return arguments[0].querySelector('.chart-plot')._fullLayout.xaxis.range[1] > 19000", loss
    )


def test_settings_of_the_charts_are_in_the_address(tmp_path: Path, browser, open_page) -> None:
    """A view that was sent to a colleague would look different there."""
    keys = [train(tmp_path, "digits", lr) for lr in (0.01, 0.1)]
    address = open_page(tmp_path, keys)
    loss = chart(browser, "loss")
    for name in ("log", "outliers"):
        browser.run(f"document.querySelector('[data-setting={name}]').click()")
    browser.run("document.querySelector('[data-axis=time]').click()")
    browser.run(
        "const s = document.querySelector('.smooth input'); s.value = 0.7;"
        "s.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    browser.run("document.querySelectorAll('.legend-run input')[1].click()")
    query = browser.run("return location.search")
    browser.open(f"{address}compare.html{query}")
    loss = chart(browser, "loss")
    layout = "arguments[0].querySelector('.chart-plot')._fullLayout"
    assert browser.run(f"return {layout}.yaxis.type", loss) == "log"
    assert range_of(browser, loss)[1] < 60
    # each of the two curves of the visible run is drawn twice: smoothed, and as recorded
    assert browser.run(f"return {TRACES}.length", loss) == 4
    assert "average over" in browser.find(".smooth").text
    pressed = browser.driver.find_elements("css selector", "[data-setting][aria-pressed=true]")
    assert [button.text for button in pressed] == ["Log scale", "Ignore outliers"]


def test_differences_are_shown_and_the_rest_is_folded(tmp_path: Path, browser, open_page) -> None:
    """The one setting that differs would drown among the others, or code would not be compared."""
    keys = []
    for number in range(2):
        code = tmp_path / "model.py"
        code.write_text(f"# <b>model</b>\nW = {number}\n")
        with provml.start_run("digits", store=tmp_path / "store") as run:
            run.log_params({"lr": 0.1 + number, **{f"same{n}": n for n in range(30)}})
            run.log_source_code(code)
            run.log_dataset("table", code)
            run.log_metric("loss", number, "training", 1)
        keys.append(key_of(run))
    open_page(tmp_path / "store", keys, "&tab=settings")
    table = browser.find("#panel-settings .run-table").text.split("\n")
    assert table[-1] == "lr 0.1 1.1" and len(table) < 4
    assert "30 are the same" in browser.find("#panel-settings").text
    browser.run("document.getElementById('tab-code').click()")
    browser.until("return document.querySelector('#panel-code .added')")
    added = browser.find("#panel-code .added").text.split()
    assert added == ["2", "+W", "=", "1"]
    browser.run("document.getElementById('tab-data').click()")
    digests = browser.driver.find_elements("css selector", "#panel-data a[href^='file.html']")
    assert len({link.get_attribute("href") for link in digests}) == 2


def test_a_parent_beside_its_children(tmp_path: Path, browser, open_page) -> None:
    """The only parameter of a parent would be drawn, single values would hide the curves."""
    keys = []
    with provml.start_run("sweep", store=tmp_path) as parent:
        parent.log_params({"a_note": "a study of two rates", "space": "lr"})
        parent.log_metric("best", 0.5)
        keys.append(key_of(parent))
        for lr in (0.01, 0.1):
            with provml.start_run("sweep", store=tmp_path, parent=parent) as run:
                run.log_params({"b": 1, "lr": lr, "z-name-of-more-than-twenty-letters": lr})
                for step in range(20):
                    run.log_metric("loss", math.exp(-step * lr), "training", step)
                keys.append(key_of(run))
    open_page(tmp_path, keys)
    chart(browser, "loss")
    names = "return [...document.querySelectorAll('.chart')].map(c => c.dataset.series)"
    assert browser.run(names) == ["loss", "best"]
    labels = [row.text for row in browser.driver.find_elements("css selector", ".legend-name")]
    assert labels[2].startswith("lr=0.1 · z-name-of-more-…=0.1 · "), labels
    browser.run("document.getElementById('tab-relations').click()")
    choose = "document.querySelectorAll('#panel-relations select')[2]"
    browser.until(f"return {choose}")
    assert browser.run(f"return {choose}.value") == "lr"
    browser.run("document.getElementById('tab-environment').click()")
    browser.until("return document.getElementById('panel-environment').innerText.length")
    assert "recorded no environment" not in browser.find("#panel-environment").text


def test_values_at_the_limits_of_numbers_are_drawn(tmp_path: Path, browser, open_page) -> None:
    """A chart of very small or large values would stop with an error of the chart's library."""
    keys = []
    for _ in range(2):
        with provml.start_run("limits", store=tmp_path) as run:
            for step in range(100):
                run.log_metric("tiny", 5e-324 * step, "training", step)
                run.log_metric("huge", 1.7e308 * (-1) ** step, "training", step)
                run.log_metric("near", 1 + 2.3e-16 * step, "training", step)
        keys.append(key_of(run))
    open_page(tmp_path, keys)
    for name in ("tiny", "huge", "near"):
        drawn = chart(browser, name)
        low, high = range_of(browser, drawn, "yaxis")
        assert low < high
        browser.until("return arguments[0].querySelector('.scatterlayer path.js-line')", drawn)


def test_curves_grow_and_new_ones_appear(tmp_path: Path, browser, open_page) -> None:
    """The page would have to be loaded again while runs go on, end or are removed."""
    ended = train(tmp_path, "digits", 0.1)
    run = provml.start_run("digits", store=tmp_path)
    for step in range(100):
        run.log_metric("loss", 1.0, "training", step)
    open_page(tmp_path, [ended, key_of(run)])
    loss = chart(browser, "loss")
    assert range_of(browser, loss)[1] < 320
    for step in range(100, 1_000):
        run.log_metric("loss", 1.0, "training", step)
    browser.until(
        "return arguments[0].querySelector('.chart-plot')._fullLayout.xaxis.range[1] > 990", loss
    )
    run.end_run()
    browser.until(
        "return [...document.querySelectorAll('.legend-run .status')]"
        ".every(s => s.textContent.includes('finished'))"
    )
    shutil.rmtree(tmp_path / ended)
    browser.until("return document.querySelector('.legend-run.removed')")


def test_ranks_are_a_band(
    tmp_path: Path, browser, open_page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distributed run would be several curves of one colour."""
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        with provml.start_run("digits", store=tmp_path, run_id="one") as run:
            for step in range(100):
                run.log_metric("loss", rank + step, "training", step)
    other = train(tmp_path, "digits", 0.1)
    open_page(tmp_path, [key_of(run), other])
    loss = chart(browser, "loss")
    assert browser.run("return arguments[0].querySelectorAll('.js-fill').length", loss) == 1
    assert "lowest to highest of 2 ranks" in loss.text


def test_curves_by_other_pages(tmp_path: Path, browser, open_page) -> None:
    """A comparison of no runs, or of runs that are gone, would be an empty page."""
    key = train(tmp_path, "digits", 0.1)
    open_page(tmp_path, [])
    assert "Choose runs to compare" in browser.find("main").text
    open_page(tmp_path, ["digits/gone", "digits/lost"])
    assert "could not be compared" in browser.find("main").text
    open_page(tmp_path, [key, "digits/gone"])
    assert "A run is missing" in browser.find("main").text
    browser.noise()  # the browser logs that the server answered 404


def test_clock_times_and_colours_are_those_of_the_browser(
    tmp_path: Path, browser, open_page
) -> None:
    """Times would be hours off, or the charts would keep the colours of the other theme."""
    started = provml.start_run("digits", store=tmp_path)
    started.log_metric("loss", 1.0, "training", 1, timestamp=1_796_000_000)
    started.log_metric("loss", 2.0, "training", 2, timestamp=1_796_000_060)
    started.end_run()
    zone = {"timezoneId": "Asia/Kathmandu"}
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", zone)
    try:
        open_page(tmp_path, [key_of(started), train(tmp_path, "digits", 0.1)], "&axis=wall")
        browser.run("document.querySelectorAll('.legend-run input')[1].click()")
        loss = chart(browser, "loss")
        before = browser.run(f"return {TRACES}[0].line.color", loss)
        browser.until("return arguments[0].querySelectorAll('.xtick').length > 2", loss)
        browser.run("arguments[0].querySelector('.chart-area').focus()", loss)
        browser.press("\ue012", "\ue012")  # the left arrow
        shown = "arguments[0].querySelector('.chart-values').textContent"
        # 1796000000 is 00:53:20 UTC, and Nepal is 5 hours and 45 minutes ahead
        browser.until(f"return {shown}.includes('2026-11-30 06:38:20')", loss)
        browser.run("document.getElementById('tab-settings').click()")
        browser.run("document.getElementById('theme-button').click()")
        browser.run("document.getElementById('tab-curves').click()")
        browser.until(f"return {TRACES}[0].line.color !== arguments[1]", loss, before)
    finally:
        browser.run("localStorage.clear()")
        browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_export_compares_without_a_server(tmp_path: Path, browser) -> None:
    """The page would be empty on a website."""
    from provml.ui.browsed_store import BrowsedStore
    from provml.ui.static_export import write_static_pages

    keys = [train(tmp_path / "store", "digits", lr) for lr in (0.01, 0.1)]
    write_static_pages(BrowsedStore(tmp_path / "store"), tmp_path / "pages")
    runs = "&".join(f"run={quote(key, safe='')}" for key in keys)
    page = (tmp_path / "pages" / "compare.html").as_uri()
    browser.open(f"{page}?{runs}")
    loss = chart(browser, "loss")
    assert browser.run(f"return {TRACES}.length", loss) == 4
    browser.run("document.getElementById('tab-settings').click()")
    browser.until("return document.querySelector('#panel-settings .run-table')")
    assert "lr 0.01 0.1" in browser.find("#panel-settings").text
