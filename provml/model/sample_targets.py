"""What samples are of: the versions of a model, the windows of stored values that were summarised.

Imports `samples`, `names`, `statements`; numpy when it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from provml.model.names import sample_prefix, series_path, summarising_prefix, window_prefix
from provml.model.series import Block
from provml.model.statements import Name, NameColumn, Statement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Versions = list[tuple[int, Name]]
"""When each version of something was made, and its name, in order of time."""

STATISTICS: Final = ("mean", "min", "max", "std", "count")


def sample_names(block: Block) -> NameColumn:
    """The samples' own names."""
    series = block.series
    path = series_path(series.name, series.context, series.rank, series.of)
    return NameColumn((sample_prefix(series.kind, path, block.writer), block.number))


def summarised_name(name: str) -> str:
    """Whose summary a metric is of: ``loss.mean`` of ``loss``."""
    own, _, statistic = name.rpartition(".")
    return own if statistic in STATISTICS else name


def by_version(block: Block, versions: Versions) -> Iterator[tuple[Name, Block]]:
    """The samples by the version that there was before each; not those before the first."""
    import numpy as np

    made = np.array([time_ns for time_ns, _ in versions], np.int64)
    place = np.searchsorted(made, block.time_ns, side="left") - 1
    for number in np.unique(place).tolist():
        if number >= 0:
            yield versions[number][1], block.rows(place == number)


def derivation(block: Block, names: NameColumn, used: Name | NameColumn) -> Statement:
    """That samples were derived from something."""
    arguments: dict[str, Any] = {"prov:generatedEntity": names, "prov:usedEntity": used}
    return Statement("wasDerivedFrom", None, arguments, rows=len(block.time_ns))


def split_summaries(block: Block, times: set[int]) -> tuple[Block | None, Block | None]:
    """The samples of summaries that were recorded as such, and those whose record is lost."""
    known = _is_in(block.time_ns, times)
    if known.all():
        return block, None
    plain = replace(block, role=None)
    return (block.rows(known), plain.rows(~known)) if known.any() else (None, plain)


def summarising_names(block: Block) -> NameColumn:
    """The activities that made summaries."""
    return NameColumn(
        (summarising_prefix(block.series.context or (), block.writer), block.time_ns.copy())
    )


def window_names(block: Block) -> NameColumn:
    """What summaries are of: the windows of the name that their own begins with."""
    own = summarised_name(block.series.name)
    prefix = window_prefix(block.series.context or (), own, block.writer)
    return NameColumn((prefix, block.time_ns.copy()))


def window_memberships(block: Block, times: set[int]) -> Iterator[Statement]:
    """The window that each stored value first went into: that of the next summary."""
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
