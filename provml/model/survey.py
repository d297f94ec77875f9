"""Makes the first pass over a journal, which finds the run's series, contexts and steps.

The pass also computes the summary of each series, and the intervals of contexts and steps.

Imports the `journal` readers, `series`, `steps` and `damage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.layout import Record
from provml.journal.reader import Journal
from provml.journal.reading_summaries import find_old_summaries
from provml.journal.record_building import CLOCK_CHANGED
from provml.journal.record_parsing import record_context, series_number
from provml.journal.status import RunState
from provml.model.attributes import content_attributes
from provml.model.damage import REASON, DamagedRecordError, check_object
from provml.model.names import context_name, sample_prefix, series_path, step_prefix
from provml.model.series import SAMPLING, Block, SeriesTable
from provml.model.statements import Name
from provml.model.steps import StepTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Path = tuple[str, ...] | None

TIMED_RECORDS = frozenset(
    {
        "start",
        "param",
        "tag",
        "event",
        "dataset",
        "artifact",
        "child",
        "model",
        "source",
        "environment",
        "flops",
        "collector",
        "device",
        "alert",
        "metadata",
        "summary",
        "reading_summary",
        "input",
        "code",
    }
)

FileKey = tuple[object, object]
"""The path and the digest of a file."""

_LOGGED_KINDS = ("dataset", "input", "artifact", "model")

TriggerKey = tuple[int, str, Path, str, int]
"""The key of a sample that set off an alert: its writer, kind, context path, name and time."""


class Interval:
    """A period of time, in nanoseconds since the epoch. A period is empty if its ends are None."""

    __slots__ = ("end_ns", "start_ns")

    def __init__(self, start_ns: int | None = None, end_ns: int | None = None) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns

    def include(self, first_ns: int, last_ns: int) -> None:
        """Extend the interval so that it includes the period between two times."""
        self.start_ns = first_ns if self.start_ns is None else min(self.start_ns, first_ns)
        self.end_ns = last_ns if self.end_ns is None else max(self.end_ns, last_ns)


class Survey:
    """The results of the first pass over a run's journal.

    Attributes:
        journal: the run's journal.
        state: the status, start and end of the run.
        series: the run's series.
        places: the interval of every context, by path; the key None stands for the run. An interval
            covers all records of the context and of the contexts within it.
        numbers: the number of each context in the step table, by the context's path.
        steps: the steps that the document contains, with their intervals.
        named: the steps that records other than samples refer to, by context and step. Each value
            maps the epochs of the step to the time of the first sample with that step and epoch.
        triggers: the name of the sample that set off each alert, by the alert's `trigger_key`;
            None if the sample was not found.
        digests: the digests that were computed after the dataset or input had been recorded, keyed
            by the writer and by the number in the record.
        damaged: the offsets of the records that were skipped, by writer.
        summaries: the times of the summaries, by writer, context and name of the summarised metric.
        windows: the writers and contexts that stored values after their last summary.
        aliases: other names that the script used for a context, such as ``train`` for ``training``.
        logged_files: the files that the run logged as datasets, inputs, artifacts or models.
        code_copies: the facts about the copies of code and configuration files.
        old_summaries: the offsets of the parameter records that are summaries of readings, by
            writer.
    """

    def __init__(self, journal: Journal, state: RunState, series: SeriesTable) -> None:
        self.journal = journal
        self.state = state
        self.series = series
        self.places: dict[Path, Interval] = {}
        self.numbers: dict[Path, int] = {}
        self.steps = StepTable()
        self.named: dict[Path, dict[int, dict[int, int]]] = {}
        self.triggers: dict[TriggerKey, Name | None] = {}
        self.digests: dict[tuple[int, int], Record] = {}
        self.damaged: dict[int, set[int]] = {}
        self.summaries: dict[tuple[int, Path, str], set[int]] = {}
        self.windows: set[tuple[int, Path]] = set()
        self.aliases: dict[Path, set[str]] = {}
        self.old_summaries: dict[int, frozenset[int]] = {}
        self.logged_files: set[FileKey] = set()
        self.code_copies: dict[FileKey, Record] = {}

    @property
    def collectors(self) -> list[str]:
        """The names of the collectors that took readings."""
        return list(dict.fromkeys(s.name for s in self.series.all if s.kind == SAMPLING))

    def count_damaged(self, files: WriterFiles, offset: int) -> None:
        """Count a skipped record. Each record counts only once, even if several passes skip it."""
        skipped = self.damaged.setdefault(files.index, set())
        skipped.add(offset)
        files.damage[REASON] = max(files.damage[REASON], len(skipped))

    def include(self, path: Path, first_ns: int, last_ns: int) -> int:
        """Extend the intervals of a context, its parents and the run to include a period.

        Returns the context's number.
        """
        self._widen(None, first_ns, last_ns)
        for depth in range(1, len(path or ()) + 1):
            self._widen(path[:depth] if path else None, first_ns, last_ns)
        return self.numbers[path]

    def epoch(self, record: Record) -> int | None:
        """Return the epoch of a record's step; None if the step's samples have no epoch.

        If the record contains an epoch, that epoch is the result. Otherwise, the samples of the
        step decide: the result is the latest epoch that had reached the step by the record's time,
        or else the first epoch that reached the step.
        """
        own, step = epoch_of_record(record), step_of(record)
        if own is not None or step is None:
            return own
        epochs = self.named.get(record_context(record), {}).get(step, {})
        begun = {e: first for e, first in epochs.items() if first <= record["time"]}
        if begun:
            found = max(begun, key=lambda epoch: (begun[epoch], epoch))
        elif epochs:
            found = min(epochs, key=lambda epoch: (epochs[epoch], epoch))
        else:
            return None
        return None if found == layout.NO_EPOCH else found

    def step_name(self, record: Record) -> Name:
        """Return the name of the step, context or run that a record belongs to."""
        path, step, epoch = record_context(record), step_of(record), self.epoch(record)
        if step is None:
            return context_name(path)
        own = str(step) if epoch is None else f"{epoch}.{step}"
        return Name(f"{step_prefix(path)}{own}")

    def _widen(self, path: Path, first_ns: int, last_ns: int) -> None:
        self.places.setdefault(path, Interval()).include(first_ns, last_ns)
        self.numbers.setdefault(path, len(self.numbers))


def survey(journal: Journal, every_step: bool, with_shapes: bool = False) -> Survey:
    """Read a journal and collect the facts about the run that later passes need.

    Args:
        journal: the run's journal.
        every_step: whether to collect all steps. If False, collect only the steps that records
            other than samples, such as events or models, refer to.
        with_shapes: whether to find the shape of each metric.
    """
    state = journal.state()
    result = Survey(journal, state, SeriesTable(journal, with_shapes))
    result.include(None, state.started_ns, state.ended_ns or state.started_ns)
    result.old_summaries = find_old_summaries(journal)
    clock_changed = False
    for files, offset, record in journal.records():
        if record.get("record") == "digest":
            try:
                _take_digest(result, files.index, record)
            except DamagedRecordError:
                result.count_damaged(files, offset)
        if record.get("record") == "context" and isinstance(record.get("alias"), str):
            result.aliases.setdefault(record_context(record), set()).add(record["alias"])
        if record.get("record") == "code" or record.get("record") in _LOGGED_KINDS:
            _take_file(result, record)
        if record.get("record") == "window":
            result.windows.add((files.index, record_context(record)))
        time_ns = time_of(record)
        if time_ns is not None:
            if record.get("record") == "summary":
                result.windows.discard((files.index, record_context(record)))
                for window in windows_of(record):
                    own = (files.index, record_context(record), window["name"])
                    result.summaries.setdefault(own, set()).add(time_ns)
            if record.get("record") == "alert":
                result.triggers[trigger_key(files.index, record)] = None
            result.include(record_context(record), time_ns, time_ns)
            step = step_of(record)
            if step is not None:
                result.named.setdefault(record_context(record), {}).setdefault(step, {})
        if record.get("record") == "event" and record.get("name") == CLOCK_CHANGED:
            clock_changed = clock_changed or record.get("source") == "provml"
    for block in result.series.blocks():
        _take_block(result, block, every_step)
    for series in result.series.all:
        if (
            not series.count and series.context is not None
        ):  # the process was killed before it wrote a sample
            result.include(series.context, state.started_ns, state.started_ns)
    for _, _, record in journal.records():
        time_ns, step = time_of(record), step_of(record)
        if time_ns is not None and step is not None:
            epoch = result.epoch(record)
            own_epoch = layout.NO_EPOCH if epoch is None else epoch
            result.steps.add_one(result.numbers[record_context(record)], own_epoch, step, time_ns)
    if clock_changed:  # records from before or after the change must not extend the run's interval
        result.places[None] = Interval()
        result.places[None].include(state.started_ns, state.ended_ns or state.started_ns)
    return result


def _take_file(result: Survey, record: Record) -> None:
    """Add the file in a record to `logged_files`, or the copy of a code file to `code_copies`."""
    content = record.get("content")
    key = find_file_key(content)
    if key is None or not isinstance(content, dict):
        return
    if record["record"] in _LOGGED_KINDS:
        result.logged_files.add(key)
    else:
        names = ("copy", "copy_sha256", "masked")
        result.code_copies[key] = {name: content[name] for name in names if name in content}


def find_file_key(content: object) -> FileKey | None:
    """Return the path and the digest in the description of a file; None if either is missing."""
    if not isinstance(content, dict):
        return None
    path, digest = content.get("path"), content.get("sha256")
    return (path, digest) if isinstance(path, str) and isinstance(digest, str) else None


def _take_digest(result: Survey, writer: int, record: Record) -> None:
    """Store a digest that was computed after the dataset or input had been recorded.

    Raises DamagedRecordError if the record of the digest is damaged.
    """
    number, content = series_number(record), check_object(record.get("content"))
    if number is None:
        raise DamagedRecordError("the record of a digest has no dataset number")
    content_attributes(content)
    result.digests[writer, number] = content


def _take_block(result: Survey, block: Block, every_step: bool) -> None:
    """Add a block of samples to its series, to the intervals and to the step table."""
    block.series.add(block)
    times = block.time_ns
    if block.series.kind == SAMPLING and not isinstance(block.values, list):
        result.include(None, int(block.values.min()), int(times.max()))
    elif result.triggers:
        _find_triggers(result, block)
    number = result.include(block.series.context, int(times.min()), int(times.max()))
    epoch: Any = layout.NO_EPOCH if block.epoch is None else block.epoch
    chosen = _find_named_rows(result, block)
    if every_step:
        if block.step is not None or block.epoch is not None:
            step = layout.NO_STEP if block.step is None else block.step
            result.steps.add(number, epoch, step, times)
    elif chosen is not None and block.step is not None:
        own_epoch = epoch if block.epoch is None else block.epoch[chosen]
        result.steps.add(number, own_epoch, block.step[chosen], times[chosen])


def _find_triggers(result: Survey, block: Block) -> None:
    """Find the samples of a block that set off alerts, and store their names."""
    series = block.series
    own = (block.writer, series.kind, series.context, series.name)
    times = [key[-1] for key in result.triggers if key[:-1] == own]
    if not times:
        return
    import numpy as np

    prefix = sample_prefix(
        series.kind,
        series_path(series.name, series.context, series.rank, series.of),
        block.writer,
    )
    rows = np.flatnonzero(np.isin(block.time_ns, np.array(times, np.int64)))
    for row in rows.tolist():
        key = (*own, int(block.time_ns[row]))
        result.triggers[key] = Name(f"{prefix}{int(block.number[row])}")


def trigger_key(writer: int, record: Record) -> TriggerKey:
    """Return the key that links an alert's record with the sample that set off the alert."""
    kind, name = str(record.get("collector")), str(record.get("name"))
    return writer, kind, record_context(record), name, record["time"]


