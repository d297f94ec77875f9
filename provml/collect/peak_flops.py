"""The peak speeds of NVIDIA GPUs, from their datasheets.

Imports only `flop_counter` from provml, and torch only when needed.
"""

from __future__ import annotations

from typing import Any, Final

from provml.collect.flop_counter import find_device_and_dtype, import_torch

_PEAK_FLOPS: Final[tuple[tuple[str, float | None, float | None, float | None], ...]] = (
    # each row contains a part of the device's name, and the peaks for float16, bfloat16 and
    # float32; for devices that support TF32, the last column contains the TF32 peak
    ("GB200", 2500e12, 2500e12, 1250e12),  # GB200 NVL72 datasheet: 5 and 2.5 PFLOPS sparse
    ("B200", 2250e12, 2250e12, 1100e12),  # HGX B200 datasheet: 4.5 and 2.2 PFLOPS sparse
    ("H200 NVL", None, None, None),  # this card is slower than the SXM module below
    ("H200", 989.4e12, 989.4e12, 494.7e12),  # H200 datasheet, SXM: 1,979 and 989 sparse
    ("H100 PCIe", 756.5e12, 756.5e12, 378e12),  # H100 PCIe datasheet: 1,513 and 756 sparse
    ("H100 NVL", 835.5e12, 835.5e12, None),  # H100 datasheet, NVL: 1,671 sparse
    ("H100 80GB HBM3", 989.4e12, 989.4e12, 494.7e12),  # H100 datasheet, SXM: 1,979 and 989 sparse
    ("A100", 312e12, 312e12, 156e12),  # A100 datasheet
    ("L40S", 362.05e12, 362.05e12, 183e12),  # L40S datasheet
    ("L40", 181.05e12, 181.05e12, 90.5e12),  # L40 datasheet
    ("L4", 121e12, 121e12, 60e12),  # L4 datasheet: 242 and 120 sparse
    ("A40", 149.7e12, 149.7e12, 74.8e12),  # A40 datasheet
    ("A10", 125e12, 125e12, 62.5e12),  # A10 datasheet
    ("T4", 65e12, None, 8.1e12),  # T4 datasheet; no bfloat16 units
    ("V100S-PCIE", 130e12, None, 16.4e12),  # V100 datasheet; no bfloat16 units
    ("V100-PCIE", 112e12, None, 14e12),
    ("V100-SXM2", 125e12, None, 15.7e12),
)
"""Peak operations per second without sparsity, from NVIDIA's datasheets.

Some datasheets list only figures with sparsity. In this case, this table contains half of each
figure, because the datasheet's footnotes say that sparsity doubles the speed.
"""


def find_peak(module: Any) -> tuple[str, float | None]:
    """Return the name of a module's device, and the device's peak speed in operations per second.

    The peak speed depends on the type of the module's parameters or, under autocast, on the type
    that autocast casts to. The speed is None if it is unknown, for example for a CPU. If the
    module is None or has no parameters, the device is the current CUDA device, or the CPU if CUDA
    is not in use.
    """
    torch = import_torch()
    place, dtype = (None, None) if module is None else find_device_and_dtype(module)
    if place is None and torch.cuda.is_initialized():
        place = torch.device("cuda", torch.cuda.current_device())
    if place is None or place.type != "cuda" or not torch.cuda.is_initialized():
        return ("cpu" if place is None else place.type), None
    name = str(torch.cuda.get_device_name(place))
    if torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
    return name, _look_up_peak(name, str(dtype).removeprefix("torch."))


def _look_up_peak(name: str, dtype: str) -> float | None:
    words = f" {name} "
    if " MIG " in words:  # a MIG instance is only a part of the device
        return None
    for part, half, brain, single in _PEAK_FLOPS:
        if f" {part} " in words or f" {part}-" in words:
            return {"float16": half, "bfloat16": brain, "float32": single}.get(dtype)
    return None
