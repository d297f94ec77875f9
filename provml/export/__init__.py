"""Writing a run's documents: one file a format, found by its name.

A public module here is a format of the module's name. It has ``SUFFIX``, the file name's ending,
and ``write(mapping, sink)``, which writes a `RunMapping` to a binary sink as it goes. One that can
hold several runs also has ``write_bundles(bundles, sink)``; one that is to be looked at has its own
default, ``DETAIL``. Imports `model` and what lies beneath.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, cast, runtime_checkable

from provml.errors import ExportError
from provml.formats import format_names
from provml.journal.reader import Journal
from provml.model.bundles import RunBundles
from provml.model.mapping import RunMapping
from provml.output import Target, opened

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


def find_format(name: str) -> Format:
    """The format of a name. Raises ExportError, naming those there are."""
    if name not in format_names():
        raise ExportError(f"unknown format {name!r}; there are: {', '.join(format_names())}")
    return cast(Format, importlib.import_module(f"provml.export.{name}"))


def format_of(path: str | os.PathLike[str]) -> str | None:
    """The format whose files end as the path does, ``.gz`` and ``.zst`` aside; None without one."""
    name = os.fspath(path).lower().removesuffix(".gz").removesuffix(".zst")
    endings = {find_format(known).SUFFIX: known for known in format_names()}
    longest = max((ending for ending in endings if name.endswith(ending)), key=len, default=None)
    return None if longest is None else endings[longest]


def _detail(writer: Format, detail: str | None) -> str | None:
    """The detail asked for, else the format's own default, else None: what the run's size says."""
    return detail if detail is not None else getattr(writer, "DETAIL", None)


def export(
    run_folder: str | os.PathLike[str],
    format: str,
    target: Target,
    detail: str | None = None,
) -> RunMapping:
    """Write a run in a format, as a stream: memory does not grow with the run.

    Args:
        run_folder: the run's folder; the run may be under way.
        format: one of `format_names`.
        target: a path, written under a temporary name and renamed, compressed where it ends in
            ``.gz`` or ``.zst``; or a binary file, which is left open.
        detail: ``sample``, ``series``, or None: the format's default, ``sample`` up to a million
            samples for most.

    Returns:
        The mapping that was written, which knows its detail and how many samples there are.

    Raises:
        ExportError: an unknown format or detail.
        RunNotFoundError, JournalError: the folder holds no run that can be read.
        OSError: the target can't be written.
    """
    writer = find_format(format)
    mapping = RunMapping(Journal(run_folder), _detail(writer, detail))
    with opened(target) as sink:
        writer.write(mapping, sink)
    return mapping


def export_bundles(
    run_folders: Sequence[str | os.PathLike[str]],
    format: str,
    target: Target,
    detail: str | None = None,
) -> RunBundles:
    """Write several runs as one document, in which each is a bundle (in RDF, a named graph).

    Args:
        run_folders: the runs' folders.
        format: one of `format_names` that has bundles.
        target, detail: as for `export`; the default detail is each run's own.

    Raises:
        ExportError: as `export`; also a format without bundles, or two runs of one name.
    """
    writer = find_format(format)
    if not isinstance(writer, BundleFormat):
        able = [name for name in format_names() if isinstance(find_format(name), BundleFormat)]
        raise ExportError(f"{format} holds one run; for several there are: {', '.join(able)}")
    bundles = RunBundles([Journal(folder) for folder in run_folders], _detail(writer, detail))
    with opened(target) as sink:
        writer.write_bundles(bundles, sink)
    return bundles


def document_path(run_folder: Path, format: str) -> Path:
    """Where a run keeps its document of a format."""
    return run_folder / f"{DOCUMENT_STEM}{find_format(format).SUFFIX}"


def write_documents(run_folder: Path, formats: tuple[str, ...]) -> None:
    """Write a run's own documents into its folder. Raises as `export`."""
    for name in formats:
        export(run_folder, name, document_path(run_folder, name))
