"""Writing a run's documents: one file a format, found by its name.

A public module here is a format of the module's name. It has ``SUFFIX``, the file name's ending,
and ``write(mapping, sink)``, which writes a `RunMapping` to a binary sink as it goes. One that can
hold several runs also has ``write_bundles(bundles, sink)``. One that shows a part has ``OPTIONS``,
the names of the `View`'s fields that it heeds, and takes a ``view`` last. One that holds all in
memory has ``DETAIL``, its default detail. One that holds a run's samples and states nothing has
``SAMPLES_ONLY``. Imports `graph`, `model` and what lies beneath.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast, runtime_checkable

from provml.base.format_names import format_names
from provml.base.sinks import Destination, open_sink
from provml.errors import ExportError
from provml.journal.reader import Journal
from provml.model.bundles import RunBundles
from provml.model.mapping import RunMapping

if TYPE_CHECKING:
    from provml.graph.view import View  # most runs are written whole, and need none

DOCUMENT_STEM = "provenance"


class Format(Protocol):
    """What a module of this package has."""

    SUFFIX: str

    def write(self, mapping: RunMapping, sink: BinaryIO) -> None:
        """Write the run's statements."""


@runtime_checkable
class BundleFormat(Format, Protocol):
    """A format that can hold several runs, each as a bundle."""

    def write_bundles(self, bundles: RunBundles, sink: BinaryIO) -> None:
        """Write the runs' statements, each run's in its own bundle."""


@runtime_checkable
class ViewFormat(BundleFormat, Protocol):
    """A format that can show a part."""

    OPTIONS: frozenset[str]

    def write(self, mapping: RunMapping, sink: BinaryIO, view: View = ...) -> None:
        """Write what the view shows of the run."""

    def write_bundles(self, bundles: RunBundles, sink: BinaryIO, view: View = ...) -> None:
        """Write what the view shows of the runs."""


def find_format(name: str) -> Format:
    """The format of a name. Raises ExportError, naming those there are."""
    if name not in format_names():
        raise ExportError(f"unknown format {name!r}; there are: {', '.join(format_names())}")
    return cast(Format, importlib.import_module(f"provml.export.{name.replace('-', '_')}"))


def default_detail(name: str) -> str | None:
    """The detail of a format where none is asked for; None: `RunMapping`'s own default."""
    detail: str | None = getattr(find_format(name), "DETAIL", None)
    return "sample" if holds_samples_only(name) else detail


def holds_samples_only(name: str) -> bool:
    """Whether a format has only the samples of a run, and no statements."""
    return bool(getattr(find_format(name), "SAMPLES_ONLY", False))


def _refuse(name: str, view: View) -> None:
    """Refuse what a format does not heed."""
    heeded: frozenset[str] = getattr(find_format(name), "OPTIONS", frozenset())
    unheeded = [option for option in view.given() if option not in heeded]
    if unheeded:
        able = [
            known
            for known in format_names()
            if set(unheeded) <= getattr(find_format(known), "OPTIONS", frozenset())
        ]
        raise ExportError(
            f"{name} takes no {' or '.join(unheeded)}: it states the whole run; "
            f"those that do: {', '.join(able)}"
        )


def format_of(path: str | os.PathLike[str]) -> str | None:
    """The format whose files end as the path does, ``.gz`` and ``.zst`` aside; None without one."""
    name = os.fspath(path).lower().removesuffix(".gz").removesuffix(".zst")
    endings = {find_format(known).SUFFIX: known for known in format_names()}
    longest = max((ending for ending in endings if name.endswith(ending)), key=len, default=None)
    return None if longest is None else endings[longest]


def export(
    run_folder: str | os.PathLike[str],
    format: str,
    target: Destination,
    detail: str | None = None,
    view: View | None = None,
) -> RunMapping:
    """Write a run in a format, as a stream: memory does not grow with the run.

    Args:
        run_folder: the run's folder; the run may be under way.
        format: one of `format_names`.
        target: a path, written under a temporary name and renamed, compressed where it ends in
            ``.gz`` or ``.zst``; or a binary file, which is left open.
        detail: ``sample``, ``series``, or None: ``sample`` up to a million samples; ``series`` for
            graphs and pictures.
        view: what part of it, for graphs and pictures.

    Returns:
        The mapping that was written, which knows its detail and how many samples there are.

    Raises:
        ExportError: an unknown format or detail, or a detail or view that the format has not.
        MissingExtraError, MissingProgramError: what the format needs is not installed.
        RunNotFoundError, JournalError: the folder holds no run that can be read.
        OSError: the target can't be written.
    """
    writer = find_format(format)
    if view is not None:
        _refuse(format, view)
    if detail == "series" and holds_samples_only(format):
        raise ExportError(f"{format} holds every sample of a run: it has no series detail")
    mapping = RunMapping(Journal(run_folder), detail or default_detail(format))
    with open_sink(target) as sink:
        if view is not None and isinstance(writer, ViewFormat):
            writer.write(mapping, sink, view)
        else:
            writer.write(mapping, sink)
    return mapping


def export_bundles(
    run_folders: Sequence[str | os.PathLike[str]],
    format: str,
    target: Destination,
    detail: str | None = None,
    view: View | None = None,
) -> RunBundles:
    """Write several runs as one document, in which each is a bundle (in RDF, a named graph).

    Args:
        run_folders: the runs' folders.
        format: one of `format_names` that has bundles.
        target, detail, view: as for `export`; the default detail is each run's own.

    Raises:
        ExportError: as `export`; also a format without bundles, or two runs of one name.
    """
    writer = find_format(format)
    if view is not None:
        _refuse(format, view)
    if not isinstance(writer, BundleFormat):
        able = [name for name in format_names() if isinstance(find_format(name), BundleFormat)]
        raise ExportError(f"{format} holds one run; for several there are: {', '.join(able)}")
    journals = [Journal(folder) for folder in run_folders]
    bundles = RunBundles(journals, detail or default_detail(format))
    with open_sink(target) as sink:
        if view is not None and isinstance(writer, ViewFormat):
            writer.write_bundles(bundles, sink, view)
        else:
            writer.write_bundles(bundles, sink)
    return bundles


def document_path(run_folder: Path, format: str) -> Path:
    """Where a run keeps its document of a format."""
    return run_folder / f"{DOCUMENT_STEM}{find_format(format).SUFFIX}"


def write_documents(run_folder: Path, formats: tuple[str, ...]) -> None:
    """Write a run's own documents into its folder. Raises as `export`."""
    for name in formats:
        export(run_folder, name, document_path(run_folder, name))
