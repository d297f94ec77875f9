"""What an epoch over a dataset consists of: how many batches of how many samples, and like what.

Imports `batches`, `errors`; torch where a torch dataset is given.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from provml.collect.batches import Arguments, call_arguments
from provml.collect.content import as_array
from provml.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class EpochShape:
    """One pass over a dataset.

    Attributes:
        samples: how many samples it has; None where only its batches are known.
        batches: how many batches; None where the batch size is not known.
        parts: how many samples are in a batch, and how many such batches there are.
        like: a batch; every one is taken to be like it.
    """

    samples: int | None
    batches: int | None
    parts: tuple[tuple[int, int], ...]
    like: Arguments


def measure_epoch(data: Any, module: Any, like: Arguments | None) -> EpochShape:
    """Look at a dataset: a DataLoader, a Dataset, an array, several arrays, or a length.

    Costs one sample of a Dataset or DataLoader, read from its dataset, not by iterating.

    Args:
        data: the dataset.
        module: the module that the batches go into.
        like: a batch that is known; it has the say on shapes where the data has none.

    Raises:
        InvalidArgumentError: its length, or what a sample looks like, can't be told.
    """
    if isinstance(data, int) and not isinstance(data, bool):
        return _shape_of_length(data, _require_batch(like, f"a length, {data},"))
    if _is_loader(data):
        return _shape_of_loader(data, module, like)
    arrays = data if isinstance(data, (tuple, list)) else (data,)
    if arrays and all(as_array(member) is not None for member in arrays):
        sample_count = arrays[0].shape[0] if arrays[0].shape else 0
        own = call_arguments(module, data).without_data()
        return _shape_of_length(sample_count, own if like is None else like)
    length = _count_items(data)
    if length is None:
        raise InvalidArgumentError(
            f"the length of the dataset is not known: {type(data).__qualname__} has no len(); "
            "pass its number of samples as dataset="
        )
    return _shape_of_length(length, _make_batch(data, None, module, like, length))


def infer_batch(data: Any, module: Any) -> Arguments | None:
    """What a batch of a dataset looks like; None where that can't be told."""
    try:
        return measure_epoch(data, module, None).like
    except InvalidArgumentError:
        return None


def _shape_of_length(length: int, like: Arguments) -> EpochShape:
    sample_count = like.sample_count()
    if not sample_count:
        raise InvalidArgumentError(f"a batch must have samples: {like.format_shapes()}")
    full, rest = divmod(length, sample_count)
    parts = tuple(part for part in ((sample_count, full), (rest, 1)) if all(part))
    return EpochShape(length, full + bool(rest), parts, like)


def _require_batch(like: Arguments | None, what: str) -> Arguments:
    if like is None:
        raise InvalidArgumentError(
            f"what a batch looks like is not known: {what} says nothing of it; pass batch=, or "
            "call log_flops_per_batch with a batch before"
        )
    return like


def _is_loader(data: object) -> bool:
    """Whether it is a torch DataLoader, or like one."""
    return hasattr(data, "dataset") and hasattr(data, "batch_sampler") and hasattr(data, "sampler")


def _count_items(data: Any) -> int | None:
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None


def _shape_of_loader(loader: Any, module: Any, like: Arguments | None) -> EpochShape:
    batches, sample_count = _count_items(loader), loader.batch_size
    if batches is None:
        raise InvalidArgumentError(
            f"the length of the dataset is not known: a loader of "
            f"{type(loader.dataset).__qualname__} has no len(); pass its number of samples as "
            "dataset="
        )
    samples = _count_items(loader.sampler) if sample_count is not None else None
    collate = loader.collate_fn if loader.batch_sampler is not None else None
    own = _make_batch(loader.dataset, collate, module, like, samples)
    if (
        sample_count is None or samples is None
    ):  # a batch sampler of one's own: each may be of another size
        return EpochShape(samples, batches, ((own.sample_count() or 1, batches),), own)
    full, rest = divmod(samples, sample_count)
    parts = [(sample_count, full), (0 if loader.drop_last else rest, 1)]
    return EpochShape(
        full * sample_count + parts[1][0],
        batches,
        tuple(part for part in parts if all(part)),
        own.resize(min(sample_count, samples or sample_count)),
    )


def _make_batch(
    dataset: Any, collate: Any, module: Any, like: Arguments | None, length: int | None
) -> Arguments:
    """A batch of two samples of a map-style dataset; the random state is the caller's to keep."""
    if like is not None:
        return like
    if not hasattr(dataset, "__getitem__") or _is_iterable_dataset(dataset) or length == 0:
        return _require_batch(None, f"a dataset of type {type(dataset).__qualname__}")
    if collate is None:
        from torch.utils.data import default_collate

        collate = default_collate
    try:
        # two: in train mode a batch norm refuses a batch of one
        own = call_arguments(module, collate([dataset[0], dataset[0]]))
    except InvalidArgumentError:
        raise
    except Exception as error:  # whatever a user's __getitem__ or collate raises
        raise InvalidArgumentError(
            f"what a batch looks like could not be told from the dataset's first sample: "
            f"{type(error).__name__}: {str(error)[:300]}; pass batch="
        ) from error
    return own.without_data()


def _is_iterable_dataset(dataset: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(dataset, torch.utils.data.IterableDataset)
