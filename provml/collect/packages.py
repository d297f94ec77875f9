"""Lists the installed packages of a Python environment, with their versions.

Reads the first lines of each package's metadata, which takes about 20 microseconds per package.
``importlib.metadata`` parses the whole files, and takes fifty times as long; it is used only for
packages in zip files. Imports only `base.text` from provml.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from provml.base.text import printable_path

_METADATA_FILES: Final = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}
_READ_BYTES: Final = 4096
_MAX_BYTES: Final = 2**20
_FIELDS: Final = ("name", "version")


def list_packages(path: Iterable[str] | None = None) -> dict[str, str]:
    """Return the version of each installed package, by name. Packages are sorted by name.

    If a package is installed twice, returns the version of the copy that Python would import.

    Args:
        path: the folders to search, such as the ``sys.path`` of another Python; by default the
            ``sys.path`` of this process.
    """
    packages: dict[str, str] = {}
    for entry in sys.path if path is None else path:
        for name, version in _list_distributions(entry or os.curdir):
            if name:
                packages.setdefault(printable_path(name), printable_path(version))
    return dict(sorted(packages.items(), key=lambda item: item[0].lower()))


def _list_distributions(entry: str) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(entry) as entries:
            found = [(one.path, one.name) for one in entries]
    except NotADirectoryError:
        yield from _list_zipped(entry)
        return
    except OSError:
        return
    if os.path.basename(entry).lower().endswith(".egg"):
        found.append((os.path.join(entry, "EGG-INFO"), "x.egg-info"))
    for own_path, name in found:
        file = _METADATA_FILES.get(os.path.splitext(name)[1].lower())
        if file is None:
            continue
        fields = _read_fields(os.path.join(own_path, file)) or _read_fields(own_path)
        if fields is not None:
            yield fields


def _list_zipped(entry: str) -> Iterator[tuple[str, str]]:
    """Yield the packages in a zip file or in another kind of file that Python can import."""
    from importlib import metadata  # slow to import

    for distribution in metadata.distributions(path=[entry]):
        try:
            yield str(distribution.metadata["Name"] or ""), str(distribution.version)
        except Exception:  # noqa: BLE001 - a damaged package can raise any exception
            continue


def _read_fields(path: str) -> tuple[str, str] | None:
    """Return the name and version in a metadata file; None if the file has no such fields."""
    try:
        with open(path, "rb") as file:
            head = file.read(_READ_BYTES)
            found = _parse_fields(head)
            if found is None and len(head) == _READ_BYTES:
                found = _parse_fields(head + file.read(_MAX_BYTES))
    except OSError:
        return None  # a partly removed package, or a folder
    return found


def _parse_fields(content: bytes) -> tuple[str, str] | None:
    """Return the name and version in the header of a metadata file; None if either is missing."""
    found: dict[str, str] = {}
    for line in content.splitlines():
        if not line.strip():
            break
        field, colon, value = line.decode("utf-8", "replace").partition(":")
        if colon and field.lower() in _FIELDS:
            found.setdefault(field.lower(), value.strip())
            if len(found) == len(_FIELDS):
                return found["name"], found["version"]
    return None
