"""Counts the floating-point operations of a torch module or of a block of torch code.

Uses torch's ``FlopCounterMode``, with additional formulas for operators that torch does not count.
A multiply-add counts as two operations. Only matrix products count: linear layers, convolutions,
attention and recurrent layers. Elementwise operations, norms, softmax and pooling do not count, but
the result lists how often each of their operators ran.

To count a module's operations, provml runs the module on fake tensors, which have a shape and a
type but no data. This run computes nothing, and does not change weights, gradients, buffers, the
random state or hooks. If ``forward`` depends on the data, it runs once on the real batch, with
copies of the buffers.

Imports only `batches`, `flop_formulas` and `errors` from provml, and torch only when needed.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from provml.collect.batches import Arguments
from provml.collect.flop_formulas import build_formulas
from provml.errors import InvalidArgumentError, MissingExtraError

FORWARD_PASS: Final = "forward"
FORWARD_AND_BACKWARD_PASS: Final = "forward and backward"
AS_RUN: Final = "as run"

_HOOKS: Final = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
_GLOBAL_HOOKS: Final = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
)
_NO_ARITHMETIC_NAMES: Final = """
    detach clone empty empty_like empty_strided new_empty new_empty_strided zeros zeros_like
    new_zeros ones ones_like new_ones full full_like fill fill_ zero_ copy_ _to_copy t transpose
    permute expand view _unsafe_view reshape slice select squeeze unsqueeze split split_with_sizes
    unbind cat stack index index_select gather scatter embedding arange scalar_tensor lift_fresh
    alias as_strided is_same_size unfold contiguous _local_scalar_dense constant_pad_nd
    slice_backward select_backward embedding_dense_backward bernoulli_ rand randn normal_ uniform_
    device pin_memory resize_ set_ repeat flip roll tril triu
    """
_NO_ARITHMETIC: Final = frozenset(_NO_ARITHMETIC_NAMES.split())
"""Operators that only move or create numbers. `CountedFlops.uncounted` does not list them."""


@dataclass(frozen=True, slots=True)
class CountedFlops:
    """The number of floating-point operations (FLOPs) in one pass of a module, or in a code block.

    Attributes:
        flops: the number of operations.
        passes: ``forward`` or ``forward and backward`` for a module; ``as run`` for a block.
        uncounted: the operators that ``flops`` leaves out, and how often each ran.
    """

    flops: int
    passes: str
    uncounted: dict[str, int]


def import_torch() -> Any:
    """Import torch and return the module. Raises MissingExtraError if torch is not installed."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("counting FLOPs", "torch", "flops") from None
    return torch


def is_torch_module(model: object) -> bool:
    """Return True if the object is a torch module. Does not import torch."""
    torch = sys.modules.get("torch")
    nn = getattr(torch, "nn", None)
    return nn is not None and isinstance(model, nn.Module)


