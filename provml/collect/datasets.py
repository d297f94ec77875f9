"""Describes datasets: paths, URIs, arrays, tables, and torch or Hugging Face datasets.

Imports only `arrays`, `content`, `object_digests`, `tables`, `unreadable` and `errors` from provml.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from provml.collect.arrays import describe_array, is_array
from provml.collect.content import DeferHashing, Facts, describe_path, manifest_line
from provml.collect.object_digests import digest_value
from provml.collect.tables import describe_table, is_table
from provml.collect.unreadable import (
    UnreadableError,
    describe_type,
    explain_failure,
    printable_text,
)
from provml.errors import InvalidArgumentError

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_MAX_MEMBERS: Final = 64
_MAX_DESCRIBED: Final = 1000
_MAX_DESCRIPTION_LENGTH: Final = 1000
_TRANSFORM_ATTRIBUTES: Final = ("transform", "target_transform", "transforms")
_DATA_ATTRIBUTES: Final = ("data", "targets", "labels", "tensors")
_SAMPLE_ATTRIBUTES: Final = ("data", "tensors")
_PLAIN: Final = (bool, int, float, complex, bytes)


def describe_dataset(
    data: object, run_folder: Path, copy: bool, defer_hashing: DeferHashing | None = None
) -> Facts:
    """Describe a dataset by its digest, size, shape and type.

    Does not store the data itself, except for the copy of a file or folder that ``copy`` requests.
    If an object can't be read, for example because its class raises an exception, the facts contain
    the reason instead of a digest.

    Args:
        data: one of

            - a path or URI;
            - a numpy array, a tensor or a sparse matrix;
            - a pandas, polars or Arrow table;
            - a list, tuple, set or mapping of arrays, tables, numbers or text; its digest covers
              all members;
            - a torch Dataset, Subset, ConcatDataset or DataLoader;
            - a Hugging Face dataset;
            - any other object; it is described only by its type and length.
        run_folder, copy, defer_hashing: see `describe_path`.

    Raises:
        ContentNotFoundError: the path does not exist.
        InvalidArgumentError: the data is None, a number or bytes; or ``copy`` is true, but the
            data is not a path.
    """
    if issubclass(type(data), (str, os.PathLike)):
        return describe_path(data, run_folder, copy, defer_hashing)  # type: ignore[arg-type]
    if data is None or issubclass(type(data), _PLAIN):
        raise InvalidArgumentError(
            f"a value of type {type(data).__name__} can't be a dataset: pass a path, an array, "
            "a table or a dataset object"
        )
    if copy:
        raise InvalidArgumentError(
            "copy=True works only for a path: save the dataset to a file and pass its path"
        )
    return _describe_part(data)


def _describe_part(data: object) -> Facts:
    """Describe a dataset object or one of its members.

    If the code of the object's class raises an exception, the exception becomes the recorded reason
    why there is no digest.
    """
    try:
        if is_table(data):
            return describe_table(data, lambda cell: digest_value(cell).sha256)
        if is_array(data):
            return _describe_array(data)
        return _describe_object(data)
    except BaseException as error:
        return _describe_without_digest(data, explain_failure(error))


def _describe_array(data: Any) -> Facts:
    facts = describe_array(data, summarize=True)
    if facts.get("dtype") == "object" and "sha256" not in facts:
        try:
            facts["sha256"] = digest_value(data).sha256
        except UnreadableError:
            return facts  # these facts already give the reason: the array contains objects
        del facts["unread"]
    return facts


def _describe_object(data: Any) -> Facts:
    kind = type(data)
    if _has(data, "_fingerprint") and _has(data, "features"):
        return _describe_hugging_face(data)
    if issubclass(kind, Mapping):
        return _describe_mapping(data)
    if issubclass(kind, (list, tuple)):
        return _describe_sequence(data)
    if issubclass(kind, (str, bytes, int, float, complex, type(None), set, frozenset, range)):
        return _describe_values(data)
    if _has(data, "dataset") and _has(data, "batch_sampler"):
        return _describe_loader(data)
    if _has(data, "dataset") and _has(data, "indices"):
        return _describe_subset(data)
    if hasattr(kind, "__next__"):
        return _describe_without_digest(data, "it can be read only once, so it can't be hashed")
    if is_iterable_dataset(data):
        return _describe_without_digest(
            data, "it is a stream, so it can't be hashed"
        ) | _describe_transforms(data)
    if _has(data, "datasets") and issubclass(type(data.datasets), (list, tuple, Mapping)):
        return _describe_joined(data)
    if hasattr(kind, "__getitem__") and hasattr(kind, "__len__"):
        return _describe_map_style_dataset(data)
    return _describe_without_digest(data, "its content was not read, so it has no digest")


def _has(data: object, name: str) -> bool:
    """Return whether an object has an attribute, without running the object's ``__getattr__``."""
    missing = inspect.getattr_static(data, name, _MISSING) is _MISSING
    return not missing


_MISSING: Final = object()


