"""Records trainings and evaluations with Keras 3, on any of its backends.

    from provml.integrations.keras import ProvMLCallback

    model.fit(x, y, callbacks=[ProvMLCallback("experiment")])

| Keras | provml |
|---|---|
| the values of each epoch of ``fit`` | metrics; the step counts batches, epochs count from 0 |
| the values of ``evaluate`` | metrics of the evaluation |
| the optimizer's configuration, the loss and the arguments of ``fit`` | parameters |
| arrays passed to ``fit`` | datasets |
| ``save``, ``save_weights``, ``ModelCheckpoint`` | versions of a model; only under ``provml run`` |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from keras.callbacks import Callback, CallbackList

from provml.base.context import Context
from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.integrations._recorder import FrameworkRecorder, never_raise

name: Final = "keras"
modules: Final = ("keras",)

_FIT_SETTINGS: Final = (
    "batch_size",
    "epochs",
    "validation_split",
    "shuffle",
    "class_weight",
    "initial_epoch",
    "steps_per_epoch",
    "validation_steps",
    "validation_batch_size",
    "validation_freq",
)
"""The arguments of ``fit`` that become parameters, named ``fit.epochs`` and so on."""


class _Training:
    """The state of a model's training.

    Attributes:
        recorder: the recorder of the model.
        in_fit: whether ``fit`` is running. If so, an evaluation that ends now is a validation,
            which ``fit`` itself reports.
        step: the number of batches that the model has been trained on; None if unknown.
        epoch: the epoch that began last; None if no epoch has begun.
    """

    def __init__(self, recorder: FrameworkRecorder) -> None:
        self.recorder = recorder
        self.in_fit = False
        self.step: int | None = None
        self.epoch: int | None = None

    def begin(self, model: Any) -> None:
        """Record the settings of a training that begins."""
        self.in_fit = True
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None:
            settings = {**optimizer.get_config(), "name": type(optimizer).__qualname__}
            self.recorder.log_settings(settings, "optimizer.")
        loss = getattr(model, "loss", None)
        if loss is not None:
            self.recorder.log_settings({"loss": loss})

    def end_epoch(self, epoch: int, steps: int | None, logs: Mapping[str, Any] | None) -> None:
        """Record the values of an epoch.

        Args:
            epoch: the epoch, counted from 0.
            steps: the number of batches in an epoch; None if unknown.
            logs: the values.
        """
        self.epoch = epoch
        self.step = None if steps is None else (epoch + 1) * steps
        self.recorder.log_metrics(logs or {}, self.step, epoch, Context.TRAINING)

    def end_test(self, logs: Mapping[str, Any] | None) -> None:
        """Record the values of ``evaluate``, unless ``fit`` is running."""
        if not self.in_fit:
            self.recorder.log_metrics(logs or {}, self.step, self.epoch, Context.EVALUATION)


class _Models:
    """The training of each model of this process."""

    def __init__(self) -> None:
        self.trainings: IdentityMap[_Training] = IdentityMap()

    def training_of(self, model: Any) -> _Training:
        """Return the training of a model. The first call for a model creates the `_Training`."""
        training = self.trainings.get(model)
        if training is None:
            training = _Training(FrameworkRecorder(name))
            self.trainings.add(model, training)
        return training


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap Keras's methods, so that trainings, evaluations and saved files are recorded."""
    calls.record_before(module.Model, "fit", _fit_called)
    calls.record_before(CallbackList, "on_train_begin", _train_begun)
    calls.record_before(CallbackList, "on_epoch_begin", _epoch_begun)
    calls.record(CallbackList, "on_epoch_end", _epoch_ended, leaf=True, nested=True)
    calls.record_before(CallbackList, "on_train_end", _train_ended)
    calls.record(CallbackList, "on_test_end", _test_ended, leaf=True, nested=True)
    board = getattr(module.callbacks, "TensorBoard", None)
    if hasattr(board, "_log_epoch_metrics"):
        calls.record(board, "_log_epoch_metrics", _reported_elsewhere)
    calls.record(module.Model, "save", _saved, leaf=True, nested=True)
    calls.record(module.Model, "save_weights", _saved, leaf=True, nested=True)


