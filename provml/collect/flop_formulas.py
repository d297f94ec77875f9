"""FLOP formulas for torch operators that torch's own counter leaves out or counts incorrectly.

Imports no other part of provml, and torch only to build the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final


def build_formulas(torch: Any) -> dict[Any, Callable[..., int]]:
    """Build a mapping from torch operators to functions that calculate their FLOPs."""
    from torch.utils.flop_counter import flop_registry

    aten = torch.ops.aten
    formulas: dict[str, Callable[..., int]] = {
        "mv": lambda matrix, vector, **_: 2 * matrix[0] * matrix[1],
        "addmv": lambda own, matrix, vector, **_: 2 * matrix[0] * matrix[1],
        "dot": lambda one, other, **_: 2 * one[0],
        "addbmm": lambda own, one, other, **_: 2 * one[0] * one[1] * one[2] * other[2],
        "_addmm_activation": lambda own, one, other, **_: 2 * one[0] * one[1] * other[1],
        "_int_mm": lambda one, other, **_: 2 * one[0] * one[1] * other[1],
        "convolution_backward": _convolution_backward_flops,
        "_scaled_dot_product_flash_attention_for_cpu": _attention_flops,
        "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward_flops,
        "_scaled_dot_product_fused_attention_overrideable": _attention_flops,
        "_scaled_dot_product_fused_attention_overrideable_backward": _attention_backward_flops,
    }
    raw: dict[str, Callable[..., int]] = {
        "mkldnn_rnn_layer": _mkldnn_rnn_flops,
        "mkldnn_rnn_layer_backward": lambda *args, **options: 2 * _mkldnn_rnn_flops(*args),
        "_cudnn_rnn": _cudnn_rnn_flops,
        "_cudnn_rnn_backward": lambda *args, **options: 2 * _cudnn_rnn_flops(args[0], args[1]),
    }
    mapping: dict[Any, Callable[..., int]] = {}
    for name, formula in (formulas | raw).items():
        packet = getattr(aten, name, None)
        if packet is not None and (packet not in flop_registry or name in _CORRECTED_OPERATORS):
            if name in raw:
                formula._get_raw = True  # type: ignore[attr-defined]
            mapping[packet] = formula
    return mapping


_CORRECTED_OPERATORS: Final = ("convolution_backward",)
"""Operators whose formulas in torch are wrong and must be replaced.

torch counts the gradients of a grouped convolution once per group, so its result is too high.
"""


def _convolution_backward_flops(
    gradient: Any,
    inputs: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    output_mask: Any,
    **options: Any,
) -> int:
    """Count the operations of a convolution's backward pass.

    The gradients of the inputs and of the weight, if requested, each need as many operations as the
    forward pass.
    """
    positions = (inputs if transposed else gradient)[2:]
    forward = 2 * int(inputs[0]) * _multiply_all(positions) * _multiply_all(weight)
    return forward * (bool(output_mask[0]) + bool(output_mask[1]))


def _attention_flops(query: Any, key: Any, value: Any, *others: Any, **options: Any) -> int:
    """Count the operations of attention: per head, query times key, and weights times value."""
    *batch, queries, width = query
    heads = _multiply_all(batch)
    return 2 * heads * int(queries * key[-2] * (width + value[-1]))


def _attention_backward_flops(
    gradient: Any, query: Any, key: Any, value: Any, *others: Any, **options: Any
) -> int:
    """Count the operations of attention's backward pass: five matrix products per head.

    One product recomputes the attention weights. The other four compute gradients: two for each of
    the two products in the forward pass.
    """
    *batch, queries, width = query
    heads = _multiply_all(batch)
    return 2 * heads * int(queries * key[-2] * (3 * width + 2 * value[-1]))


def _mkldnn_rnn_flops(inputs: Any, *others: Any, **options: Any) -> int:
    """Count the operations of one LSTM layer in one direction.

    Each time step performs two matrix multiplications, one with each weight matrix.
    """
    matrices = [t for t in others[:2] if hasattr(t, "numel")]
    return 2 * _count_time_steps(inputs) * sum(int(matrix.numel()) for matrix in matrices)


def _cudnn_rnn_flops(inputs: Any, weights: Any, *others: Any, **options: Any) -> int:
    """Count the operations of all layers and directions of a recurrent network.

    Each time step performs one matrix multiplication with each weight matrix.
    """
    return 2 * _count_time_steps(inputs) * sum(int(w.numel()) for w in weights if w.dim() == 2)


def _count_time_steps(inputs: Any) -> int:
    """Return the total number of time steps. Packed sequences have one row per time step."""
    return _multiply_all(inputs.shape[:-1])


def _multiply_all(lengths: Any) -> int:
    return int(math.prod(lengths))
