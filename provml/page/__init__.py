"""Pages: one HTML file that holds all it needs and asks the network for nothing.

A page is a body of ours, its data as JSON, D3 as an installed package ships it, and scripts of
ours. Its security policy names the scripts and the style by their digests and forbids all else, so
that nothing in the data can run or load. Imports `errors`.
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
    """Write a page. The same data gives the same bytes.

    Args:
        kind: ``graph`` or ``plot``: which body and script.
        title: what the browser's tab says; any text.
        data: what the script shows; JSON without NaN.

    Raises:
        MissingExtraError: the package that ships D3 is not installed.
    """
    style = _own("page.css")
    scripts = [_library(), *(_own(name) for name in ("page.js", "chart.js", *_SCRIPTS[kind]))]
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src " + " ".join(f"'{_digest(script)}'" for script in scripts),
            f"style-src '{_digest(style)}'",
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
    sink.write(_own(f"{kind}.html"))
    sink.write(b'<script type="application/json" id="data">')
    sink.write(_json(data))
    sink.write(b"</script>\n")
    for script in scripts:
        sink.write(b"<script>" + script + b"</script>\n")
    sink.write(b"</body>\n</html>\n")


def _json(data: dict[str, Any]) -> bytes:
    """JSON in ASCII in which nothing is markup: U+2028 and U+2029 are escapes too."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).translate(_HARMLESS).encode()


def _digest(text: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text).digest()).decode("ascii")


@cache
def _own(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()


@cache
def _library() -> bytes:
    """D3 from the files of the package that ships it, which is not imported."""
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
    # within a script element only its end tag, or a comment that opens another, could end it early
    if b"</script" in library.lower() or b"<!--" in library:
        raise MissingExtraError("an HTML page", f"another {_PACKAGE}", "html")
    return library.strip() + b"\n"
