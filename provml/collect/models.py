r"""Describes models: files and folders by their content, and objects by the values in them.

Digests of objects
------------------
The fact ``digest_of`` says how the digest of an object was computed:

- ``state_dict``: the SHA-256 of one line ``<name> <digest>\n`` per entry of the state, sorted by
  name. Each line contains the digest of an array. The prefix ``_orig_mod.``, which
  ``torch.compile`` inserts into names, is removed.
- ``values``: for a mapping whose values are not all arrays, the same lines, with the digests of
  the values. For any other object, the digest that `object_digests` defines.

Therefore a module, its compiled form and its ``state_dict`` have the same digest.

Imports only `arrays`, `content`, `object_digests`, `unreadable` and `errors` from provml.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from provml.collect.arrays import describe_array, is_array
from provml.collect.content import Facts, describe_path
from provml.collect.object_digests import digest_value, read_state
from provml.collect.unreadable import UnreadableError, describe_type, explain_failure
from provml.errors import InvalidArgumentError

_COMPILED_PREFIX: Final = "_orig_mod."


def describe_model(model: object, run_folder: Path, copy: bool | None) -> Facts:
    """Describe a model, which can be a path, a URI or an object.

    Reads all bytes of a file, folder or object once. Does not change an object or keep a reference
    to it. If an object can't be read, for example because it is on the meta device, the facts
    contain the reason instead of a digest.

    Raises:
        ContentNotFoundError: the path does not exist.
        InvalidArgumentError: the model is None, a number or bytes; or ``copy`` is true, but the
            model is not a path.
    """
    if issubclass(type(model), (str, os.PathLike)):
        return describe_path(model, run_folder, copy)  # type: ignore[arg-type]
    if model is None or issubclass(type(model), (bool, int, float, complex, bytes)):
        raise InvalidArgumentError(
            f"a value of type {type(model).__name__} can't be a model: pass a path or an object"
        )
    if copy:
        raise InvalidArgumentError(
            "copy=True works only for a path: save the model to a file and pass its path"
        )
    facts: Facts = {"kind": "object", "python": describe_type(model)}
    try:
        return facts | _describe_object(model)
    except BaseException as error:
        return facts | {"unread": explain_failure(error)}


def describe_counted_module(model: Any) -> Facts:
    """Describe a torch module by its class and parameter count, without reading the parameters."""
    facts: Facts = {"kind": "object", "python": describe_type(model)}
    try:
        facts["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    except BaseException as error:  # a lazy module does not know its number of parameters yet
        explain_failure(error)
    return facts | {"unread": "its FLOPs were counted; log_model records its content"}


def _describe_object(model: Any) -> Facts:
    if is_array(model):
        facts = describe_array(model)
        return facts if "unread" in facts else facts | {"parameters": math.prod(facts["shape"])}
    state = read_state(model)
    if state is None and issubclass(type(model), Mapping):
        state = model
    names = [] if state is None else list(state)
    if state and all(issubclass(type(name), str) for name in names):
        return _describe_state_dict(state)
    digest = digest_value(model if state is None else state)
    return {"sha256": digest.sha256, "digest_of": "values", "size": digest.size}


def _describe_state_dict(state: Mapping[str, Any]) -> Facts:
    """Describe the ``state_dict`` of a module, or another mapping from names to values."""
    lines: list[tuple[str, str]] = []
    size = elements = 0
    for name, value in state.items():
        own = name.replace(_COMPILED_PREFIX, "")
        try:
            digest = digest_value(value, array_alone=True)
        except BaseException as error:
            raise UnreadableError(f"{own!r} has no digest: {explain_failure(error)}") from None
        lines.append((own, digest.sha256))
        size += digest.size
        elements += digest.elements
    content = hashlib.sha256()
    for own, sha256 in sorted(lines):
        name = own.replace("\\", "\\\\").replace("\n", "\\n") if "\n" in own else own
        content.update(f"{name} {sha256}\n".encode("utf-8", "surrogatepass"))
    facts: Facts = {"sha256": content.hexdigest(), "digest_of": "values", "size": size}
    if all(map(is_array, state.values())):
        facts |= {"digest_of": "state_dict", "parameters": elements}
    return facts
