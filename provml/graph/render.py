"""Pictures by Graphviz's own program. Imports `picture`, `errors`; calls ``dot``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from typing import Final

from provml.errors import ExportError, MissingProgramError
from provml.graph.picture import dot_graph, pictured
from provml.graph.view import View
from provml.model.mapping import RunMapping

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
    starts = [data["start_ns"] for _, data in graph.nodes(data=True) if "start_ns" in data]
    # what was recorded once gives one file, whenever it is drawn: PDF holds a date
    date = str(max(0, min(starts, default=0) // 1_000_000_000))
    try:
        done = subprocess.run(
            [program, f"-T{form}", f"-Gdpi={_PIXELS_PER_INCH if form == 'png' else 72}"],
            input=_text(dot_graph(graph, view.direction).to_string()),
            capture_output=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": date},
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


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")
