"""Write runs as documents: PROV serialisations, RDF, graphs, pictures and pages.

Each public module of this package is one format, and `provml.base.format_names.BUILT_IN` lists
them. To write a new format, define these names in a module:

- a docstring, whose first line ``provml formats`` shows
- ``SUFFIX``: the ending of the format's files, for example ``".ttl"``; no other format may have it
- ``write(mapping, sink)``: write a `provml.model.mapping.RunMapping` to a binary file. Write as you
  read, so that memory does not grow with the run. The sink has only a ``write()`` method.

and, if they apply:

- ``write_bundles(bundles, sink)``: write several runs as one document, each as a bundle
- ``DETAIL = "series"``: the default detail, for a format that holds the whole run in memory
- ``SAMPLES_ONLY = True``: the format holds the samples of a run, and no statements
- ``OPTIONS``: the names of the `provml.graph.view.View` fields that the format supports. Then
  ``write`` and ``write_bundles`` take a ``view`` as their last argument, with a default.

A new module here is added to ``BUILT_IN``. A format of another package is announced by an entry
point, a module or any object with these names::

    [project.entry-points."provml.formats"]
    mermaid = "my_package.mermaid"

Then ``start_run(formats=("mermaid",))`` and ``provml export --format mermaid`` work, and an output
file's ending selects the format. Built-in names cannot be replaced.

Imports `graph`, `model` and the layers below them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provml.base.sinks import Destination, open_sink
from provml.errors import ExportError
from provml.export._registry import Format, find_format, guess_format, load_formats
from provml.journal.reader import Journal
from provml.model.bundles import RunBundles
from provml.model.mapping import RunMapping

if TYPE_CHECKING:
    from provml.graph.view import View  # most runs are written whole and need no view

__all__ = [
    "DOCUMENT_STEM",
    "Format",
    "document_path",
    "export",
    "export_bundles",
    "find_format",
    "guess_format",
    "load_formats",
    "write_documents",
]

DOCUMENT_STEM = "provenance"


def export(
    run_folder: str | os.PathLike[str],
    format: str | Format,
    target: Destination,
    detail: str | None = None,
    view: View | None = None,
) -> RunMapping:
    """Write a run in a format. Streams: memory does not grow with the run.

    Args:
        run_folder: the run's folder. The run may still be recording.
        format: a format or its name; ``provml formats`` lists them.
        target: a path, or a binary file, which is left open. A file is written under a temporary
            name and renamed when it is complete; a path that ends in ``.gz`` or ``.zst`` is
            compressed.
        detail: ``sample``, ``series``, or None: ``series`` for graphs and pictures, else
            ``sample`` for up to a million samples.
        view: the part of the run to write, for graphs and pictures.

    Returns:
        The mapping that was written. It knows its detail and the number of samples.

    Raises:
        ExportError: the format or detail is unknown, or the format does not support the detail or
            the view.
        MissingExtraError, MissingProgramError: something that the format needs is not installed.
        RunNotFoundError, JournalError: the folder holds no readable run.
        OSError: the target cannot be written.
    """
    chosen = find_format(format)
    if view is not None:
        _check_view(chosen, view)
    if detail == "series" and chosen.samples_only:
        raise ExportError(f"{chosen.name} holds every sample of a run: it has no series detail")
    mapping = RunMapping(Journal(run_folder), detail or chosen.default_detail)
    with open_sink(target) as sink:
        chosen.write(mapping, sink, view)
    return mapping


def export_bundles(
    run_folders: Sequence[str | os.PathLike[str]],
    format: str | Format,
    target: Destination,
    detail: str | None = None,
    view: View | None = None,
) -> RunBundles:
    """Write several runs as one document with a bundle (in RDF, a named graph) for each run.

    Args:
        run_folders: the runs' folders.
        format: a format that supports bundles, or its name.
        target, detail, view: as for `export`. The default detail is chosen for each run.

    Raises:
        ExportError: as `export`; also if the format does not support bundles, or if two runs have
            the same name.
    """
    chosen = find_format(format)
    if view is not None:
        _check_view(chosen, view)
    if not chosen.holds_several_runs:
        able = [other.name for other in load_formats()[0] if other.holds_several_runs]
        raise ExportError(
            f"{chosen.name} holds only one run; for several runs, choose from: {', '.join(able)}"
        )
    journals = [Journal(folder) for folder in run_folders]
    bundles = RunBundles(journals, detail or chosen.default_detail)
    with open_sink(target) as sink:
        chosen.write_bundles(bundles, sink, view)
    return bundles


def _check_view(chosen: Format, view: View) -> None:
    """Raise ExportError if the view has a field that the format does not support."""
    unsupported = [option for option in view.given() if option not in chosen.options]
    if unsupported:
        able = [other.name for other in load_formats()[0] if other.options.issuperset(unsupported)]
        raise ExportError(
            f"the format {chosen.name} does not support {' or '.join(unsupported)}; "
            f"choose from: {', '.join(able)}"
        )


def document_path(run_folder: Path, format: str | Format) -> Path:
    """Return the path of a run's own document in a format."""
    return run_folder / f"{DOCUMENT_STEM}{find_format(format).suffix}"


def write_documents(run_folder: Path, formats: tuple[str, ...]) -> None:
    """Write a run's own documents into its folder.

    Raises:
        ExportError: two of the formats have the same file ending; also as `export`.
    """
    written: dict[Path, str] = {}
    for name in dict.fromkeys(formats):
        chosen = find_format(name)
        path = document_path(run_folder, chosen)
        if path in written:
            raise ExportError(
                f"{written[path]} and {name} have the same file ending: "
                f"{name} would overwrite {path.name}"
            )
        export(run_folder, chosen, path)
        written[path] = name
