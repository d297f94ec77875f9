"""The verbs of `Run` for floating-point operations and readings of the machine.

Imports `recorder`, `checks`, `base`; `flops` and the collectors are imported on use.
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
    """The verbs of `Run` that count operations and read the machine."""

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
