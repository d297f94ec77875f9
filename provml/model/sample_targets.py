"""Links samples to versions of models, and summaries to the values that they summarise.

The values that one summary covers are a *window*.

Imports `series`, `names` and `statements`; imports numpy only when needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from provml.model.names import sample_prefix, series_path, summarising_prefix, window_prefix
from provml.model.series import Block
from provml.model.statements import Name, NameColumn, Statement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Versions = list[tuple[int, Name]]
"""The versions of a model or artifact, from first to last.

Each version is a pair: the time at which the version was made, in nanoseconds, and its name.
"""

STATISTICS: Final = ("mean", "min", "max", "std", "count")


def sample_names(block: Block) -> NameColumn:
    """Return the names of a block's samples."""
    series = block.series
    path = series_path(series.name, series.context, series.rank, series.of)
    return NameColumn((sample_prefix(series.kind, path, block.writer), block.number))


def summarised_name(name: str) -> str:
    """Return the name of the metric that a series summarises: ``loss`` for ``loss.mean``."""
    own, _, statistic = name.rpartition(".")
    return own if statistic in STATISTICS else name


def split_by_version(block: Block, versions: Versions) -> Iterator[tuple[Name, Block]]:
    """Split a block by the version of the model or artifact that each sample is about.

    A sample is about the latest version that was made before the sample. Yields the name of each
    version with the samples about that version. Drops samples older than all versions.
    """
    import numpy as np

    made = np.array([time_ns for time_ns, _ in versions], np.int64)
    place = np.searchsorted(made, block.time_ns, side="left") - 1
    for number in np.unique(place).tolist():
        if number >= 0:
            yield versions[number][1], block.rows(place == number)


def derive_samples(block: Block, names: NameColumn, used: Name | NameColumn) -> Statement:
    """Build the statements that say which entity each sample of a block was derived from."""
    arguments: dict[str, Any] = {"prov:generatedEntity": names, "prov:usedEntity": used}
    return Statement("wasDerivedFrom", None, arguments, rows=len(block.time_ns))


def split_summaries(block: Block, times: set[int]) -> tuple[Block | None, Block | None]:
    """Split a block into samples whose summary record exists, and samples without such a record.

    Returns None in place of an empty part.

    Args:
        block: samples that are summaries.
        times: the times of the existing summary records.
    """
    known = _is_in(block.time_ns, times)
    if known.all():
        return block, None
    plain = block._replace(role=None)
    return (block.rows(known), plain.rows(~known)) if known.any() else (None, plain)


def summarising_names(block: Block) -> NameColumn:
    """Return the names of the activities that computed a block's summaries."""
    return NameColumn(
        (summarising_prefix(block.series.context or (), block.writer), block.time_ns.copy())
    )


def window_names(block: Block) -> NameColumn:
    """Return the names of the windows of values that the summaries in a block cover."""
    own = summarised_name(block.series.name)
    prefix = window_prefix(block.series.context or (), own, block.writer)
    return NameColumn((prefix, block.time_ns.copy()))


def window_memberships(block: Block, times: set[int]) -> Iterator[Statement]:
    """Yield the statements that add each stored value to the window of the next summary.

    Args:
        block: the stored values.
        times: the times of the summaries.
    """
    import numpy as np

    summaries = np.array(sorted(times), np.int64)
    place = np.searchsorted(summaries, block.time_ns, side="left")
    chosen = place < len(summaries)
    if not chosen.any():
        return
    members = block.rows(chosen)
    prefix = window_prefix(block.series.context or (), block.series.name, block.writer)
    windows = NameColumn((prefix, summaries[place[chosen]]))
    yield Statement(
        "hadMember",
        None,
        {"prov:collection": windows, "prov:entity": sample_names(members)},
        rows=len(members.time_ns),
    )


def _is_in(values: NDArray[np.int64], known: set[int]) -> NDArray[np.bool_]:
    import numpy as np

    return np.isin(values, np.fromiter(known, np.int64, len(known)))
