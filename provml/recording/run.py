"""A run: its verbs and its end.

The hot path is `Run.log_metric`. Imports nothing that derives, but for one late call in
`Run.end_run` that has the documents written. A verb that needs a collector imports it when called:
``import provml`` stays quick.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, cast

from provml.base.clock import to_time_ns
from provml.base.context import Context, context_path, validate_name
from provml.collect.secrets import mask_text
from provml.errors import InvalidArgumentError, InvalidMetricError
from provml.journal import layout
from provml.journal.sample_files import mark_abandoned
from provml.journal.writer import ExtraFields, Record, SeriesKey, warn
from provml.recording import process_hooks
from provml.recording.annotations import Annotations, Timestamp
from provml.recording.checks import (
    encode_value,
    metadata_value,
    packs_exactly,
    param_record,
    path_to_list,
    place_fields,
    validate_epoch,
    validate_metric_name,
    validate_step,
)
from provml.recording.metric_groups import Metrics
from provml.recording.recorder import Target
from provml.recording.run_directory import RunDirectory

if TYPE_CHECKING:
    from provml.recording.flops import FlopsLog

_NO_STEP: Final = layout.NO_STEP
_NO_EPOCH: Final = layout.NO_EPOCH
_struct_error: Final = struct.error
_time_ns: Final = time.time_ns


class Run(Annotations):
    """A run that is being recorded; made by `provml.start_run`, also a context manager.

    Safe to use from any thread, in forked children (which write files of their own and never end
    the run), and, pickled, in other processes of the same machine.

    Attributes:
        id: the run's id, unique within its experiment.
        experiment: the experiment's name.
        path: the run's folder.
    """

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<provml.Run {self.experiment}/{self.id} {state}>"

    # -- metrics ------------------------------------------------------------------------------

    def log_metric(
        self,
        name: str,
        value: Any,
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
        *,
        timestamp: Timestamp | None = None,
        unit: str | None = None,
        of: Target | None = None,
    ) -> None:
        """Record one sample of a metric.

        Costs less than a microsecond for a Python or numpy float or int, a few for a tensor, and
        one write() for what takes the events file: an int beyond 64 bits, Decimal, str, bytes
        (up to 1 MiB) and numpy arrays of up to 4,096 numbers. Nothing is rounded.

        Args:
            name: any Unicode text.
            value: a number, a one-element array or tensor, or one of the above.
            context: a `Context`, the name of one, or None: the run itself.
            step: any integer of 64 bits (but -2**63); may repeat and go back.
            epoch: 0 to 2**31 - 1.
            timestamp: seconds since the epoch or an aware datetime; None is now.
            unit: the unit of the value, for example ``"s"``.
            of: the model or artifact that is measured, such as a checkpoint: the name it was logged
                under, ``("model", name)`` or ``("artifact", name)``, or the object itself. The
                sample was derived from its version by then.

        Raises:
            InvalidMetricError: bool, None, a tensor of many elements, another type; a bad name.
            InvalidArgumentError: a bad context, step, epoch, timestamp or unit; a target that was
                not logged.
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
            pass  # a new series, a full segment, or misuse: the careful way tells which
        if slot >= 0:
            mark_abandoned(buffer, slot)
        time_ns = _time_ns() if timestamp is None else to_time_ns(timestamp)
        self._log_carefully([(name, value)], context, step, epoch, time_ns, unit, of)

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
        *,
        timestamp: Timestamp | None = None,
        of: Target | None = None,
    ) -> None:
        """Record a sample of each metric, all at one time; if one is refused, none is recorded.

        Costs and raises as `log_metric` does, for each.
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
        own_step = _NO_STEP if step is None else step
        own_epoch = _NO_EPOCH if epoch is None else epoch
        samples = self._samples
        for (number, pack_into), pair in zip(known, pairs, strict=True):
            buffer, reserve = samples.slots
            slot = reserve()
            try:
                pack_into(buffer, slot, time_ns, own_step, pair[1], own_epoch, number)
            except (_struct_error, ValueError, TypeError):
                # a full segment, an int of over 64 bits, or a segment that was just closed
                mark_abandoned(buffer, slot)
                self._log_carefully([pair], context, step, epoch, time_ns, None, of)

    def _log_carefully(
        self,
        pairs: list[tuple[str, Any]],
        context: Context | str | None,
        step: SupportsIndex | None,
        epoch: SupportsIndex | None,
        time_ns: int,
        unit: str | None,
        of: Target | None = None,
    ) -> None:
        """Check everything, then write; learns the way for the fast path."""
        own_step = validate_step(step)
        own_epoch = validate_epoch(epoch)
        if unit is not None:
            unit = validate_name(unit, "unit")
        path = context_path(context)
        told = () if of is None else (ExtraFields(of=self._target(of)),)
        # an object would be kept alive by what is learned
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
            number = writer.number_of(key)
            if number is not None:
                self._fast[call] = (number, layout.STORAGES[key[4]].pack_into)

    @property
    def metrics(self) -> Metrics:
        """Metrics by groups: points whose epoch comes later, batches, summaries of many values."""
        if self._metrics is None:
            with self._lock:
                self._metrics = self._metrics or Metrics(self)
        return self._metrics

    # -- content ------------------------------------------------------------------------------

    def log_dataset(
        self,
        name: str,
        data: object,
        context: Context | str | None = None,
        *,
        copy: bool = False,
    ) -> None:
        """Record a dataset that the context, or the run, uses; the data itself is not kept.

        Costs one pass over the data to hash it (SHA-256). A file or folder of 64 MiB or more is
        hashed in the background: `hashing` tells how far that is, and the end of the run waits for
        it, by default up to a minute (``PROVML_HASH_WAIT_S``).

        Args:
            name: any Unicode text; another content under a name is a revision of the first.
            data: a file, folder or URI; an array, tensor, or a list or mapping of these; a table
                of pandas, polars or Arrow; a Dataset, Subset or DataLoader of torch; a dataset of
                Hugging Face. Any other object is recorded by type and length, without a digest.
            context: where it is used.
            copy: keep a copy of the file or folder under the run's ``artifacts/``.

        Raises:
            ContentNotFoundError: the path does not exist.
            InvalidArgumentError: a bad name or context; None or a number for data.
            RunClosedError: the run has ended.
        """
        record = {
            "record": "dataset",
            "name": validate_name(name, "a dataset's name"),
            "context": path_to_list(context_path(context)),
        }
        from provml.collect.datasets import describe_dataset

        self._open_writer(context)
        with self._lock:
            self._hashed = number = self._hashed + 1
        content = describe_dataset(data, self.path, copy, partial(self._hash_later, number, name))
        self._append({**record, "time": _time_ns(), "id": number, "content": content})
        self._known.register("dataset", name, data)

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        copy: bool | None = None,
    ) -> None:
        """Record a file or folder that the run made.

        Costs a read of the content (SHA-256), two for a copy.

        Args:
            path: the file, folder or URI.
            name: by default the path's last part; a second version is a revision of the first.
            context, step, epoch: what made it.
            metadata: whatever else there is to say, as JSON can hold it.
            copy: keep a copy under ``artifacts/``; None copies up to 10 MiB.

        Raises:
            ContentNotFoundError: the path does not exist.
            InvalidArgumentError: a bad name, context, step or metadata.
            RunClosedError: the run has ended.
        """
        if not isinstance(path, (str, os.PathLike)):
            raise InvalidArgumentError(
                f"an artifact must be a path, not {type(path).__name__}: {path!r:.80}"
            )
        own_name = os.path.basename(os.fspath(path).rstrip("/")) if name is None else name
        record = self._artifact(own_name, context, step, epoch, metadata)
        from provml.collect.content import describe_path

        self._open_writer(context)
        content = describe_path(path, self.path, copy)
        self._append({**record, "time": _time_ns(), "content": content})
        self._known.made.add(("artifact", record["name"]))

    def _log_bytes(
        self,
        content: bytes,
        name: str,
        file_name: str,
        context: Context | None,
        step: int | None,
        timestamp: Timestamp | None,
        metadata: Mapping[str, Any],
    ) -> None:
        """Record an artifact that was never a file; it is one beside the run, of that name."""
        record = self._artifact(name, context, step, None, metadata)
        record["time"] = _time_ns() if timestamp is None else to_time_ns(timestamp)
        from provml.collect.content import write_captured

        self._open_writer(context)
        self._append({**record, "content": write_captured(self.path, file_name, content)})
        self._known.made.add(("artifact", name))

    def _artifact(
        self,
        name: str,
        context: Context | str | None,
        step: SupportsIndex | None,
        epoch: SupportsIndex | None,
        metadata: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """The record of an artifact, without time and content."""
        record = {"record": "artifact", "name": validate_name(name, "an artifact's name")}
        record |= place_fields(context, step, epoch)
        if metadata is not None:
            record["metadata"] = metadata_value(metadata)
        return record

    def log_model(
        self,
        name: str,
        model: object,
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
        *,
        copy: bool | None = None,
    ) -> None:
        """Record a model; a second version of a name is a revision of the first.

        Costs a pass over its bytes (SHA-256).

        Args:
            name: the model's name.
            model: a file, folder or URI, or the object itself: its parameters are hashed
                (``state_dict``, else its pickle), nothing is saved.
            context, step, epoch: what made it.
            copy: of a path, as in `log_artifact`.

        Raises:
            ContentNotFoundError: the path does not exist.
            InvalidArgumentError: a bad name, context or step; None or a number for the model.
            RunClosedError: the run has ended.
        """
        record = {"record": "model", "name": validate_name(name, "a model's name")}
        record |= place_fields(context, step, epoch)
        from provml.collect.models import describe_model

        self._open_writer(context)
        content = describe_model(model, self.path, copy)
        self._append({**record, "time": _time_ns(), "content": content})
        self._known.register("model", name, model)
        self._known.made.add(("model", record["name"]))

    def log_source_code(self, path: str | os.PathLike[str] | None = None) -> None:
        """Record the source code: the file's digest, the git commit, what is changed, the diff.

        Modules that were imported from the script's folder and that git does not have are kept,
        without git all of them; of a notebook, the cells that were run. Costs a few git calls,
        tens of milliseconds.

        Args:
            path: a file or folder; by default the running script or notebook.

        Raises:
            ContentNotFoundError: the path does not exist.
            RunClosedError: the run has ended.
        """
        from provml.collect.source import describe_source

        self._open_writer()
        self._append({"record": "source", "time": _time_ns(), **describe_source(path, self.path)})

    def log_environment(self, variables: Iterable[str] = ()) -> None:
        """Record interpreter, packages, system, processor, GPUs, container, and some variables.

        Costs about 1 ms an installed package.

        Args:
            variables: names of environment variables to record beside those of an allow-list;
                ``MY_*`` is all that begin so. What looks like a secret is masked.

        Raises:
            InvalidArgumentError: a name is no text.
            RunClosedError: the run has ended.
        """
        if isinstance(variables, str):
            raise InvalidArgumentError(f"variables must be several names: [{variables!r}]")
        names = [validate_name(name, "a variable's name") for name in variables]
        from provml.collect.environment import describe_environment

        self._open_writer()
        self._append({"record": "environment", "time": _time_ns(), **describe_environment(names)})

    # -- FLOPs --------------------------------------------------------------------------------

    def log_flops_per_batch(
        self,
        label: str,
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
        *,
        model: Any = None,
        batch: Any = None,
        backward: bool | None = None,
    ) -> None:
        """Record the floating-point operations of one batch, and the label's total so far.

        They are counted once for a model and the shapes of a batch (some milliseconds, with no
        effect on the model, its gradients or random numbers); a call after that costs a few
        microseconds. A multiply-add is two operations; see `provml.collect.flop_counter`.

        Args:
            label: a name for the count; its total runs over all contexts.
            context, step, epoch: as in `log_metric`.
            model: a torch module, or the name of one given to `log_model`; by default the last of
                those.
            batch: as a loader gives it; by default one like the last, or of the dataset that was
                logged last. A mapping is passed as keyword arguments, of a tuple as many members
                as ``forward`` requires.
            backward: whether a backward pass belongs to it; by default, whether the model is in
                train mode and gradients are enabled.

        Raises:
            InvalidArgumentError: what is missing, or can't be counted, is named.
            MissingExtraError: torch is not installed.
            RunClosedError: the run has ended.
        """
        log = self._flops
        if log is None:
            log = self._open_flops()
        log.batch(label, (context, step, epoch), model, batch, backward)

    def log_flops_per_epoch(
        self,
        label: str,
        dataset: Any,
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
        *,
        model: Any = None,
        batch: Any = None,
        backward: bool | None = None,
    ) -> None:
        """Record the floating-point operations of a pass over a dataset, and the label's total.

        Every batch is taken to be like the first; a smaller last one is counted as such. Costs as
        `log_flops_per_batch`, and the reading of one sample where the batch is not known.

        Args:
            label, context, step, epoch, model, backward: as in `log_flops_per_batch`.
            dataset: a DataLoader, a Dataset, an array, arrays, a number of samples, or the name of
                a dataset given to `log_dataset`.
            batch: what a batch looks like, where the dataset does not say.

        Raises:
            InvalidArgumentError, MissingExtraError, RunClosedError: as `log_flops_per_batch`.
        """
        log = self._flops or self._open_flops()
        log.epoch(label, dataset, (context, step, epoch), model, batch, backward)

    @contextmanager
    def count_flops(
        self,
        label: str,
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
    ) -> Iterator[None]:
        """Record the floating-point operations of the torch code in a ``with`` block, as it runs.

        Every operation costs some ten microseconds more while it is counted, and a block writes
        about a kilobyte. What ran counts, also where the block is left by an exception.

        Args:
            label, context, step, epoch: as in `log_flops_per_batch`.

        Raises:
            InvalidArgumentError: a bad label, context, step or epoch.
            MissingExtraError: torch is not installed.
            RunClosedError: the run has ended.
        """
        name = validate_name(label, "a label")
        where = place_fields(context, step, epoch)
        log = self._flops or self._open_flops()
        from provml.collect.flop_counter import BlockCounter

        counter = BlockCounter()
        start_ns = _time_ns()
        try:
            with counter:
                yield
        finally:
            log.block(name, (context, where["step"], where["epoch"]), counter.count(), start_ns)

    def _open_flops(self) -> FlopsLog:
        from provml.recording.flops import FlopsLog

        self._open_writer()
        with self._lock:
            if self._flops is None:
                self._flops = FlopsLog(self)
            return self._flops

    def log_system_metrics(
        self,
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        synchronous: bool = True,
        timestamp: Timestamp | None = None,
        *,
        epoch: SupportsIndex | None = None,
    ) -> None:
        """Record how much of memory, disk and GPUs is in use, in per cent, now.

        Costs about a millisecond, the first call some more. The readings are of kind ``system``:
        ``Memory usage``, ``Disk usage``, ``Gpu memory usage``, ``Gpu usage``. What is not there is
        left out. Their sampling covers the time since the call before, or since the run's start.

        Args:
            context, step, epoch: what they belong to.
            synchronous: False reads in another thread.
            timestamp: the time to record, as in `log_metric`.

        Raises:
            InvalidArgumentError: a bad context, step, epoch or timestamp.
            RunClosedError: the run has ended.
        """
        place_of = (context_path(context), validate_step(step), validate_epoch(epoch))
        time_ns = None if timestamp is None else to_time_ns(timestamp)
        self._open_writer(context)
        self._own_sampler().snapshot(place_of, time_ns, bool(synchronous))

    # -- execution time -----------------------------------------------------------------------

    def log_execution_start_time(self) -> None:
        """Record that the execution proper begins: the start of the span ``execution``."""
        self._execution_started_ns = _time_ns()
        self.log_event("execution_started", source="provml")

    def log_execution_end_time(self) -> None:
        """Record that the execution proper ends: the end of the span ``execution``."""
        self.log_event("execution_finish", source="provml")

    def log_current_execution_time(
        self,
        label: str,
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
    ) -> None:
        """Record, as a metric named by the label, the seconds since the execution started.

        That is since `log_execution_start_time`, or since the run's start without it.
        """
        elapsed_s = (_time_ns() - self._execution_started_ns) / 1e9
        self.log_metric(label, elapsed_s, context, step, epoch=epoch, unit="s")

    # -- the end ------------------------------------------------------------------------------

    def end_run(
        self,
        status: str = "finished",
        *,
        reason: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """End the run and write the documents asked for at its start. Twice is once.

        Costs 2 to 4 microseconds a sample and some 70 an event for PROV-JSON. In a forked child it
        only closes the child's own files. Trouble with writing the documents is a warning, not an
        error: they can be written later, with ``provml export``.

        Args:
            status: ``finished``, ``failed`` or ``interrupted``.
            reason: why, in words.
            exception: what ended it, kept with its traceback.

        Raises:
            InvalidArgumentError: another status; a reason that is no Unicode text.
        """
        if status not in layout.END_STATUSES:
            raise InvalidArgumentError(
                f"status must be one of {', '.join(layout.END_STATUSES)}: {status!r}"
            )
        if isinstance(reason, str):
            reason = reason[:1000]
        own_reason = None if reason is None else validate_name(reason, "reason")
        self._end(status, own_reason, _described(exception))

    def _end(self, status: str, reason: str | None, exception: dict[str, str] | None) -> None:
        """End the run with what is checked.

        Args:
            exception: what ended it, as `lifecycle.exception_record` has it.
        """
        if not self._closed:
            self._finish_hashing(self._folder.settings.hash_wait_s if status == "finished" else 0)
            self._finish_metrics()
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
        record: Record = {"record": "end", "time": _time_ns(), "status": status}
        if reason is not None:
            record["reason"] = reason
        if exception is not None:
            record["exception"] = {key: mask_text(text) for key, text in exception.items()}
        self._writer.close(record, status)
        self._folder.restore()
        if self._formats and not self._others_record():
            self._write_documents()

    def _end_sampling(self) -> None:
        """Take the last readings, and record what they and the alerts came to."""
        if self._sampler is None:
            return
        rank = self._folder.settings.rank
        prefix = "system" if rank is None else f"system.rank{rank}"  # each machine of a job its own
        for name, value in self._sampler.stop().items():
            self._writer.append(param_record(f"{prefix}.{name}", value))

    def _others_record(self) -> bool:
        """Whether other ranks are still at work: the last one to end writes the documents."""
        if self._folder.settings.rank is None:
            return False
        from provml.journal.status import run_state

        return run_state(self.path).status == "running"

    def _write_documents(self) -> None:
        from provml.export import write_documents  # derives: the one late call

        try:
            write_documents(self.path, self._formats)
        except Exception as error:  # the training is over; what failed can be done again
            warn(
                f"the run is recorded, but its documents could not be written: {error}; "
                f"try: provml export {self.path} --format {self._formats[0]}"
            )

    def __enter__(self) -> Run:
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
        return _join, (self._folder,)


def _described(exception: BaseException | None) -> dict[str, str] | None:
    return None if exception is None else process_hooks.exception_record(exception)


def _join(folder: RunDirectory) -> Run:
    """The run in a process that it was handed to by pickle: writes, but does not end it.

    Once a process: a pool's worker is handed it with every task.
    """
    for known in process_hooks.active_runs:
        if known.path == folder.path:
            return cast(Run, known)
    run = Run(folder, folder.open_writer("helper"), (), owner=False)
    process_hooks.activate(run)
    return run
