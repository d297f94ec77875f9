"""The methods of `Run` that count floating-point operations and take system readings.

Imports `recorder`, `checks` and `base`; imports `flops` and the collectors only when needed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, SupportsIndex

from provml.base.clock import Timestamp, to_time_ns
from provml.base.context import Context, context_path, validate_name
from provml.recording.checks import place_fields, validate_epoch, validate_step
from provml.recording.recorder import Recorder

if TYPE_CHECKING:
    from provml.recording.flops import FlopsLog

_time_ns: Final = time.time_ns


class ResourceVerbs(Recorder):
    """The methods of `Run` that count operations and take system readings."""

    def log_flops_per_batch(
        self,
        label: str,
        context: Context | str | None = None,
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
        *,
        model: Any = None,
        batch: Any = None,
        backward: bool | None = None,
    ) -> None:
        """Record the floating-point operations of one batch, and the label's total so far.

        The first call for each model and batch shape counts the operations, which takes a few
        milliseconds. Later calls cost a few microseconds. Counting does not change the model, its
        gradients or the state of random number generators. A multiply-add counts as two operations;
        see `provml.collect.flop_counter`.

        Args:
            label: a name for the count. The total of a label covers all contexts.
            context, step, epoch: as in `log_metric`.
            model: a torch module, or the name of a module logged with `log_model`; by default the
                module that was logged last.
            batch: a batch as the data loader returns it. By default, provml assumes the shape of
                the previous batch or, for the first call, of a batch of the dataset logged last.
                A mapping is passed to ``forward`` as keyword arguments. If the batch is a tuple,
                ``forward`` receives as many of the tuple's items as it requires.
            backward: whether to count a backward pass; by default True if the model is in train
                mode and gradients are enabled.

        Raises:
            InvalidArgumentError: the model or the batch is missing or cannot be counted.
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
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
        *,
        model: Any = None,
        batch: Any = None,
        backward: bool | None = None,
    ) -> None:
        """Record the floating-point operations of one pass over a dataset, and the label's total.

        provml assumes that all batches have the same shape as the first, except for a smaller last
        batch. Costs as much as `log_flops_per_batch`. If the batch shape is not known yet, provml
        also reads one sample of the dataset.

        Args:
            label, context, step, epoch, model, backward: as in `log_flops_per_batch`.
            dataset: a DataLoader, a Dataset, one or more arrays, a number of samples, or the name
                of a dataset logged with `log_dataset`.
            batch: an example batch; needed if provml cannot determine the dataset's batch size.

        Raises:
            InvalidArgumentError, MissingExtraError, RunClosedError: as for `log_flops_per_batch`.
        """
        log = self._flops or self._open_flops()
        log.epoch(label, dataset, (context, step, epoch), model, batch, backward)

    @contextmanager
    def count_flops(
        self,
        label: str,
        context: Context | str | None = None,
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
    ) -> Iterator[None]:
        """Count the floating-point operations of the torch code in a ``with`` block.

        The count is recorded at the end of the block, even if an exception ends the block early.
        Costs about ten microseconds per torch operation, and adds about a kilobyte per block to the
        journal.

        Args:
            label, context, step, epoch: as in `log_flops_per_batch`.

        Raises:
            InvalidArgumentError: the label, context, step or epoch is invalid.
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
        step: SupportsIndex | float | None = None,
        synchronous: bool = True,
        timestamp: Timestamp | None = None,
        *,
        epoch: SupportsIndex | float | None = None,
    ) -> None:
        """Record the current memory, disk and GPU usage as percentages.

        Costs about a millisecond; the first call costs more. The readings have the kind ``system``
        and the names ``Memory usage``, ``Disk usage``, ``Gpu memory usage`` and ``Gpu usage``. If
        the machine has no GPU, the GPU readings are left out. Each reading covers the time since
        the previous call or, for the first call, since the start of the run.

        Args:
            context, step, epoch: the context, step and epoch that the readings belong to.
            synchronous: whether to wait for the readings; if False, another thread takes them.
            timestamp: the time to record, as in `log_metric`.

        Raises:
            InvalidArgumentError: the context, step, epoch or timestamp is invalid.
            RunClosedError: the run has ended.
        """
        place_of = (context_path(context), validate_step(step), validate_epoch(epoch))
        time_ns = None if timestamp is None else to_time_ns(timestamp)
        self._open_writer(context)
        self._own_sampler().snapshot(place_of, time_ns, bool(synchronous))
