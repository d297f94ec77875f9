"""The page of all runs, in a real browser."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import Browser

import provml
from provml import Context

ODD = '<img src=x onerror="alert(1)">'

Serve = Callable[[Path], str]


def record(
    store: Path,
    run_id: str,
    experiment: str = "sweep",
    parent: Path | None = None,
    **params: Any,
) -> Path:
    with provml.start_run(
        experiment, store=store, formats=(), collect=(), run_id=run_id, parent=parent
    ) as run:
        run.log_params(params)
        for step in range(20):
            loss = math.exp(-step * float(params.get("lr", 1)))
            run.log_metric("loss", loss, Context.TRAINING, step)
            run.log_metric("loss", loss + 1, Context.VALIDATION, step)
    return run.path


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two learning rates, a failed run, child runs and hostile names."""
    store = tmp_path_factory.mktemp("sweep") / "provenance"
    for number, rate in enumerate((0.5, 0.25, 0.5, 0.25)):
        record(store, f"run-{number}", lr=rate, batch_size=32)
    study = record(store, "study", lr=0.125)
    for number in range(3):
        record(store, f"trial-{number}", parent=study, lr=0.1 * (number + 1))
    record(store, "odd", ODD, lr=1, note="\u202egnp.exe", **{"__proto__": ODD})
    with (
        pytest.raises(ValueError, match="diverged"),
        provml.start_run("sweep", store=store, formats=(), collect=(), run_id="failed"),
    ):
        raise ValueError("diverged")
    return store


@pytest.fixture
def opened(serve: Serve, browser: Browser, sweep: Path) -> Iterator[Browser]:
    """A browser that shows the runs of the store."""
    show(browser, serve(sweep) + "index.html")
    yield browser


