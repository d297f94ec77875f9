"""Records trainings with the ``Trainer`` of Hugging Face transformers.

    import provml.integrations.transformers

    arguments = TrainingArguments("out", report_to="provml")

| transformers | provml |
|---|---|
| values logged by the trainer | metrics; names with ``eval_`` belong to the evaluation |
| a logged value named ``epoch`` | the epoch of the other values, which may be fractional |
| ``TrainingArguments`` | parameters |
| the model's configuration | parameters, named ``model.hidden_size`` and so on |
| the datasets of the trainer | datasets |
| checkpoints, and ``save_model`` | versions of a model, named after the model's class |
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.trainer_callback import TrainerCallback

from provml.base.context import Context
from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.integrations._recorder import FrameworkRecorder, never_raise

name: Final = "transformers"
modules: Final = ("transformers.trainer",)

_REPORTING_METHODS: Final = {
    "TensorBoardCallback": ("on_log", "on_train_begin"),
    "WandbCallback": ("on_log",),
    "MLflowCallback": ("on_log", "setup"),
}
"""The callbacks' methods that pass values to other trackers. The hooks record the same values."""

_MODEL_FILES: Final = ("model.safetensors", "adapter_model.safetensors", "pytorch_model.bin")
"""The files in which the trainer saves weights. Only the first one that exists is recorded,
because its folder may also contain checkpoints.
"""


class _Handlers:
    """The recorder of each trainer of this process, by the trainer's ``CallbackHandler``."""

    def __init__(self) -> None:
        self.recorders: IdentityMap[FrameworkRecorder] = IdentityMap()

    def recorder_of(self, handler: Any) -> FrameworkRecorder:
        """Return the recorder of a trainer. The first call for a trainer creates the recorder."""
        recorder = self.recorders.get(handler)
        if recorder is None:
            recorder = FrameworkRecorder(name)
            self.recorders.add(handler, recorder)
        return recorder


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the methods of trainers and of callback handlers, so that trainings are recorded."""
    handler: Any = sys.modules["transformers.trainer_callback"].CallbackHandler
    calls.record(module.Trainer, "__init__", _created, leaf=True)
    calls.record_before(handler, "on_train_begin", _started)
    calls.record_before(handler, "on_log", _reported)
    calls.record_before(handler, "on_predict", _predicted)
    calls.record(handler, "on_save", _saved, leaf=True, nested=True)
    calls.record(module.Trainer, "save_model", _model_saved, leaf=True, nested=True)
    reporting = sys.modules["transformers.integrations.integration_utils"]
    for callback, methods in _REPORTING_METHODS.items():
        for method in methods:
            if hasattr(getattr(reporting, callback, None), method):
                calls.record(getattr(reporting, callback), method, _reported_elsewhere)


def _is_recorded_here(handler: Any, state: Any) -> bool:
    """Return whether the hooks record a trainer: only in rank 0 and without `ProvMLCallback`."""
    own = any(isinstance(callback, ProvMLCallback) for callback in handler.callbacks)
    return bool(state.is_world_process_zero) and not own


def _reported_elsewhere(*_: Any, **__: Any) -> None:
    """Record nothing. The hooks record the values that the trainer also passes to trackers."""


def _created(result: None, trainer: Any, *_: Any, **__: Any) -> None:
    handler = trainer.callback_handler
    if _is_recorded_here(handler, trainer.state):
        _log_data(STATE.part(_Handlers).recorder_of(handler), trainer)


def _log_data(recorder: FrameworkRecorder, trainer: Any) -> None:
    recorder.log_dataset("train", getattr(trainer, "train_dataset", None), Context.TRAINING)
    recorder.log_dataset("eval", getattr(trainer, "eval_dataset", None), Context.EVALUATION)


def _started(handler: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
    if _is_recorded_here(handler, state):
        _log_settings(STATE.part(_Handlers).recorder_of(handler), args, handler.model)


def _log_settings(recorder: FrameworkRecorder, args: Any, model: Any) -> None:
    own = {field.name: getattr(args, field.name) for field in dataclasses.fields(args)}
    recorder.log_settings(own)
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        recorder.log_settings(config.to_dict(), "model.")


def _reported(
    handler: Any, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any
) -> None:
    if _is_recorded_here(handler, state):
        _log_values(STATE.part(_Handlers).recorder_of(handler), state, logs)


def _log_values(recorder: FrameworkRecorder, state: Any, logs: Mapping[str, Any]) -> None:
    recorder.log_metrics(logs, state.global_step, state.epoch, Context.TRAINING)


def _predicted(
    handler: Any, args: Any, state: Any, control: Any, metrics: Mapping[str, Any], **_: Any
) -> None:
    if _is_recorded_here(handler, state):
        recorder = STATE.part(_Handlers).recorder_of(handler)
        recorder.log_metrics(metrics, state.global_step, state.epoch, Context.EVALUATION)


def _saved(result: Any, handler: Any, args: Any, state: Any, *_: Any, **__: Any) -> None:
    if _is_recorded_here(handler, state):
        _log_checkpoint(STATE.part(_Handlers).recorder_of(handler), args, state, handler.model)


def _model_saved(
    result: None,
    trainer: Any,
    output_dir: Any = None,
    _internal_call: bool = False,
    **_: Any,
) -> None:
    """Record a model that the script has saved with ``save_model``."""
    handler, state = trainer.callback_handler, trainer.state
    if _internal_call or not _is_recorded_here(handler, state):
        return
    folder = output_dir or trainer.args.output_dir
    files = (os.path.join(folder, file) for file in _MODEL_FILES)
    path = next(filter(os.path.isfile, files), folder)
    recorder, model = STATE.part(_Handlers).recorder_of(handler), handler.model
    recorder.log_checkpoint(path, type(model).__qualname__, state.global_step, state.epoch)


def _log_checkpoint(recorder: FrameworkRecorder, args: Any, state: Any, model: Any) -> None:
    folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
    recorder.log_checkpoint(folder, type(model).__qualname__, state.global_step, state.epoch)


class ProvMLCallback(TrainerCallback):
    """A callback that records in the active run, or starts a run if none is active.

    ``report_to="provml"`` adds the callback to a trainer. A run that the callback starts ends when
    the script ends, or if you call `provml.end_run`.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """

    def __init__(self, experiment: str | None = None) -> None:
        self._recorder = FrameworkRecorder(name, starts_run=True, experiment=experiment)

    @never_raise
    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **objects: Any
    ) -> None:
        """Record the training arguments, the model's configuration and the training data."""
        if state.is_world_process_zero:
            _log_settings(self._recorder, args, model)
            loader = objects.get("train_dataloader")
            self._recorder.log_dataset("train", getattr(loader, "dataset", None), Context.TRAINING)

    @never_raise
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Record the values that the trainer logs."""
        if state.is_world_process_zero and logs:
            _log_values(self._recorder, state, logs)

    @never_raise
    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any, **_: Any) -> None:
        """Record the metrics of a prediction."""
        if state.is_world_process_zero:
            self._recorder.log_metrics(metrics, state.global_step, state.epoch, Context.EVALUATION)

    @never_raise
    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Record a checkpoint as a version of the model."""
        if state.is_world_process_zero:
            _log_checkpoint(self._recorder, args, state, model)


INTEGRATION_TO_CALLBACK["provml"] = ProvMLCallback  # so that report_to="provml" finds the callback
