"""Draws charts as a picture, which a notebook can show."""

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
    """A picture of charts. A notebook shows the picture if it is the value of a cell's last line.

    Attributes:
        format: ``svg``, ``png`` or ``html``.
        content: the bytes of the picture's file.
    """

    format: str
    content: bytes

    def __repr__(self) -> str:
        return f"<provml.charts.Picture {self.format}, {size_text(len(self.content))}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the picture for a notebook, as a dict that maps the media type to the content."""
        if self.format == "png":
            return {"image/png": base64.b64encode(self.content).decode("ascii")}
        text = self.content.decode()
        if self.format == "svg":
            return {"image/svg+xml": text}
        # the frame separates the page's scripts and styles from those of the notebook
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
    """Draw charts of the series of one or more runs, and return the charts as a picture.

    Raises the same exceptions as `draw`.

    Args:
        target: the file to write the picture to, as for `draw`. None writes no file, and returns
            an SVG picture.
        run_folders, series, contexts, by, log: as for `draw`.
    """
    form = "svg" if target is None else picture_format_of(target)
    drawn = BytesIO()
    refused = target if form is None and target is not None else drawn
    draw(run_folders, refused, series, contexts=contexts, by=by, log=log, format=form)
    if target is not None:
        with open_sink(target) as sink:
            sink.write(drawn.getvalue())
    return Picture(form or "", drawn.getvalue())
