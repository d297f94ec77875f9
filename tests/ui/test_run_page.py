"""The run page in a real browser: every tab, live, with hostile names, and by keyboard."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from browser import Browser
from ui.conftest import Serve
from waiting import until

import provml
from provml import Context

TABS = ("curves", "machine", "events", "files", "output", "graph", "validity", "downloads")
HOSTILE = ("<img src=x onerror=alert(1)>", "\u202egnp.exe", "__proto__", "x" * 4000, "🦄", " ")


def place_of(path: Path, tab: str | None = None) -> str:
    """Return the address of a run's page on its server."""
    key = quote(f"{path.parent.name}/{path.name}")
    return f"run.html?run={key}" + ("" if tab is None else f"&tab={tab}")


def text_of(browser: Browser, selector: str = "main") -> str:
    return str(browser.run("return document.querySelector(arguments[0]).innerText", selector))


def wait_for_text(browser: Browser, text: str, selector: str = "main") -> None:
    found = "return document.querySelector(arguments[0])?.innerText.includes(arguments[1])"
    browser.until(found, selector, text)


def expect_missing(browser: Browser) -> None:
    """Take the messages that a browser logs by itself if the server does not find a run."""
    console, asked = browser.noise()
    assert asked == []
    assert all("data/" in message and "404" in message for message in console), console


