"""Follows a run while it is being recorded, and returns what is new as records and blocks.

Imports `journal.follower` and `series`; imports numpy only when needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.follower import FILLED_IN_LATER, NewContent, RunFollower
from provml.journal.layout import Record
from provml.journal.record_parsing import Series
from provml.model.series import Block, BlockSplitter, RunSeries, SeriesTable, split_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_INCOMPLETE: Final = 100_000
_NOT_YIELDED: Final = ("sample", "series")


class Completion(NamedTuple):
    """Samples whose step or epoch was filled in after they had been read as part of another block.

    Attributes:
        block: the samples. Each sample has the same writer, series and number as in the earlier
            block.
        lacked_step, lacked_epoch: whether the samples had no step, or no epoch, in the earlier
            block.
    """

    block: Block
    lacked_step: bool
    lacked_epoch: bool


@dataclass(slots=True, eq=False)
class NewPart:
    """What one writer of a followed run has added since the last read.

    Attributes:
        writer: the writer's position in the order in which the writers were found.
        records: the new records, except those that contain samples or declare series.
        blocks: the new samples.
        completed: the samples that earlier reads returned without a step or epoch, if it was filled
            in since the last read.
        skipped: the number of damaged lines that were left out.
    """

    writer: int
    records: list[Record] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    completed: list[Completion] = field(default_factory=list)
    skipped: int = 0


class FollowedRun:
    """A run that is being recorded. The cost of a read depends only on how much was added.

    Close the followed run when you no longer need it, or use it in a ``with`` statement.

    Attributes:
        folder: the run's folder.
        table: the series that were declared so far, without summaries of the samples.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Prepare to follow the run in a folder. Reads nothing yet."""
        self.folder = Path(folder)
        self.table = SeriesTable()
        self._follower = RunFollower(folder)
        self._writers: dict[str, _FollowedWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files. A later `read_new` continues at the same place."""
        self._follower.close()

    def read_new(self) -> Iterator[NewPart]:
        """Yield everything that was added since the last call.

        Raises JournalError if the format of a file is newer than the installed provml can read.
        """
        while found := self._follower.read_new():
            for content in found:
                yield self._find_writer(content).build_part(content, self.table)

    def _find_writer(self, content: NewContent) -> _FollowedWriter:
        writer = self._writers.get(content.writer)
        if writer is None:
            journal = self._follower.folder / layout.JOURNAL_FOLDER
            files = WriterFiles(journal, content.writer, len(self._writers))
            writer = self._writers[content.writer] = _FollowedWriter(files)
        return writer


class _FollowedWriter:
    """Converts what a follower reads from the files of one writer to records and blocks."""

    def __init__(self, files: WriterFiles) -> None:
        self._files = files
        self._declared: dict[int, tuple[Series, RunSeries]] = {}
        self._splitter = BlockSplitter(files, self._declared)
        self._incomplete: dict[int, tuple[int, int]] = {}

    def build_part(self, content: NewContent, table: SeriesTable) -> NewPart:
        """Return what the writer has added, and add its new series to the table."""
        table.declare(self._files, content.rank, content.series, self._declared)
        part = NewPart(self._files.index, skipped=content.skipped)
        part.records = [r for r in content.records if r["record"] not in _NOT_YIELDED]
        if content.samples is not None and content.slots is not None:
            self._note_incomplete(content.samples, content.slots)
            part.blocks = list(self._splitter.split(content.samples))
        if content.changed is not None and content.changed_slots is not None:
            part.completed = list(self._complete(content.changed, content.changed_slots))
        return part

    def _note_incomplete(self, samples: NDArray[np.void], slots: NDArray[np.int64]) -> None:
        """Remember the numbers of the new samples that may get a step or an epoch later."""
        import numpy as np

        numbers_of: dict[int, list[int]] = {}
        late: set[int] = set()
        for number, (series, run_series) in self._declared.items():
            numbers_of.setdefault(run_series.index, []).append(number)
            if series.role in FILLED_IN_LATER:
                late.add(run_series.index)
        lacks = _encode_lacks(samples)
        for index in late if lacks.any() else ():
            own = np.isin(samples["series"], numbers_of[index])
            places = np.flatnonzero(own & (lacks > 0))[-_MOST_INCOMPLETE:]
            numbers = np.cumsum(own)[places] - 1 + self._splitter.counts.get(index, 0)
            facts = zip(numbers.tolist(), lacks[places].tolist(), strict=True)
            self._incomplete |= zip(slots[places].tolist(), facts, strict=True)
        while len(self._incomplete) > _MOST_INCOMPLETE:
            del self._incomplete[next(iter(self._incomplete))]

    def _complete(
        self, changed: NDArray[np.void], slots: NDArray[np.int64]
    ) -> Iterator[Completion]:
        import numpy as np

        known = [self._incomplete.get(slot, (-1, 0)) for slot in slots.tolist()]
        numbers, lacked = np.array(known, np.int64).reshape(-1, 2).T
        lacks = _encode_lacks(changed)
        for slot, number, code in zip(slots.tolist(), numbers, lacks.tolist(), strict=True):
            if number >= 0:
                self._incomplete[slot] = int(number), code
            if not code:
                self._incomplete.pop(slot, None)
        groups = changed["series"].astype(np.int64) * 4 + lacked
        for group in np.unique(groups[numbers >= 0]).tolist():
            own = (groups == group) & (numbers >= 0)
            series, run_series = self._declared[group // 4]
            rows = split_rows(self._files, series, run_series, changed[own], numbers[own])
            for block in rows:
                yield Completion(block, bool(group & 2), bool(group & 1))


def _encode_lacks(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return a code for each record: 2 if it has no step, plus 1 if it has no epoch."""
    lacks: NDArray[np.int64] = 2 * (rows["step"] == layout.NO_STEP)
    lacks += rows["epoch"] == layout.NO_EPOCH
    return lacks
