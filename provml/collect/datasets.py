"""Describes datasets: paths, URIs, arrays, tables, and torch or Hugging Face datasets.

Imports only `content`, `summaries`, `tables` and `errors` from provml.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from provml.collect.content import DeferHashing, Facts, as_array, describe_array, describe_path
from provml.errors import InvalidArgumentError

_MAX_MEMBERS: Final = 64
_MAX_DESCRIPTION_LENGTH: Final = 1000
_TRANSFORM_ATTRIBUTES: Final = ("transform", "target_transform", "transforms")
_ARRAY_ATTRIBUTES: Final = ("data", "targets", "labels", "tensors")


def describe_dataset(
    data: object, run_folder: Path, copy: bool, defer_hashing: DeferHashing | None = None
) -> Facts:
    """Describe a dataset by its digest, size, shape and type.

    Does not record the data itself, unless ``copy`` requests a copy of a file or folder.

    Args:
        data: one of

            - a path or URI;
            - a numpy array or a tensor;
            - a list, tuple or mapping of arrays, whose digest covers the arrays' names and digests;
            - a pandas, polars or Arrow table;
            - a torch Dataset, Subset or DataLoader;
            - a Hugging Face dataset;
            - any other object, which is described only by its type and length.
        run_folder, copy, defer_hashing: see `describe_path`.

    Raises:
        ContentNotFoundError: the path does not exist.
        InvalidArgumentError: the data is None, a number or bytes, or ``copy`` is true for data
            that is not given as a path.
    """
    if isinstance(data, (str, os.PathLike)):
        return describe_path(data, run_folder, copy, defer_hashing)
    if data is None or isinstance(data, (bool, int, float, complex, bytes)):
        raise InvalidArgumentError(
            f"{data!r:.80} ({type(data).__name__}) can't be a dataset: pass a path, an array, "
            "a table or a dataset object"
        )
    if copy:
        raise InvalidArgumentError(
            "copy=True works only for a path: save the dataset to a file and pass its path"
        )
    table = _describe_table(data)
    if table is not None:
        return table
    array = as_array(data)
    if array is not None:
        return _describe_and_summarize(array)
    members = _find_named_arrays(data)
    return _describe_named_arrays(members) if members is not None else describe_dataset_object(data)


def describe_dataset_object(data: object) -> Facts:
    """Describe a dataset that is a Python object, such as a table, a loader or a stream."""
    table = _describe_table(data)
    if table is not None:
        return table
    if hasattr(data, "_fingerprint") and hasattr(data, "features"):
        return _describe_hugging_face(data)
    if isinstance(data, Mapping):
        return _describe_splits(data)
    if hasattr(data, "dataset") and hasattr(data, "batch_sampler"):
        return _describe_loader(data)
    if hasattr(data, "dataset") and hasattr(data, "indices"):
        return _describe_subset(data)
    if hasattr(data, "__next__"):
        return _describe_without_digest(data, "it can be read only once, so it can't be hashed")
    if is_iterable_dataset(data):
        return _describe_without_digest(
            data, "it is a stream, so it can't be hashed"
        ) | _describe_transforms(data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _describe_map_style_dataset(data)
    return _describe_without_digest(data, "its content was not read, so it has no digest")


def _describe_table(data: object) -> Facts | None:
    from provml.collect.tables import describe_table

    try:
        return describe_table(data)
    except Exception as error:  # cells can hold objects of any class, which can raise any exception
        return _describe_without_digest(
            data, f"its cells can't be read: {type(error).__name__}: {error}"[:500]
        )


def _describe_and_summarize(array: Any) -> Facts:
    from provml.collect.summaries import summarize_array

    facts = describe_array(array)
    summary = summarize_array(array)
    return facts | ({"summary": summary} if summary else {})


def _find_named_arrays(data: object) -> dict[str, object] | None:
    """Return the arrays of a list, tuple or mapping by name; None if any member is not an array."""
    if isinstance(data, Mapping):
        named = {str(key): value for key, value in data.items()}
    elif isinstance(data, (list, tuple)) and len(data) <= _MAX_MEMBERS:
        named = {str(index): value for index, value in enumerate(data)}
    else:
        return None
    arrays = {name: as_array(value) for name, value in named.items()}
    return arrays if arrays and all(array is not None for array in arrays.values()) else None


def _describe_named_arrays(arrays: dict[str, object]) -> Facts:
    described = {name: _describe_and_summarize(array) for name, array in arrays.items()}
    return {"kind": "arrays"} | _combine_facts(described)


def _combine_facts(described: dict[str, Facts]) -> Facts:
    """Combine the facts of several datasets. The digest covers their names and digests."""
    facts: Facts = {"members": described}
    sizes = [member["size"] for member in described.values() if "size" in member]
    if len(sizes) == len(described):
        facts["size"] = sum(sizes)
    if described and all("sha256" in member for member in described.values()):
        lines = [f"{member['sha256']}  {name}\n" for name, member in sorted(described.items())]
        facts["sha256"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    else:
        facts["unread"] = "a member has no digest"
    return facts


def _describe_type(data: object) -> Facts:
    kind = type(data)
    facts: Facts = {"kind": "object", "python": f"{kind.__module__}.{kind.__qualname__}"}
    length = _length_or_none(data)
    return facts if length is None else facts | {"length": length}


def _length_or_none(data: Any) -> int | None:
    try:
        return len(data)
    except Exception:  # if a dataset has no length, torch raises TypeError or NotImplementedError
        return None


def _describe_without_digest(data: object, why: str) -> Facts:
    return _describe_type(data) | {"unread": why}


def _describe_splits(data: Mapping[Any, Any]) -> Facts:
    """Describe a mapping of datasets, such as the splits of one dataset."""
    described = {str(name): describe_dataset_object(part) for name, part in data.items()}
    facts = _describe_type(data) | _combine_facts(described)
    lengths = [part.get("length") for part in described.values()]
    if lengths and all(length is not None for length in lengths):
        facts["length"] = sum(lengths)
    return facts


def _describe_hugging_face(data: Any) -> Facts:
    """Describe a Hugging Face dataset by its fingerprint.

    The fingerprint identifies the dataset's source and all transformations applied to it.
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
    facts["python"] = _describe_type(loader)["python"]
    facts["of_type"] = _describe_type(loader.dataset)["python"]
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
    """Describe the dataset inside a loader or subset. The kind is always ``object``."""
    array = as_array(data)
    if array is not None:
        return _describe_type(data) | {
            "size": int(array.nbytes),
            "sha256": describe_array(array)["sha256"],
        }
    members = _find_named_arrays(data)
    facts = (
        _describe_named_arrays(members) if members is not None else describe_dataset_object(data)
    )
    return facts | {"kind": "object"}


