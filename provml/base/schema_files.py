"""The files in ``schemas/``: the vocabulary, the shapes and the JSON Schemas.

Imports nothing else from provml.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable


def schema_folder() -> Traversable:
    """Return the folder that contains the schemas.

    In a wheel, the folder is inside the package. In an editable install, it is next to the package.
    """
    package = resources.files("provml")
    shipped = package.joinpath("schemas")
    return shipped if shipped.is_dir() else package.joinpath("..", "schemas")


def read_schema(name: str) -> bytes:
    """Return the contents of one file in the schemas folder, such as ``provml.ttl``."""
    return schema_folder().joinpath(name).read_bytes()
