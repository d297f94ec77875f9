"""Lists the export formats, and loads the formats that other packages add.

`BUILT_IN` lists provml's own formats, so provml can name them without importing or searching
anything, even if provml runs from a zip file. Another package can add a format through an entry
point in the group ``provml.formats``. `provml.export` describes what a format must define.

Imports only `base.entry_points` and `errors` from provml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from provml.base.entry_points import find_entry_points
from provml.errors import ExportError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BUILT_IN: Final = (
    "cytoscape-json",
    "dot",
    "gexf",
    "graphml",
    "html",
    "jsonl",
    "jsonld",
    "nquads",
    "ntriples",
    "pdf",
    "png",
    "provjson",
    "provjsonld",
    "provn",
    "provxml",
    "svg",
    "trig",
    "turtle",
)
"""The names of provml's own formats.

A format has the name of its module in `provml.export`, but with dashes instead of underscores.
"""

ENTRY_POINTS: Final = "provml.formats"


def format_names() -> tuple[str, ...]:
    """Return the names of all formats, sorted. Reads the metadata of the installed packages."""
    return tuple(sorted({*BUILT_IN, *added_formats()}))


def added_formats() -> dict[str, EntryPoint]:
    """Return the entry points of the formats that other packages add, keyed by name.

    Another package can't replace a built-in format.
    """
    found = find_entry_points(ENTRY_POINTS)
    return {name: point for name, point in found.items() if name not in BUILT_IN}


def load_added_format(point: EntryPoint) -> Any:
    """Import a format that another package adds, and check that it is complete.

    Raises:
        ExportError: the import fails, or the format lacks a valid ``SUFFIX`` or a ``write()``
            function.
    """
    try:
        writer = point.load()
    except Exception as error:  # importing another package can raise any exception
        reason = f"{type(error).__name__}: {error}"
    else:
        suffix = getattr(writer, "SUFFIX", None)
        if not isinstance(suffix, str) or not suffix.startswith("."):
            reason = f"its SUFFIX must be a string that starts with a dot, not {suffix!r:.80}"
        elif not callable(getattr(writer, "write", None)):
            reason = f"{point.value} has no function write(mapping, sink)"
        else:
            return writer
    package = point.dist.name if point.dist is not None else point.value
    raise ExportError(
        f"the package {package} adds the format {point.name!r}, but the format cannot be loaded "
        f"({reason}): fix or uninstall {package}"
    ) from None


def check_format(name: object) -> None:
    """Check that a format exists and, if another package adds it, that it can be loaded.

    Costs nothing for a built-in format. Raises ExportError if the check fails.
    """
    if name in BUILT_IN:
        return
    added = added_formats()
    if not isinstance(name, str) or name not in added:
        raise unknown_format(name)
    load_added_format(added[name])


def unknown_format(name: object) -> ExportError:
    """Build the error for an unknown format. Its message lists the formats that exist."""
    return ExportError(f"unknown format {name!r}; choose from: {', '.join(format_names())}")
