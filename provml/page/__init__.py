"""Writes self-contained HTML pages: each page is a single file, and never uses the network.

A page consists of provml's HTML and scripts, the data as JSON, and D3 from an installed package.
The page's content security policy allows only these scripts and styles, by their digests.
Therefore text in the data can't run or load anything. Imports only `errors` from provml.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any, BinaryIO, Final

from provml.errors import MissingExtraError

_PACKAGE: Final = "mpld3"
_LIBRARY: Final = re.compile(r"mpld3/js/d3\.v(\d+)\.min\.js")
_OLDEST: Final = 5
_SCRIPTS: Final = {
    "graph": ("state.js", "layout.js", "drawing.js", "panel.js", "graph.js"),
    "plot": ("plot.js",),
}
_HARMLESS: Final = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
}
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def write_page(sink: BinaryIO, kind: str, title: str, data: dict[str, Any]) -> None:
    """Write an HTML page to a file. The same data always gives the same bytes.

    Args:
        sink: the file to write to.
        kind: the kind of page, ``graph`` or ``plot``, which selects the HTML and the scripts.
        title: the title of the browser tab; any text.
        data: the data for the scripts. It must be valid JSON without NaN.

    Raises:
        MissingExtraError: the package that ships D3 is missing, or contains no suitable D3.
    """
    style = _read_file("page.css")
    scripts = [_read_d3(), *(_read_file(name) for name in ("page.js", "chart.js", *_SCRIPTS[kind]))]
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src " + " ".join(f"'{_csp_digest(script)}'" for script in scripts),
            f"style-src '{_csp_digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    shown = html.escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", title))
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{shown}</title>\n"
    )
    sink.write(head.encode())
    sink.write(b"<style>" + style + b"</style>\n</head>\n")
    sink.write(_read_file(f"{kind}.html"))
    sink.write(b'<script type="application/json" id="data">')
    sink.write(_inert_json(data))
    sink.write(b"</script>\n")
    for script in scripts:
        sink.write(b"<script>" + script + b"</script>\n")
    sink.write(b"</body>\n</html>\n")


def _inert_json(data: dict[str, Any]) -> bytes:
    """Convert data to ASCII JSON without the characters ``<``, ``>`` and ``&``."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).translate(_HARMLESS).encode()


def _csp_digest(text: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text).digest()).decode("ascii")


@cache
def _read_file(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()


@cache
def _read_d3() -> bytes:
    """Read the source of D3 from the package that ships it, without importing the package."""
    try:
        files = metadata.distribution(_PACKAGE).files or []
    except metadata.PackageNotFoundError:
        raise MissingExtraError("an HTML page", _PACKAGE, "html") from None
    versions = {
        int(found[1]): Path(str(file.locate()))
        for file in files
        if (found := _LIBRARY.fullmatch(file.as_posix()))
    }
    if not versions or max(versions) < _OLDEST:
        raise MissingExtraError("an HTML page", f"{_PACKAGE} with D3", "html")
    library = versions[max(versions)].read_bytes()
    # only an end tag or the start of an HTML comment can change where the script element ends
    if b"</script" in library.lower() or b"<!--" in library:
        raise MissingExtraError("an HTML page", f"another version of {_PACKAGE}", "html")
    return library.strip() + b"\n"
