"""Records what scripts log with Hugging Face Accelerate.

    from provml.integrations.accelerate import ProvMLTracker

    accelerator = Accelerator(log_with=ProvMLTracker("experiment"))

| Accelerate | provml |
|---|---|
| ``Accelerator.log`` | metrics; a value named ``epoch`` is the epoch of the others |
| the configuration passed to ``init_trackers`` | parameters |
| ``save_state`` | versions of a model, named after its class; only under ``provml run`` |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from accelerate.tracking import GeneralTracker

from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.integrations._recorder import FrameworkRecorder, never_raise
from provml.recording.run import Run

name: Final = "accelerate"
modules: Final = ("accelerate",)


class _Accelerators:
    """The recorder of each accelerator in this process, and the accelerator's last logged step."""

    def __init__(self) -> None:
        self.recorders: IdentityMap[FrameworkRecorder] = IdentityMap()
        self.steps: IdentityMap[int] = IdentityMap()

    def recorder_of(self, accelerator: Any) -> FrameworkRecorder:
        """Return the recorder of an accelerator; create it if the accelerator has none yet."""
        recorder = self.recorders.get(accelerator)
        if recorder is None:
            recorder = FrameworkRecorder(name)
            self.recorders.add(accelerator, recorder)
        return recorder


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the methods of ``Accelerator``, so that calls to them are recorded.

    The calls that an accelerator makes to other trackers are not recorded.
    """
    calls.record(module.Accelerator, "init_trackers", _initialised)
    calls.record(module.Accelerator, "log", _logged)
    calls.record(module.Accelerator, "save_state", _saved, leaf=True, nested=True)


def _is_recorded_here(accelerator: Any) -> bool:
    own = any(isinstance(tracker, ProvMLTracker) for tracker in accelerator.trackers)
    return bool(accelerator.is_main_process) and not own


def _initialised(
    result: None, accelerator: Any, project_name: str, config: Any = None, *_: Any, **__: Any
) -> None:
    if config is not None and _is_recorded_here(accelerator):
        STATE.part(_Accelerators).recorder_of(accelerator).log_params(config)


def _logged(
    result: None,
    accelerator: Any,
    values: Mapping[str, Any],
    step: int | None = None,
    *_: Any,
    **__: Any,
) -> None:
    if _is_recorded_here(accelerator):
        state = STATE.part(_Accelerators)
        state.recorder_of(accelerator).log_metrics(values, step)
        if step is not None:
            state.steps.add(accelerator, step)


def _saved(result: Any, accelerator: Any, output_dir: Any = None, *_: Any, **__: Any) -> None:
    folder = result if isinstance(result, str) else output_dir
    if folder is not None and accelerator.is_main_process:
        state = STATE.part(_Accelerators)
        models = getattr(accelerator, "_models", None) or [None]
        own_name = "state" if models[0] is None else type(models[0]).__qualname__
        step = state.steps.get(accelerator)
        state.recorder_of(accelerator).log_checkpoint(folder, own_name, step)


class ProvMLTracker(GeneralTracker):
    """A tracker that records in the active run, or starts a run if none is active.

    A run that the tracker starts ends with ``accelerator.end_training()``, or when the script ends.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """

    name = "provml"
    requires_logging_directory = False

    def __init__(self, experiment: str | None = None) -> None:
        super().__init__()
        self._recorder = FrameworkRecorder(name, starts_run=True, experiment=experiment)

    @property
    def tracker(self) -> Run | None:
        """The run that this tracker records in; None if the run has ended."""
        return self._recorder.find_run()

    @never_raise
    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Record a configuration as parameters."""
        self._recorder.log_params(values)

    @never_raise
    def log(self, values: Mapping[str, Any], step: int | None = None, **_: Any) -> None:
        """Record each value in a mapping as a metric."""
        self._recorder.log_metrics(values, step)

    @never_raise
    def finish(self) -> None:
        """End the run if this tracker started it."""
        self._recorder.end_own_run()
