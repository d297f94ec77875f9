"""What it costs to draw curves of many points.

    python tests/benchmarks/bench_curves.py [--quick] [--draw]

Two stores: runs with one long series each, and one run with a longer series. A process of its own
answers a request for all curves at once, as `provml ui` does: with an empty cache, with a cache,
and with the summaries in memory; then it zooms into the longer series. The baseline reads the
values of the same files with numpy and takes the minimum and maximum of each pixel, without
checksums, NaN, steps or JSON. With ``--draw``, Chromium draws the answer with plotly.js.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

PIXELS = 1_000
CURVES_AT_ONCE = 500
"""The pixels of a chart with very many curves: it is as wide, but each curve needs less detail."""


def make_runs(store: Path, runs: int, samples: int) -> None:
    """Record one run of a single series, and copy it."""
    import provml

    with provml.start_run("many", store=store, formats=(), collect=(), run_id="r0") as run:
        record(run, samples)
    for number in range(1, runs):
        shutil.copytree(run.path, run.path.with_name(f"r{number}"))


def record(run: Any, samples: int) -> None:
    """Log a noisy curve with a few spikes and gaps."""
    import provml

    values = np.exp(-np.arange(samples) / samples * 3) + np.random.default_rng(0).normal(
        0, 0.05, samples
    )
    values[:: samples // 7] = 9.0
    values[samples // 3] = np.nan
    log, context = run.log_metric, provml.Context.TRAINING
    for step, value in enumerate(values.tolist()):
        log("loss", value, context, step)


def read_whole(store: Path) -> float:
    """Take the extremes of each pixel of all samples files; return the seconds of CPU."""
    from provml.journal import layout
    from provml.journal.sample_reading import record_dtype

    start = process_time()
    for path in store.glob(f"*/*/{layout.JOURNAL_FOLDER}/*{layout.SAMPLES_SUFFIX}"):
        with path.open("rb") as file:
            file.seek(layout.HEADER_SIZE)
            while len(rows := np.fromfile(file, record_dtype(), 2**17)):
                starts = np.arange(0, len(rows), max(1, len(rows) // PIXELS))
                np.minimum.reduceat(rows["value"], starts)
                np.maximum.reduceat(rows["value"], starts)
    return process_time() - start


def answer(store: Path, zooms: int) -> dict[str, Any]:
    """Answer requests for all curves of a store, and zoom; return the seconds and the memory."""
    import orjson

    from provml.ui.browsed_store import BrowsedStore
    from provml.ui.curve_data import answer_curves
    from provml.ui.queries import Query

    keys = [("run", f"{path.parent.name}/{path.name}") for path in store.glob("*/r*")]
    points = [("points", str(PIXELS if len(keys) == 1 else CURVES_AT_ONCE))]
    browsed = BrowsedStore(store)
    made = b""
    taken: list[tuple[float, float]] = []

    def ask(*bounds: tuple[str, str]) -> None:
        nonlocal made
        wall, cpu = perf_counter(), process_time()
        made = orjson.dumps(answer_curves(browsed, Query([*keys, *points, *bounds])))
        taken.append((perf_counter() - wall, process_time() - cpu))

    for _ in range(3):
        ask()
    found = {"first": taken[0], "again": min(taken[1:]), "bytes": len(made)}
    (store.parent / f"{store.name}.json").write_bytes(made)
    if zooms:
        last = json.loads(made)["runs"][0]["series"][0]["x"][-1]
        taken.clear()
        for number in range(zooms):
            width = last / 2 ** (number + 1)
            ask(("from", str(last * 0.6 - width / 2)), ("to", str(last * 0.6 + width / 2)))
        found["zoom"] = sorted(taken)[len(taken) // 2]
    status = Path("/proc/self/status").read_text("ascii")
    found["memory"] = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return found


def answer_in_child(store: Path, cache: Path, zooms: int = 0) -> dict[str, Any]:
    """Run `answer` in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--answer", str(store), "--zooms", str(zooms)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


PAGE = """<!doctype html><meta charset="utf-8"><div id="chart"></div>
<script src="plotly.min.js"></script><script>
async function draw() {
  const start = performance.now();
  const made = await (await fetch("answer.json")).json();
  const loaded = performance.now();
  const traces = made.runs.flatMap(run => run.series.map(one => (
    {type: "scatter", mode: "lines", x: one.x, y: one.y, line: {width: 1}, hoverinfo: "skip"})));
  await Plotly.newPlot("chart", traces, {width: 1200, height: 500, showlegend: false,
    hovermode: false}, {displayModeBar: false});
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return [loaded - start, performance.now() - loaded];
}
</script>"""


def draw(store: Path) -> tuple[float, float]:
    """Draw an answer in Chromium; return the seconds to load and to draw it."""
    import functools
    import http.server
    import threading

    import plotly
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    folder = store.parent / "page"
    folder.mkdir(exist_ok=True)
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    shutil.copy(script, folder)
    shutil.copy(store.parent / f"{store.name}.json", folder / "answer.json")
    (folder / "index.html").write_text(PAGE, "utf-8")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.get(f"http://127.0.0.1:{server.server_port}/index.html")
        load, paint = driver.execute_async_script("draw().then(arguments[0])")
    finally:
        driver.quit()
        server.shutdown()
    return load / 1000, paint / 1000


def seconds(found: list[float]) -> str:
    """Return a time as text, with the time of the CPU."""
    return f"{found[0]:.2f} s ({found[1]:.2f} s of CPU)"


def measure(folder: Path, runs: int, samples: int, long: int, shall_draw: bool) -> None:
    """Measure both stores, and print the figures."""
    many, one, cache = folder / "many", folder / "one", folder / "cache"
    make_runs(many, runs, samples)
    make_runs(one, 1, long)
    read_whole(many)
    whole = read_whole(many)
    cold, cached = answer_in_child(many, cache), answer_in_child(many, cache)
    print("budget: 100 curves of a million points drawn in 2 s, zoom in 100 ms, memory 300 MB")
    print(
        f"{runs} curves of {samples:,} points: first answer {seconds(cold['first'])}, "
        f"{cold['first'][1] / whole:.1f}x the CPU of their extremes with numpy; again "
        f"{seconds(cached['again'])}; first answer of a new server {seconds(cached['first'])}; "
        f"{cold['bytes'] / 1e6:.1f} MB of JSON; memory {cold['memory']:.0f} MB"
    )
    whole = read_whole(one)
    found = answer_in_child(one, cache, zooms=12)
    print(
        f"1 curve of {long:,} points: first answer {seconds(found['first'])}, "
        f"{found['first'][1] / whole:.1f}x the CPU of its extremes with numpy; again "
        f"{seconds(found['again'])}; zoom {seconds(found['zoom'])}; memory {found['memory']:.0f} MB"
    )
    if shall_draw:
        load, paint = draw(many)
        print(f"drawn in Chromium: {load:.2f} s to load the answer, {paint:.2f} s to draw it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="use few samples")
    parser.add_argument("--draw", action="store_true", help="draw the curves in Chromium")
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--zooms", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer is not None:
        print(json.dumps(answer(given.answer, given.zooms)))
        return
    if importlib.util.find_spec("orjson") is None:
        print("budget: not measured, because orjson is not installed")
        return
    with tempfile.TemporaryDirectory() as name:
        if given.quick:
            measure(Path(name), 5, 20_000, 50_000, given.draw)
        else:
            measure(Path(name), 100, 1_000_000, 10_000_000, given.draw)


if __name__ == "__main__":
    main()
