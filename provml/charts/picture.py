"""Draws charts as a picture that a notebook shows."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from provml.base.sinks import Destination, open_sink
from provml.base.text import size_text
from provml.charts import draw, picture_format_of

_FRAME_HEIGHT = "600px"


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """A picture of charts. A notebook shows the picture if it is the result of a cell.

    Attributes:
        format: ``svg``, ``png`` or ``html``.
        content: the bytes of the picture's file.
    """

    format: str
    content: bytes

    def __repr__(self) -> str:
        return f"<provml.charts.Picture {self.format}, {size_text(len(self.content))}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the picture in the form that notebooks ask for, by its media type."""
        if self.format == "png":
            return {"image/png": base64.b64encode(self.content).decode("ascii")}
        text = self.content.decode()
        if self.format == "svg":
            return {"image/svg+xml": text}
        # the frame keeps the page's scripts and styles apart from the notebook's
        frame = f'width="100%" height="{_FRAME_HEIGHT}" sandbox="allow-scripts" frameborder="0"'
        return {"text/html": f'<iframe srcdoc="{html.escape(text)}" {frame}></iframe>'}


def draw_picture(
    run_folders: Sequence[str | os.PathLike[str]],
    target: Destination | None,
    series: Collection[str] = (),
    *,
    contexts: Collection[str] = (),
    by: str | None = None,
    log: bool = False,
) -> Picture:
    """Draw charts of the series of some runs, and write them to a file if there is a target.

    Args:
        target: as for `draw`; None writes no file, and the picture is SVG.
        run_folders, series, contexts, by, log: as for `draw`, which raises the errors.
    """
    form = "svg" if target is None else picture_format_of(target)
    drawn = BytesIO()
    refused = target if form is None and target is not None else drawn
    draw(run_folders, refused, series, contexts=contexts, by=by, log=log, format=form)
    if target is not None:
        with open_sink(target) as sink:
            sink.write(drawn.getvalue())
    return Picture(form or "", drawn.getvalue())
