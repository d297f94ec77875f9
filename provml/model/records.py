"""Builds all statements about a run except those about samples, series, steps and contexts.

`MAPPERS` contains one mapper function for each kind of record. A mapper first reads the record,
which may raise `DamagedRecordError`. The mapper then returns an iterator that builds the
statements.
Damaged records are skipped and counted. Any other exception is a bug in provml, and is not caught.

Imports `run_records`, `related_runs`, `parameter_records`, `content_records`, `machine_records`
and `event_records`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from provml.model.content_records import (
    map_artifact,
    map_code,
    map_dataset,
    map_input,
    map_model,
    map_source,
    model_use_statements,
)
from provml.model.damage import DamagedRecordError
from provml.model.event_records import (
    event_target_statements,
    instant_statements,
    map_event,
    map_summary,
)
from provml.model.flop_counts import Workload, WorkloadKey
from provml.model.machine_records import map_alert, map_device, map_flops
from provml.model.parameter_records import (
    map_collector,
    map_environment,
    map_metadata,
    map_param,
    map_reading_summary,
    map_tag,
)
from provml.model.record_mapping import (
    JournalEntry,
    Mapper,
    MappingState,
    TagVersion,
    declare_collector,
)
from provml.model.related_runs import map_child, parent_statements
from provml.model.run_records import (
    frame_statements,
    loss_statements,
    map_start,
    run_statements,
    script_statements,
)
from provml.model.sample_targets import Versions
from provml.model.statements import Statement
from provml.model.survey import Survey, time_of

MAPPERS: Final[dict[str, Mapper]] = {
    "alert": map_alert,
    "artifact": map_artifact,
    "child": map_child,
    "code": map_code,
    "collector": map_collector,
    "dataset": map_dataset,
    "device": map_device,
    "environment": map_environment,
    "event": map_event,
    "flops": map_flops,
    "input": map_input,
    "metadata": map_metadata,
    "model": map_model,
    "param": map_param,
    "reading_summary": map_reading_summary,
    "source": map_source,
    "start": map_start,
    "summary": map_summary,
    "tag": map_tag,
}


class RecordMapping:
    """Builds all statements about a run except those about samples, series, steps and contexts."""

    def __init__(self, survey: Survey, detail: str, states_readings: bool) -> None:
        self._survey = survey
        self._detail = detail
        self._states_readings = states_readings
        self._finished: MappingState | None = None

    @property
    def versions(self) -> dict[tuple[str, str], Versions]:
        """The versions of each model and artifact. The first access may read all records."""
        return self._finished_pass().outputs

    @property
    def tags(self) -> dict[str, list[TagVersion]]:
        """The values of each tag. The first access may read all records."""
        return self._finished_pass().tags

    @property
    def workloads(self) -> dict[WorkloadKey, Workload]:
        """The workloads whose FLOPs were counted. The first access may read all records."""
        return self._finished_pass().workloads

    def _finished_pass(self) -> MappingState:
        if self._finished is None:
            for _ in self.statements():
                pass
        assert self._finished is not None
        return self._finished

    def statements(self) -> Iterator[Statement]:
        """Yield all statements, in one pass over the records."""
        state = MappingState(self._survey, self._detail, self._states_readings)
        yield from frame_statements(state)
        for files, offset, record in self._survey.journal.records():
            mapper = MAPPERS.get(record["record"])
            if mapper is None:
                continue
            time_ns = time_of(record)
            if time_ns is None:
                self._survey.count_damaged(files, offset)
                continue
            try:
                statements = mapper(state, JournalEntry(record, files.index, offset, time_ns))
            except DamagedRecordError:
                self._survey.count_damaged(files, offset)
            else:
                yield from statements
        for events in state.open_spans.values():
            for event in events:
                yield from instant_statements(state, event)
        for collector in self._survey.collectors:  # the collector's own record may have been lost
            yield from declare_collector(state, collector)
        yield from model_use_statements(state)
        yield from event_target_statements(state)
        self._finished = state
        yield from script_statements(state)
        yield from run_statements(state)
        yield from parent_statements(state)
        yield from loss_statements(state)
