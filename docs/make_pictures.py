"""Make the documentation's pictures, and the output that its pages show, from real runs.

    python3 docs/make_pictures.py            # all of it
    python3 docs/make_pictures.py PAGE.md    # the output of some pages alone

Run it after a change of what provml prints or draws. Needs provml with ``[all]``, Graphviz and
Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT / "tests"))

from doc_blocks import Page, environment, find_blocks, pages, record_story, rewrite_output  # noqa: E402

CHROMIUM = [
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--hide-scrollbars", "--virtual-time-budget=4000"),
]
QUIET = {"PROVML_SAMPLE_INTERVAL_S": "0"}  # readings of the machine would hide the rest


def main(arguments: list[str]) -> int:
    """Make pictures and output; with arguments the output of these pages alone."""
    failed = 0
    chosen = [Path(argument).resolve() for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        story = Path(folder) / "story"
        story.mkdir()
        os.environ.update(QUIET)
        record_story(story)
        if not chosen:
            draw_story(story)
            draw_ten_lines(Path(folder) / "ten-lines")
        for number, path in enumerate(chosen or pages()):
            work = Path(folder) / str(number) / "work"
            if Page(path).needs_store:
                shutil.copytree(story, work)
            else:
                work.mkdir(parents=True)
            os.chdir(work)
            try:
                result = "changed" if rewrite_output(path) else "same"
            except Exception as error:  # the other pages are made all the same
                result = f"FAILED: {error}"
                failed += 1
            print(f"{path.relative_to(ROOT)}: {result}")
        os.chdir(ROOT)
    return 1 if failed else 0


def draw_story(folder: Path) -> None:
    """Draw the runs of the tutorials."""
    around = ["--around", "model/classifier", "--up", "--direction", "BT"]
    export(folder, "lr-1.0", "model.svg", *around)
    export(folder, "evaluate", "evaluate.svg")
    export(folder, "lr-1.0", "mapping.svg", "--direction", "RL")
    provml(folder, "lineage", "mistakes.csv", "-o", str(IMAGES / "lineage.svg"))
    provml(folder, "plot", "lr-1.0", "-o", str(IMAGES / "curves.svg"))
    provml(folder, "export", "lr-1.0", "-o", "page.html")
    photograph(folder / "page.html", IMAGES / "page.png", 1100, 640)
    draw_browser_pages(folder)


def draw_browser_pages(folder: Path) -> None:
    """Draw the pages of ``provml ui``, which are the same in an export."""
    provml(folder, "ui", "--export", "pages")
    pages = (folder / "pages").resolve().as_uri()
    keys = [f"{run.parent.name}/{run.name}" for run in sorted(folder.glob("provenance/classify/*"))]
    chosen = urlencode([("run", key) for key in keys])
    photograph(f"{pages}/index.html", IMAGES / "runs-page.png", 1100, 420)
    photograph(f"{pages}/compare.html?{chosen}", IMAGES / "compare-page.png", 1100, 520)


def draw_ten_lines(folder: Path) -> None:
    """Draw the run that the README's first Python block records."""
    folder.mkdir()
    block = next(b for b in find_blocks(ROOT / "README.md") if b.language == "python")
    (folder / "train.py").write_text(block.code, encoding="utf-8")
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, env=environment())
    export(folder, "latest", "ten-lines.svg")


def export(folder: Path, run: str, picture: str, *options: str) -> None:
    """Draw a run, found by its id or its experiment."""
    known = sorted(folder.glob(f"provenance/{run}/*"))
    provml(folder, "export", str(known[0]) if known else run, "-o", str(IMAGES / picture), *options)


def provml(folder: Path, *arguments: str) -> None:
    """Run a command of provml."""
    subprocess.run(["provml", *arguments], cwd=folder, check=True, env=environment())


def photograph(page: Path | str, picture: Path, width: int, height: int) -> None:
    """Take a picture of a web page, given as a file or an address."""
    address = page if isinstance(page, str) else page.as_uri()
    size = f"--window-size={width},{height}"
    target = f"--screenshot={picture}"
    subprocess.run([*CHROMIUM, size, target, address], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
