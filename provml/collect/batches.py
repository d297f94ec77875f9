"""What a batch looks like: the shapes and types in it, and how a module is called with it.

Imports `errors`; torch never: what is given says which library it is of.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from provml.errors import InvalidArgumentError

BatchKey = Any
"""What tells batches apart by shape and type; hashable."""


class TensorSpec(NamedTuple):
    """A tensor or array without its data."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def is_floating(self) -> bool:
        """Whether its elements are floating-point numbers."""
        return "float" in self.dtype or self.dtype == "half"


class Arguments(NamedTuple):
    """What a module is called with, tensors by shape and type; the data itself where it is kept.

    Attributes:
        args, kwargs: trees whose tensors are `TensorSpec`.
        data: the trees with the tensors themselves; None where there are none.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    data: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    @property
    def has_data(self) -> bool:
        """Whether the tensors themselves are there."""
        return self.data is not None

    def without_data(self) -> Arguments:
        """The same, holding on to no memory."""
        return self._replace(data=None)

    def format_shapes(self) -> str:
        """The shapes, for a message."""
        return ", ".join(self.shapes()) or "nothing"

    def shapes(self) -> list[str]:
        """The shapes and types of the tensors: ``float32[8, 3, 32, 32]``."""
        found: list[str] = []
        _append_shapes((self.args, self.kwargs), found)
        return found

    def sample_count(self) -> int | None:
        """The first dimension of the first tensor: the number of samples in the batch."""
        first = _find_first_spec((self.args, self.kwargs))
        return first.shape[0] if first is not None and first.shape else None

    def resize(self, sample_count: int) -> Arguments:
        """A batch of so many samples: what is as long as the batch becomes so long."""
        own = self.sample_count()

        def change(spec: TensorSpec) -> TensorSpec:
            if spec.shape and spec.shape[0] == own:
                return TensorSpec((sample_count, *spec.shape[1:]), spec.dtype)
            return spec

        return Arguments(_map_specs(self.args, change), _map_specs(self.kwargs, change))

    def build_tensors(self, torch: Any, device: Any, dtype: Any, real: bool) -> tuple[Any, Any]:
        """The trees with tensors on a device, floating ones of a type.

        Args:
            real: of the data that is kept; else empty ones.
        """

        def make(spec: TensorSpec) -> Any:
            own = (
                dtype if spec.is_floating and dtype is not None else _find_torch_dtype(torch, spec)
            )
            return torch.empty(spec.shape, dtype=own, device=device)

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
    """What tells two batches apart by shape and type; costs well under a microsecond a tensor."""
    kind = batch.__class__
    if kind is tuple or kind is list:
        members: list[BatchKey] = []
        for member in batch:  # type: ignore[attr-defined]
            try:
                shape, dtype = member.shape, member.dtype
            except AttributeError:
                members.append(batch_key(member))
            else:  # two in a row: no member's own key is a type of numbers
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
    """How a module is called with a batch as a loader gives it.

    A mapping becomes keyword arguments, those that ``forward`` has; a list or tuple positional
    ones, as many as ``forward`` requires (inputs come before targets); all else one argument.

    Raises:
        InvalidArgumentError: there is no tensor or array in it.
    """
    args, kwargs = _split_batch(module, batch)
    arguments = Arguments(_to_specs(args), _to_specs(kwargs), (args, kwargs))
    if not arguments.shapes():
        raise InvalidArgumentError(
            f"a batch must hold tensors or arrays, not {type(batch).__name__}: {batch!r:.80}"
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


def _append_shapes(tree: Any, found: list[str]) -> None:
    def note(spec: TensorSpec) -> TensorSpec:
        found.append(f"{spec.dtype}{list(spec.shape)}")
        return spec

    _map_specs(tree, note)


def _find_first_spec(tree: Any) -> TensorSpec | None:
    found: list[TensorSpec] = []

    def note(spec: TensorSpec) -> TensorSpec:
        found.append(spec)
        return spec

    _map_specs(tree, note)
    return found[0] if found else None


def _find_torch_dtype(torch: Any, spec: TensorSpec) -> Any:
    return getattr(torch, spec.dtype, torch.float32)
