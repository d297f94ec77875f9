"""Records what one training of a framework reports, in the run that is active at each call.

The integrations of deep-learning frameworks record only through `FrameworkRecorder`, which decides:

- the run: the active run, or the run that ``provml run`` started. If there is neither, an object
  that the script created, such as a logger, starts a run.
- the context: the context that a metric's name implies (see `metric_contexts`), or else the phase
  that the framework is in. A metric keeps its full name.
- the epoch: a value named ``epoch`` is the epoch of the other values, and never a metric.

If two trainings of one run report a metric with the same name and context, the metric of the second
training goes into a sub-context such as ``lightning 2``.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from provml._api import start_run
from provml.base.context import Context, context_path
from provml.base.notices import warn_without_raising
from provml.capture.metric_contexts import context_from_name
from provml.capture.outer_run import get_outer_run, note_missed
from provml.capture.state import STATE
from provml.capture.trackers.sources import find_active_run
from provml.errors import ProvMLError
from provml.integrations._printed_lines import announce_printed_lines
from provml.journal.values import plain_number
from provml.recording.checks import flatten
from provml.recording.run import Run

_MAX_DEPTH: Final = 16
_MAX_READS: Final = 20
_MAX_EPOCH: Final = 2**31
_Method = TypeVar("_Method", bound=Callable[..., Any])


class _RecorderState:
    """The state that all recorders of this process share.

    Attributes:
        owners: the recorder that owns each metric, by run, context and name.
        counts: the number of trainings of each framework in each run.
        warned: the subjects that this process has already warned about.
        settings: the values of the recorded parameters, as text, by run and name.
        params: the parameters that were last read from each run.
        reads: the number of times that the parameters of each run were read.
    """

    def __init__(self) -> None:
        self.owners: dict[tuple[str, tuple[str, ...] | None, str], FrameworkRecorder] = {}
        self.counts: dict[tuple[str, str], int] = {}
        self.warned: set[str] = set()
        self.settings: dict[tuple[str, str], str] = {}
        self.params: dict[str, dict[str, Any]] = {}
        self.reads: Counter[str] = Counter()


class FrameworkRecorder:
    """Records the metrics, settings and checkpoints of one training.

    If there is no run, the methods record nothing. If the framework reports something that provml
    can't record, they may raise an error, so call them only in hooks or in methods decorated with
    `never_raise`.

    Attributes:
        framework: the name of the framework.
    """

    def __init__(self, framework: str, *, starts_run: bool = False, experiment: str | None = None):
        """Create a recorder. Records nothing yet.

        Args:
            framework: the name of the framework.
            starts_run: whether to start a run if no run is active.
            experiment: the experiment of the run to start; by default the name of the script.
        """
        self.framework = framework
        self._starts_run = starts_run
        self._experiment = experiment
        self._run: Run | None = None
        self._is_announced = False
        self._data: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._contexts: dict[tuple[str, str, Context | None], Context | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_contexts": {}}

    def find_run(self) -> Run | None:
        """Return the run to record in; None if there is no run, or if the run has ended.

        If no run is active, a recorder with ``starts_run`` starts one. The first call that finds a
        run tells ``provml run`` not to read the lines that the framework prints.
        """
        run = self._run or find_active_run()
        if run is None and self._starts_run:
            run = self._run = start_run(
                self._experiment or _script_name(), framework=self.framework
            )
        if run is None or run.closed:
            return None
        if not self._is_announced:
            self._is_announced = True
            announce_printed_lines(self.framework)
        return run

    def end_own_run(self) -> None:
        """End the run if this recorder started it."""
        if self._run is not None and not self._run.closed:
            self._run.end_run()

    def log_metrics(
        self,
        values: Mapping[Any, Any],
        step: Any = None,
        epoch: Any = None,
        context: Context | None = None,
    ) -> None:
        """Record each value in a mapping as a metric. Values in nested mappings get dotted names.

        A value that can't be a metric is left out, and reported with `note_failure`.

        Args:
            values: the values by name. A value named ``epoch`` overrides the argument ``epoch``.
            step: the step of all values.
            epoch: the epoch of all values, which may be fractional.
            context: the context of the metrics whose names do not imply a context.
        """
        run = self.find_run()
        if run is None:
            return
        own_epoch = _to_epoch(values.get("epoch", epoch))
        own_step = None if step is None else int(step)
        for name, value in _flatten(values):
            if name == "epoch":
                continue
            number = plain_number(value)
            if number is True or number is False:
                number = int(number)
            try:
                run.log_metric(
                    name, number, self._find_context(run, name, context), own_step, own_epoch
                )
            except ProvMLError as error:  # continue with the other values
                note_failure(f"{self.framework}: the metric {name[:100]!r}", error)

    def _find_context(self, run: Run, name: str, context: Context | None) -> Context | None:
        key = str(run.path), name, context
        try:
            return self._contexts[key]
        except KeyError:
            pass
        found = context_from_name(name) or context
        owners = STATE.part(_RecorderState).owners
        if owners.setdefault((key[0], context_path(found), name), self) is not self:
            found = Context(f"{self.framework} {self._number_in(key[0])}", found)
        self._contexts[key] = found
        return found

    def _number_in(self, folder: str) -> int:
        """Return the number of this training among the run's trainings with the same framework."""
        if folder not in self._numbers:
            counts = STATE.part(_RecorderState).counts
            # the first training needs no number, so the numbers begin with 2
            counts[folder, self.framework] = counts.get((folder, self.framework), 1) + 1
            self._numbers[folder] = counts[folder, self.framework]
        return self._numbers[folder]

    def log_params(self, params: object, prefix: str = "") -> None:
        """Record the fields of a mapping or configuration object as parameters.

        A value that this process has already recorded under the same name is not recorded again.
        """
        run = self.find_run()
        if run is None:
            return
        recorded = STATE.part(_RecorderState).settings
        for name, value in flatten(params, prefix).items():
            text = repr(value)
            if recorded.get((str(run.path), name)) == text:
                continue
            recorded[str(run.path), name] = text
            try:
                run.log_param(name, value)
            except ProvMLError as error:  # continue with the other parameters
                note_failure(f"{self.framework}: the parameter {name[:100]!r}", error)

    def log_settings(self, settings: object, prefix: str = "") -> None:
        """Record settings of the framework's objects as parameters.

        A setting never replaces a parameter of the script: if the script has recorded another value
        under the same name, the setting's name gets the framework's name as a prefix.

        In a distributed job, only rank 0 records. Each of the first 20 calls for a run reads all
        events of the run, to find the parameters of the script. Later calls use the parameters that
        were read last.
        """
        run = self.find_run()
        if run is None or run._folder.settings.rank not in (None, 0):
            return
        recorded = STATE.part(_RecorderState).settings
        known = _read_params(run)
        own: dict[str, Any] = {}
        for name, value in flatten(settings, prefix).items():
            if name not in known or (str(run.path), name) in recorded:
                own[name] = value
            elif not _are_equal(known[name], value):
                own[f"{self.framework}.{name}"] = value
        self.log_params(own)

    def log_checkpoint(self, path: Any, name: str, step: Any = None, epoch: Any = None) -> None:
        """Record a checkpoint, a file or folder, as a version of a model.

        Costs one pass over the content. Content of 64 MiB or more is read in the background, so
        that the training does not wait.

        Args:
            path: the file or folder. Nothing is recorded if it does not exist.
            name: the model's name.
            step, epoch: the step and epoch after which the checkpoint was saved.
        """
        run = self.find_run()
        if run is None or not os.path.exists(path):
            return
        own_step = None if step is None else int(step)
        run._log_checkpoint(name, path, Context.TRAINING, own_step, _to_epoch(epoch))

    def log_dataset(self, name: str, data: object, context: Context) -> None:
        """Record a dataset that the training reads. Costs one pass over data that is in memory.

        Never reads samples through the dataset's own methods, and never draws random numbers.
        Records nothing if the last call with this name passed the same object.
        """
        run = self.find_run()
        if run is not None and data is not None and self._data.get(name) != id(data):
            self._data[name] = id(data)
            run.log_dataset(name, data, context)


