"""Draws pictures of runs with ``dot``, a program of Graphviz."""

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
"""The maximum number of nodes in a picture.

With more nodes, Graphviz takes minutes, and the picture is unreadable.
"""
_LONGEST_S: Final = 300
_PIXELS_PER_INCH: Final = 144
_MARGIN_INCHES: Final = 0.3
_A4_INCHES: Final = (11.69 - 2 * _MARGIN_INCHES, 8.27 - 2 * _MARGIN_INCHES)
_SMALLEST: Final = 0.6
"""The smallest scale to which a picture is reduced to fit a page.

A picture that would need a smaller scale keeps its original size.
"""


def dot_text(mappings: Iterable[RunMapping], view: View) -> bytes:
    """Build a picture of one or more runs in the DOT language.

    The view selects the part of the runs to show.
    """
    return _encode_text(dot_graph(build_picture(mappings, view), view.direction).to_string())


def draw_graph(mappings: Iterable[RunMapping], view: View, form: str) -> bytes:
    """Draw a picture of one or more runs, and return the picture as bytes.

    Args:
        view: selects the part of the runs to show.
        form: the format: ``svg``, ``png`` or ``pdf``.

    Raises:
        MissingProgramError: Graphviz is not installed.
        ExportError: the picture would have too many nodes, or Graphviz failed.
    """
    find_graphviz(form)
    return render_graph(build_picture(mappings, view), view, form)


def find_graphviz(form: str) -> str:
    """Return the path of ``dot``. Raises MissingProgramError if Graphviz is not installed."""
    program = shutil.which("dot")
    if program is None:
        raise MissingProgramError(
            f"{form} needs the program dot, which was not found: install Graphviz with apt-get "
            "install graphviz, with brew install graphviz, or from https://graphviz.org/download"
        )
    return program


def render_graph(graph: Graph, view: View, form: str) -> bytes:
    """Draw a graph that is already prepared for drawing, such as the result of `build_picture`.

    Raises the same errors as `draw_graph`.
    """
    program = find_graphviz(form)
    if len(graph) > MOST_NODES:
        raise ExportError(
            f"the picture would have {len(graph):,} nodes, but the limit is {MOST_NODES:,}: show "
            "less with --detail series, --around NODE --depth N or --only model"
        )
    text = _encode_text(dot_graph(graph, view.direction).to_string())
    if form != "pdf":
        return _run_graphviz(
            program, text, f"-T{form}", f"-Gdpi={_PIXELS_PER_INCH if form == 'png' else 72}"
        )
    date_s = _first_time_s(graph)
    # the output starts with the word "graph", the scale, the width and the height (in inches)
    size = _run_graphviz(program, text, "-Tplain").split(maxsplit=4)[2:4]
    return _set_creation_date(
        _run_graphviz(program, text, "-Tpdf", *_page_options(*map(float, size)), date_s=date_s),
        date_s,
    )


def _run_graphviz(program: str, text: bytes, *arguments: str, date_s: int = 0) -> bytes:
    """Run Graphviz on a graph in the DOT language, and return the output."""
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
            f"Graphviz did not finish within {_LONGEST_S} s: show less with --around or --only"
        ) from None
    if done.returncode or not done.stdout:
        complaint = done.stderr.decode(errors="replace").partition("\n")[0]
        raise ExportError(f"Graphviz failed with exit status {done.returncode}: {complaint}")
    return done.stdout


def _page_options(width: float, height: float) -> tuple[str, ...]:
    """Return the Graphviz options for the page of a PDF.

    A large picture is reduced to fit an A4 page, unless its text would become illegible. The width
    and the height of the picture are in inches.
    """
    room = _A4_INCHES if width > height else _A4_INCHES[::-1]
    scale = min(room[0] / width, room[1] / height)
    margin = f"-Gmargin={_MARGIN_INCHES}"
    return (f"-Gsize={room[0]},{room[1]}", margin) if _SMALLEST < scale < 1 else (margin,)


def _first_time_s(graph: Graph) -> int:
    """Return the earliest time in a graph, in seconds since the epoch.

    This time is used as the creation date of a PDF, so that equal runs give identical files.
    """
    starts = [data["start_ns"] for _, data in graph.nodes(data=True) if "start_ns" in data]
    return max(0, min(starts, default=0) // 1_000_000_000)


def _set_creation_date(pdf: bytes, date_s: int) -> bytes:
    """Set the creation date in a PDF, because some Graphviz versions ignore SOURCE_DATE_EPOCH."""
    date = to_datetime(date_s * 1_000_000_000).strftime("%Y%m%d%H%M%S").encode()
    return re.sub(rb"(?<=/CreationDate \(D:)\d{14}", date, pdf)


def _encode_text(text: str) -> bytes:
    return text.encode("utf-8", "replace")