def _describe_values(data: Any) -> Facts:
    """Describe a number, text or container by the digest of all its values."""
    digest = digest_value(data)
    return _describe_type(data) | {
        "sha256": digest.sha256,
        "digest_of": "values",
        "size": digest.size,
    }


def _describe_sequence(data: list[Any] | tuple[Any, ...]) -> Facts:
    """Describe a list or tuple. If a member is an array, table or dataset, describe each member.

    A list of plain values, or of more than 64 members, is described by the digest of all values.
    """
    members = list(data)
    if len(members) > _MAX_MEMBERS or not any(map(_is_dataset, members)):
        return _describe_values(data)
    named = {str(place): member for place, member in enumerate(members)}
    return _describe_members(data, named)


def _is_dataset(member: object) -> bool:
    """Return whether a list's member is an array, table or dataset, and not a plain value."""
    return is_table(member) or is_array(member) or _has(member, "dataset") or _is_map_style(member)


def _is_map_style(data: object) -> bool:
    kind = type(data)
    is_built_in = issubclass(kind, (str, bytes, list, tuple, Mapping, range))
    return not is_built_in and hasattr(kind, "__getitem__") and hasattr(kind, "__len__")


def _describe_mapping(data: Mapping[Any, Any]) -> Facts:
    """Describe a mapping, such as named arrays, a scikit-learn Bunch or a dataset's splits.

    Describes each member if all keys are text, or if all members are arrays or tables. Any other
    mapping, or one with more than 1,000 members, is described by the digest of all values.
    """
    items = dict.items(data) if issubclass(type(data), dict) else data.items()  # type: ignore[arg-type]
    named = {str(key): member for key, member in items}
    has_names = all(issubclass(type(key), str) for key in data)
    is_described = has_names or all(is_table(own) or is_array(own) for own in named.values())
    if not named or not is_described or not len(data) == len(named) <= _MAX_DESCRIBED:
        return _describe_values(data)
    return _describe_members(data, named)


def _describe_members(data: Any, named: dict[str, Any]) -> Facts:
    described = {name: _describe_part(member) for name, member in named.items()}
    if all(member["kind"] == "array" for member in described.values()):
        return {"kind": "arrays"} | _combine_facts(described)
    facts = _describe_type(data) | _combine_facts(described)
    lengths = [part.get("length") for part in described.values()]
    are_datasets = all(part["kind"] in ("object", "table") for part in described.values())
    if issubclass(type(data), Mapping) and are_datasets and None not in lengths:
        facts["length"] = sum(length for length in lengths if length is not None)
    return facts


def _combine_facts(described: dict[str, Facts]) -> Facts:
    """Combine the facts about several datasets.

    The combined digest covers the name and the digest of each dataset.
    """
    facts: Facts = {"members": {printable_text(name): own for name, own in described.items()}}
    sizes = [member["size"] for member in described.values() if "size" in member]
    if len(sizes) == len(described):
        facts["size"] = sum(sizes)
    unread = [name for name, member in described.items() if "sha256" not in member]
    if not unread:
        digest = hashlib.sha256()
        for name, member in sorted(described.items()):
            digest.update(manifest_line(member["sha256"], name.encode("utf-8", "surrogatepass")))
        facts["sha256"] = digest.hexdigest()
    else:
        reason = described[unread[0]].get("unread", "it has no digest")
        name = printable_text(unread[0])
        facts["unread"] = f"its member {name!r} has no digest: {reason}"[:500]
    return facts


def _describe_type(data: object) -> Facts:
    facts: Facts = {"kind": "object", "python": describe_type(data)}
    length = _length_or_none(data)
    return facts if length is None else facts | {"length": length}


def _length_or_none(data: Any) -> int | None:
    if not hasattr(type(data), "__len__"):
        return None
    try:
        return len(data)
    except BaseException as error:  # torch raises NotImplementedError if the length is unknown
        explain_failure(error)
        return None


def _describe_without_digest(data: object, why: str) -> Facts:
    return _describe_type(data) | {"unread": why}


def _describe_hugging_face(data: Any) -> Facts:
    """Describe a Hugging Face dataset by its fingerprint.

    The fingerprint identifies the dataset's source and all the transformations applied to it.
    """
    facts = _describe_type(data)
    facts["fingerprint"] = str(data._fingerprint)
    facts["schema"] = {str(name): str(kind) for name, kind in (data.features or {}).items()}
    for name in ("builder_name", "config_name", "version", "split"):
        value = getattr(data, name, None)
        if value is not None:
            facts.setdefault("summary", {})[name] = str(value)[:_MAX_DESCRIPTION_LENGTH]
    facts["unread"] = "it is identified by its fingerprint; its content was not read"
    return facts


def _describe_loader(loader: Any) -> Facts:
    """Describe a data loader by its dataset, its number of batches and its batch size."""
    facts = _describe_inner_dataset(loader.dataset)
    facts["python"] = describe_type(loader)
    facts["of_type"] = describe_type(loader.dataset)
    samples = None if loader.batch_size is None else _length_or_none(loader.sampler)
    batches = _length_or_none(loader)
    if loader.batch_size is not None:
        facts["batch_size"] = loader.batch_size
    if batches is not None:
        facts["batches"] = batches
    if samples is not None and batches is not None:
        whole = batches * loader.batch_size
        facts["length"] = min(samples, whole) if loader.drop_last else samples
    return facts


