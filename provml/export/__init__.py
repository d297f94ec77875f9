"""Writes runs as documents: PROV serialisations, RDF, graphs, pictures and pages.

Each built-in format is a module of this package; `provml.base.format_names.BUILT_IN` lists the
formats. To add a format, define these names in a module:

- a docstring; ``provml formats`` shows its first line
- ``SUFFIX``: the file extension of the format, for example ``".ttl"``. No other format may use it.
- ``write(mapping, sink)``: a function that writes a `provml.model.mapping.RunMapping` to a binary
  file. Write each part as soon as you have read it, so that memory does not grow with the run. The
  sink has only a ``write()`` method.

You may also define these names:

- ``write_bundles(bundles, sink)``: a function that writes several runs as one document, with a
  bundle for each run
- ``OTHER_SUFFIXES``: other file extensions that select the format, for example ``(".xml",)``
- ``DETAIL = "series"``: the default detail, for a format that keeps the whole run in memory
- ``SAMPLES_ONLY = True``: documents contain the samples of a run, but no statements
- ``OPTIONS``: the names of the `provml.graph.view.View` fields that the format supports. If you
  define ``OPTIONS``, ``write`` and ``write_bundles`` need an optional ``view`` as their last
  argument.

If you add a module to this package, add its name to ``BUILT_IN``. Another package can provide a
format through an entry point that refers to a module or any other object with these names::

    [project.entry-points."provml.formats"]
    mermaid = "my_package.mermaid"

Then ``start_run(formats=("mermaid",))`` and ``provml export --format mermaid`` work, and an output
file's extension selects the format. Built-in names cannot be replaced.

Imports only `graph`, `charts` and the layers below them from provml.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provml.base.sinks import Destination, open_sink
from provml.errors import ExportError
from provml.export._document_pictures import draw_document
from provml.export._registry import Format, find_format, guess_format, load_formats
from provml.export._run_documents import (
    DOCUMENT_STEM,
    MissingDocuments,
    document_path,
    find_missing_documents,
    is_own_document,
    open_document,
    requested_formats,
    sweep_run_folder,
    write_document,
    write_documents,
)
from provml.journal.reader import Journal
from provml.model.bundles import RunBundles
from provml.model.mapping import RunMapping

if TYPE_CHECKING:
    from provml.graph.view import View  # only for annotations: most exports don't use a view

__all__ = [
    "DOCUMENT_STEM",
    "Format",
    "MissingDocuments",
    "document_path",
    "draw_document",
    "export",
    "export_bundles",
    "find_format",
    "find_missing_documents",
    "guess_format",
    "is_own_document",
    "load_formats",
    "open_document",
    "requested_formats",
    "sweep_run_folder",
    "write_document",
    "write_documents",
]


def export(
    run_folder: str | os.PathLike[str],
    format: str | Format,
    target: Destination,
    detail: str | None = None,
    view: View | None = None,
) -> RunMapping:
    """Write a run as a document in one format.

    Most formats are streamed, so memory use does not grow with the run.

    Args:
        run_folder: the run's folder. The run may still be recording.
        format: a format or its name; ``provml formats`` lists them.
        target: a path, or an open binary file, which `export` does not close. If the target is a
            path, the document is written under a temporary name, and renamed when it is complete.
            If the path ends in ``.gz`` or ``.zst``, the document is compressed.
        detail: ``sample`` or ``series``. The default is ``series`` for graphs, pictures and runs
            of more than a million samples, and ``sample`` otherwise.
        view: the part of the run to write, for graphs and pictures.

    Returns:
        The mapping that was written. Its attributes include the detail and the number of samples.

    Raises:
        ExportError: the format or detail is unknown, or the format does not support the detail or
            the view.
        MissingExtraError, MissingProgramError: a package or program is not installed.
        RunNotFoundError, JournalError: the folder does not contain a readable run.
        OSError: the target cannot be written.
    """
    chosen = find_format(format)
    if view is not None:
        _check_view(chosen, view)
    if detail == "series" and chosen.samples_only:
        raise ExportError(
            f"{chosen.name} always contains every sample, so the detail 'series' is not supported"
        )
    if is_own_document(run_folder, chosen, target):
        return write_document(Path(run_folder), chosen, detail, view)
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
        target, detail, view: the same as for `export`. The default detail is chosen separately for
            each run.

    Raises:
        ExportError: the format does not support bundles, or two runs have the same name. Also
            raises the same errors as `export`.
    """
    chosen = find_format(format)
    if view is not None:
        _check_view(chosen, view)
    if not chosen.holds_several_runs:
        able = [other.name for other in load_formats()[0] if other.holds_several_runs]
        raise ExportError(
            f"{chosen.name} supports only one run; for several runs, choose from: {', '.join(able)}"
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
