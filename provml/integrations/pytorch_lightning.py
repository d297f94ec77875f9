"""Records trainings with Lightning's older package, ``pytorch_lightning``.

    from provml.integrations.pytorch_lightning import ProvMLLogger

    trainer = Trainer(logger=ProvMLLogger("experiment"))

`provml.integrations._lightning` lists what is recorded.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from pytorch_lightning.callbacks.callback import Callback
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from provml.capture.recorded_calls import RecordedCalls
from provml.integrations._lightning import CallbackMethods, LoggerMethods, patch_package

name: Final = "pytorch_lightning"
modules: Final = ("pytorch_lightning",)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap functions of ``pytorch_lightning``, so that trainers are recorded."""
    patch_package(module.__name__, calls)


class ProvMLLogger(LoggerMethods, Logger):
    """A logger that records in the active run, or starts a run if none is active.

    A run that the logger starts ends when the script ends, or if you call `provml.end_run`.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """

    def _is_first_rank(self) -> bool:
        return getattr(rank_zero_only, "rank", 0) == 0


class ProvMLCallback(CallbackMethods, Callback):
    """A callback that adds a `ProvMLLogger` to the trainer's other loggers.

    Use this callback if another class or a configuration file chooses the loggers.

    Args:
        experiment: as for `ProvMLLogger`.
    """

    def _create_logger(self, experiment: str | None) -> Any:
        return ProvMLLogger(experiment)
