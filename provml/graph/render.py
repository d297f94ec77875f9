"""Pictures by Graphviz's own program. Imports `picture`, `clock`, `errors`; calls ``dot``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from provml.clock import to_datetime
from provml.errors import ExportError, MissingProgramError
from provml.graph.picture import dot_graph, pictured
from provml.graph.view import View
from provml.model.mapping import RunMapping

if TYPE_CHECKING:
    from provml.graph.build import Graph

MOST_NODES: Final = 1_500
"""Of more nodes Graphviz takes minutes, and nobody reads them."""
_LONGEST_S: Final = 300
_PIXELS_PER_INCH: Final = 144


def dot_text(mappings: Iterable[RunMapping], view: View) -> bytes:
    """What a view shows of some runs, in Graphviz's language."""
    return _text(dot_graph(pictured(mappings, view), view.direction).to_string())


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
    graph = pictured(mappings, view)
    if len(graph) > MOST_NODES:
        raise ExportError(
            f"the picture would have {len(graph):,} nodes, of which nobody reads more than "
            f"{MOST_NODES:,}: --detail series, --around NODE --depth N or --only model show less"
        )
    # what was recorded once gives one file, whenever it is drawn: PDF holds a date
    date_s = _date_s(graph)
    own = {"SOURCE_DATE_EPOCH": str(date_s), "TZ": "UTC"}
    try:
        done = subprocess.run(
            [program, f"-T{form}", f"-Gdpi={_PIXELS_PER_INCH if form == 'png' else 72}"],
            input=_text(dot_graph(graph, view.direction).to_string()),
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
    return _dated(done.stdout, date_s) if form == "pdf" else done.stdout


def _date_s(graph: Graph) -> int:
    """The first that happened, seconds since the epoch."""
    starts = [data["start_ns"] for _, data in graph.nodes(data=True) if "start_ns" in data]
    return max(0, min(starts, default=0) // 1_000_000_000)


def _dated(pdf: bytes, date_s: int) -> bytes:
    """A PDF whose date of creation is another: not all versions of Graphviz take one."""
    date = to_datetime(date_s * 1_000_000_000).strftime("%Y%m%d%H%M%S").encode()
    return re.sub(rb"(?<=/CreationDate \(D:)\d{14}", date, pdf)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")