def _find_named_rows(result: Survey, block: Block) -> NDArray[np.bool_] | None:
    """Return a mask of the samples whose steps other records refer to; None if there are none.

    Also stores the epochs of these samples in `Survey.named`.
    """
    named = result.named.get(block.series.context)
    if block.step is None or not named:
        return None
    import numpy as np

    chosen = np.isin(block.step, np.fromiter(named, np.int64, len(named)))
    if not chosen.any():
        return None
    steps, times = block.step[chosen].tolist(), block.time_ns[chosen].tolist()
    no_epochs = [layout.NO_EPOCH] * len(steps)
    epochs = no_epochs if block.epoch is None else block.epoch[chosen].tolist()
    for step, epoch, time_ns in zip(steps, epochs, times, strict=True):
        firsts = named[step]
        firsts[epoch] = min(time_ns, firsts.get(epoch, time_ns))
    return chosen


def windows_of(record: Record) -> list[Record]:
    """Return the readable windows in the record of a summary."""
    fields = record.get("fields")
    if not isinstance(fields, list) or record_context(record) is None:
        return []
    return [field for field in fields if isinstance(field, dict) and _is_readable_window(field)]


def _is_readable_window(field: Record) -> bool:
    numbers = (field.get("stored"), field.get("first"), field.get("last"))
    fits = all(isinstance(n, int) and -(2**63) < n < 2**63 for n in numbers)
    return fits and isinstance(field.get("name"), str)


def time_of(record: Record) -> int | None:
    """Return a record's time.

    Returns None if records of its kind have no time, or if the time is not a 64-bit integer.
    """
    time_ns = record.get("time")
    fits = isinstance(time_ns, int) and -(2**63) < time_ns < 2**63
    return time_ns if fits and record.get("record") in TIMED_RECORDS else None


def epoch_of_record(record: Record) -> int | None:
    """Return a record's epoch; None if the epoch is missing or out of range."""
    epoch = record.get("epoch")
    return epoch if isinstance(epoch, int) and 0 <= epoch < 2**31 else None


def step_of(record: Record) -> int | None:
    """Return a record's step; None if the step is missing, or not a 64-bit integer."""
    step = record.get("step")
    return step if isinstance(step, int) and -(2**63) < step < 2**63 else None
