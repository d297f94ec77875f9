"""Finds the number of samples, the number of batches and the batch sizes of one epoch.

Imports only `arrays`, `batches`, `datasets` and `errors` from provml, and torch only for a torch
dataset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from provml.collect.arrays import is_array
from provml.collect.batches import Arguments, call_arguments
from provml.collect.datasets import is_iterable_dataset
from provml.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class EpochShape:
    """The numbers of samples and batches in one pass over a dataset, and an example batch.

    Attributes:
        samples: the number of samples; None if only the number of batches is known.
        batches: the number of batches; None if the batch size is not known.
        parts: pairs of a batch size and the number of batches of that size.
        like: an example batch. All batches are assumed to have the same structure.
    """

    samples: int | None
    batches: int | None
    parts: tuple[tuple[int, int], ...]
    like: Arguments


def measure_epoch(data: Any, module: Any, like: Arguments | None) -> EpochShape:
    """Return the shape of one epoch over a DataLoader, a Dataset or arrays.

    Never iterates over a Dataset or DataLoader. Reads at most the first sample, by its index.

    Args:
        data: the dataset, or its number of samples.
        module: the torch module that receives the batches.
        like: an example batch; None builds one from the data.

    Raises:
        InvalidArgumentError: the length of the dataset or the shape of a sample is unknown.
    """
    if isinstance(data, int) and not isinstance(data, bool):
        return _shape_of_length(data, _require_batch(like, f"the length {data}"))
    if _is_loader(data):
        return _shape_of_loader(data, module, like)
    arrays = data if isinstance(data, (tuple, list)) else (data,)
    if arrays and all(is_array(member) for member in arrays):
        sample_count = arrays[0].shape[0] if arrays[0].shape else 0
        batch = call_arguments(module, data).without_data()
        return _shape_of_length(sample_count, batch if like is None else like)
    length = _count_items(data)
    if length is None:
        raise InvalidArgumentError(
            f"the length of the dataset is unknown, because {type(data).__qualname__} has no "
            "len(): pass its number of samples as dataset="
        )
    return _shape_of_length(length, _make_batch(data, None, module, like, length))


def infer_batch(data: Any, module: Any) -> Arguments | None:
    """Build an example batch from a dataset; return None if that is not possible."""
    try:
        return measure_epoch(data, module, None).like
    except InvalidArgumentError:
        return None


def _shape_of_length(length: int, like: Arguments) -> EpochShape:
    sample_count = like.sample_count()
    if not sample_count:
        raise InvalidArgumentError(
            f"a batch must contain at least one sample, not {like.format_shapes()}"
        )
    full, rest = divmod(length, sample_count)
    parts = tuple(part for part in ((sample_count, full), (rest, 1)) if all(part))
    return EpochShape(length, full + bool(rest), parts, like)


def _require_batch(like: Arguments | None, what: str) -> Arguments:
    if like is None:
        raise InvalidArgumentError(
            f"{what} does not determine the shape of a batch: pass batch=, or call "
            "log_flops_per_batch with a batch first"
        )
    return like


def _is_loader(data: object) -> bool:
    """Return True if the object is a torch DataLoader or has a DataLoader's attributes."""
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
            f"the length of the dataset is unknown, because a loader of "
            f"{type(loader.dataset).__qualname__} has no len(): pass its number of samples as "
            "dataset="
        )
    samples = _count_items(loader.sampler) if sample_count is not None else None
    collate = loader.collate_fn if loader.batch_sampler is not None else None
    batch = _make_batch(loader.dataset, collate, module, like, samples)
    if sample_count is None or samples is None:  # a custom batch sampler can vary the sizes
        return EpochShape(samples, batches, ((batch.sample_count() or 1, batches),), batch)
    full, rest = divmod(samples, sample_count)
    parts = [(sample_count, full), (0 if loader.drop_last else rest, 1)]
    return EpochShape(
        full * sample_count + parts[1][0],
        batches,
        tuple(part for part in parts if all(part)),
        batch.resize(min(sample_count, samples or sample_count)),
    )


def _make_batch(
    dataset: Any, collate: Any, module: Any, like: Arguments | None, length: int | None
) -> Arguments:
    """Return ``like`` or, if it is None, a batch with two copies of a dataset's first sample.

    Reading a sample can consume random numbers, so the caller must restore the random state.
    """
    if like is not None:
        return like
    if not hasattr(dataset, "__getitem__") or is_iterable_dataset(dataset) or length == 0:
        return _require_batch(None, f"a dataset of type {type(dataset).__qualname__}")
    if collate is None:
        from torch.utils.data import default_collate

        collate = default_collate
    try:
        # use the sample twice, because batch norm in train mode rejects a batch of one sample
        batch = call_arguments(module, collate([dataset[0], dataset[0]]))
    except InvalidArgumentError:
        raise
    except Exception as error:  # the user's __getitem__ or collate can raise any exception
        raise InvalidArgumentError(
            f"can't make a batch from the dataset's first sample ({type(error).__name__}: "
            f"{str(error)[:300]}): pass batch="
        ) from error
    return batch.without_data()