def _reported_elsewhere(*_: Any, **__: Any) -> None:
    """Record nothing. The hooks record the values that Keras also passes to TensorBoard."""


def _is_recorded_here(callbacks: Any) -> bool:
    return not any(isinstance(callback, ProvMLCallback) for callback in callbacks)


def _fit_called(
    model: Any, x: Any = None, y: Any = None, batch_size: Any = None, *rest: Any, **named: Any
) -> None:
    callbacks = named.get("callbacks") or ()
    own = (
        [callbacks]
        if isinstance(callbacks, Callback)
        else list(getattr(callbacks, "callbacks", callbacks))
    )
    if not _is_recorded_here(own):
        return
    settings = {key: named[key] for key in _FIT_SETTINGS if named.get(key) is not None}
    if batch_size is not None:
        settings["batch_size"] = batch_size
    if rest:
        settings["epochs"] = rest[0]
    recorder = STATE.part(_Models).training_of(model).recorder
    recorder.log_settings(settings, "fit.")
    _log_data(recorder, "train", (x, y), Context.TRAINING)
    validation = named.get("validation_data")
    if validation is not None:
        _log_data(recorder, "validation", validation, Context.VALIDATION)


def _log_data(recorder: FrameworkRecorder, own_name: str, data: Any, context: Context) -> None:
    """Record the data of a training: arrays, or an object that supplies batches."""
    parts = data if isinstance(data, (tuple, list)) else (data,)
    named = dict(zip(("x", "y", "sample_weight"), parts, strict=False))
    given = {key: part for key, part in named.items() if part is not None}
    if given:
        recorder.log_dataset(
            own_name, given if len(given) > 1 else next(iter(given.values())), context
        )


def _train_begun(callbacks: Any, *_: Any, **__: Any) -> None:
    if _is_recorded_here(callbacks.callbacks):
        STATE.part(_Models).training_of(callbacks.model).begin(callbacks.model)


def _epoch_begun(callbacks: Any, epoch: int, logs: Any = None) -> None:
    STATE.part(_Models).training_of(callbacks.model).epoch = epoch


def _epoch_ended(result: None, callbacks: Any, epoch: int, logs: Any = None) -> None:
    if _is_recorded_here(callbacks.callbacks):
        steps = callbacks.params.get("steps")
        STATE.part(_Models).training_of(callbacks.model).end_epoch(epoch, steps, logs)


def _train_ended(callbacks: Any, *_: Any, **__: Any) -> None:
    STATE.part(_Models).training_of(callbacks.model).in_fit = False


def _test_ended(result: None, callbacks: Any, logs: Any = None) -> None:
    if _is_recorded_here(callbacks.callbacks):
        STATE.part(_Models).training_of(callbacks.model).end_test(logs)


def _saved(result: Any, model: Any, filepath: Any, *_: Any, **__: Any) -> None:
    training = STATE.part(_Models).training_of(model)
    iterations = getattr(getattr(model, "optimizer", None), "iterations", None)
    step = training.step if iterations is None else int(iterations)
    training.recorder.log_checkpoint(filepath, model.name, step, training.epoch)


class ProvMLCallback(Callback):
    """A callback that records in the active run, or starts a run if none is active.

    A run that the callback starts ends when the script ends, or if you call `provml.end_run`.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """

    def __init__(self, experiment: str | None = None) -> None:
        super().__init__()
        recorder = FrameworkRecorder(name, starts_run=True, experiment=experiment)
        self._training = _Training(recorder)

    @never_raise
    def on_train_begin(self, logs: Any = None) -> None:
        """Record the settings of the training."""
        self._training.begin(self.model)
        self._training.recorder.log_settings(
            {key: value for key, value in (self.params or {}).items() if key != "verbose"}, "fit."
        )

    @never_raise
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the values of an epoch."""
        self._training.end_epoch(epoch, (self.params or {}).get("steps"), logs)

    @never_raise
    def on_train_end(self, logs: Any = None) -> None:
        """Note that later calls of ``evaluate`` do not belong to the training."""
        self._training.in_fit = False

    @never_raise
    def on_test_end(self, logs: Any = None) -> None:
        """Record the values of ``evaluate``, unless ``fit`` is running."""
        self._training.end_test(logs)
