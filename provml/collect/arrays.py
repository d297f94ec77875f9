r"""Describes numpy arrays, tensors and sparse matrices by their digests, shapes and types.

Digests
-------
The digest of an array or tensor is the SHA-256 of the line ``<type> <shape>\n``, followed by the
elements as little-endian bytes in C order. The type is numpy's ``dtype.str``, such as ``<f4``, or
the name of a type that numpy lacks, such as ``bfloat16``. The digest does not depend on
the array's own byte order, strides, device or ``requires_grad``.

Some arrays are not a single block of bytes. Their digests cover several parts:

- structured array: the names, offsets and digests of the fields;
- masked array: the mask, and the elements with the masked elements set to zero;
- text of variable width: the lengths of the elements, and the elements in UTF-8;
- sparse matrix or tensor: the sorted coordinates, and the values that are not zero;
- quantized tensor: the scales, the zero points and the stored integers.

The page "Digests" of the documentation defines these digests.

Imports only `content`, `summaries` and `unreadable` from provml. Never imports torch or scipy.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from provml.collect.content import Facts
from provml.collect.summaries import summarize_array
from provml.collect.unreadable import UnreadableError, describe_type, explain_failure

_BLOCK_BYTES: Final = 16 * 2**20
_MAX_REPEATED_BYTES: Final = 16 * 2**30
"""The maximum size of a hashed array whose elements share memory, such as an expanded tensor."""

_NUMPY_TENSORS: Final = frozenset(
    {
        "bool",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        *("float16", "float32", "float64", "complex64", "complex128"),
    }
)
"""The names of element types that both torch and numpy have."""
_SAME_SIZE_TYPES: Final = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
_MISSING: Final = object()


def is_array(value: object) -> bool:
    """Return True for a numpy array, a tensor, a sparse matrix or an array of another library.

    Runs no code of the value's class, so tensors without data and objects whose methods raise
    exceptions are also supported.
    """
    kind: Any = type(value)
    return _find_library(kind) is not None or _is_array_like(value)


@lru_cache(maxsize=256)
def _find_library(kind: type) -> str | None:
    """Return the library of an array class: ``torch``, ``scipy``, ``numpy``, or None for others."""
    if issubclass(kind, _find_classes("torch", "Tensor")):
        return "torch"
    if issubclass(kind, _find_classes("scipy.sparse", "sparray", "spmatrix")):
        return "scipy"
    return "numpy" if issubclass(kind, _find_classes("numpy", "ndarray", "generic")) else None


def _find_classes(module: str, *names: str) -> tuple[type, ...]:
    """Return a module's classes with these names; () if the module has not been imported."""
    found = sys.modules.get(module)
    classes = [getattr(found, name, None) for name in names]
    return tuple(own for own in classes if isinstance(own, type))


def _is_array_like(value: object) -> bool:
    """Return True if the value is an array from another library, such as jax or h5py."""
    kind = type(value)
    if not (hasattr(kind, "__array__") or hasattr(kind, "__array_interface__")):
        return False
    return all(
        inspect.getattr_static(value, name, _MISSING) is not _MISSING for name in ("shape", "dtype")
    )


def describe_array(value: object, summarize: bool = False) -> Facts:
    """Describe an array by its digest, shape and type. Does not change the array.

    Reads the elements once, and once more for the summary. Copies a tensor that is not in the CPU's
    memory. An array that is not contiguous needs about 16 MiB of additional memory. If the elements
    can't be read, the facts contain the reason instead of a digest.

    Args:
        value: an object for which `is_array` returns True.
        summarize: whether to add the minimum, maximum and mean of the elements.
    """
    facts: Facts = {"kind": "array"}
    try:
        kind: Any = type(value)
        library = _find_library(kind)
        if library == "torch":
            with sys.modules["torch"]._C.DisableTorchFunctionSubclass():
                _add_tensor(facts, value, summarize)
        elif library == "scipy":
            _add_sparse_matrix(facts, value)
        else:
            _add_numpy_array(facts, value, summarize)
    except BaseException as error:
        facts["unread"] = explain_failure(error)
    return facts


# -- numpy arrays -----------------------------------------------------------------------------


