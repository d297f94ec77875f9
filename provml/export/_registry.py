"""Finding a format by its name or by the ending of a file.

Imports `base.format_names`; each format's module when that format is asked for.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from provml.base.format_names import (
    BUILT_IN,
    added_formats,
    load_added_format,
    unknown_format,
)
from provml.errors import ExportError

if TYPE_CHECKING:
    from provml.graph.view import View
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping


@dataclass(frozen=True, slots=True)
class Format:
    """A format that a run can be written in; `provml.export` describes what it is built from.

    Attributes:
        name: the name that ``--format`` takes.
        suffix: the ending of its files, with the dot.
        about: the first line of its documentation, without the full stop.
        default_detail: ``sample`` or ``series``; None if that depends on the size of the run.
        samples_only: whether it holds only the samples, and no PROV statements.
        options: the names of the `View` fields that it supports.
        holds_several_runs: whether one document can hold several runs, each as a bundle.
    """

    name: str
    suffix: str
    about: str
    default_detail: str | None
    samples_only: bool
    options: frozenset[str]
    holds_several_runs: bool
    writer: Any

    def write(self, mapping: RunMapping, sink: BinaryIO, view: View | None = None) -> None:
        """Write a run, or the part of it that the view selects.

        Raises:
            MissingExtraError, MissingProgramError: something that the format needs is missing.
        """
        if view is None or not self.options:
            self.writer.write(mapping, sink)
        else:
            self.writer.write(mapping, sink, view)

    def write_bundles(self, bundles: RunBundles, sink: BinaryIO, view: View | None = None) -> None:
        """Write several runs, each as a bundle of its own. Raises as `write`."""
        if view is None or not self.options:
            self.writer.write_bundles(bundles, sink)
        else:
            self.writer.write_bundles(bundles, sink, view)


def find_format(format: str | Format) -> Format:
    """Find a format by its name. A `Format` is returned as it is.

    Raises:
        ExportError: no format has this name, or another package's format cannot be loaded.
    """
    if isinstance(format, Format):
        return format
    if format in BUILT_IN:
        return _built_in_format(format)
    added = added_formats()
    if format not in added:
        raise unknown_format(format)
    return _describe_format(format, load_added_format(added[format]))


def load_formats() -> tuple[list[Format], list[ExportError]]:
    """Load all formats, sorted by name, and collect the errors of those that cannot be loaded."""
    formats, errors = [_built_in_format(name) for name in BUILT_IN], []
    for name, point in added_formats().items():
        try:
            formats.append(_describe_format(name, load_added_format(point)))
        except ExportError as error:
            errors.append(error)
    return sorted(formats, key=lambda format: format.name), errors


def guess_format(path: str | os.PathLike[str]) -> Format | None:
    """Find the format by the ending of a file's name, ignoring ``.gz`` and ``.zst``.

    If several endings match, the longest wins, and a built-in format before another package's.
    """
    name = os.fspath(path).lower().removesuffix(".gz").removesuffix(".zst")
    matching = [one for one in load_formats()[0] if name.endswith(one.suffix.lower())]
    return max(matching, key=lambda one: (len(one.suffix), one.name in BUILT_IN), default=None)


def _built_in_format(name: str) -> Format:
    return _describe_format(
        name, importlib.import_module(f"provml.export.{name.replace('-', '_')}")
    )


def _describe_format(name: str, writer: Any) -> Format:
    samples_only = bool(getattr(writer, "SAMPLES_ONLY", False))
    return Format(
        name=name,
        suffix=writer.SUFFIX,
        about=(writer.__doc__ or "").strip().partition("\n")[0].rstrip("."),
        default_detail="sample" if samples_only else getattr(writer, "DETAIL", None),
        samples_only=samples_only,
        options=frozenset(getattr(writer, "OPTIONS", ())),
        holds_several_runs=callable(getattr(writer, "write_bundles", None)),
        writer=writer,
    )