def _describe_subset(subset: Any) -> Facts:
    """Describe a subset by the digest of the whole dataset and the selected indices."""
    whole = _describe_inner_dataset(subset.dataset)
    facts = _describe_type(subset) | {"of_type": _describe_type(subset.dataset)["python"]}
    facts |= {key: whole[key] for key in ("transforms", "schema") if key in whole}
    if "sha256" not in whole:
        return facts | {"unread": whole["unread"]}
    numbers = ",".join(str(int(index)) for index in subset.indices)
    text = f"{whole['sha256']}  {numbers}\n"
    return facts | {"sha256": hashlib.sha256(text.encode()).hexdigest(), "digest_of": "subset"}


def _describe_map_style_dataset(data: Any) -> Facts:
    """Describe a map-style dataset by the arrays in its attributes, before any transforms."""
    facts = _describe_type(data) | _describe_transforms(data)
    arrays = {}
    for name in _ARRAY_ATTRIBUTES:
        value = getattr(data, name, None)
        array = as_array(value)
        if array is not None:
            arrays[name] = array
        elif isinstance(value, (list, tuple)) and value:
            arrays |= {
                f"{name}.{key}": own for key, own in (_find_named_arrays(value) or {}).items()
            }
    if not arrays:
        why = "its samples were not read; log the files that they come from"
        return facts | {"unread": why}
    described = _describe_named_arrays(arrays)
    described.pop("kind")
    return facts | described | {"digest_of": "arrays"}


def _describe_transforms(data: object) -> Facts:
    """Describe the transforms of a dataset by their ``repr`` or their qualified names."""
    named: dict[str, str] = {}
    for name in _TRANSFORM_ATTRIBUTES:
        value = getattr(data, name, None)
        if value is None:
            continue
        kind: Any = type(value)
        if kind.__repr__ is object.__repr__ or hasattr(value, "__code__"):
            kind = value if hasattr(value, "__qualname__") else kind
            # the default repr contains a memory address
            named[name] = f"{kind.__module__}.{kind.__qualname__}"
        else:
            named[name] = repr(value)[:_MAX_DESCRIPTION_LENGTH]
    return {"transforms": named} if named else {}


def is_iterable_dataset(data: object) -> bool:
    """Return True if the object is a torch IterableDataset. Does not import torch."""
    torch = sys.modules.get("torch")
    return (
        torch is not None
        and hasattr(torch, "utils")
        and isinstance(data, torch.utils.data.IterableDataset)
    )
