"""Records trainings with skorch, which wraps PyTorch modules as scikit-learn estimators.

    from provml.integrations.skorch import ProvMLCallback

    net = NeuralNetClassifier(Module, callbacks=[ProvMLCallback("experiment")])

| skorch | provml |
|---|---|
| a row of the history | metrics; the step counts batches, epochs count from 1 as in skorch |
| the parameters of the net | parameters |
| arrays passed to ``fit`` | datasets |
| ``save_params``, ``Checkpoint`` | versions of a model; only under ``provml run`` |
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final

from skorch.callbacks import Callback

from provml.base.context import Context
from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.integrations._fits import fit_calls
from provml.integrations._recorder import FrameworkRecorder, never_raise

name: Final = "skorch"
modules: Final = ("skorch",)

_NOT_METRICS: Final = ("batches", "epoch", "train_batch_count", "valid_batch_count")
_MARKS: Final = ("_best", "event_")
"""A value whose name contains one of these texts, such as ``valid_loss_best``, is not a metric."""
_NOT_SETTINGS: Final = ("callbacks", "verbose")


class _Nets:
    """The recorder of each net of this process."""

    def __init__(self) -> None:
        self.recorders: IdentityMap[FrameworkRecorder] = IdentityMap()

    def recorder_of(self, net: Any) -> FrameworkRecorder:
        """Return the recorder of a net. The first call for a net creates the recorder."""
        recorder = self.recorders.get(net)
        if recorder is None:
            recorder = FrameworkRecorder(name)
            self.recorders.add(net, recorder)
        return recorder


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the methods of nets, so that trainings and saved parameters are recorded."""
    calls.record(module.NeuralNet, "notify", _notified, leaf=True, nested=True)
    calls.record(module.NeuralNet, "save_params", _saved, leaf=True, nested=True)


def _notified(result: None, net: Any, method_name: str, **arguments: Any) -> None:
    if method_name not in ("on_train_begin", "on_epoch_end"):
        return
    if not fit_calls().is_training_recorded():
        return  # one of the many trainings of a search
    if any(isinstance(callback, ProvMLCallback) for _, callback in net.callbacks_):
        return
    recorder = STATE.part(_Nets).recorder_of(net)
    if method_name == "on_epoch_end":
        _log_row(recorder, net)
    else:
        _log_settings(recorder, net, arguments.get("X"), arguments.get("y"))


def _log_settings(recorder: FrameworkRecorder, net: Any, x: Any, y: Any) -> None:
    settings = net.get_params(deep=False)
    own = {k: v for k, v in settings.items() if k not in _NOT_SETTINGS and not k.startswith("_")}
    recorder.log_settings(own)
    if x is not None:
        recorder.log_dataset("train", x if y is None else {"X": x, "y": y}, Context.TRAINING)


def _log_row(recorder: FrameworkRecorder, net: Any) -> None:
    row = net.history[-1]
    values = {
        key: value
        for key, value in row.items()
        if key not in _NOT_METRICS and not any(mark in key for mark in _MARKS)
    }
    recorder.log_metrics(values, _count_batches(net), row["epoch"], Context.TRAINING)


def _count_batches(net: Any) -> int:
    return sum(row.get("train_batch_count", 0) for row in net.history)


def _saved(result: None, net: Any, f_params: Any = None, *_: Any, **named: Any) -> None:
    f_params = named.get("f_module") if f_params is None else f_params
    if isinstance(f_params, (str, os.PathLike)):
        recorder = STATE.part(_Nets).recorder_of(net)
        own_name = type(net.module_).__qualname__
        epoch = net.history[-1]["epoch"] if len(net.history) else None
        recorder.log_checkpoint(f_params, own_name, _count_batches(net), epoch)


class ProvMLCallback(Callback):
    """A callback that records in the active run, or starts a run if none is active.

    A run that the callback starts ends when the script ends, or if you call `provml.end_run`.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """

    def __init__(self, experiment: str | None = None) -> None:
        self.experiment = experiment  # to clone a callback, skorch reads this attribute

    def initialize(self) -> ProvMLCallback:
        """Create the recorder. skorch calls this method before it uses the callback."""
        self._recorder = FrameworkRecorder(name, starts_run=True, experiment=self.experiment)
        return self

    @never_raise
    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **_: Any) -> None:  # noqa: N803
        """Record the net's parameters and the training data."""
        _log_settings(self._recorder, net, X, y)

    @never_raise
    def on_epoch_end(self, net: Any, **_: Any) -> None:
        """Record the row that the epoch has added to the history."""
        _log_row(self._recorder, net)