def unwrap_module(module: Any) -> Any:
    """Return the module inside torch.compile, DataParallel or DistributedDataParallel."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and type(module).__name__ in ("DistributedDataParallel", "DataParallel"):
            inner = module.module
        if inner is None:
            return module
        module = inner


def expects_backward(module: Any) -> bool:
    """Return True if a backward pass would probably follow the module's next forward pass.

    provml expects a backward pass if

    - the module is in train mode,
    - gradients are enabled, and
    - at least one parameter requires a gradient.
    """
    torch = import_torch()
    return bool(
        module.training
        and torch.is_grad_enabled()
        and any(parameter.requires_grad for parameter in module.parameters())
    )


def count_module(module: Any, arguments: Arguments, backward: bool) -> CountedFlops:
    """Count the FLOPs of one pass of a module over a batch, without changing the module.

    Takes about as long as the module's Python code, usually a few milliseconds. If ``forward``
    depends on the data, the count takes as long as a real pass. No other thread may run the module
    at the same time.

    Args:
        module: a ``torch.nn.Module``.
        arguments: the arguments to call the module with.
        backward: True also counts the backward pass.

    Raises:
        InvalidArgumentError: the module raises an exception on this batch.
    """
    torch = import_torch()
    module = unwrap_module(module)
    with ExitStack() as stack:
        stack.enter_context(_disable_dispatch_modes(torch))
        stack.enter_context(preserve_random_state())
        stack.enter_context(_preserve_module(torch, module))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(backward))
        try:
            return _count_on_fake_tensors(torch, module, arguments, backward)
        except Exception as first:
            if not arguments.has_data:
                raise _make_count_error(module, arguments, first) from first
        try:
            return _count_on_batch(torch, module, arguments, backward)
        except Exception as second:
            raise _make_count_error(module, arguments, second) from second


def _make_count_error(module: Any, arguments: Arguments, error: Exception) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"can't count FLOPs, because {type(module).__qualname__} fails on a batch of "
        f"{arguments.format_shapes()} ({type(error).__name__}: {str(error)[:300]}): pass batch= "
        "with inputs that the model accepts, or count a block of code with count_flops"
    )


def _count_on_fake_tensors(
    torch: Any, module: Any, arguments: Arguments, backward: bool
) -> CountedFlops:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        parameters = {
            name: torch.empty(p.shape, dtype=p.dtype, device=p.device).requires_grad_(
                backward and p.requires_grad
            )
            for name, p in module.named_parameters()
        }
        buffers = {
            name: torch.empty(b.shape, dtype=b.dtype, device=b.device)
            for name, b in module.named_buffers()
        }
        device, dtype = find_device_and_dtype(module)
        args, kwargs = arguments.build_tensors(torch, device, dtype, real=False)
        return _count_call(torch, module, parameters | buffers, args, kwargs, backward)


def _count_on_batch(torch: Any, module: Any, arguments: Arguments, backward: bool) -> CountedFlops:
    parameters = {
        name: p.detach().requires_grad_(backward and p.requires_grad)
        for name, p in module.named_parameters()
    }
    buffers = {name: b.detach().clone() for name, b in module.named_buffers()}
    device, dtype = find_device_and_dtype(module)
    args, kwargs = arguments.build_tensors(torch, device, dtype, real=True)
    return _count_call(torch, module, parameters | buffers, args, kwargs, backward)


def find_device_and_dtype(module: Any) -> tuple[Any, Any]:
    """Return the device of the first parameter, and the type of the first floating-point parameter.

    The device is None if the module has no parameters. The type is None if the module has no
    floating-point parameters.
    """
    device = dtype = None
    for parameter in module.parameters():
        device = parameter.device if device is None else device
        if parameter.dtype.is_floating_point:
            return device, parameter.dtype
    return device, dtype


def _count_call(
    torch: Any, module: Any, state: dict[str, Any], args: Any, kwargs: Any, backward: bool
) -> CountedFlops:
    from torch.utils._pytree import tree_leaves

    leaves = [tensor for tensor in state.values() if tensor.requires_grad]
    passes = FORWARD_PASS
    counter = BlockCounter()
    with counter:
        output = torch.func.functional_call(module, state, args, kwargs)
        if backward:
            outputs = [
                leaf
                for leaf in tree_leaves(_unpack_dataclass(output))
                if isinstance(leaf, torch.Tensor) and leaf.requires_grad
            ]
            if outputs and leaves:
                ones = [torch.ones_like(leaf) for leaf in outputs]
                torch.autograd.grad(outputs, leaves, ones, allow_unused=True)
                passes = FORWARD_AND_BACKWARD_PASS
    return CountedFlops(counter.flops, passes, counter.uncounted)


def _unpack_dataclass(output: Any) -> Any:
    """Return the values of a dataclass as a list, because torch does not look inside dataclasses.

    Returns any other output unchanged.
    """
    return list(vars(output).values()) if hasattr(output, "__dataclass_fields__") else output


class BlockCounter:
    """Counts the floating-point operations that torch runs in a ``with`` block."""

    def __init__(self) -> None:
        torch = import_torch()
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils.flop_counter import FlopCounterMode

        self._counter = FlopCounterMode(display=False, custom_mapping=build_formulas(torch))
        self._counter.mod_tracker = _NoModuleTracker()  # torch's tracker adds hooks to modules
        ran: Counter[str] = Counter()
        counted = self._counter.flop_registry

        class UncountedMode(TorchDispatchMode):  # type: ignore[misc]
            """Counts how often each operator without a formula runs."""

            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                packet = getattr(func, "_overloadpacket", func)
                if packet not in counted and not getattr(func, "is_view", False):
                    ran[getattr(packet, "__name__", str(packet))] += 1
                return func(*args, **(kwargs or {}))

        self._uncounted_mode = UncountedMode()
        self._ran = ran

    def __enter__(self) -> BlockCounter:
        self._uncounted_mode.__enter__()
        try:
            self._counter.__enter__()
        except BaseException:
            self._uncounted_mode.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        try:
            self._counter.__exit__(*exception)
        finally:
            self._uncounted_mode.__exit__(*exception)

    def count(self) -> CountedFlops:
        """Return the number of operations so far, and the operators that were not counted."""
        return CountedFlops(self.flops, AS_RUN, self.uncounted)

    @property
    def flops(self) -> int:
        """The number of floating-point operations counted so far."""
        return int(self._counter.get_total_flops())

    @property
    def uncounted(self) -> dict[str, int]:
        """The arithmetic operators without a formula, and how often each ran."""
        return {n: count for n, count in sorted(self._ran.items()) if n not in _NO_ARITHMETIC}


class _NoModuleTracker:
    """Replaces torch's module tracker. Does nothing, because provml needs only the total count."""

    parents: Final = frozenset({"Global"})

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass


