"""Records the floating-point operations (FLOPs) of a run.

Each call counts FLOPs under a label, and writes two samples with the same time: the increment (a
series of the kind ``flops``) and the label's total so far in this process (``cumulative-flops``).
Both series refer to a ``flops`` record, which describes the counted work: for example, one batch of
a certain shape in a model. Calls that count the same work share one record.

Imports `object_registry`, `checks` and the journal's writer; imports `collect` only when it counts
FLOPs.
"""

from __future__ import annotations

import struct
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, SupportsIndex

from provml.base.context import Context, context_path, validate_name
from provml.errors import InvalidArgumentError
from provml.journal import layout
from provml.journal.sample_files import SampleFile, mark_abandoned
from provml.journal.series_keys import SeriesKey
from provml.journal.values import encode
from provml.recording.checks import path_to_list, validate_epoch, validate_step

if TYPE_CHECKING:
    from provml.collect.batches import Arguments
    from provml.collect.flop_counter import CountedFlops
    from provml.journal.absent_writer import AbsentWriter
    from provml.journal.layout import Record
    from provml.journal.writer import JournalWriter
    from provml.recording.object_registry import ObjectRegistry

_pack_into: Final = layout.RECORD_I64.pack_into
_time_ns: Final = time.time_ns
_UNIT: Final = "FLOP"
_SERIES_KINDS: Final = ("flops", "cumulative-flops")
_NO_BATCH: Final = type(None)
_INCREMENT, _TOTAL = range(2)

PlaceArguments = tuple[
    Context | str | None, SupportsIndex | float | None, SupportsIndex | float | None
]
"""The context, step and epoch, as the caller passed them."""


class FlopsHost(Protocol):
    """The attributes and methods of a run that `FlopsLog` uses."""

    _known: ObjectRegistry
    _samples: SampleFile

    def _append(self, record: Record) -> None:
        """Write a record to the journal."""

    def _open_writer(self, context: Context | str | None = None) -> JournalWriter | AbsentWriter:
        """Return this process's journal writer. Raises RunClosedError if the run has ended."""


@dataclass(slots=True)
class _CountedWork:
    """The FLOPs that one call counted. Later calls with the same arguments reuse them.

    Attributes:
        label: the label of the call.
        path: the path of the call's context.
        target: the number of the ``flops`` record that describes the work.
        increment: the number of FLOPs.
        module: a weak reference to the counted module; for a code block, a function that returns
            None.
        given: a weak reference to the ``model`` argument of the call.
        training: whether the module was in train mode.
        grad: whether gradients were enabled.
        changes: the value of `ObjectRegistry.changes` when the FLOPs were counted.
        numbers: the series numbers of the increment and the total in the file `samples`; 0 for an
            unknown number.
    """

    label: str
    path: tuple[str, ...] | None
    target: int
    increment: int
    module: Callable[[], Any]
    given: Callable[[], Any]
    training: bool
    grad: bool
    changes: int
    samples: SampleFile | None = None
    numbers: tuple[int, int] = (0, 0)