def record(store: Path, name: str = "digits") -> Path:
    with provml.start_run(name, store=store, collect=(), formats=()) as run:
        run.log_params({"lr": 0.1, "layers": [64, 64]})
        data = store.parent / "data.csv"
        data.write_text("a,b\n")
        run.log_dataset("table", data)
        for step in range(50):
            run.log_metric("loss", 1 / (step + 1), Context.TRAINING, step, epoch=step // 10)
        run.log_event("checkpoint", metadata={"path": "a.pt"})
    return run.path


def test_every_tab_opens(store: Path, serve: Serve, browser: Browser) -> None:
    """A tab would be empty, or would fail in the browser."""
    path = record(store)
    address = serve(store)
    browser.open(address + place_of(path))
    shown = text_of(browser)
    for text in ("finished", "loss", "0.02", "step 49, epoch 4", "lr", "[64,64]", "table"):
        assert text in shown
    expected = {
        "events": "path: a.pt",
        "files": "used: dataset",
        "output": "The run kept no output",
        "validity": "The graph is valid",
        "downloads": "turtle",
        "machine": "provml took no readings",
    }
    for tab in TABS:
        browser.open(address + place_of(path, tab))
        chosen = browser.run("return document.querySelector('[aria-selected=true]').textContent")
        assert chosen == tab.capitalize()
        wait_for_text(browser, expected.get(tab, ""), "#panel")
    browser.open(address + place_of(path, "graph"))
    browser.until(
        "return document.querySelector('iframe').contentDocument?.readyState === 'complete'"
    )
    assert browser.run("return document.querySelector('iframe').contentDocument.title")
    browser.open(address + place_of(path.parent / "absent"))
    assert "renamed or removed" in text_of(browser)
    expect_missing(browser)


def test_the_keyboard_reaches_every_tab(store: Path, serve: Serve, browser: Browser) -> None:
    """A person without a mouse could not use the page, or could not go back."""
    path = record(store)
    browser.open(serve(store) + place_of(path))
    browser.press("4")
    wait_for_text(browser, "path: a.pt", "#panel")
    assert browser.driver.current_url.endswith("tab=events")
    browser.run("document.getElementById('tab-events').focus()")
    browser.press("\ue014")  # an arrow to the right
    wait_for_text(browser, "used: dataset", "#panel")
    assert browser.run("return document.activeElement.id") == "tab-files"
    browser.driver.back()
    wait_for_text(browser, "path: a.pt", "#panel")
    field = browser.find("input[type=search]")
    field.send_keys("nothing like this")
    wait_for_text(browser, "0 of 1", "#panel")
    assert browser.driver.current_url.endswith("find=nothing+like+this")
    browser.driver.back()
    wait_for_text(browser, "Settings", "#panel")


def test_names_are_text(store: Path, serve: Serve, browser: Browser) -> None:
    """A name could run a script, or show the text after it in another direction."""
    with provml.start_run(HOSTILE[0], store=store, collect=(), formats=()) as run:
        for name in HOSTILE:
            run.log_param(name, name)
            run.set_tag(name, name)
            run.log_metric(name, 1.0, Context(name[:100]), step=2**60)
            run.log_event(name, metadata={name: name})
        run.log_dataset(HOSTILE[1], {"a": [1]})
    address = serve(store)
    for tab in (None, "events", "files"):
        browser.open(address + place_of(run.path, tab))
        browser.until("return document.querySelector('#panel').innerText.includes('u202egnp')")
        assert browser.run("return document.querySelectorAll('main img').length") == 0
        assert "\u202e" not in text_of(browser)
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.noise() == ([], []), tab
    browser.open(address + place_of(run.path))
    shown = text_of(browser)
    assert "step 1152921504606846976" in shown
    assert "__proto__" in shown
    assert '" "' in shown


def test_what_is_missing_does_not_hide_the_rest(
    store: Path, serve: Serve, browser: Browser
) -> None:
    """A reader would scroll past hundreds of damaged lines to see the results of a run."""
    with provml.start_run("digits", store=store, collect=(), formats=()) as run:
        for number in range(40):
            run.log_param(f"p{number}", number)
    (journal,) = (run.path / "journal").glob("*.events.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[4:36:2] = [line.replace(b"p", b"q", 1) for line in lines[4:36:2]]
    journal.write_bytes(b"".join(lines))
    browser.open(serve(store) + place_of(run.path))
    wait_for_text(browser, "What is missing")
    trouble = browser.find(".trouble")
    assert trouble.text.count("damaged or missing") == 6
    assert "damaged or missing: 1" not in trouble.text
    trouble.find_element("css selector", "summary").click()
    assert trouble.text.count("damaged or missing") == 16


def test_long_lists_and_output(store: Path, serve: Serve, browser: Browser) -> None:
    """Ten thousand events or ten megabytes of output could make the page unusable."""
    log = store.parent / "stdout"
    line = "line {} \x1b[31m<b>of</b>\x1b[0m some output " + "x" * 60 + "\n"
    log.write_text("".join(line.format(number) for number in range(100_000)))
    with provml.start_run("printed", store=store, collect=(), formats=()) as printed:
        printed.log_artifact(log, "stdout", copy=True)
    with provml.start_run("many", store=store, collect=(), formats=()) as run:
        run.log_params({f"group.p{i}": i for i in range(5000)})
        for number in range(10_000):
            run.log_event(f"event {number}")
    address = serve(store)
    browser.open(address + place_of(run.path, "events"))
    browser.until("return document.querySelectorAll('#panel tbody tr').length === 200")
    browser.click("Show 200 more of 9,800")
    assert browser.run("return document.querySelectorAll('#panel tbody tr').length") == 400
    browser.find("input[type=search]").send_keys("event 9999")
    wait_for_text(browser, "1 of 10,000", "#panel")
    browser.open(address + place_of(run.path))
    assert browser.run("return document.querySelectorAll('.settings tr').length") == 30
    browser.run("document.querySelector('[data-part=settings] details').open = true")
    browser.until("return document.querySelectorAll('.settings tr').length === 5000")
    browser.open(address + place_of(printed.path, "output"))
    wait_for_text(browser, "line 99999 <b>of</b> some output", ".log")
    view = browser.find(".log")
    for _ in range(14):
        first = browser.run("return document.querySelector('.log pre').innerText.slice(0, 40)")
        browser.run("arguments[0].scrollTop = 0", view)
        browser.until(
            "return document.querySelector('.log pre').innerText.slice(0, 40) !== arguments[0]",
            first,
        )
    lines = text_of(browser, ".log").split("\n")
    numbers = [int(line.split()[1]) for line in lines if line]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert browser.run("return document.querySelectorAll('.log pre').length") <= 12
    browser.find("input[type=search]").send_keys("line 60000 \ue007")
    browser.until("return document.querySelector('.log mark')")
    assert "line 60000 " in text_of(browser, ".log")
    browser.click("First")
    wait_for_text(browser, "line 0 <b>of</b>", ".log")


def test_a_live_run_moves_until_it_is_gone(store: Path, serve: Serve, browser: Browser) -> None:
    """A person would have to reload the page, or would look at a run that no longer exists."""
    script = store.parent / "script.py"
    script.write_text(
        "import sys\n"
        "for line in sys.stdin:\n"
        "    print(f'step {line.strip()} loss 0.{line.strip()}', flush=True)\n"
    )
    command = [sys.executable, "-m", "provml", "run", "--store", str(store), "--trace", "off"]
    process = subprocess.Popen(
        [*command, "--", sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    try:
        until(lambda: [*store.glob("*/*/run.json")], "the run")
        (path,) = (found.parent for found in store.glob("*/*/run.json"))
        browser.open(serve(store) + place_of(path))
        wait_for_text(browser, "running", ".head")
        print_line(process, 4)
        print_line(process, 5)
        wait_for_text(browser, "0.5", "[data-part=result]")
        browser.run("document.querySelector('[data-part=result] a').focus()")
        print_line(process, 6)
        wait_for_text(browser, "0.6", "[data-part=result]")
        assert browser.run("return document.activeElement.textContent") == "loss"
        browser.click("Output")
        wait_for_text(browser, "step 6 loss 0.6", ".log")
        print_line(process, 7)
        wait_for_text(browser, "step 7 loss 0.7", ".log")
    finally:
        process.communicate()
    wait_for_text(browser, "finished", ".head")
    wait_for_text(browser, "step 7 loss 0.7", ".log")
    assert browser.noise() == ([], [])
    shutil.rmtree(path)
    wait_for_text(browser, "This run was removed or renamed")
    wait_for_text(browser, "step 7 loss 0.7", ".log")
    expect_missing(browser)


def print_line(process: subprocess.Popen[str], number: int) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