def _add_numpy_array(facts: Facts, value: Any, summarize: bool) -> None:
    import numpy as np

    mask = None
    if issubclass(type(value), _find_classes("numpy.ma", "MaskedArray")):
        mask = np.ascontiguousarray(np.ma.getmaskarray(value)).reshape(value.shape)
        if not mask.reshape(-1).view(np.bool_).any():
            mask = None
        value = np.ma.getdata(value)
    array = np.asarray(value)  # a subclass of numpy.ndarray can redefine every method
    facts |= {
        "dtype": str(array.dtype),
        "shape": [int(length) for length in array.shape],
        "size": int(array.nbytes),
    }
    facts["sha256"] = digest_array(array) if mask is None else _digest_masked(array, mask)
    if not summarize:
        return
    summary: dict[str, Any]
    if mask is None:
        summary = summarize_array(array)
    elif mask.dtype.names is None:
        summary = summarize_array(array[~mask]) | {"missing": int(mask.sum())}
    else:
        summary = {}
    if summary:
        facts["summary"] = summary


def digest_array(array: Any) -> str:
    """Return the hexadecimal digest of a numpy array, as this module's docstring defines it.

    Raises UnreadableError if the elements are Python objects.
    """
    dtype = array.dtype
    if dtype.names is not None:
        return _digest_records(array)
    if dtype.kind == "T":
        return _digest_texts(array)
    if dtype.hasobject:
        raise UnreadableError("an array of Python objects has no stable bytes")
    digest = hashlib.sha256(f"{_name_dtype(dtype)} {array.shape}\n".encode())
    _update(digest, array)
    return digest.hexdigest()


def _name_dtype(dtype: Any) -> str:
    """Return the name of an element type, as it appears in the digest.

    For numpy's own types, the name is the little-endian ``dtype.str``. For a type that another
    library defines, the name is ``dtype.name``, because numpy gives every such type the
    ``dtype.str`` of untyped bytes.
    """
    name: str = dtype.name if dtype.isbuiltin == 2 else dtype.newbyteorder("<").str
    return name


def _update(digest: Any, array: Any) -> None:
    """Add an array's elements to a digest, as little-endian bytes in C order."""
    import numpy as np

    if not array.size or not array.dtype.itemsize:
        return
    if 0 in array.strides and array.nbytes > _MAX_REPEATED_BYTES:
        raise UnreadableError(
            f"its elements share memory and have {array.nbytes:,} bytes in total, which is more "
            "than provml reads"
        )
    wanted = array.dtype.newbyteorder("<")
    padded = array.dtype.kind in "fc" and array.dtype.char in "gG"
    for block in _split_blocks(array):
        own = np.ascontiguousarray(block, dtype=None if array.dtype.isbuiltin == 2 else wanted)
        flat = own.reshape(-1).view(np.uint8)
        digest.update((_clear_padding(flat, array.dtype) if padded else flat).data)


