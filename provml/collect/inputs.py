r"""Describes a run's inputs, such as base models, checkpoints, tokenizers and configurations.

Digests of settings
-------------------
Settings are nested mappings and lists of text, numbers, booleans and None. Dataclasses and
namespaces count as mappings. The digest of settings (``digest_of`` is ``json``) is the SHA-256 of
their JSON text in ASCII, without spaces and with sorted keys. `models` and `datasets` define the
digests of all other objects.

Imports only `content`, `datasets`, `models` and `errors` from provml.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import types
from pathlib import Path
from typing import Any, Final

from provml.collect.content import DeferHashing, Facts, describe_path
from provml.errors import InvalidArgumentError

_MAX_DEPTH: Final = 64


def describe_input(
    value: object, run_folder: Path, defer_hashing: DeferHashing | None = None
) -> Facts:
    """Describe an input of a run: a file, a folder, a URI or an object. Does not copy the input.

    Reads all bytes of a file, folder or object once. Does not change an object or keep a reference
    to it.

    Raises:
        ContentNotFoundError: the path does not exist.
        InvalidArgumentError: the value is None, a number or bytes.
    """
    if isinstance(value, (str, os.PathLike)):
        return describe_path(value, run_folder, False, defer_hashing)
    if value is None or isinstance(value, (bool, int, float, complex, bytes)):
        raise InvalidArgumentError(
            f"{value!r:.80} ({type(value).__name__}) can't be an input: pass a path or an object"
        )
    try:
        return _describe_object(value, run_folder)
    except Exception as error:  # the user's object can raise any exception while it is read
        unread = f"it can't be read: {type(error).__name__}: {error}"[:500]
        return {"kind": "object", "python": _name_type(value), "unread": unread}


def _describe_object(value: object, run_folder: Path) -> Facts:
    from provml.collect.datasets import describe_dataset
    from provml.collect.models import describe_model

    try:
        return _describe_settings(value)
    except (TypeError, ValueError):
        pass  # the value does not consist of settings
    if not callable(getattr(value, "state_dict", None)):
        facts = describe_dataset(value, run_folder, False)
        if "sha256" in facts or "fingerprint" in facts:
            return facts
    return describe_model(value, run_folder, None)


def _describe_settings(value: object) -> Facts:
    """Describe settings by the digest of their JSON text.

    Raises TypeError if the value contains an object that is not a setting, and ValueError if the
    settings are nested too deeply.
    """
    text = json.dumps(_convert_settings(value), sort_keys=True, separators=(",", ":"))
    return {
        "kind": "object",
        "python": _name_type(value),
        "sha256": hashlib.sha256(text.encode("ascii")).hexdigest(),
        "digest_of": "json",
        "size": len(text),
    }


def _name_type(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _convert_settings(value: object, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("the settings are nested too deeply")
    if value is None or type(value) in (str, bool, int, float):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        value = {name: getattr(value, name) for name in names}
    elif isinstance(value, (argparse.Namespace, types.SimpleNamespace)):
        value = vars(value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _convert_settings(own, depth + 1) for key, own in value.items()}
    if type(value) in (list, tuple):
        return [_convert_settings(own, depth + 1) for own in value]  # type: ignore[attr-defined]
    raise TypeError(f"{type(value).__qualname__} is not a setting")