class FlopsLog:
    """Records the FLOPs that one process of a run counts. You can use it from any thread."""

    def __init__(self, run: FlopsHost) -> None:
        from provml.collect.batches import batch_key
        from provml.collect.flop_counter import import_torch

        self._run = run
        self._batch_key = batch_key
        self._torch = import_torch()
        self._is_grad_enabled = self._torch.is_grad_enabled
        self._lock = threading.RLock()
        self._by_call: dict[Any, _CountedWork] = {}
        self._by_content: dict[Any, _CountedWork] = {}
        self._totals: dict[str, int] = {}
        self._counts: weakref.WeakKeyDictionary[Any, dict[Any, CountedFlops]] = (
            weakref.WeakKeyDictionary()
        )
        self._seen: weakref.WeakKeyDictionary[Any, Arguments] = weakref.WeakKeyDictionary()
        self._lengths: set[Any] = set()
        self._records = 0
        self._last_ns = 0

    # -- calls --------------------------------------------------------------------------------

    def batch(
        self, label: str, place: PlaceArguments, model: Any, batch: Any, backward: bool | None
    ) -> None:
        """Record the FLOPs of one batch."""
        context, step, epoch = place
        try:
            key = (label, context, id(model), self._batch_key(batch), backward)
            work = self._by_call[key]
        except (KeyError, TypeError):
            pass
        else:
            if self._still_holds(work, model, backward):
                if step.__class__ is not int or step == layout.NO_STEP or epoch is not None:
                    step, epoch = validate_step(step), validate_epoch(epoch)
                self._write_samples(work, work.increment, step, epoch)
                return
        step, epoch = validate_step(step), validate_epoch(epoch)
        name, path = _validate_label(label), context_path(context)
        module = self._find_module(model)
        arguments = self._find_arguments(module, batch)
        count = self._count_module(module, arguments, backward)
        facts = {"unit": "batch", "inputs": arguments.shapes()}
        self._run._open_writer(context)
        work = self._find_or_record_work(name, path, count, count.flops, facts, module, model)
        if batch is not None:  # later calls without a batch use this batch, not an earlier one
            self._by_call = {k: v for k, v in self._by_call.items() if k[3] is not _NO_BATCH}
        self._by_call[key] = work
        self._write_samples(work, work.increment, step, epoch)

    def epoch(
        self,
        label: str,
        dataset: Any,
        place: PlaceArguments,
        model: Any,
        batch: Any,
        backward: bool | None,
    ) -> None:
        """Record the FLOPs of one pass over a dataset."""
        from provml.collect.epochs import measure_epoch
        from provml.collect.flop_counter import preserve_random_state

        context, step, epoch = place
        name, path = _validate_label(label), context_path(context)
        step, epoch = validate_step(step), validate_epoch(epoch)
        module = self._find_module(model)
        data, own_name = self._find_dataset(dataset)
        if isinstance(data, int) and data <= 0:
            raise InvalidArgumentError(f"a dataset's length must be 1 or more, not {data}")
        like = self._seen.get(module) if isinstance(data, int) else None
        if batch is not None:
            like = self._find_arguments(module, batch)
        if like is None and isinstance(data, int):
            like = self._find_arguments(module, None)
        with preserve_random_state():
            content = measure_epoch(data, module, like)
        flops = 0
        counts: list[CountedFlops] = []
        for rows, times in content.parts:
            arguments = (
                content.like if rows == content.like.sample_count() else content.like.resize(rows)
            )
            counts.append(self._count_module(module, arguments, backward))
            flops += counts[-1].flops * times
        if not counts:
            raise InvalidArgumentError("cannot count the FLOPs of an epoch: the dataset is empty")
        self._run._open_writer(context)
        facts = {
            "unit": "epoch",
            "inputs": content.like.shapes(),
            "samples": content.samples,
            "batches": content.batches,
            "dataset": own_name or self._record_dataset(dataset, content.samples, path),
        }
        work = self._find_or_record_work(name, path, counts[0], flops, facts, module, None)
        self._write_samples(work, flops, step, epoch)

    def block(self, label: str, place: PlaceArguments, count: CountedFlops, start_ns: int) -> None:
        """Record the FLOPs of a code block that has run."""
        context, step, epoch = place
        self._run._open_writer(context)
        facts = {"unit": "block", "start": start_ns}
        work = self._find_or_record_work(
            label, context_path(context), count, count.flops, facts, None, None
        )
        self._write_samples(work, count.flops, step, epoch)

    # -- arguments ---------------------------------------------------------------------------

    def _still_holds(self, work: _CountedWork, model: Any, backward: bool | None) -> bool:
        """Return whether an earlier count is still valid for a call with this model."""
        if model is None:
            module = work.module()
        elif work.given() is model:
            module = work.module() if isinstance(model, str) else model
        else:
            return False  # this is a different model, which has the `id()` of a deleted model
        return (
            module is not None
            and work.changes == self._run._known.changes
            and (
                backward is not None
                or (module.training == work.training and self._is_grad_enabled() == work.grad)
            )
        )

    def _find_module(self, model: Any) -> Any:
        from provml.collect.flop_counter import is_torch_module

        known = self._run._known
        if model is None:
            found = known.latest("model", is_torch_module)
            if found is None:
                gone = ", ".join(map(repr, known.names("model")))
                raise InvalidArgumentError(
                    "no model is available to count: log a torch module with "
                    "log_model(name, module), or pass model="
                    + (f" (logged, but deleted or not a torch module: {gone})" if gone else "")
                )
            return found
        if isinstance(model, str):
            found = known.get("model", model)
            if found is None:
                why = (
                    "no longer exists"
                    if known.has("model", model)
                    else "was not logged in this process"
                )
                raise InvalidArgumentError(
                    f"the model {model!r} {why}: log it with log_model({model!r}, module)"
                )
            model = found
        if not is_torch_module(model):
            raise InvalidArgumentError(
                f"FLOPs can only be counted for torch modules, not for {type(model).__qualname__}; "
                "log your own count with log_metric"
            )
        return model

    def _find_arguments(self, module: Any, batch: Any) -> Arguments:
        from provml.collect.batches import call_arguments
        from provml.collect.epochs import infer_batch
        from provml.collect.flop_counter import preserve_random_state, unwrap_module

        if batch is not None:
            arguments = call_arguments(unwrap_module(module), batch)
            self._seen[module] = arguments.without_data()
            return arguments
        seen = self._seen.get(module)
        if seen is None:
            data = self._run._known.latest("dataset", lambda _: True)
            with preserve_random_state():
                seen = None if data is None else infer_batch(data, unwrap_module(module))
        if seen is None:
            raise InvalidArgumentError(
                "the shape of the batch is unknown: pass batch= once, or log the dataset or its "
                "loader with log_dataset first"
            )
        self._seen[module] = seen
        return seen

    def _find_dataset(self, dataset: Any) -> tuple[Any, str | None]:
        """Return the dataset, and the name under which it was logged; None if it was not logged."""
        known = self._run._known
        if isinstance(dataset, str):
            found = known.get("dataset", dataset)
            if found is None:
                logged = ", ".join(map(repr, known.names("dataset"))) or "none"
                why = (
                    "no longer exists"
                    if known.has("dataset", dataset)
                    else "was not logged in this process"
                )
                raise InvalidArgumentError(
                    f"the dataset {dataset!r} {why} (logged datasets: {logged}): log it with "
                    f"log_dataset({dataset!r}, data), or pass the object or its length"
                )
            return found, dataset
        if dataset is None:
            raise InvalidArgumentError(
                "the dataset is missing: pass a DataLoader, a Dataset, an array, a number of "
                "samples, or the name of a logged dataset"
            )
        inner = getattr(dataset, "dataset", None)
        name = known.name_of("dataset", dataset)
        if name is None and inner is not None:
            name = known.name_of("dataset", inner)
        return dataset, name

    def _count_module(
        self, module: Any, arguments: Arguments, backward: bool | None
    ) -> CountedFlops:
        """Return the FLOPs of a module for inputs of these shapes.

        Counts the FLOPs only in the first call for a module and its input shapes.
        """
        from provml.collect.flop_counter import count_module, expects_backward

        both = expects_backward(module) if backward is None else backward
        key = (tuple(arguments.shapes()), both, module.training)
        counts = self._counts.setdefault(module, {})
        if key not in counts:
            counts[key] = count_module(module, arguments, both)
        return counts[key]

    # -- records ------------------------------------------------------------------------------

    def _find_or_record_work(
        self,
        label: str,
        path: tuple[str, ...] | None,
        count: CountedFlops,
        increment: int,
        facts: dict[str, Any],
        module: Any,
        given: Any,
    ) -> _CountedWork:
        """Return the counted work for these arguments; if it is new, record it first."""
        from provml.collect.peak_flops import find_peak

        name = None if module is None else self._model_name(module, path)
        mode = (module is not None and module.training, self._is_grad_enabled())
        said = (label, path, id(module), increment, count.passes, repr(facts), mode)
        work = self._by_content.get(said)
        if work is not None and module is not None and self._is_current(work, module):
            return replace(work, given=_weak_reference(given))
        with self._lock:
            self._records += 1
            target = self._records
        device, peak = find_peak(module)
        record = {
            "record": "flops",
            "time": _time_ns(),
            "target": target,
            "name": label,
            "context": path_to_list(path),
            "flops": encode(increment),
            "passes": count.passes,
            "model": name,
            "uncounted": count.uncounted,
            "counter": f"torch {self._torch.__version__}",
            "device": device,
        }
        record |= {key: value for key, value in facts.items() if value is not None}
        if peak is not None:
            record["peak"] = peak
        self._run._append(record)
        work = _CountedWork(
            label=label,
            path=path,
            target=target,
            increment=increment,
            module=_weak_reference(module),
            given=_weak_reference(given),
            training=mode[0],
            grad=mode[1],
            changes=self._run._known.changes,
        )
        if module is not None:  # each execution of a code block gets a separate record
            self._by_content[said] = work
        return work

    def _is_current(self, work: _CountedWork, module: Any) -> bool:
        """Return whether counted work still describes this module."""
        return work.module() is module and work.changes == self._run._known.changes

    def _model_name(self, module: Any, path: tuple[str, ...] | None) -> str:
        """Return a module's name in the run. Logs an unnamed module first, without its weights."""
        known = self._run._known
        name = known.name_of("model", module)
        if name is not None:
            return name
        from provml.collect.models import describe_counted_module

        name = _free_name(type(module).__qualname__, known.names("model"))
        known.register("model", name, module)
        place = {"context": path_to_list(path), "step": None, "epoch": None}
        content = describe_counted_module(module)
        self._run._append(
            {"record": "model", "name": name, **place, "time": _time_ns(), "content": content}
        )
        return name

    def _record_dataset(
        self, dataset: Any, samples: int | None, path: tuple[str, ...] | None
    ) -> str:
        """Record the type and length of an unlogged dataset; return the dataset's name."""
        known = self._run._known
        kind = type(dataset)
        is_length = isinstance(dataset, int)
        base = f"{dataset} samples" if is_length else kind.__qualname__
        name = base if is_length else _free_name(base, known.names("dataset"))
        content: dict[str, Any] = {
            "kind": "object",
            "python": f"{kind.__module__}.{kind.__qualname__}",
            "unread": "only its length is known"
            if is_length
            else "it was only passed to log_flops_per_epoch; log_dataset records its content",
        }
        if samples is not None:
            content["length"] = samples
        record = {"record": "dataset", "name": name, "context": path_to_list(path)}
        if not is_length:
            known.register("dataset", name, dataset)
        elif (name, path) in self._lengths:
            return name
        self._lengths.add((name, path))
        self._run._append({**record, "time": _time_ns(), "content": content})
        return name

    # -- samples ------------------------------------------------------------------------------

    def _write_samples(
        self,
        work: _CountedWork,
        increment: int,
        step: SupportsIndex | float | None,
        epoch: SupportsIndex | float | None,
    ) -> None:
        """Write the increment and the total as two samples with the same, unique time."""
        own_step = layout.NO_STEP if step is None else step
        own_epoch = layout.NO_EPOCH if epoch is None else epoch
        with self._lock:
            now = _time_ns()
            self._last_ns = now = now if now > self._last_ns else self._last_ns + 1
            total = self._totals.get(work.label, 0) + increment
            samples = self._run._samples
            first, second = work.numbers if work.samples is samples else (0, 0)
            written = False
            if first and second:
                buffer, reserve = samples.slots
                slot = reserve()
                try:
                    _pack_into(buffer, slot, now, own_step, increment, own_epoch, first)
                    written = True
                    slot = reserve()
                    _pack_into(buffer, slot, now, own_step, total, own_epoch, second)
                    self._totals[work.label] = total
                    return
                except (struct.error, TypeError, ValueError):
                    mark_abandoned(
                        buffer, slot
                    )  # the segment is full or closed, or the int is too large
            if not written:
                self._write_one_sample(work, _INCREMENT, now, step, epoch, increment)
            self._totals[work.label] = total
            self._write_one_sample(work, _TOTAL, now, step, epoch, total)

    def _write_one_sample(
        self, work: _CountedWork, which: int, now: int, step: Any, epoch: Any, value: int
    ) -> None:
        """Write a sample that the fast path can't write.

        This is necessary if the series is new, the segment is full, or the int needs more than 64
        bits. Also stores the number of the series, so that the fast path can write later samples.
        """
        writer = self._run._open_writer()
        fits = value <= layout.MAX_INT64
        storage = "i64" if fits else "text"
        key: SeriesKey = (_SERIES_KINDS[which], work.label, work.path, _UNIT, storage, work.target)
        own = value if fits else encode(value)
        writer.sample(key, now, validate_step(step), validate_epoch(epoch), own)
        if work.samples is not self._run._samples:
            work.samples, work.numbers = self._run._samples, (0, 0)
        number = (writer.find_number(key) if fits else None) or 0
        first, second = work.numbers
        work.numbers = (number, second) if which == _INCREMENT else (first, number)


def _validate_label(label: object) -> str:
    return validate_name(label, "a label")


def _free_name(base: str, taken: list[str]) -> str:
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base} {number}"
    return name


def _weak_reference(value: Any) -> Callable[[], Any]:
    """Return a weak reference if the object supports one, else a strong one."""
    try:
        return weakref.ref(value)
    except TypeError:
        return lambda: value
