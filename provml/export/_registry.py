"""Finds an export format by its name or by a file extension.

Imports the module of a format only when the format is requested.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

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


class Format(NamedTuple):
    """An export format for runs. `provml.export` describes how to define a format.

    Attributes:
        name: the name of the format, as the option ``--format`` accepts it.
        suffix: the file extension, with the dot.
        other_suffixes: the other file extensions that select this format.
        about: the first line of the format's documentation, without the full stop.
        default_detail: ``sample`` or ``series``; None if the default depends on the size of
            the run.
        samples_only: whether documents contain only samples, without PROV statements.
        options: the names of the `View` fields that the format supports.
        holds_several_runs: whether one document can contain several runs, each as a bundle.
        writer: the module or object that defines the format.
    """

    name: str
    suffix: str
    other_suffixes: tuple[str, ...]
    about: str
    default_detail: str | None
    samples_only: bool
    options: frozenset[str]
    holds_several_runs: bool
    writer: Any

    def write(self, mapping: RunMapping, sink: BinaryIO, view: View | None = None) -> None:
        """Write a run to a file in this format, or only the part of the run that the view selects.

        Raises:
            MissingExtraError, MissingProgramError: a package or program that the format needs is
                not installed.
        """
        if view is None or not self.options:
            self.writer.write(mapping, sink)
        else:
            self.writer.write(mapping, sink, view)

    def write_bundles(self, bundles: RunBundles, sink: BinaryIO, view: View | None = None) -> None:
        """Write several runs to a file in this format, with a bundle for each run.

        Raises the same errors as `write`.
        """
        if view is None or not self.options:
            self.writer.write_bundles(bundles, sink)
        else:
            self.writer.write_bundles(bundles, sink, view)


def find_format(format: str | Format) -> Format:
    """Return the format with this name. A `Format` argument is returned unchanged.

    Raises:
        ExportError: no format has this name, or the format is from another package and cannot be
            loaded.
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
    """Load all formats.

    Returns:
        The formats, sorted by name, and the errors from formats that cannot be loaded.
    """
    formats, errors = [_built_in_format(name) for name in BUILT_IN], []
    for name, point in added_formats().items():
        try:
            formats.append(_describe_format(name, load_added_format(point)))
        except ExportError as error:
            errors.append(error)
    return sorted(formats, key=lambda format: format.name), errors


def guess_format(path: str | os.PathLike[str]) -> Format | None:
    """Return the format that a file's extension indicates, or None for an unknown extension.

    Ignores ``.gz`` and ``.zst``. If several extensions match, the longest wins. If two formats have
    the same extension, a built-in format wins over a format from another package.
    """
    name = os.fspath(path).lower().removesuffix(".gz").removesuffix(".zst")
    matching = [
        (len(suffix), one.name in BUILT_IN, one)
        for one in load_formats()[0]
        for suffix in (one.suffix, *one.other_suffixes)
        if name.endswith(suffix.lower())
    ]
    return max(matching, key=lambda found: found[:2])[2] if matching else None


def _built_in_format(name: str) -> Format:
    return _describe_format(
        name, importlib.import_module(f"provml.export.{name.replace('-', '_')}")
    )


def _describe_format(name: str, writer: Any) -> Format:
    samples_only = bool(getattr(writer, "SAMPLES_ONLY", False))
    return Format(
        name=name,
        suffix=writer.SUFFIX,
        other_suffixes=tuple(getattr(writer, "OTHER_SUFFIXES", ())),
        about=(writer.__doc__ or "").strip().partition("\n")[0].rstrip("."),
        default_detail="sample" if samples_only else getattr(writer, "DETAIL", None),
        samples_only=samples_only,
        options=frozenset(getattr(writer, "OPTIONS", ())),
        holds_several_runs=callable(getattr(writer, "write_bundles", None)),
        writer=writer,
    )
