"""What a dataset is: a path, a URI, an array, several arrays. Imports `content`, `errors`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from provml.collect.content import Facts, as_array, describe_array, describe_path
from provml.errors import InvalidArgumentError


def describe_dataset(data: object, run_folder: Path, copy: bool) -> Facts:
    """The facts of a dataset; the data itself is never recorded.

    Args:
        data: a path or URI; a numpy array or a tensor; a list, tuple or mapping of these (its
            digest is that of the members' names and digests); or any other object, of which
            the type and, where it has one, the length are recorded, and that it has no digest.

    Raises:
        ContentNotFoundError: a path that does not exist.
        InvalidArgumentError: None, a number, or ``copy`` of what is no path.
    """
    if isinstance(data, (str, os.PathLike)):
        return describe_path(data, run_folder, copy)
    if data is None or isinstance(data, (bool, int, float, complex, bytes)):
        raise InvalidArgumentError(
            f"a dataset must be a path or data, not {type(data).__name__}: {data!r:.80}"
        )
    if copy:
        raise InvalidArgumentError("copy=True needs a dataset that is given as a path")
    array = as_array(data)
    if array is not None:
        return describe_array(array)
    members = _members(data)
    return _describe_members(members) if members is not None else _describe_object(data)


def _members(data: object) -> dict[str, object] | None:
    """The named arrays that the data is made of; None where it is something else."""
    if isinstance(data, Mapping):
        named = {str(key): value for key, value in data.items()}
    elif isinstance(data, (list, tuple)) and len(data) <= 64:
        named = {str(index): value for index, value in enumerate(data)}
    else:
        return None
    arrays = {name: as_array(value) for name, value in named.items()}
    return arrays if arrays and all(array is not None for array in arrays.values()) else None


def _describe_members(arrays: dict[str, object]) -> Facts:
    described = {name: describe_array(array) for name, array in arrays.items()}
    facts: Facts = {
        "kind": "arrays",
        "size": sum(member["size"] for member in described.values()),
        "members": described,
    }
    if all("sha256" in member for member in described.values()):
        lines = [f"{member['sha256']}  {name}\n" for name, member in sorted(described.items())]
        facts["sha256"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    else:
        facts["unread"] = "a member has no digest"
    return facts


def _describe_object(data: object) -> Facts:
    kind = type(data)
    facts: Facts = {"kind": "object", "python": f"{kind.__module__}.{kind.__qualname__}"}
    try:
        facts["length"] = len(data)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        pass
    facts["unread"] = "its content was not read, so it has no digest"
    return facts
