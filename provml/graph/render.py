"""Pictures by Graphviz's own program. Imports `picture`, `clock`, `errors`; calls ``dot``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from provml.base.clock import to_datetime
from provml.errors import ExportError, MissingProgramError
from provml.graph.picture import build_picture, dot_graph
from provml.graph.view import View
from provml.model.mapping import RunMapping

if TYPE_CHECKING:
    from provml.graph.build import Graph

MOST_NODES: Final = 1_500
"""Of more nodes Graphviz takes minutes, and nobody reads them."""
_LONGEST_S: Final = 300
_PIXELS_PER_INCH: Final = 144
_MARGIN_INCHES: Final = 0.3
_A4_INCHES: Final = (11.69 - 2 * _MARGIN_INCHES, 8.27 - 2 * _MARGIN_INCHES)
_SMALLEST: Final = 0.6
"""A picture of which the page would take more than that is left as large as it is."""


def dot_text(mappings: Iterable[RunMapping], view: View) -> bytes:
    """What a view shows of some runs, in Graphviz's language."""
    return _text(dot_graph(build_picture(mappings, view), view.direction).to_string())


def drawn(mappings: Iterable[RunMapping], view: View, form: str) -> bytes:
    """What a view shows of some runs, drawn.

    Args:
        form: ``svg``, ``png`` or ``pdf``.

    Raises:
        MissingProgramError: Graphviz is not installed.
        ExportError: the picture would have too many nodes, or Graphviz failed.
    """
    program = shutil.which("dot")
    if program is None:
        raise MissingProgramError(
            f"{form} is drawn by Graphviz, whose program dot is not there: "
            "apt-get install graphviz, brew install graphviz, or https://graphviz.org/download"
        )
    graph = build_picture(mappings, view)
    if len(graph) > MOST_NODES:
        raise ExportError(
            f"the picture would have {len(graph):,} nodes, of which nobody reads more than "
            f"{MOST_NODES:,}: --detail series, --around NODE --depth N or --only model show less"
        )
    text = _text(dot_graph(graph, view.direction).to_string())
    if form != "pdf":
        return _run(
            program, text, f"-T{form}", f"-Gdpi={_PIXELS_PER_INCH if form == 'png' else 72}"
        )
    date_s = _date_s(graph)
    # its first line: graph, scale, width and height in inches
    size = _run(program, text, "-Tplain").split(maxsplit=4)[2:4]
    return _dated(_run(program, text, "-Tpdf", *_page(*map(float, size)), date_s=date_s), date_s)


def _run(program: str, text: bytes, *arguments: str, date_s: int = 0) -> bytes:
    """What Graphviz makes of a graph."""
    own = {"SOURCE_DATE_EPOCH": str(date_s), "TZ": "UTC"}
    try:
        done = subprocess.run(
            [program, *arguments],
            input=text,
            capture_output=True,
            env={**os.environ, **own},
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExportError(
            f"Graphviz drew for {_LONGEST_S} s without an end: show less, with --around or --only"
        ) from None
    if done.returncode or not done.stdout:
        complaint = done.stderr.decode(errors="replace").partition("\n")[0]
        raise ExportError(f"Graphviz failed with exit status {done.returncode}: {complaint}")
    return done.stdout


def _page(width: float, height: float) -> tuple[str, ...]:
    """What has a picture fit a page of A4, upright or not, where its text stays legible on it."""
    room = _A4_INCHES if width > height else _A4_INCHES[::-1]
    scale = min(room[0] / width, room[1] / height)
    margin = f"-Gmargin={_MARGIN_INCHES}"
    return (f"-Gsize={room[0]},{room[1]}", margin) if _SMALLEST < scale < 1 else (margin,)


def _date_s(graph: Graph) -> int:
    """When the first happened, seconds since the epoch: equal runs are equal files."""
    starts = [data["start_ns"] for _, data in graph.nodes(data=True) if "start_ns" in data]
    return max(0, min(starts, default=0) // 1_000_000_000)


def _dated(pdf: bytes, date_s: int) -> bytes:
    """A PDF whose date of creation is another: not all versions of Graphviz take one."""
    date = to_datetime(date_s * 1_000_000_000).strftime("%Y%m%d%H%M%S").encode()
    return re.sub(rb"(?<=/CreationDate \(D:)\d{14}", date, pdf)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")