@contextmanager
def _disable_dispatch_modes(torch: Any) -> Iterator[None]:
    """Disable the caller's dispatch modes, so that nested counters do not count anything twice."""
    from torch.utils._python_dispatch import _disable_current_modes

    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)  # otherwise the cache would keep casts made here
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fast path's operator has no formula
    try:
        with _disable_current_modes():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.set_autocast_cache_enabled(cached)


@contextmanager
def preserve_random_state() -> Iterator[None]:
    """Restore the random state of torch, Python and numpy at the end of a ``with`` block."""
    torch = import_torch()
    python_state = random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = None if numpy is None else numpy.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(python_state)
        if numpy is not None and numpy_state is not None:
            numpy.random.set_state(numpy_state)


@contextmanager
def _preserve_module(torch: Any, module: Any) -> Iterator[None]:
    """Disable the user's hooks in a ``with`` block, and restore all submodules at its end."""
    kept = [(member, dict(member.__dict__)) for member in module.modules()]
    containers = [
        (value, value.copy())
        for _, attributes in kept
        for value in attributes.values()
        if isinstance(value, (dict, list, set))
    ]
    shared = torch.nn.modules.module
    global_hooks = [getattr(shared, name) for name in _GLOBAL_HOOKS if hasattr(shared, name)]
    global_kept = [(hooks, hooks.copy()) for hooks in global_hooks]
    for hooks in global_hooks:
        hooks.clear()
    for member, _ in kept:
        for name in _HOOKS:
            hooks = member.__dict__.get(name)
            if hooks:
                member.__dict__[name] = type(hooks)(
                    (number, hook) for number, hook in hooks.items() if _is_torch_hook(hook)
                )
    try:
        yield
    finally:
        for member, attributes in kept:
            member.__dict__.clear()
            member.__dict__.update(attributes)
        for value, content in (*containers, *global_kept):
            if isinstance(value, list):
                value[:] = content
            else:
                value.clear()
                value.update(content)


def _is_torch_hook(hook: object) -> bool:
    """Return True if a hook belongs to torch itself, for example to weight norm or pruning."""
    return str(getattr(type(hook), "__module__", "")).startswith("torch.nn.utils.")
