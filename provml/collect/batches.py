"""The shapes and types of the tensors in a batch, and the arguments of a module call.

Imports only `errors` from provml. Never imports torch, but recognises tensors by their attributes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from provml.errors import InvalidArgumentError

BatchKey = Any
"""A hashable key of a batch. Batches with the same shapes and types have equal keys."""


class TensorSpec(NamedTuple):
    """The shape and type of a tensor or array, without its data."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def is_floating(self) -> bool:
        """True if the elements are floating-point numbers."""
        return "float" in self.dtype or self.dtype == "half"


class Arguments(NamedTuple):
    """The arguments of a module call: the shape and type of each tensor, optionally with the data.

    Attributes:
        args, kwargs: the positional and keyword arguments, with each tensor replaced by a
            `TensorSpec`.
        data: the same arguments with the tensors themselves; None if the tensors were not kept.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    data: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    @property
    def has_data(self) -> bool:
        """True if the tensors themselves were kept."""
        return self.data is not None

    def without_data(self) -> Arguments:
        """Return a copy without the tensors, so that Python can free their memory."""
        return self._replace(data=None)

    def format_shapes(self) -> str:
        """Format the shapes as one line, for a message."""
        return ", ".join(self.shapes()) or "nothing"

    def shapes(self) -> list[str]:
        """Return the type and shape of each tensor, for example ``float32[8, 3, 32, 32]``."""
        specs = _list_specs((self.args, self.kwargs))
        return [f"{spec.dtype}{list(spec.shape)}" for spec in specs]

    def sample_count(self) -> int | None:
        """Return the number of samples in the batch: the first dimension of the first tensor.

        Returns None if the batch contains no tensor, or if the first tensor is a scalar.
        """
        specs = _list_specs((self.args, self.kwargs))
        return specs[0].shape[0] if specs and specs[0].shape else None

    def resize(self, sample_count: int) -> Arguments:
        """Return a copy of the arguments for a different number of samples, without the data.

        In the copy, the first dimension of each tensor is changed if its size equals the current
        number of samples.
        """
        count = self.sample_count()

        def change(spec: TensorSpec) -> TensorSpec:
            if spec.shape and spec.shape[0] == count:
                return TensorSpec((sample_count, *spec.shape[1:]), spec.dtype)
            return spec

        return Arguments(_map_specs(self.args, change), _map_specs(self.kwargs, change))

    def build_tensors(self, torch: Any, device: Any, dtype: Any, real: bool) -> tuple[Any, Any]:
        """Return the positional and the keyword arguments, with a new tensor for each `TensorSpec`.

        Args:
            torch: the torch module.
            device: the device of the new tensors.
            dtype: the type for floating-point tensors; None keeps each tensor's own type.
            real: True fills the new tensors with the kept data, if any. Otherwise the new tensors
                are uninitialised.
        """

        def make(spec: TensorSpec) -> Any:
            tensor_dtype = (
                dtype if spec.is_floating and dtype is not None else _find_torch_dtype(torch, spec)
            )
            return torch.empty(spec.shape, dtype=tensor_dtype, device=device)

        if not real or self.data is None:
            return _map_specs(self.args, make), _map_specs(self.kwargs, make)

        def move(value: Any) -> Any:
            if not (hasattr(value, "shape") and hasattr(value, "dtype")):
                return value
            tensor = value.detach() if isinstance(value, torch.Tensor) else torch.as_tensor(value)
            floating = tensor.dtype.is_floating_point and dtype is not None
            return tensor.to(device=device, dtype=dtype if floating else tensor.dtype, copy=True)

        args, kwargs = self.data
        return _map_tensors(args, move), _map_tensors(kwargs, move)


def batch_key(batch: object) -> BatchKey:
    """Return a key for the shapes and types in a batch. Takes under a microsecond per tensor."""
    kind = batch.__class__
    if kind is tuple or kind is list:
        members: list[BatchKey] = []
        for member in batch:  # type: ignore[attr-defined]
            try:
                shape, dtype = member.shape, member.dtype
            except AttributeError:
                members.append(batch_key(member))
            else:  # unambiguous, because no nested key equals a dtype
                members.append(shape)
                members.append(dtype)
        return tuple(members)
    if batch is None or kind is str:
        return kind
    try:
        return batch.shape, batch.dtype  # type: ignore[attr-defined]
    except AttributeError:
        pass
    if isinstance(batch, (list, tuple)):
        return tuple([batch_key(member) for member in batch])
    if isinstance(batch, Mapping):
        return tuple([(name, batch_key(member)) for name, member in batch.items()])
    return kind, _key_of_value(batch)


def _key_of_value(value: object) -> object:
    return value if isinstance(value, (int, float, bool)) else None


def call_arguments(module: Any, batch: object) -> Arguments:
    """Return the arguments that a training loop would pass to a module for a batch.

    - A mapping becomes keyword arguments. Keys that ``forward`` does not accept are left out.
    - The first members of a list or tuple become positional arguments, as many as ``forward``
      requires. The other members are left out, because they are usually targets.
    - Any other batch becomes the only argument.

    Raises:
        InvalidArgumentError: the batch contains no tensor or array.
    """
    args, kwargs = _split_batch(module, batch)
    arguments = Arguments(_to_specs(args), _to_specs(kwargs), (args, kwargs))
    if not arguments.shapes():
        raise InvalidArgumentError(
            f"a batch must contain tensors or arrays, not {type(batch).__name__}: {batch!r:.80}"
        )
    return arguments


def _split_batch(module: Any, batch: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    parameters = _list_forward_parameters(module)
    if isinstance(batch, Mapping):
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return (), dict(batch)
        names = {p.name for p in parameters}
        taken = {name: value for name, value in batch.items() if name in names}
        if not taken:
            return (dict(batch),), {}
        return (), taken
    if isinstance(batch, (list, tuple)) and not hasattr(batch, "_fields"):
        positional = [
            p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        required = [p for p in positional if p.default is p.empty]
        if any(p.kind is p.VAR_POSITIONAL for p in parameters) and not required:
            return tuple(batch[:1]), {}
        return tuple(batch[: max(1, len(required))]), {}
    return (batch,), {}


def _list_forward_parameters(module: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return []


def _is_tensor(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _to_specs(tree: Any) -> Any:
    if isinstance(tree, TensorSpec):
        return tree
    if _is_tensor(tree):
        name = str(tree.dtype).removeprefix("torch.")
        return TensorSpec(tuple(int(length) for length in tree.shape), name)
    if isinstance(tree, Mapping):
        return {name: _to_specs(member) for name, member in tree.items()}
    if isinstance(tree, (list, tuple)):
        members = [_to_specs(member) for member in tree]
        return members if isinstance(tree, list) else _rebuild_tuple(tree, members)
    return tree


def _rebuild_tuple(like: tuple[Any, ...], members: list[Any]) -> tuple[Any, ...]:
    return type(like)(*members) if hasattr(like, "_fields") else tuple(members)


def _map_specs(tree: Any, make: Any) -> Any:
    if isinstance(tree, TensorSpec):
        return make(tree)
    return _map_members(tree, make, _map_specs)


def _map_tensors(tree: Any, make: Any) -> Any:
    if _is_tensor(tree):
        return make(tree)
    return _map_members(tree, make, _map_tensors)


def _map_members(tree: Any, make: Any, mapped: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: mapped(member, make) for name, member in tree.items()}
    if isinstance(tree, (list, tuple)):
        members = [mapped(member, make) for member in tree]
        return members if isinstance(tree, list) else _rebuild_tuple(tree, members)
    return tree


def _list_specs(tree: Any) -> list[TensorSpec]:
    found: list[TensorSpec] = []

    def append(spec: TensorSpec) -> TensorSpec:
        found.append(spec)
        return spec

    _map_specs(tree, append)
    return found


def _find_torch_dtype(torch: Any, spec: TensorSpec) -> Any:
    return getattr(torch, spec.dtype, torch.float32)
