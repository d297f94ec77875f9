"""Builds the HTML shells of the pages, and finds the files that the pages load.

A shell contains no recorded data. The scripts ask for the data, and never show it as HTML.
"""

from __future__ import annotations

import html
import json
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final, NamedTuple

from provml.errors import MissingExtraError
from provml.version import __version__

_POLICY: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "frame-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
)
CONTENT_POLICY: Final = "; ".join(_POLICY)
"""The content security policy of the pages: the browser loads and runs only provml's own files."""


class Page(NamedTuple):
    """A page of the web application.

    Attributes:
        title: the title until the page has loaded its data.
        scripts: the page's scripts, in the order of loading.
        styles: the page's own style sheets, in the order of loading.
    """

    title: str
    scripts: tuple[str, ...]
    styles: tuple[str, ...] = ()


_CURVES: Final = ("curves_data.js", "curves_traces.js", "curves_chart.js", "curves.js")
"""The scripts of charts. They load plotly when the first chart needs it."""

PAGES: Final = {
    "index": Page(
        "Runs",
        (
            "runs_values.js",
            "runs_data.js",
            "runs_grid.js",
            "runs_search.js",
            "runs_columns.js",
            "runs.js",
        ),
        ("runs.css",),
    ),
    "compare": Page(
        "Compare",
        (
            *_CURVES,
            "compare_tables.js",
            "compare_code.js",
            "compare_relations.js",
            "compare_exported.js",
            "compare.js",
        ),
        ("curves.css", "compare.css"),
    ),
    "run": Page(
        "Run",
        (
            *_CURVES,
            "run_parts.js",
            "run_overview.js",
            "run_lists.js",
            "run_output.js",
            "run.js",
        ),
        ("curves.css", "run.css"),
    ),
    "file": Page("File", ("lineage.js", "file_digest.js", "file.js"), ("file.css",)),
}
_NAVIGATION: Final = (("index", "Runs"), ("file", "Files"))
_MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def build_page(name: str, store_name: str, *, live: bool) -> bytes:
    """Build the HTML of a page.

    Args:
        name: the page, a key of `PAGES`.
        store_name: the name of the store, for the header.
        live: whether a server answers the scripts; otherwise the data is in files.
    """
    page = PAGES[name]
    settings = {"page": name, "live": live, "store": store_name, "version": __version__}
    links = "".join(
        f'<a href="{target}.html"{" aria-current=page" if target == name else ""}>{label}</a>'
        for target, label in _NAVIGATION
    )
    scripts = [*(() if live else ("../data/index.js",)), "common.js", *page.scripts]
    content = {
        "title": f"{page.title} · {store_name}",
        "policy": CONTENT_POLICY,
        "store": store_name,
    }
    shell = resources.files(__package__).joinpath("assets", "shell.html").read_text("utf-8")
    for key, text in content.items():
        shell = shell.replace("{" + key + "}", html.escape(text))
    shell = shell.replace("{links}", links).replace("{settings}", _inert_json(settings))
    styles = "".join(f'<link rel="stylesheet" href="assets/{style}">\n' for style in page.styles)
    shell = shell.replace("{styles}", styles)
    tags = "".join(f'<script src="assets/{script}"></script>\n' for script in scripts)
    return shell.replace("{scripts}", tags.replace("assets/../", "")).encode()


def _inert_json(value: Any) -> str:
    text = json.dumps(value)
    for character in "<>&{}":
        escape = f"\\u{ord(character):04x}"
        if character not in "{}":
            text = text.replace(character, escape)
    return text


def list_assets() -> list[str]:
    """Return the names of all files that the pages load."""
    folder = resources.files(__package__).joinpath("assets")
    own = [entry.name for entry in folder.iterdir() if Path(entry.name).suffix in _MEDIA_TYPES]
    return sorted([*own, "plotly.min.js"])


def read_asset(name: str) -> bytes | None:
    """Return the content of a file that the pages load; None if there is no such file.

    Raises MissingExtraError if the file belongs to plotly, which is not installed.
    """
    if name == "plotly.min.js":
        return _read_plotly()
    if name not in list_assets():
        return None
    return resources.files(__package__).joinpath("assets", name).read_bytes()


def media_type(name: str) -> str:
    """Return the media type of a file that the pages load."""
    return _MEDIA_TYPES[Path(name).suffix]


@cache
def _read_plotly() -> bytes:
    """Read plotly's JavaScript from its Python package, without importing the package."""
    try:
        files = metadata.distribution("plotly").files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.as_posix() == "plotly/package_data/plotly.min.js":
            return Path(str(file.locate())).read_bytes()
    raise MissingExtraError("charts in the browser", "plotly", "ui")
