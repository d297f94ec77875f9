"""Writes a run's documents and its graph for the browser."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from provml.export import export, find_format, load_formats

_CHUNK: Final = 1 << 20


def list_documents() -> list[dict[str, Any]]:
    """Return the formats in which a run can be downloaded, with their names and descriptions."""
    return [
        {"format": one.name, "suffix": one.suffix, "about": one.about} for one in load_formats()[0]
    ]


def write_temporary(folder: Path, format_name: str) -> tuple[str, Iterator[bytes]]:
    """Export a run to a temporary file, and return the content of this file.

    The temporary file has no name. Nothing is written to the run's folder.

    Returns:
        A file name for the download, and the content in chunks.

    Raises:
        ExportError: the format is unknown, or the document would be too large.
        MissingExtraError, MissingProgramError: a package or program is not installed.
    """
    chosen = find_format(format_name)
    file = tempfile.TemporaryFile(prefix="provml-")
    try:
        export(folder, chosen, file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in folder.name)
    return f"{safe[:100]}{chosen.suffix}", _chunks(file)


def _chunks(file: Any) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


def write_graph(folder: Path) -> bytes:
    """Return an interactive page that shows a run's graph, as HTML.

    Raises:
        ExportError: the graph is too large to draw.
        MissingExtraError: the package that ships D3 is not installed.
    """
    sink = io.BytesIO()
    export(folder, "html", sink)
    return sink.getvalue()
