"""What a page of a graph costs: to write, and to use in Chromium. Each figure with its budget.

    python tests/benchmarks/bench_html.py [--quick]

The time until a page can be used is what the browser says of itself: from the beginning of its
navigation to the first drawing of the graph. Needs selenium, Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import provml
from provml import Context
from provml.export import export

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1440,900",
)
MOVED = """
    const frame = () => new Promise(done => requestAnimationFrame(done));
    const start = performance.now();
    for (let i = 0; i < 20; i += 1) { view.call(zoom.translateBy, 3, 2); await frame(); }
    return (performance.now() - start) / 20;
"""
DRAWN = "return new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


def make_run(store: str, nodes: int) -> Path:
    """A run of about so many nodes at sample detail: 3 contexts, 20 series each, parameters."""
    steps = max(1, (nodes - 400) // 63)
    with provml.start_run("bench", store=store, formats=()) as run:
        run.log_params({f"p{i}": i for i in range(300)})
        for step in range(steps):
            for context in ("training", "validation", "evaluation"):
                own = {f"metric {i:02}": 1 / (i + step + 1) for i in range(20)}
                run.log_metrics(own, Context(context), step, epoch=step)
    return run.path


def browser() -> Any:
    """Chromium without a window; None where it, its driver or selenium is not there."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        return None
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={tempfile.mkdtemp(prefix='provml-')}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def page(driver: Any, path: Path, rounds: int) -> None:
    """Open a page, open all its groups, move it."""
    opened, expanded, frames = [], [], []
    for _ in range(rounds):
        driver.get(path.as_uri())
        while not (
            ready := driver.execute_script("return document.documentElement.dataset.readyMs")
        ):
            pass
        opened.append(float(ready))
        start = perf_counter()
        driver.execute_script("document.getElementById('expand').click()")
        driver.execute_script(DRAWN)
        expanded.append((perf_counter() - start) * 1e3)
        frames.append(driver.execute_script(f"return (async () => {{{MOVED}}})()"))
    nodes = driver.execute_script("return items.length")
    print(
        f"HTML of {nodes:,} nodes in Chromium   {statistics.median(opened):5.0f} ms until usable, "
        f"{statistics.median(expanded):5.0f} ms to open all groups, "
        f"{statistics.median(frames):4.0f} ms a frame with all open  (budget 3,000 ms)"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="provml-") as store:
        folder = make_run(store, 600 if quick else 5_000)
        path = Path(store) / "page.html"
        start = perf_counter()
        export(folder, "html", path, "sample")
        took, size = perf_counter() - start, path.stat().st_size / 1e6
        start = perf_counter()
        export(folder, "provjson", io.BytesIO(), "sample")
        other = perf_counter() - start
        print(
            f"HTML, written   {took:5.2f} s, {size:.1f} MB; PROV-JSON of the same run "
            f"{other:.2f} s  (budget 2 s)"
        )
        driver = browser()
        if driver is None:
            print("no chromium, chromium-driver and selenium here: no figure for the budget of 3 s")
            return
        try:
            page(driver, path, 1 if quick else 5)
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
