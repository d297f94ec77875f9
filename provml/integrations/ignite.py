"""Records trainings and evaluations with PyTorch-Ignite.

    from provml.integrations.ignite import ProvMLLogger

    logger = ProvMLLogger("experiment")
    logger.attach_output_handler(
        evaluator, Events.COMPLETED, tag="validation", metric_names="all",
        global_step_transform=global_step_from_engine(trainer),
    )

Under ``provml run``, provml records every engine:

| Ignite | provml |
|---|---|
| the metrics of the engine that trains | metrics of the training, per epoch |
| the output of its ``process_function``, if a float | the metric ``output``, per iteration |
| the metrics of an engine that runs during the training | metrics of the validation |
| the metrics of an engine that runs after the training | metrics of the evaluation |
| ``DiskSaver`` | versions of a model |

The engine that trains is the first engine that runs. A later engine takes its place if the later
engine has more than one epoch and does not run inside another engine.
"""

from __future__ import annotations

import threading
import weakref
from types import ModuleType
from typing import Any, Final

from ignite.engine import Engine, Events
from ignite.handlers import DiskSaver
from ignite.handlers.base_logger import BaseLogger, BaseOptimizerParamsHandler, BaseOutputHandler

from provml.base.context import Context
from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.integrations._printed_lines import announce_printed_lines
from provml.integrations._recorder import FrameworkRecorder, never_raise
from provml.recording.run import Run

name: Final = "ignite"
modules: Final = ("ignite.engine",)


class _Engines(threading.local):
    """The engines of a thread.

    Attributes:
        recorders: the recorder of each engine.
        running: the engines that are running, outermost first.
        trainer: the engine that trains; None if no engine has run.
    """

    def __init__(self) -> None:
        self.recorders: IdentityMap[FrameworkRecorder] = IdentityMap()
        self.running: list[Any] = []
        self.trainer: weakref.ref[Any] | None = None

    def recorder_of(self, engine: Any) -> FrameworkRecorder:
        """Return the recorder of an engine. The first call for an engine creates the recorder."""
        recorder = self.recorders.get(engine)
        if recorder is None:
            recorder = FrameworkRecorder(name)
            self.recorders.add(engine, recorder)
        return recorder

    def find_trainer(self) -> Any:
        """Return the engine that trains; None if no engine has run."""
        return None if self.trainer is None else self.trainer()


class _Loggers:
    """Whether the script has created a `ProvMLLogger`, which then records instead of the hooks."""

    def __init__(self) -> None:
        self.exist = False


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap Ignite's methods, so that the events of engines and the saved files are recorded."""
    calls.record(Engine, "_fire_event", _fired, leaf=True, nested=True)
    calls.record(DiskSaver, "__call__", _saved, leaf=True, nested=True)


def _fired(result: None, engine: Any, event: Any, *_: Any, **__: Any) -> None:
    engines = STATE.part(_Engines)
    if event == Events.STARTED:
        announce_printed_lines(name)
        if engine in engines.running:
            engines.running.remove(engine)
        _log_data(engines, engine)
        if not engines.running and (engines.trainer is None or engine.state.max_epochs > 1):
            engines.trainer = weakref.ref(engine)
        engines.running.append(engine)
    elif event in (Events.COMPLETED, Events.EXCEPTION_RAISED, Events.INTERRUPT):
        if engine in engines.running:
            del engines.running[engines.running.index(engine) :]
        if event == Events.COMPLETED and engine is not engines.find_trainer():
            _log_evaluation(engines, engine)
    elif engine is engines.find_trainer():
        _log_training(engines, engine, event)


def _log_data(engines: _Engines, engine: Any) -> None:
    """Record the data of an engine that begins to train or to validate."""
    trainer = engines.find_trainer()
    if STATE.part(_Loggers).exist:
        return
    if trainer is None or (trainer is engine and not engines.running):
        engines.recorder_of(engine).log_dataset("train", engine.state.dataloader, Context.TRAINING)
    elif engines.running:
        data = engine.state.dataloader
        engines.recorder_of(engine).log_dataset("validation", data, Context.VALIDATION)


def _log_training(engines: _Engines, engine: Any, event: Any) -> None:
    if STATE.part(_Loggers).exist:
        return
    state = engine.state
    recorder = engines.recorder_of(engine)
    if event == Events.ITERATION_COMPLETED and isinstance(state.output, float):
        output = {"output": state.output}
        recorder.log_metrics(output, state.iteration, state.epoch, Context.TRAINING)
    elif event == Events.EPOCH_COMPLETED and state.metrics:
        recorder.log_metrics(state.metrics, state.iteration, state.epoch, Context.TRAINING)


def _log_evaluation(engines: _Engines, engine: Any) -> None:
    if STATE.part(_Loggers).exist or not engine.state.metrics:
        return
    trainer = engines.find_trainer()
    context = Context.VALIDATION if engines.running else Context.EVALUATION
    step = None if trainer is None else trainer.state.iteration
    epoch = None if trainer is None else trainer.state.epoch
    engines.recorder_of(engine).log_metrics(engine.state.metrics, step, epoch, context)


def _saved(
    result: None, saver: Any, checkpoint: Any, filename: str, metadata: Any = None, **_: Any
) -> None:
    engines = STATE.part(_Engines)
    trainer = engines.find_trainer()
    own_name = str((metadata or {}).get("basename") or "model")
    if trainer is not None:
        state = trainer.state
        recorder = engines.recorder_of(trainer)
        recorder.log_checkpoint(saver.dirname / filename, own_name, state.iteration, state.epoch)


class ProvMLLogger(BaseLogger):
    """A logger that records in the active run, or starts a run if none is active.

    Attach the logger to engines with ``attach_output_handler`` and ``attach_opt_params_handler``,
    like Ignite's own loggers. A tag such as ``validation`` selects the context.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """

    def __init__(self, experiment: str | None = None) -> None:
        self._recorder = FrameworkRecorder(name, starts_run=True, experiment=experiment)
        STATE.part(_Loggers).exist = True

    @property
    def run(self) -> Run | None:
        """The run that this logger records in; None if the run has ended."""
        return self._recorder.find_run()

    def log_params(self, params: Any) -> None:
        """Record a mapping or configuration object as parameters."""
        self._recorder.log_params(params)

    @never_raise
    def close(self) -> None:
        """End the run if this logger started it."""
        self._recorder.end_own_run()

    def _create_output_handler(self, *args: Any, **kwargs: Any) -> _OutputHandler:
        return _OutputHandler(*args, **kwargs)

    def _create_opt_params_handler(self, *args: Any, **kwargs: Any) -> _OptimizerHandler:
        return _OptimizerHandler(*args, **kwargs)


class _OutputHandler(BaseOutputHandler):
    """A handler that records the metrics and the output of an engine."""

    @never_raise
    def __call__(self, engine: Any, logger: Any, event_name: Any) -> None:
        values = self._setup_output_metrics_state_attrs(engine, log_text=True, key_tuple=False)
        step = self.global_step_transform(engine, event_name)
        logger._recorder.log_metrics(values, step)


class _OptimizerHandler(BaseOptimizerParamsHandler):
    """A handler that records a parameter of an optimizer, such as the learning rate."""

    @never_raise
    def __call__(self, engine: Any, logger: Any, event_name: Any) -> None:
        step = engine.state.get_event_attrib_value(event_name)
        prefix = f"{self.tag}/" if self.tag else ""
        values = {
            f"{prefix}{self.param_name}/group_{number}": float(group[self.param_name])
            for number, group in enumerate(self.optimizer.param_groups)
        }
        logger._recorder.log_metrics(values, step, None, Context.TRAINING)