def note_failure(what: str, error: BaseException) -> None:
    """Report that something was not recorded.

    Under ``provml run``, the failure is noted in the run. Otherwise, the process issues a warning,
    but only once for each value of ``what``.

    Args:
        what: a name for the thing that was not recorded.
        error: the error that caused the failure.
    """
    if get_outer_run() is not None:
        note_missed(what, error)
        return
    warned = STATE.part(_RecorderState).warned
    if what not in warned:
        warned.add(what)
        warn_without_raising(f"{what} was not recorded: {type(error).__name__}: {error}"[:1000])


def never_raise(method: _Method) -> _Method:
    """Decorate a method that a framework calls, so that it reports errors and raises none."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            note_failure(method.__qualname__, error)
            return None

    return call  # type: ignore[return-value]


def _read_params(run: Run) -> dict[str, Any]:
    """Return the parameters of a run. After `_MAX_READS` reads, return the last result again."""
    state, folder = STATE.part(_RecorderState), str(run.path)
    if state.reads[folder] < _MAX_READS:
        state.reads[folder] += 1
        state.params[folder] = dict(run.params)
    return state.params[folder]


def _are_equal(one: object, other: object) -> bool:
    try:
        return bool(one == other) or repr(one) == repr(other)
    except Exception:  # a comparison of arrays, for example, gives more than one bool
        return False


def _script_name() -> str:
    return os.path.splitext(os.path.basename(sys.argv[0] or ""))[0] or "training"


def _to_epoch(epoch: Any) -> int | float | None:
    """Convert an epoch to a number. Returns None if the value is not a valid epoch."""
    number = plain_number(epoch)
    if isinstance(number, (int, float)) and 0 <= number < _MAX_EPOCH:
        return number
    return None


def _flatten(
    values: Mapping[Any, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and depth < _MAX_DEPTH:
            yield from _flatten(value, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", value
