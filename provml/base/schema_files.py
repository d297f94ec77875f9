"""The files of ``schemas/``: the vocabulary, shapes and JSON Schemas. Imports nothing of provml."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable


def schema_folder() -> Traversable:
    """Return the folder of the schemas, which the wheel holds inside the package.

    A checkout that is installed as editable has it beside the package instead.
    """
    package = resources.files("provml")
    shipped = package.joinpath("schemas")
    return shipped if shipped.is_dir() else package.joinpath("..", "schemas")


def read_schema(name: str) -> bytes:
    """Return the content of one file, such as ``provml.ttl``."""
    return schema_folder().joinpath(name).read_bytes()