def show(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.until("return document.querySelectorAll('.grid-body .grid-row').length")


def names(browser: Browser) -> list[str]:
    """Return the first cell of each row in sight."""
    found = browser.run(
        "return [...document.querySelectorAll('.grid-body .grid-row .name')].map(n => n.innerText)"
    )
    return [str(name) for name in found]


def wait_for(browser: Browser, *expected: str) -> None:
    """Wait until these are the rows in sight."""
    browser.until(
        "return JSON.stringify([...document.querySelectorAll('.grid-body .grid-row .name')]"
        ".map(n => n.innerText)) === JSON.stringify(arguments[0])",
        list(expected),
    )


def headings(browser: Browser) -> list[str]:
    """Return the headings of the columns, without the marks of the sorted column."""
    found = browser.run(
        "return [...document.querySelectorAll('[role=columnheader]')].map(c => c.innerText)"
    )
    return [str(text).replace("\n", " ").replace(" ▲", "").replace(" ▼", "") for text in found]


def cells(browser: Browser, name: str) -> dict[str, str]:
    """Return the text of a run's cells by their headings."""
    texts = browser.run(
        "const row = [...document.querySelectorAll('.grid-body .grid-row')]"
        ".find(r => r.querySelector('.name').innerText === arguments[0]);"
        "return [...row.children].map(c => c.innerText)",
        name,
    )
    return dict(zip(headings(browser), map(str, texts), strict=True))


def query(browser: Browser) -> dict[str, list[str]]:
    return parse_qs(urlsplit(browser.driver.current_url).query)


def test_the_table_shows_what_tells_the_runs_apart(opened: Browser) -> None:
    """A person would see columns of equal values, miss the results, or run a name as markup."""
    assert names(opened) == ["failed", "odd", "study", "run-3", "run-2", "run-1", "run-0"]
    shown = headings(opened)
    assert shown[:3] == ["Run", "Status", "Experiment"]
    assert "loss validation · min" in shown
    assert "lr parameter" in shown
    assert not any("batch_size" in text for text in shown)
    row = cells(opened, "run-2")
    assert row["lr parameter"] == "0.5"
    assert row["loss validation · min"] == "1.00007"
    assert "finished" in row["Status"]
    assert "failed" in cells(opened, "failed")["Status"]
    assert cells(opened, "odd")["Experiment"] == ODD
    assert opened.run("return document.querySelectorAll('main img').length") == 0
    assert opened.run("return document.querySelectorAll('.cell.curve path').length") == 6


def test_a_search_keeps_the_runs_that_match(opened: Browser) -> None:
    """The search box would not find runs, or a mistake in a condition would go unexplained."""
    from selenium.webdriver.common.keys import Keys

    field = opened.find("#search")
    field.send_keys("params.l", Keys.ARROW_DOWN, Keys.ENTER, " < 0.3", Keys.ENTER)
    wait_for(opened, "study", "run-3", "run-1")
    assert query(opened)["where"] == ["params.lr < 0.3"]
    opened.driver.refresh()
    wait_for(opened, "study", "run-3", "run-1")
    field = opened.find("#search")
    field.clear()
    field.send_keys("params.lr = 3", Keys.ENTER)
    message = opened.until("return document.getElementById('search-error').innerText")
    assert "column 11" in message
    assert "use ==" in message
    assert names(opened) == ["study", "run-3", "run-1"]
    field.clear()
    field.send_keys("run-1", Keys.ENTER)
    wait_for(opened, "run-1")
    field.clear()
    field.send_keys("nothing has this name", Keys.ENTER)
    opened.until("return document.querySelector('.message')?.innerText.includes('No runs match')")
    console, foreign = opened.noise()
    assert len(console) == 1  # the browser's line about the refused condition
    assert "400" in console[0]
    assert foreign == []


def test_keys_choose_runs_and_compare_them(opened: Browser) -> None:
    """A person without a pointer could not choose, compare or open runs."""
    from selenium.webdriver.common.keys import Keys

    opened.press("j", "j", Keys.SPACE, "j", Keys.ARROW_DOWN, Keys.SPACE, "k", "x", Keys.SPACE, "J")
    keys = query(opened)["run"]
    assert keys == ["sweep/study", "sweep/run-3"]
    active = opened.run(
        "return document.getElementById(document.getElementById('grid')"
        ".getAttribute('aria-activedescendant')).innerText"
    )
    assert active.startswith("run-3")
    opened.press("/")
    assert opened.run("return document.activeElement.id") == "search"
    opened.press(Keys.ESCAPE, Keys.ESCAPE, "c")
    opened.until("return location.pathname.endsWith('/compare.html')")
    assert query(opened)["run"] == keys
    opened.driver.back()
    opened.until("return document.querySelectorAll('.grid-row.chosen').length === 2")
    opened.press(Keys.HOME, "j", Keys.ENTER)
    opened.until("return location.pathname.endsWith('/run.html')")
    assert query(opened)["run"][0].endswith("/odd")
    opened.noise()  # the other pages have tests of their own


def test_a_range_of_runs_is_chosen_with_shift(opened: Browser) -> None:
    """A person would have to choose each of many runs by itself."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    boxes = opened.driver.find_elements("css selector", ".grid-body .choose")
    boxes[3].click()
    ActionChains(opened.driver).key_down(Keys.SHIFT).click(boxes[6]).key_up(Keys.SHIFT).perform()
    assert [key.split("/")[1] for key in query(opened)["run"]] == [
        "run-3",
        "run-2",
        "run-1",
        "run-0",
    ]
    assert opened.find("#compare").text == "Compare (4)"
    opened.find("#clear").click()
    assert "run" not in query(opened)


def test_child_runs_are_below_their_parent(opened: Browser) -> None:
    """The runs of a study would hide all other runs, or could not be seen."""
    from selenium.webdriver.common.keys import Keys

    assert "trial-0" not in names(opened)
    opened.find(".toggle:not(.unused)").click()
    unfolded = ["failed", "odd", "study", "trial-2", "trial-1", "trial-0", "run-3"]
    wait_for(opened, *unfolded, "run-2", "run-1", "run-0")
    levels = "return [...document.querySelectorAll('.grid-body .grid-row')].map(r => r.ariaLevel)"
    assert opened.run(levels)[2:5] == ["1", "2", "2"]
    opened.driver.refresh()
    wait_for(opened, *unfolded, "run-2", "run-1", "run-0")
    opened.press(Keys.HOME, "j", "j", "j", "j", Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    wait_for(opened, "failed", "odd", "study", "run-3", "run-2", "run-1", "run-0")


def test_columns_are_chosen_sorted_and_grouped(opened: Browser) -> None:
    """A person could not see another value, or the address would lose the view."""
    opened.find("#columns").click()
    opened.find("dialog input[value='params.batch_size']").click()
    opened.find("dialog input[value='metrics.loss.training.max']").click()
    opened.find("dialog button[aria-label^='Remove Curve']").click()
    opened.click("Done")
    opened.until(
        "return [...document.querySelectorAll('[role=columnheader]')]"
        ".pop().innerText.startsWith('loss\\ntraining')"
    )
    shown = headings(opened)
    assert shown[-2:] == ["batch_size parameter", "loss training · max"]
    assert "Curve" not in shown
    assert cells(opened, "run-0")["loss training · max"] == "1"
    opened.click("lr")
    wait_for(opened, "study", "run-1", "run-3", "run-0", "run-2", "odd", "failed")
    assert query(opened)["sort"] == ["params.lr"]
    opened.run(
        "const s = document.getElementById('group'); s.value = 'params.lr';"
        "s.dispatchEvent(new Event('change'))"
    )
    groups = ["lr = 0.125", "study", "lr = 0.25", "run-1", "run-3", "lr = 0.5", "run-0", "run-2"]
    wait_for(opened, *groups, "lr = 1", "odd", "lr = no value", "failed")
    opened.driver.find_elements("css selector", ".grid-row.group .toggle")[2].click()
    folded = [*groups[:6], "lr = 1", "odd", "lr = no value", "failed"]
    wait_for(opened, *folded)
    opened.driver.refresh()
    wait_for(opened, *folded)
    assert headings(opened) == shown


def test_the_table_moves_while_runs_go_on(serve: Serve, browser: Browser, store: Path) -> None:
    """A run that starts, goes on, ends or is removed would be seen only after a reload."""
    old = record(store, "old", lr=0.1)
    show(browser, serve(store) + "index.html?run=sweep/old&run=sweep/other")
    record(store, "other", lr=0.2)
    wait_for(browser, "other", "old")
    with provml.start_run(
        "sweep", store=store, formats=(), collect=(), run_id="live", owner="ann"
    ) as run:
        wait_for(browser, "live", "other", "old")
        run.log_metric("loss", 0.5, Context.VALIDATION, 0)
        browser.until(
            "return document.querySelector('.grid-body .grid-row').innerText.includes('0.5')"
        )
        assert "running" in cells(browser, "live")["Status"]
    browser.until(
        "return document.querySelector('.grid-body .grid-row').innerText.includes('finished')"
    )
    shutil.rmtree(old)
    wait_for(browser, "live", "other")
    assert query(browser)["run"] == ["sweep/other"]
    assert "removed or renamed" in browser.find("#advice").text


def test_many_pages_share_a_connection(serve: Serve, browser: Browser, store: Path) -> None:
    """The seventh page would never load, or pages would stop when another page is closed."""
    record(store, "old", lr=0.1)
    address = serve(store) + "index.html"
    driver = browser.driver
    pages = [driver.current_window_handle]
    try:
        for _ in range(7):
            driver.switch_to.new_window("tab")
            pages.append(driver.current_window_handle)
            show(browser, address)
            browser.until("return document.getElementById('connection').innerText === 'live'")
        for page in pages[1:-1]:  # the first of these has the connection
            driver.switch_to.window(page)
            driver.close()
            pages.remove(page)
        driver.switch_to.window(pages[-1])
        record(store, "new", lr=0.2)
        wait_for(browser, "new", "old")
    finally:
        for page in pages[1:]:
            driver.switch_to.window(page)
            driver.get("about:blank")
            driver.close()
        driver.switch_to.window(pages[0])


def test_the_first_columns_are_of_metrics_that_many_runs_have(
    serve: Serve, browser: Browser, store: Path
) -> None:
    """The metrics of single runs would take the place of the loss that all runs have."""
    for number, name in enumerate(("accuracy", "best_accuracy", "acc", "top_accuracy", "f1")):
        with provml.start_run(
            "sweep", store=store, formats=(), collect=(), run_id=f"run-{number}"
        ) as run:
            run.log_metric(name, 0.5, Context.VALIDATION, 0)
            run.log_metric("loss", number, Context.TRAINING, 0)
            if number == 0:
                run.log_metric("loss", number, Context.VALIDATION, 0)
    show(browser, serve(store) + "index.html")
    metrics = [text for text in headings(browser) if "validation" in text or "training" in text]
    assert metrics[0] == "loss training · min"
    assert len(metrics) == 3


def test_long_names_fit_in_a_request(serve: Serve, browser: Browser, store: Path) -> None:
    """The page would fail in a store whose names are long, or in another script."""
    long = {f"{'学习率' * 20}{number}": number for number in range(250)}
    record(store, "one", lr=0.5, **long)
    record(store, "other", lr=0.25, **long)
    show(browser, serve(store) + "index.html")
    assert names(browser) == ["other", "one"]
    assert "lr parameter" in headings(browser)


def test_only_the_rows_in_sight_have_elements(
    serve: Serve, browser: Browser, tmp_path: Path
) -> None:
    """Thousands of runs would be slow to scroll, or rows beyond the first page would be missing."""
    from selenium.webdriver.common.keys import Keys

    first = record(tmp_path, "first", lr=0.1)
    for number in range(210):
        shutil.copytree(first, first.with_name(f"copy-{number:03}"))
    shutil.rmtree(first)
    show(browser, serve(tmp_path) + "index.html")
    assert "210 runs" in browser.find("#total").text
    keys = "return [...document.querySelectorAll('.grid-body .name')].map(n => n.href.slice(-3))"
    browser.press(Keys.END)
    browser.until(f"{keys}.pop() === '209'")
    assert len(names(browser)) < 60
    browser.press(Keys.SPACE)
    browser.run("document.getElementById('grid').scrollTop = 105 * 34")
    browser.until(f"{keys}.includes('105')")
    shown = browser.run(keys)
    assert shown == sorted(shown)
    assert query(browser)["run"] == ["sweep/copy-209"]
    position = (
        "const row = [...document.querySelectorAll('.grid-body .name')]"
        ".find(n => n.href.endsWith('105')).getBoundingClientRect();"
        "return row.top - document.getElementById('grid').getBoundingClientRect().top"
    )
    before = browser.run(position)
    first.with_name("link").symlink_to(first.with_name("copy-000"))
    record(tmp_path, "new", lr=0.1)
    browser.until("return document.getElementById('total').innerText.startsWith('211 runs')")
    assert browser.run(position) == before  # what a person reads stays where it is
    unread = browser.until("return document.querySelector('.unread')?.textContent")
    assert "1 run can't be read" in unread
    assert "link" in unread


def test_an_address_that_is_not_valid_is_explained(opened: Browser) -> None:
    """An old bookmark would lead to an empty page."""
    opened.open(opened.driver.current_url + "?sort=nonsense")
    assert "unknown name 'nonsense'" in opened.find(".message").text
    opened.find(".empty a").click()
    opened.until("return document.querySelectorAll('.grid-body .grid-row').length === 7")
    console, foreign = opened.noise()
    assert (len(console), foreign) == (1, [])


def test_an_empty_store_says_how_to_record(serve: Serve, browser: Browser, store: Path) -> None:
    """A new user would look at an empty page."""
    store.mkdir()
    browser.open(serve(store) + "index.html")
    assert "provml run train.py" in browser.find(".message").text
    record(store, "first", lr=0.1)
    wait_for(browser, "first")


def test_a_narrow_window_has_a_list(opened: Browser) -> None:
    """On a phone, the table would be cut or the page would scroll sideways."""
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    opened.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        opened.until("return document.getElementById('grid').classList.contains('narrow')")
        opened.until("return document.querySelectorAll('.facts').length")
        row = opened.find(".grid-body .grid-row:nth-child(4)")
        assert "run-3" in row.text
        assert "finished" in row.text
        assert "lr 0.25" in row.text
        assert opened.run("return document.documentElement.scrollWidth") == 390
        header = "document.querySelector('header.top')"
        assert opened.run(f"return {header}.offsetHeight") < 60  # one line
        assert opened.run(f"return {header}.scrollWidth <= {header}.clientWidth")
    finally:
        opened.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_exported_page_works_from_disk(browser: Browser, sweep: Path, tmp_path: Path) -> None:
    """The files of an export could not be sorted or searched."""
    from selenium.webdriver.common.keys import Keys

    from provml.ui.browsed_store import BrowsedStore
    from provml.ui.static_export import write_static_pages

    write_static_pages(BrowsedStore(sweep), tmp_path / "site")
    browser.open(tmp_path / "site" / "index.html")
    wait_for(browser, "failed", "odd", "study", "run-3", "run-2", "run-1", "run-0")
    assert cells(browser, "run-2")["loss validation · min"] == "1.00007"
    browser.click("lr")
    wait_for(browser, "study", "run-1", "run-3", "run-0", "run-2", "odd", "failed")
    browser.find(".toggle:not(.unused)").click()
    wait_for(
        browser, "study", "trial-0", "trial-1", "trial-2", "run-1", "run-3", "run-0", "run-2",
        "odd", "failed",
    )  # fmt: skip
    assert cells(browser, "trial-1")["lr parameter"] == "0.2"
    browser.find("#search").send_keys("RUN-2", Keys.ENTER)
    wait_for(browser, "run-2")
    browser.find("#search").clear()
    browser.find("#search").send_keys("params.lr < 1", Keys.ENTER)
    browser.until("return document.querySelector('main').innerText.includes('only words')")
