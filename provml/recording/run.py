"""The class `Run`, which records metrics and ends the run. Its base classes record everything else.

`Run.log_metric` is the hot path. So that ``import provml`` stays fast, this module imports the code
that derives documents only when `Run.end_run` writes documents, and methods that need a collector
import it when they are called.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, cast

from provml.base.clock import Timestamp, boot_ns, to_time_ns
from provml.base.context import Context, context_path, validate_name
from provml.base.notices import warn_without_raising
from provml.collect.secrets import mask_text
from provml.errors import InvalidArgumentError, InvalidMetricError, ProvMLError
from provml.journal import layout
from provml.journal.layout import Record
from provml.journal.sample_files import mark_abandoned
from provml.journal.series_keys import ExtraFields, SeriesKey
from provml.journal.values import PartialEpoch
from provml.recording import process_hooks
from provml.recording.active_runs import active_runs, folder_of
from provml.recording.annotations import Annotations
from provml.recording.checks import (
    encode_value,
    packs_exactly,
    reading_summary_record,
    validate_epoch,
    validate_metric_name,
    validate_step,
)
from provml.recording.content_verbs import ContentVerbs
from provml.recording.metric_groups import Metrics
from provml.recording.recorder import Target
from provml.recording.resource_verbs import ResourceVerbs

if TYPE_CHECKING:
    from provml.recording.run_directory import RunDirectory

_NO_STEP: Final = layout.NO_STEP
_NO_EPOCH: Final = layout.NO_EPOCH
_struct_error: Final = struct.error
_time_ns: Final = time.time_ns


class Run(ContentVerbs, ResourceVerbs, Annotations):
    """A run that is being recorded, as `provml.start_run` returns it. Also a context manager.

    You can use a run from any thread and in forked children. You can also pickle it and use it in
    other processes on the same machine. Each process writes its own files. Only the process that
    started the run can end it.

    Attributes:
        id: the run's id, unique within its experiment.
        experiment: the experiment's name.
        path: the run's folder.
    """

    _is_block = False
    """Whether a ``with`` block ends the run."""

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<provml.Run {self.experiment}/{self.id} {state}>"

    def _repr_html_(self) -> str:
        """Return the run's state, parameters and metrics as HTML, which notebooks show."""
        from provml.base.notebook_html import build_facts_html

        try:
            from provml.recorded_run import RecordedRun

            return RecordedRun(self.path)._repr_html_()
        except (ProvMLError, OSError, ImportError):
            pass  # the store or numpy is not available, which must not disturb the notebook
        state = "ended" if self._closed else "recording"
        facts = [("state", state), ("folder", str(self.path))]
        return build_facts_html(f"run {self.experiment}/{self.id}", facts)

    # -- metrics ------------------------------------------------------------------------------

    def log_metric(
        self,
        name: str,
        value: Any,
        context: Context | str | None = None,
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
        *,
        timestamp: Timestamp | None = None,
        unit: str | None = None,
        of: Target | None = None,
    ) -> None:
        """Record one sample of a metric.

        Costs less than a microsecond for a Python or numpy float or int, and a few microseconds for
        a tensor. Values that do not fit into 64 bits cost one write(): larger ints, Decimal, str,
        bytes (up to 1 MiB) and numpy arrays of up to 4,096 numbers. No value is rounded.

        Args:
            name: any Unicode text.
            value: a number, a tensor or array with one element, or one of the larger values above.
            context: a `Context` or its name; None means the run itself.
            step: any 64-bit integer except -2**63, or a float that is a whole number. Steps may
                repeat and decrease.
            epoch: a number from 0 to 2**31 - 1. For a fractional epoch such as 0.5, provml records
                the whole part as the epoch, and the exact number as a sample of the metric
                ``epoch``.
            timestamp: seconds since the Unix epoch or an aware datetime; None means now.
            unit: the unit of the value, for example ``"s"``.
            of: the model or artifact that was measured, such as a checkpoint. Pass its name,
                ``("model", name)``, ``("artifact", name)``, or the object passed to `log_model`.
                provml links the sample to the latest logged version.

        Raises:
            InvalidMetricError: the name is not valid text, or the value has an unsupported type,
                such as bool, None, or a tensor with several elements.
            InvalidArgumentError: the context, step, epoch, timestamp or unit is invalid, or `of`
                refers to a model or artifact that was not logged.
            RunClosedError: the run has ended.
        """
        slot = -1
        try:
            if of is None:
                number, pack_into = self._fast[name, context, value.__class__, unit]
            else:
                number, pack_into = self._fast[name, context, value.__class__, unit, of]
            if step is None:
                own_step = _NO_STEP
            elif step.__class__ is int and step != _NO_STEP:
                own_step = step
            else:
                raise TypeError
            if epoch is None:
                own_epoch = _NO_EPOCH
            elif epoch.__class__ is int and epoch >= 0:
                own_epoch = epoch
            else:
                raise TypeError
            time_ns = _time_ns() if timestamp is None else to_time_ns(timestamp)
            buffer, reserve = self._samples.slots
            slot = reserve()
            pack_into(buffer, slot, time_ns, own_step, value, own_epoch, number)
            return
        except (KeyError, _struct_error, TypeError, ValueError):
            pass  # a new series, a full segment, or misuse: _log_carefully finds out which
        if slot >= 0:
            mark_abandoned(buffer, slot)
        time_ns = _time_ns() if timestamp is None else to_time_ns(timestamp)
        self._log_carefully([(name, value)], context, step, epoch, time_ns, unit, of)

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        context: Context | str | None = None,
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
        *,
        timestamp: Timestamp | None = None,
        of: Target | None = None,
    ) -> None:
        """Record one sample of each metric, all with the same time.

        If one metric is invalid, none is recorded. The arguments, the exceptions and the cost per
        metric are the same as for `log_metric`.
        """
        if not isinstance(metrics, Mapping):
            raise InvalidMetricError(
                f"log_metrics takes a mapping, not {type(metrics).__name__}: {metrics!r:.80}"
            )
        time_ns = _time_ns() if timestamp is None else to_time_ns(timestamp)
        pairs = list(metrics.items())
        fast = self._fast
        try:
            if of is None:
                known = [fast[name, context, value.__class__, None] for name, value in pairs]
            else:
                known = [fast[name, context, value.__class__, None, of] for name, value in pairs]
        except (KeyError, TypeError):
            self._log_carefully(pairs, context, step, epoch, time_ns, None, of)
            return
        step = validate_step(step)
        epoch = validate_epoch(epoch)
        if epoch.__class__ is PartialEpoch:
            self._log_carefully(pairs, context, step, epoch, time_ns, None, of)
            return
        own_step = _NO_STEP if step is None else step
        own_epoch = _NO_EPOCH if epoch is None else epoch
        samples = self._samples
        for (number, pack_into), pair in zip(known, pairs, strict=True):
            buffer, reserve = samples.slots
            slot = reserve()
            try:
                pack_into(buffer, slot, time_ns, own_step, pair[1], own_epoch, number)
            except (_struct_error, ValueError, TypeError):
                # the segment is full or was just closed, or the int needs more than 64 bits
                mark_abandoned(buffer, slot)
                self._log_carefully([pair], context, step, epoch, time_ns, None, of)

    def _log_carefully(
        self,
        pairs: list[tuple[str, Any]],
        context: Context | str | None,
        step: SupportsIndex | float | None,
        epoch: SupportsIndex | float | None,
        time_ns: int,
        unit: str | None,
        of: Target | None = None,
    ) -> None:
        """Check all arguments, write the samples, and remember the series for the fast path."""
        own_step = validate_step(step)
        own_epoch = validate_epoch(epoch)
        if unit is not None:
            unit = validate_name(unit, "unit")
        path = context_path(context)
        told = () if of is None else (ExtraFields(of=self._target(of)),)
        # the cache must not keep the caller's object alive
        call_of = () if of is None else (of,) if isinstance(of, (str, tuple)) else None
        rows: list[tuple[SeriesKey, Any]] = []
        learned: list[tuple[tuple[object, ...], SeriesKey]] = []
        for name, value in pairs:
            own_name = validate_metric_name(name)
            storage, stored = encode_value(own_name, value)
            key: SeriesKey = ("metric", own_name, path, unit, storage, *told)
            rows.append((key, stored))
            if storage != "text" and packs_exactly(value) and call_of is not None:
                learned.append(((name, context, value.__class__, unit, *call_of), key))
        writer = self._open_writer(context)
        for key, stored in rows:
            writer.sample(key, time_ns, own_step, own_epoch, stored)
        for call, key in learned:
            number = writer.find_number(key)
            if number is not None:
                self._fast[call] = (number, layout.STORAGES[key[4]].pack_into)

    @property
    def metrics(self) -> Metrics:
        """The run's metric groups, for batches, summaries, and points whose epoch is set later."""
        if self._metrics is None:
            with self._lock:
                self._metrics = self._metrics or Metrics(self)
        return self._metrics

    # -- execution time -----------------------------------------------------------------------

    def log_execution_start_time(self) -> None:
        """Record that the actual work begins. This event starts the span ``execution``."""
        self._execution_clock_ns = boot_ns()
        self.log_event("execution_started", source="provml")

    def log_execution_end_time(self) -> None:
        """Record that the actual work has ended. This event ends the span ``execution``."""
        self.log_event("execution_finish", source="provml")

    def log_current_execution_time(
        self,
        label: str,
        context: Context | str | None = None,
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
    ) -> None:
        """Record the number of seconds since the execution started, as a metric named `label`.

        The execution starts with the last call of `log_execution_start_time` or, if there was none,
        with the run.
        """
        elapsed_s = (boot_ns() - self._execution_clock_ns) / 1e9
        self.log_metric(label, elapsed_s, context, step, epoch=epoch, unit="s")

    # -- the end ------------------------------------------------------------------------------

    def end_run(
        self,
        status: str = "finished",
        *,
        reason: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """End the run, and write its documents in the formats passed to `provml.start_run`.

        Idempotent. Writing PROV-JSON costs 2 to 4 microseconds per sample, and about 70
        microseconds per event. In a forked child, `end_run` only closes the child's files. If a
        document cannot be written, provml issues a warning, and you can write the document later
        with ``provml recover``.

        Args:
            status: ``finished``, ``failed`` or ``interrupted``.
            reason: the reason why the run ended, as text.
            exception: the exception that ended the run; provml also records its traceback.

        Raises:
            InvalidArgumentError: the status is unknown, or the reason is not valid Unicode text.
        """
        if status not in layout.END_STATUSES:
            raise InvalidArgumentError(
                f"status must be one of {', '.join(layout.END_STATUSES)}, not {status!r}"
            )
        if isinstance(reason, str):
            reason = reason[:1000]
        own_reason = None if reason is None else validate_name(reason, "reason")
        self._end(status, own_reason, _describe_exception(exception))

    def _end(self, status: str, reason: str | None, exception: dict[str, str] | None) -> None:
        """End the run; the caller has checked the arguments.

        Args:
            exception: the exception as `process_hooks.exception_record` returns it.
        """
        if not self._closed:
            self._finish_hashing(self._folder.settings.hash_wait_s if status == "finished" else 0)
            self._finish_metrics()
            self._finish_code()
        process_hooks.deactivate(self)
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._fast = {}
        if self._pid != os.getpid() or not self._owner:
            if self._pid == os.getpid():
                self._end_sampling()
            self._writer.close(None, "helper closed")
            return
        self._end_sampling()
        self._note_clock(self._writer)
        record: Record = {"record": "end", "time": self._clock.end_time_ns(), "status": status}
        if reason is not None:
            record["reason"] = reason
        if exception is not None:
            record["exception"] = {key: mask_text(text) for key, text in exception.items()}
        self._folder.restore()
        self._writer.close(record, status)
        if self._formats and not self._others_record():
            self._write_documents()

    def _end_sampling(self) -> None:
        """Take the last readings, and record the summaries of all readings."""
        if self._sampler is None:
            return
        rank = self._folder.settings.rank
        # the names must differ between the ranks
        prefix = "system" if rank is None else f"system.rank{rank}"
        for name, value in self._sampler.stop().items():
            self._writer.append(reading_summary_record(f"{prefix}.{name}", value))

    def _others_record(self) -> bool:
        """Return whether other ranks still record the run. The last rank writes the documents."""
        if self._folder.settings.rank is None:
            return False
        from provml.journal.status import read_run_state

        return read_run_state(self.path).status == "running"

    def _write_documents(self) -> None:
        # imported here, because only this method needs the code that derives documents
        from provml.export import write_documents

        try:
            write_documents(self.path, self._formats)
        except Exception as error:  # the training is over, and the export can be repeated
            warn_without_raising(
                f"the run is recorded, but its documents could not be written: {error}; "
                f"to write them, run: provml recover {self.path}"
            )

    def __enter__(self) -> Run:
        self._is_block = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if exception is None:
            self.end_run()
        else:
            ending = process_hooks.exit_from_exception(exception)
            self.end_run(ending.status, reason=ending.reason, exception=ending.exception)

    def __copy__(self) -> Run:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Run:
        return self

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _join_pickled_run, (self._folder,)


def _describe_exception(exception: BaseException | None) -> dict[str, str] | None:
    return None if exception is None else process_hooks.exception_record(exception)


def _join_pickled_run(folder: RunDirectory) -> Run:
    """Return a run that was pickled, in the process that unpickles it.

    If the process has already opened the run, this function returns the same object, because a
    worker of a process pool receives the run with every task. The process writes to the run, but
    does not end the run. The process opens its journal files when it writes the first record.
    """
    for known in active_runs.all.copy():
        if folder_of(known) == str(folder.path):
            if known in active_runs.guests:
                active_runs.move_to_end(known)
            return cast(Run, known)
    run = Run(folder, None, (), owner=False)
    process_hooks.activate(run, guest=True)
    return run
