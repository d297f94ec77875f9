"""Records trainings with both packages of Lightning: ``lightning`` and ``pytorch_lightning``.

Imports neither package. `provml.integrations.lightning` and `provml.integrations.pytorch_lightning`
combine the classes here with the base classes of their package.

| Lightning | provml |
|---|---|
| values logged with ``self.log``, ``log_dict`` | metrics; the step counts optimizer steps |
| ``save_hyperparameters`` | parameters |
| arguments of the ``Trainer`` | parameters, named ``trainer.max_epochs`` and so on |
| data loaders | datasets |
| checkpoints | versions of a model, named after the class of the ``LightningModule`` |
| a logged value named ``epoch`` | the epoch of the other values |
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping
from typing import Any, Final

from provml.base.context import Context
from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.integrations._recorder import FrameworkRecorder, never_raise
from provml.recording.run import Run

FRAMEWORK: Final = "lightning"
_STAGES: Final = {
    "train": Context.TRAINING,
    "sanity_check": Context.VALIDATION,
    "validate": Context.VALIDATION,
    "test": Context.EVALUATION,
}
_INTERNAL_SETTINGS: Final = ("_class_path", "_instantiator")
"""The settings that Lightning's CLI adds to the hyperparameters for its own use."""
_PLAIN: Final = (bool, int, float, str, type(None))


class _Trainers:
    """The recorder of each trainer of this process."""

    def __init__(self) -> None:
        self.recorders: IdentityMap[FrameworkRecorder] = IdentityMap()

    def recorder_of(self, trainer: Any) -> FrameworkRecorder:
        """Return the recorder of a trainer. The first call for a trainer creates the recorder."""
        recorder = self.recorders.get(trainer)
        if recorder is None:
            recorder = FrameworkRecorder(FRAMEWORK)
            self.recorders.add(trainer, recorder)
        return recorder


def patch_package(package: str, calls: RecordedCalls) -> None:
    """Wrap the functions of a package, so that its trainers are recorded.

    Args:
        package: ``lightning.pytorch`` or ``pytorch_lightning``.
        calls: the collection to which the wrapped functions are added.
    """
    module = sys.modules[f"{package}.trainer.trainer"]
    trainer = module.Trainer
    connectors = f"{package}.trainer.connectors.logger_connector.logger_connector"
    connector = sys.modules[connectors]._LoggerConnector
    calls.record(trainer, "__init__", _created, leaf=True)
    calls.record(module, "_log_hyperparams", _started)
    calls.record(connector, "log_metrics", _reported)
    calls.record(trainer, "save_checkpoint", _saved, nested=True)


def _is_recorded_here(trainer: Any) -> bool:
    """Return whether the hooks record a trainer: only in rank 0 and without `ProvMLLogger`."""
    own = any(isinstance(logger, LoggerMethods) for logger in trainer.loggers)
    return bool(trainer.is_global_zero) and not own


def _created(result: None, trainer: Any, *_: Any, **arguments: Any) -> None:
    if _is_recorded_here(trainer):
        recorder = STATE.part(_Trainers).recorder_of(trainer)
        recorder.log_settings(_find_given(type(trainer), arguments), "trainer.")


