"""Records the optimizers of plain PyTorch, and the settings that affect results.

Under ``provml run``, provml records as parameters:

- the settings of the first 8 optimizers that the script creates, such as ``optimizer.lr``;
- the settings of torch that affect whether a run can be repeated: the seed (as the parameter
  ``torch.seed``), the default type, the flags for deterministic algorithms, the device and the
  number of processes.
  provml reads these settings when the script creates its first optimizer, and again when the
  process ends. Worker processes without an optimizer, such as the workers of a data loader, don't
  record these settings.

provml does not initialise CUDA or change the state of a random number generator.
`model_watch` records norms and learning rates.
"""

from __future__ import annotations

import atexit
import multiprocessing
from collections import Counter
from types import ModuleType
from typing import Any, Final

import torch

from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.integrations._recorder import FrameworkRecorder, never_raise

name: Final = "torch"
modules: Final = ("torch",)

_MAX_OPTIMIZERS: Final = 8


class _TorchState:
    """What provml has recorded about torch in this process.

    Attributes:
        recorder: the recorder of the parameters.
        optimizers: the number of optimizers that the script has created, by run.
    """

    def __init__(self) -> None:
        self.recorder = FrameworkRecorder(name)
        self.optimizers: Counter[str] = Counter()


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``Optimizer.__init__``, so that optimizers and torch's settings are recorded.

    Also registers a function that records the settings again when the process exits.
    """
    calls.record(module.optim.Optimizer, "__init__", _optimizer_created, leaf=True, nested=True)
    atexit.register(_record_at_exit)


def _optimizer_created(result: None, optimizer: Any, params: Any, defaults: Any) -> None:
    state = STATE.part(_TorchState)
    run = state.recorder.find_run()
    if run is None:
        return
    state.optimizers[str(run.path)] += 1
    number = state.optimizers[str(run.path)]
    if number == 1:
        _record_settings()
    if number <= _MAX_OPTIMIZERS:
        prefix = "optimizer." if number == 1 else f"optimizer{number}."
        settings = {"name": type(optimizer).__qualname__, **defaults}
        state.recorder.log_settings(settings, prefix)


@never_raise
def _record_at_exit() -> None:
    state = STATE.part(_TorchState)
    run = state.recorder.find_run()
    if run is None:
        return
    if str(run.path) in state.optimizers or multiprocessing.parent_process() is None:
        _record_settings()


def _record_settings() -> None:
    STATE.part(_TorchState).recorder.log_settings(read_torch_settings(), "torch.")


def read_torch_settings() -> dict[str, Any]:
    """Return the settings of torch that affect the results of a run, by name."""
    found: dict[str, Any] = {
        "version": str(torch.__version__),
        "seed": torch.initial_seed(),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_initialized():
        found["device"] = torch.cuda.get_device_name()
        found["cuda_devices"] = torch.cuda.device_count()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        found["world_size"] = torch.distributed.get_world_size()
        found["backend"] = torch.distributed.get_backend()
    return found
