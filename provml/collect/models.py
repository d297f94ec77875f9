r"""Describes models: files and folders by their content, objects by the bytes of their parameters.

Digests of objects
------------------
- ``state_dict``: the SHA-256 of one line ``<name> <array digest>\n`` per tensor, sorted by name.
- ``pickle``: the SHA-256 of the object's pickle (protocol 4), for objects without a state_dict. A
  new version of any library involved can change this digest.

Imports only `content` and `errors` from provml.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from provml.collect.content import Facts, as_array, describe_array, describe_path
from provml.errors import InvalidArgumentError


def describe_model(model: object, run_folder: Path, copy: bool | None) -> Facts:
    """Describe a model, which can be a path, a URI or an object.

    Reads all bytes of a file, folder or object once. Neither changes an object nor keeps a
    reference to it.

    Raises:
        ContentNotFoundError: the path does not exist.
        InvalidArgumentError: the model is None, a number or bytes, or ``copy`` is true for an
            object.
    """
    if isinstance(model, (str, os.PathLike)):
        return describe_path(model, run_folder, copy)
    if model is None or isinstance(model, (bool, int, float, complex, bytes)):
        raise InvalidArgumentError(
            f"{model!r:.80} ({type(model).__name__}) can't be a model: pass a path or an object"
        )
    if copy:
        raise InvalidArgumentError(
            "copy=True works only for a path: save the model to a file and pass its path"
        )
    kind = type(model)
    facts: Facts = {"kind": "object", "python": f"{kind.__module__}.{kind.__qualname__}"}
    state = _state_arrays(model)
    return facts | (_describe_state_dict(state) if state is not None else _describe_pickle(model))


def describe_counted_module(model: Any) -> Facts:
    """Describe a torch module by its class and number of parameters, without reading them."""
    kind = type(model)
    return {
        "kind": "object",
        "python": f"{kind.__module__}.{kind.__qualname__}",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "unread": "its FLOPs were counted; log_model records its content",
    }


def _state_arrays(model: object) -> dict[str, Any] | None:
    state_dict = getattr(model, "state_dict", None)
    if not callable(state_dict):
        return None
    state = state_dict()
    if not isinstance(state, dict) or not state:
        return None
    arrays = {str(name): as_array(value) for name, value in state.items()}
    return arrays if all(array is not None for array in arrays.values()) else None


def _describe_state_dict(arrays: dict[str, Any]) -> Facts:
    digest = hashlib.sha256()
    size = parameters = 0
    for name in sorted(arrays):
        described = describe_array(arrays[name])
        digest.update(f"{name} {described.get('sha256')}\n".encode())
        size += described["size"]
        parameters += int(arrays[name].size)
    return {
        "sha256": digest.hexdigest(),
        "digest_of": "state_dict",
        "size": size,
        "parameters": parameters,
    }


class _DigestSink:
    """A file object that hashes and counts written bytes, so that no pickle is kept in memory."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        block = memoryview(data)
        self.digest.update(block)
        self.size += block.nbytes
        return block.nbytes


def _describe_pickle(model: object) -> Facts:
    import pickle

    sink = _DigestSink()
    try:
        pickle.dump(model, sink, protocol=4)
    except Exception as error:  # the user's __reduce__ can raise any exception
        return {"unread": f"it can't be pickled: {type(error).__name__}: {error}"[:500]}
    return {"sha256": sink.digest.hexdigest(), "digest_of": "pickle", "size": sink.size}