def _split_blocks(array: Any) -> Iterator[Any]:
    """Split an array into parts, in C order. A part that must be copied is at most 16 MiB large."""
    is_plain = array.dtype.isbuiltin == 2 or array.dtype == array.dtype.newbyteorder("<")
    is_whole = is_plain and array.flags.c_contiguous and array.dtype.char not in "gG"
    if is_whole or array.nbytes <= _BLOCK_BYTES or not array.ndim:
        yield array
        return
    rows = max(1, _BLOCK_BYTES * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        if len(part) == 1 and part.nbytes > _BLOCK_BYTES:
            yield from _split_blocks(part[0, ...])
        else:
            yield part


def _clear_padding(flat: Any, dtype: Any) -> Any:
    """Return a copy of long doubles in which the padding bytes are zero."""
    import numpy as np

    if np.finfo(np.longdouble).nmant != 63:  # only the 80-bit long doubles of x86 have padding
        return flat
    width = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    numbers = flat.reshape(-1, width).copy()
    numbers[:, 10:] = 0
    return numbers.reshape(-1)


def _digest_records(array: Any) -> str:
    """Return the digest of a structured array, computed from the digests of its fields.

    The digest leaves out the bytes between the fields, because their values are arbitrary.
    """
    digest = hashlib.sha256(f"record {array.shape} {array.dtype.itemsize}\n".encode())
    for name in array.dtype.names:
        offset = array.dtype.fields[name][1]
        digest.update(f"{offset} {digest_array(array[name])}  ".encode())
        digest.update(f"{name}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _digest_texts(array: Any) -> str:
    """Return the digest of an array of variable-width text. A missing value has the length -1."""
    import numpy as np

    digest = hashlib.sha256(f"text {array.shape}\n".encode())
    texts = [
        text.encode("utf-8", "surrogatepass") if isinstance(text, str) else None
        for text in array.reshape(-1).tolist()
    ]
    lengths = [-1 if text is None else len(text) for text in texts]
    digest.update(np.array(lengths, "<i8").tobytes())
    for text in texts:
        digest.update(text or b"")
    return digest.hexdigest()


def _digest_masked(array: Any, mask: Any) -> str:
    """Return the digest of a masked array. The digest ignores the values of masked elements."""
    filled = digest_array(_fill(array, mask))
    digest = hashlib.sha256(f"masked {array.shape}\n".encode())
    digest.update(f"{digest_array(mask)}\n{filled}\n".encode())
    return digest.hexdigest()


def _fill(array: Any, mask: Any) -> Any:
    """Return a copy of an array in which the masked elements are zero."""
    import numpy as np

    filled = array.copy()
    if array.dtype.names is None:
        filled[mask] = np.zeros((), array.dtype)
        return filled
    for name in array.dtype.names:
        filled[name] = _fill(array[name], mask[name])
    return filled


# -- sparse matrices --------------------------------------------------------------------------


def _add_sparse_matrix(facts: Facts, value: Any) -> None:
    import numpy as np

    facts |= {"dtype": str(value.dtype), "shape": [int(length) for length in value.shape]}
    entries = value.tocoo(copy=True)
    entries.sum_duplicates()
    coordinates = np.stack(getattr(entries, "coords", None) or (entries.row, entries.col))
    facts["sha256"], facts["size"] = _digest_sparse(
        _name_dtype(value.dtype), value.shape, coordinates, entries.data
    )


def _digest_sparse(dtype: str, shape: Any, coordinates: Any, values: Any) -> tuple[str, int]:
    """Return the digest of a sparse array, and the size in bytes of its coordinates and values.

    Leaves out zeros that are stored explicitly, unless the values themselves are arrays.

    Args:
        dtype: the name of the values' type.
        shape: the shape of the sparse array.
        coordinates: the positions of the values, with one row for each sparse dimension.
        values: the values, as an array. If numpy lacks the type, the array contains integers with
            the same bytes.
    """
    import numpy as np

    if values.ndim == 1:
        kept = values != 0
        coordinates, values = coordinates[:, kept], values[kept]
    order = np.lexsort(coordinates[::-1])
    coordinates, values = coordinates[:, order].astype("<i8"), values[order]
    lengths = tuple(int(length) for length in shape)
    digest = hashlib.sha256(f"sparse {dtype} {lengths}\n".encode())
    digest.update(f"{digest_array(coordinates)}\n".encode())
    digest.update(f"{values.shape}\n".encode())
    _update(digest, values)
    return digest.hexdigest(), int(coordinates.nbytes + values.nbytes)


# -- tensors ----------------------------------------------------------------------------------


def _add_tensor(facts: Facts, tensor: Any, summarize: bool) -> None:
    torch = sys.modules["torch"]
    _refuse_tensor_without_data(facts, tensor)
    facts["dtype"] = str(tensor.dtype).removeprefix("torch.")
    facts["shape"] = [int(length) for length in tensor.shape]
    facts["size"] = math.prod(facts["shape"]) * tensor.dtype.itemsize
    masked = _find_masked_tensor(tensor)
    if masked is not None:
        data, mask = masked
        array, dtype = _view_as_numpy(data), _name_tensor_dtype(data.dtype)
        facts["sha256"] = _digest_masked_tensor(array, _view_as_numpy(mask), dtype)
        return
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise UnreadableError(
            f"provml can't read the content of tensors of the class {describe_type(tensor)}"
        )
    tensor = tensor.detach()
    if tensor.is_quantized:
        facts["sha256"] = _digest_quantized(tensor)
        return
    if tensor.layout is not torch.strided:
        if str(tensor.layout).startswith("torch.sparse"):
            facts["sha256"], facts["size"] = _digest_sparse_tensor(tensor)
            return
        tensor = tensor.to_dense()
    array = _view_as_numpy(tensor)
    dtype = _name_tensor_dtype(tensor.dtype)
    digest = hashlib.sha256(f"{dtype} {array.shape}\n".encode())
    _update(digest, array)
    facts["sha256"] = digest.hexdigest()
    if summarize:
        summary = _summarize_tensor(tensor, array)
        if summary:
            facts["summary"] = summary


def _refuse_tensor_without_data(facts: Facts, tensor: Any) -> None:
    """Raise UnreadableError if a tensor has no values in this process."""
    torch = sys.modules["torch"]
    lazy = getattr(torch.nn.parameter, "UninitializedTensorMixin", ())
    if lazy and issubclass(type(tensor), lazy):
        raise UnreadableError(
            "it is a parameter that has no values yet: call the module once before you log it"
        )
    facts["dtype"] = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_nested:
        raise UnreadableError(
            "it is a nested tensor, which has no single shape: log its members, tensor.unbind()"
        )
    facts["shape"] = [int(length) for length in tensor.shape]
    if tensor.is_meta:
        raise UnreadableError("it is on the meta device, which stores no values")
    kind: Any = type(tensor)
    names = _list_class_names(kind)
    if names & {"FakeTensor", "FunctionalTensor"}:
        raise UnreadableError("it is a fake tensor, which stores no values")
    if "DTensor" in names:
        raise UnreadableError(
            "it is distributed over several processes, and this process has only a part: save a "
            "checkpoint and log the file"
        )


@lru_cache(maxsize=256)
def _list_class_names(kind: type) -> frozenset[str]:
    return frozenset(own.__name__ for own in kind.__mro__)


def _find_masked_tensor(tensor: Any) -> tuple[Any, Any] | None:
    """Return the data and the mask of a torch.masked tensor; None for any other tensor.

    The mask is True for valid elements, which is the opposite of numpy's convention.
    """
    masked = _find_classes("torch.masked", "MaskedTensor")
    if not issubclass(type(tensor), masked):
        return None
    return tensor._masked_data.detach(), tensor._masked_mask.detach()


def _digest_masked_tensor(array: Any, valid: Any, dtype: str) -> str:
    """Return the digest of a masked tensor. An equal masked numpy array has the same digest."""
    missing = ~valid
    if not missing.any():
        digest = hashlib.sha256(f"{dtype} {array.shape}\n".encode())
        _update(digest, array)
        return digest.hexdigest()
    filled = hashlib.sha256(f"{dtype} {array.shape}\n".encode())
    _update(filled, _fill(array, missing))
    digest = hashlib.sha256(f"masked {array.shape}\n".encode())
    digest.update(f"{digest_array(missing)}\n{filled.hexdigest()}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _name_tensor_dtype(dtype: Any) -> str:
    """Return a tensor's element type: numpy's ``dtype.str`` if possible, else torch's name."""
    import numpy as np

    name = str(dtype).removeprefix("torch.")
    return np.dtype(name).newbyteorder("<").str if name in _NUMPY_TENSORS else name


def _view_as_numpy(tensor: Any) -> Any:
    """Return a tensor's elements as a numpy array.

    If numpy lacks the element type, the array contains integers with the same bytes.
    """
    torch = sys.modules["torch"]
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu()
    if str(tensor.dtype).removeprefix("torch.") not in _NUMPY_TENSORS:
        tensor = tensor.view(getattr(torch, _SAME_SIZE_TYPES[tensor.dtype.itemsize]))
    return tensor.numpy()


def _summarize_tensor(tensor: Any, array: Any) -> dict[str, float | int]:
    """Return the summary of a dense tensor; an empty dict if its values can't be summarised.

    Floats of a type that numpy lacks are converted to float32. A tensor with too many such floats
    is not summarised.
    """
    name = str(tensor.dtype).removeprefix("torch.")
    if name in _NUMPY_TENSORS:
        return summarize_array(array)
    if not tensor.dtype.is_floating_point or not tensor.numel() or tensor.numel() > 2**24:
        return {}
    try:
        return summarize_array(tensor.float().cpu().numpy())
    except RuntimeError:  # torch can't convert some types, for example packed ones
        return {}


def _digest_sparse_tensor(tensor: Any) -> tuple[str, int]:
    torch = sys.modules["torch"]
    if tensor.layout is not torch.sparse_coo:
        try:
            tensor = tensor.to_sparse()
        except (RuntimeError, NotImplementedError):  # torch can't convert some block layouts
            tensor = tensor.to_dense().to_sparse()
    entries = tensor.coalesce()
    values = entries.values()
    coordinates = _view_as_numpy(entries.indices())
    return _digest_sparse(
        _name_tensor_dtype(values.dtype), tensor.shape, coordinates, _view_as_numpy(values)
    )


def _digest_quantized(tensor: Any) -> str:
    """Return the digest of a quantized tensor's scheme, parameters and stored integers."""
    torch = sys.modules["torch"]
    scheme = str(tensor.qscheme()).removeprefix("torch.")
    name = str(tensor.dtype).removeprefix("torch.")
    digest = hashlib.sha256(f"{name} {tuple(tensor.shape)} {scheme}\n".encode())
    if scheme.startswith("per_tensor"):
        digest.update(f"{tensor.q_scale().hex()} {tensor.q_zero_point()}\n".encode())
    else:
        scales = _view_as_numpy(tensor.q_per_channel_scales().to(torch.float64))
        zero_points = _view_as_numpy(tensor.q_per_channel_zero_points().to(torch.float64))
        digest.update(
            f"{tensor.q_per_channel_axis()} {digest_array(scales)} "
            f"{digest_array(zero_points)}\n".encode()
        )
    _update(digest, _view_as_numpy(tensor.int_repr()))
    return digest.hexdigest()
