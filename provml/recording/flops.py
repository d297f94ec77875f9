"""What a run logs of FLOPs: what is counted once, and the samples that each call writes.

A call writes two samples of one time: the increment (series of the kind ``flops``) and the label's
total so far in this process (``cumulative-flops``). What they stand for, a model run on inputs of
some shape, is a ``flops`` record, written where it is new; the series name it as their target.

Imports `known`, `arguments`, `journal` writers; `collect` where something is to be counted.
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
from provml.journal.values import encode
from provml.journal.writer import SeriesKey
from provml.recording.checks import path_to_list, validate_epoch, validate_step

if TYPE_CHECKING:
    from provml.collect.batches import Arguments
    from provml.collect.flop_counter import CountedFlops
    from provml.journal.writer import AbsentWriter, JournalWriter, Record
    from provml.recording.object_registry import ObjectRegistry

_pack_into: Final = layout.RECORD_I64.pack_into
_time_ns: Final = time.time_ns
_UNIT: Final = "FLOP"
_KINDS: Final = ("flops", "cumulative-flops")
_NO_BATCH: Final = type(None)
_INCREMENT, _TOTAL = range(2)

Place = tuple[Context | str | None, SupportsIndex | None, SupportsIndex | None]
"""context, step, epoch"""


class FlopsHost(Protocol):
    """What this module needs of a run."""

    _known: ObjectRegistry
    _samples: SampleFile

    def _append(self, record: Record) -> None:
        """Write a record."""

    def _open_writer(self) -> JournalWriter | AbsentWriter:
        """The writer of this process. Raises RunClosedError."""


@dataclass(slots=True)
class _Line:
    """What calls alike write, worked out at the first of them.

    Attributes:
        module: the module, weakly; None where no module was counted.
        given: what the call gave as ``model``, weakly.
        training: the mode that the module was in.
        grad: whether gradients were enabled.
        numbers: the numbers of the two series in the file ``samples``; 0 where not known.
        changes: of `ObjectRegistry`, when it was worked out.
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
    """One process's side of a run's FLOPs; safe to call from any thread."""

    def __init__(self, run: FlopsHost) -> None:
        from provml.collect.batches import batch_key
        from provml.collect.flop_counter import import_torch

        self._run = run
        self._batch_key = batch_key
        self._torch = import_torch()
        self._is_grad_enabled = self._torch.is_grad_enabled
        self._lock = threading.RLock()
        self._lines: dict[Any, _Line] = {}
        self._stated: dict[Any, _Line] = {}
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
        self, label: str, place: Place, model: Any, batch: Any, backward: bool | None
    ) -> None:
        """Log one batch."""
        context, step, epoch = place
        try:
            key = (label, context, id(model), self._batch_key(batch), backward)
            line = self._lines[key]
        except (KeyError, TypeError):
            pass
        else:
            if self._holds(line, model, backward):
                if step.__class__ is not int or step == layout.NO_STEP or epoch is not None:
                    step, epoch = validate_step(step), validate_epoch(epoch)
                self._write(line, line.increment, step, epoch)
                return
        step, epoch = validate_step(step), validate_epoch(epoch)
        name, path = _label(label), context_path(context)
        module = self._module(model)
        arguments = self._arguments(module, batch)
        count = self._count(module, arguments, backward)
        facts = {"unit": "batch", "inputs": arguments.shapes()}
        line = self._line(name, path, count, count.flops, facts, module, model)
        if batch is not None:  # another batch is now what a call without one means
            self._lines = {k: v for k, v in self._lines.items() if k[3] is not _NO_BATCH}
        self._lines[key] = line
        self._write(line, line.increment, step, epoch)

    def epoch(
        self,
        label: str,
        dataset: Any,
        place: Place,
        model: Any,
        batch: Any,
        backward: bool | None,
    ) -> None:
        """Log one pass over a dataset."""
        from provml.collect.epochs import measure_epoch
        from provml.collect.flop_counter import preserve_random_state

        context, step, epoch = place
        name, path = _label(label), context_path(context)
        step, epoch = validate_step(step), validate_epoch(epoch)
        module = self._module(model)
        data, own_name = self._dataset(dataset)
        if isinstance(data, int) and data <= 0:
            raise InvalidArgumentError(f"a dataset's length must be 1 or more: {data}")
        like = self._seen.get(module) if isinstance(data, int) else None
        if batch is not None:
            like = self._arguments(module, batch)
        if like is None and isinstance(data, int):
            like = self._arguments(module, None)
        with preserve_random_state():
            content = measure_epoch(data, module, like)
        flops = 0
        counts: list[CountedFlops] = []
        for rows, times in content.parts:
            arguments = (
                content.like if rows == content.like.sample_count() else content.like.resize(rows)
            )
            counts.append(self._count(module, arguments, backward))
            flops += counts[-1].flops * times
        if not counts:
            raise InvalidArgumentError(
                "an epoch over no samples has no FLOPs: the dataset is empty"
            )
        facts = {
            "unit": "epoch",
            "inputs": content.like.shapes(),
            "samples": content.samples,
            "batches": content.batches,
            "dataset": own_name or self._record_dataset(dataset, content.samples, path),
        }
        line = self._line(name, path, counts[0], flops, facts, module, None)
        self._write(line, flops, step, epoch)

    def block(self, label: str, place: Place, count: CountedFlops, start_ns: int) -> None:
        """Log a block of code that ran."""
        context, step, epoch = place
        facts = {"unit": "block", "start": start_ns}
        line = self._line(label, context_path(context), count, count.flops, facts, None, None)
        self._write(line, count.flops, step, epoch)

    # -- what is meant ------------------------------------------------------------------------

    def _holds(self, line: _Line, model: Any, backward: bool | None) -> bool:
        """Whether what was worked out then is so now."""
        if model is None:
            module = line.module()
        elif line.given() is model:
            module = line.module() if isinstance(model, str) else model
        else:
            return False  # another model, at the address of one that is gone
        return (
            module is not None
            and line.changes == self._run._known.changes
            and (
                backward is not None
                or (module.training == line.training and self._is_grad_enabled() == line.grad)
            )
        )

    def _module(self, model: Any) -> Any:
        from provml.collect.flop_counter import is_torch_module

        known = self._run._known
        if model is None:
            found = known.latest("model", is_torch_module)
            if found is None:
                gone = ", ".join(map(repr, known.names("model")))
                raise InvalidArgumentError(
                    "there is no model to count the FLOPs of: register a torch module with "
                    "log_model(name, module), or pass model="
                    + (f" (of {gone} none is a torch module that still exists)" if gone else "")
                )
            return found
        if isinstance(model, str):
            found = known.get("model", model)
            if found is None:
                why = "is gone" if known.has("model", model) else "was not registered"
                raise InvalidArgumentError(
                    f"the model {model!r} {why}: register it with log_model({model!r}, module)"
                )
            model = found
        if not is_torch_module(model):
            raise InvalidArgumentError(
                f"FLOPs can be counted of torch modules, not of {type(model).__qualname__}; "
                "log what you know of them with log_metric"
            )
        return model

    def _arguments(self, module: Any, batch: Any) -> Arguments:
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
                "there is no batch to count the FLOPs of: pass batch= (it is remembered), or log "
                "the dataset or its loader with log_dataset first"
            )
        self._seen[module] = seen
        return seen

    def _dataset(self, dataset: Any) -> tuple[Any, str | None]:
        """The data that is meant, and the name that it was logged under."""
        known = self._run._known
        if isinstance(dataset, str):
            found = known.get("dataset", dataset)
            if found is None:
                logged = ", ".join(map(repr, known.names("dataset"))) or "none"
                why = "is gone" if known.has("dataset", dataset) else "is not known here"
                raise InvalidArgumentError(
                    f"the dataset {dataset!r} {why} (known are: {logged}): log the object with "
                    f"log_dataset({dataset!r}, data), or pass it, or its length"
                )
            return found, dataset
        if dataset is None:
            raise InvalidArgumentError(
                "there is no dataset: pass a DataLoader, a Dataset, an array, a number of "
                "samples, or the name of a dataset that was logged"
            )
        inner = getattr(dataset, "dataset", None)
        name = known.name_of("dataset", dataset)
        if name is None and inner is not None:
            name = known.name_of("dataset", inner)
        return dataset, name

    def _count(self, module: Any, arguments: Arguments, backward: bool | None) -> CountedFlops:
        """The count of a module at these shapes, made once."""
        from provml.collect.flop_counter import count_module, expects_backward

        both = expects_backward(module) if backward is None else backward
        key = (tuple(arguments.shapes()), both, module.training)
        counts = self._counts.setdefault(module, {})
        if key not in counts:
            counts[key] = count_module(module, arguments, both)
        return counts[key]

    # -- records ------------------------------------------------------------------------------

    def _line(
        self,
        label: str,
        path: tuple[str, ...] | None,
        count: CountedFlops,
        increment: int,
        facts: dict[str, Any],
        module: Any,
        given: Any,
    ) -> _Line:
        """State what is counted, in a record of its own; once where nothing changed."""
        from provml.collect.peak_flops import find_peak

        name = None if module is None else self._model_name(module, path)
        mode = (module is not None and module.training, self._is_grad_enabled())
        said = (label, path, id(module), increment, count.passes, repr(facts), mode)
        line = self._stated.get(said)
        if line is not None and module is not None and self._is_of(line, module):
            return replace(line, given=_reference(given))
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
        line = _Line(
            label=label,
            path=path,
            target=target,
            increment=increment,
            module=_reference(module),
            given=_reference(given),
            training=mode[0],
            grad=mode[1],
            changes=self._run._known.changes,
        )
        if module is not None:  # no two blocks are one
            self._stated[said] = line
        return line

    def _is_of(self, line: _Line, module: Any) -> bool:
        """Whether a line states what this module is by now."""
        return line.module() is module and line.changes == self._run._known.changes

    def _model_name(self, module: Any, path: tuple[str, ...] | None) -> str:
        """The name of the module's model; one that was not logged is, without its parameters."""
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
        """Log a dataset that was not, by type and length."""
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
            else "it was given to log_flops_per_epoch; log_dataset records its content",
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

    def _write(
        self,
        line: _Line,
        increment: int,
        step: SupportsIndex | None,
        epoch: SupportsIndex | None,
    ) -> None:
        """Write the increment and the total, of one time that no other call of this process has."""
        own_step = layout.NO_STEP if step is None else step
        own_epoch = layout.NO_EPOCH if epoch is None else epoch
        with self._lock:
            now = _time_ns()
            self._last_ns = now = now if now > self._last_ns else self._last_ns + 1
            total = self._totals.get(line.label, 0) + increment
            samples = self._run._samples
            first, second = line.numbers if line.samples is samples else (0, 0)
            written = False
            if first and second:
                buffer, reserve = samples.slots
                slot = reserve()
                try:
                    _pack_into(buffer, slot, now, own_step, increment, own_epoch, first)
                    written = True
                    slot = reserve()
                    _pack_into(buffer, slot, now, own_step, total, own_epoch, second)
                    self._totals[line.label] = total
                    return
                except (struct.error, TypeError, ValueError):
                    mark_abandoned(buffer, slot)  # a full or closed segment, or more than 64 bits
            if not written:
                self._write_carefully(line, _INCREMENT, now, step, epoch, increment)
            self._totals[line.label] = total
            self._write_carefully(line, _TOTAL, now, step, epoch, total)

    def _write_carefully(
        self, line: _Line, which: int, now: int, step: Any, epoch: Any, value: int
    ) -> None:
        """Write one sample where the fast way does not: of a new series, a full segment, a big int.

        Learns the series' number for the fast way.
        """
        writer = self._run._open_writer()
        fits = value <= layout.MAX_INT64
        storage = "i64" if fits else "text"
        key: SeriesKey = (_KINDS[which], line.label, line.path, _UNIT, storage, line.target)
        own = value if fits else encode(value)
        writer.sample(key, now, validate_step(step), validate_epoch(epoch), own)
        if line.samples is not self._run._samples:
            line.samples, line.numbers = self._run._samples, (0, 0)
        number = (writer.find_number(key) if fits else None) or 0
        first, second = line.numbers
        line.numbers = (number, second) if which == _INCREMENT else (first, number)


def _label(label: object) -> str:
    return validate_name(label, "a label")


def _free_name(base: str, taken: list[str]) -> str:
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base} {number}"
    return name


def _reference(value: Any) -> Callable[[], Any]:
    """A weak reference, where that can be had."""
    try:
        return weakref.ref(value)
    except TypeError:
        return lambda: value