def _describe_inner_dataset(data: Any) -> Facts:
    """Describe the dataset inside a loader or subset. The recorded kind is always ``object``."""
    facts = _describe_part(data)
    if facts["kind"] == "array":
        kept = {key: facts[key] for key in ("size", "sha256", "unread") if key in facts}
        return _describe_type(data) | kept
    return facts | {"kind": "object"}


def _describe_subset(subset: Any) -> Facts:
    """Describe a subset. Its digest covers the whole dataset's digest and the selected indices."""
    whole = _describe_inner_dataset(subset.dataset)
    facts = _describe_type(subset) | {"of_type": describe_type(subset.dataset)}
    facts |= {key: whole[key] for key in ("transforms", "schema") if key in whole}
    if "sha256" not in whole:
        return facts | {"unread": whole.get("unread", "the whole dataset has no digest")}
    numbers = ",".join(str(int(index)) for index in subset.indices)
    text = f"{whole['sha256']}  {numbers}\n"
    return facts | {"sha256": hashlib.sha256(text.encode()).hexdigest(), "digest_of": "subset"}


def _describe_joined(data: Any) -> Facts:
    """Describe a dataset that joins other datasets, such as torch's ConcatDataset."""
    parts = data.datasets
    pairs = parts.items() if issubclass(type(parts), Mapping) else enumerate(parts)
    described = {str(name): _describe_part(part) for name, part in pairs}
    facts = _describe_type(data) | _describe_transforms(data) | _combine_facts(described)
    if len(described) > _MAX_MEMBERS:
        del facts["members"]
    return facts | ({"digest_of": "members"} if "sha256" in facts else {})


def _describe_map_style_dataset(data: Any) -> Facts:
    """Describe a map-style dataset by the data in its attributes, before any transforms.

    If only the labels are in memory, the dataset gets no digest, because datasets with equal labels
    can have different samples.
    """
    facts = _describe_type(data) | _describe_transforms(data)
    values = {name: getattr(data, name) for name in _DATA_ATTRIBUTES if _has(data, name)}
    if not any(_is_in_memory(values.get(name)) for name in _SAMPLE_ATTRIBUTES):
        why = "its samples were not read; log the files that they come from"
        return facts | {"unread": why}
    described: dict[str, Facts] = {}
    for name, value in values.items():
        described |= dict(_describe_attribute(name, value))
    facts |= _combine_facts(described)
    return facts | ({"digest_of": "arrays"} if "sha256" in facts else {})


def _is_in_memory(value: Any) -> bool:
    """Return whether an attribute's value contains arrays or a table, and not only file names."""
    kind = type(value)
    if is_table(value) or is_array(value):
        return True
    if issubclass(kind, dict):
        return any(map(is_array, dict.values(value)))
    return issubclass(kind, (list, tuple)) and any(map(is_array, value))


def _describe_attribute(name: str, value: Any) -> Iterator[tuple[str, Facts]]:
    """Yield the name and the facts of each array, table or list in an attribute of a dataset."""
    kind = type(value)
    is_sequence = issubclass(kind, (list, tuple))
    if is_sequence and 0 < len(value) <= _MAX_MEMBERS and all(map(is_array, value)):
        for place, member in enumerate(value):
            yield f"{name}.{place}", _describe_part(member)
    elif is_sequence and value:
        yield name, _describe_values(value)
    elif is_table(value) or is_array(value) or issubclass(kind, Mapping):
        yield name, _describe_part(value)


def _describe_transforms(data: object) -> Facts:
    """Describe a dataset's transforms by their ``repr`` or their qualified names."""
    named: dict[str, str] = {}
    for name in _TRANSFORM_ATTRIBUTES:
        if not _has(data, name):
            continue
        try:
            value = getattr(data, name)
            if value is not None:
                named[name] = _name_transform(value)[:_MAX_DESCRIPTION_LENGTH]
        except BaseException as error:  # the attribute may be a property that raises an exception
            named[name] = explain_failure(error)
    return {"transforms": named} if named else {}


def _name_transform(value: Any) -> str:
    """Return a name or ``repr`` that describes a transform, without memory addresses.

    Without addresses, equal transforms have the same description in every process.
    """
    kind: Any = type(value)
    if kind.__repr__ is object.__repr__ or hasattr(value, "__code__"):
        kind = value if hasattr(value, "__qualname__") else kind
        return f"{kind.__module__}.{kind.__qualname__}"
    return _ADDRESS.sub("", repr(value))


def is_iterable_dataset(data: object) -> bool:
    """Return True if the object is a torch IterableDataset. Does not import torch."""
    torch = sys.modules.get("torch")
    return (
        torch is not None
        and hasattr(torch, "utils")
        and issubclass(type(data), torch.utils.data.IterableDataset)
    )