def _find_given(kind: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a trainer that are plain values and differ from their defaults."""
    import inspect

    parameters = inspect.signature(kind.__init__).parameters
    given = {}
    for name, value in arguments.items():
        default = parameters[name].default if name in parameters else inspect.Parameter.empty
        if isinstance(value, _PLAIN) and (type(value), value) != (type(default), default):
            given[name] = value
    return given


def _started(result: None, trainer: Any) -> None:
    if _is_recorded_here(trainer):
        recorder = STATE.part(_Trainers).recorder_of(trainer)
        recorder.log_settings(_read_hyperparameters(trainer))


def _read_hyperparameters(trainer: Any) -> dict[str, Any]:
    """Return what the module and the data module have saved with ``save_hyperparameters``."""
    found: dict[str, Any] = {}
    for owner in (trainer.lightning_module, trainer.datamodule):
        if owner is not None and getattr(owner, "_log_hyperparams", False):
            found |= dict(owner.hparams_initial)
    return {name: value for name, value in found.items() if name not in _INTERNAL_SETTINGS}


def _reported(
    result: None, connector: Any, metrics: Mapping[str, Any], step: int | None = None
) -> None:
    trainer = connector.trainer
    if not metrics or not _is_recorded_here(trainer):
        return
    values = dict(metrics)
    if step is None:
        own_step = values.pop("step", None)
        if own_step is not None:
            step = int(own_step)
        else:
            step = trainer.fit_loop.epoch_loop._batches_that_stepped
    recorder = STATE.part(_Trainers).recorder_of(trainer)
    _log_data(recorder, trainer)
    recorder.log_metrics(values, step, trainer.current_epoch, _context_of(trainer))


def _log_data(recorder: FrameworkRecorder, trainer: Any) -> None:
    """Record the data loaders that the trainer has used so far."""
    recorder.log_dataset("train", trainer.train_dataloader, Context.TRAINING)
    recorder.log_dataset("validation", trainer.val_dataloaders, Context.VALIDATION)
    recorder.log_dataset("test", trainer.test_dataloaders, Context.EVALUATION)


def _context_of(trainer: Any) -> Context | None:
    stage = trainer.state.stage
    return None if stage is None else _STAGES.get(str(stage.value))


def _saved(result: None, trainer: Any, filepath: Any, *_: Any, **__: Any) -> None:
    if _is_recorded_here(trainer):
        _log_checkpoint(STATE.part(_Trainers).recorder_of(trainer), trainer, filepath)


def _log_checkpoint(recorder: FrameworkRecorder, trainer: Any, path: Any) -> None:
    name = type(trainer.lightning_module).__qualname__
    recorder.log_checkpoint(path, name, trainer.global_step, trainer.current_epoch)


class LoggerMethods:
    """The methods of ``ProvMLLogger``.

    Attributes:
        experiment: the run that the logger records in. If no run is active, the first use of the
            logger starts one.
    """

    def __init__(self, experiment: str | None = None) -> None:
        super().__init__()
        self._recorder = FrameworkRecorder(FRAMEWORK, starts_run=True, experiment=experiment)
        self._trainer: weakref.ref[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_trainer": None}  # a weak reference can't be pickled

    @property
    def experiment(self) -> Run | None:
        """The run that this logger records in. Ranks other than 0 record nothing and get None."""
        return self._recorder.find_run() if self._is_first_rank() else None

    def _is_first_rank(self) -> bool:
        raise NotImplementedError

    @property
    def name(self) -> str | None:
        """The name of the experiment."""
        run = self.experiment
        return None if run is None else run.experiment

    @property
    def version(self) -> str | None:
        """The id of the run."""
        run = self.experiment
        return None if run is None else run.id

    @never_raise
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record each value in a mapping as a metric."""
        if self._is_first_rank():
            trainer = self._find_trainer()
            if trainer is not None:
                _log_data(self._recorder, trainer)
            context = None if trainer is None else _context_of(trainer)
            self._recorder.log_metrics(metrics, step, None, context)

    @never_raise
    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Record hyperparameters as parameters."""
        if self._is_first_rank():
            self._recorder.log_params(params)

    @never_raise
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Remember the model's trainer. Records no graph.

        Lightning calls this method before the training. It is the only such method that receives an
        object from which the logger can find the trainer.
        """
        trainer = getattr(model, "_trainer", None)
        if trainer is not None:
            self._trainer = weakref.ref(trainer)

    @never_raise
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Record a new version of the model: the checkpoint that has just been saved."""
        trainer = self._find_trainer()
        path = getattr(checkpoint_callback, "_last_checkpoint_saved", None)
        if trainer is not None and path and self._is_first_rank():
            _log_checkpoint(self._recorder, trainer, path)

    def _find_trainer(self) -> Any:
        return None if self._trainer is None else self._trainer()


class CallbackMethods:
    """The methods of ``ProvMLCallback``, which adds a ``ProvMLLogger`` to the trainer's loggers."""

    def __init__(self, experiment: str | None = None) -> None:
        super().__init__()
        self._logger = self._create_logger(experiment)

    def _create_logger(self, experiment: str | None) -> Any:
        raise NotImplementedError

    def _attach(self, trainer: Any, pl_module: Any) -> None:
        # don't attach the logger in `setup`: there, it would change the folder of the checkpoints
        if not any(isinstance(logger, LoggerMethods) for logger in trainer.loggers):
            trainer.loggers = [*trainer.loggers, self._logger]
            self._logger.log_graph(pl_module)
            self._logger.log_hyperparams(_read_hyperparameters(trainer))

    @never_raise
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Add the logger before a training."""
        self._attach(trainer, pl_module)

    @never_raise
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Add the logger before a validation."""
        self._attach(trainer, pl_module)

    @never_raise
    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Add the logger before a test."""
        self._attach(trainer, pl_module)
