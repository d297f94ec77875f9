"""Maps a run to PROV statements. All exporters use this mapping.

`RunMapping.statements` yields the single statements first, and then the tables of statements.

Imports `survey`, `records`, `names` and `statements`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

from provml.errors import ExportError
from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.reader import Journal
from provml.journal.status import RunState
from provml.journal.values import Moment
from provml.model import vocabulary
from provml.model.attributes import typed_literal
from provml.model.block_names import (
    generator_names,
    int64_column,
    place_names,
    sampling_names,
    series_name,
    step_column_names,
)
from provml.model.flop_counts import (
    CUMULATIVE,
    FLOPS,
    FLOPS_KINDS,
    Workload,
    flop_statements,
    series_rates,
)
from provml.model.names import (
    RUN,
    context_name,
    encode_name,
    local_name,
)
from provml.model.people import name_owner
from provml.model.record_mapping import RESULTS, TagVersion, collector_name
from provml.model.records import RecordMapping
from provml.model.related_runs import base_iri, parent_prefixes
from provml.model.sample_targets import (
    derive_samples,
    sample_names,
    split_by_version,
    split_summaries,
    summarised_name,
    window_memberships,
    window_names,
)
from provml.model.series import SAMPLING, Block, RunSeries, SeriesTable, target_of
from provml.model.statements import (
    Argument,
    Name,
    NameColumn,
    Statement,
    TimeColumn,
    Value,
    ValueColumn,
)
from provml.model.survey import Interval, Path, survey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DETAILS: Final = ("sample", "series")
SAMPLE_DETAIL_LIMIT: Final = 1_000_000
"""The default detail is ``sample`` for runs of up to this many samples, else ``series``."""
READING_DETAIL_LIMIT: Final = 50_000
"""By default, documents omit the individual readings of a run with more readings than this.

A run collects this many readings in about three hours.
"""


class RunMapping:
    """Maps one run to PROV statements, at one of two levels of detail.

    - ``sample``: the document contains every sample and every step.
    - ``series``: the document contains a summary of each series, the digests of the samples files,
      and only the steps that events, models and other records refer to.

    Attributes:
        detail: the level of detail in use, ``sample`` or ``series``.
        readings: the number of readings that collectors took.
        samples: the number of samples, including the readings.
    """

    def __init__(
        self, journal: Journal, detail: str | None = None, with_shapes: bool = False
    ) -> None:
        """Find the series, contexts and steps in a journal, and choose the level of detail.

        Args:
            detail: ``sample``, ``series``, or None to choose ``sample`` for up to a million samples
                and ``series`` for more.
            with_shapes: whether to find the shape of each metric, at the level ``series``.

        Raises:
            ExportError: the detail is neither ``sample`` nor ``series``.
        """
        if detail is not None and detail not in DETAILS:
            raise ExportError(f"detail must be 'sample' or 'series', not {detail!r}")
        self.journal = journal
        wanted = detail or (
            "sample" if _sample_capacity(journal) <= SAMPLE_DETAIL_LIMIT else "series"
        )
        self._survey = survey(journal, wanted == "sample", with_shapes)
        self._collectors = frozenset(self._survey.collectors)
        self.readings: int = self._count(self._collectors)
        self.samples: int = self._count({s.kind for s in self._survey.series.all} - {SAMPLING})
        logged = self.samples - self.readings
        if detail is None and wanted == "series" and logged <= SAMPLE_DETAIL_LIMIT:
            # the first estimate was too high, because a file that was not closed has unused space
            wanted = "sample"
            self._survey = survey(journal, every_step=True)
            self._collectors = frozenset(self._survey.collectors)
        self.detail: str = wanted
        self._states_readings = wanted == "sample" and (
            detail is not None or self.readings <= READING_DETAIL_LIMIT
        )
        self._records = RecordMapping(self._survey, wanted, self._states_readings)

    def _count(self, kinds: Collection[str]) -> int:
        return sum(series.count for series in self._survey.series.all if series.kind in kinds)

    def _is_stated(self, series: RunSeries) -> bool:
        """Return whether the document contains a statement for each sample of a series."""
        if series.kind == SAMPLING or series.kind in self._collectors:
            return self._states_readings
        return self.detail == "sample"

    def _block_kinds(self) -> frozenset[str]:
        """Return the kinds of statement that `tables` yields for the samples."""
        kinds = _SAMPLE_KINDS
        if self._collectors:
            kinds |= _SAMPLING_KINDS
        if any(series.kind == FLOPS for series in self._survey.series.all):
            kinds |= FLOPS_KINDS
        if self._survey.summaries or any(series.of for series in self._survey.series.all):
            kinds |= {"wasDerivedFrom"}
        return kinds

    @property
    def series(self) -> SeriesTable:
        """The table of the run's series. The table can also read the samples of the series."""
        return self._survey.series

    def prefixes(self) -> dict[str, str]:
        """Return the IRI of each prefix that the names in the statements use."""
        return run_prefixes(self.journal)

    @property
    def tags(self) -> dict[str, list[TagVersion]]:
        """The values of each tag, oldest first. The first access may read all records."""
        return self._records.tags

    @property
    def state(self) -> RunState:
        """The status, start and end of the run at the time when this mapping was created."""
        return self._survey.state

    def statements(self) -> Iterator[Statement]:
        """Yield all statements: first `singles`, then `tables`.

        Each element is declared once, and relations refer only to declared elements. The interval
        of an activity lies within the interval of its context.
        """
        yield from self.singles()
        yield from self.tables()

    def singles(self) -> Iterator[Statement]:
        """Yield all statements that are not tables, in one pass over the records.

        These statements describe the run and its people, contexts, parameters, data, models, events
        and series.
        """
        yield from self._records.statements()
        yield from self._contexts()
        yield from self._series()
        yield from self._sample_files()

    def tables(self, kinds: Collection[str] = vocabulary.KINDS) -> Iterator[Statement]:
        """Yield tables of statements about steps and samples, of the requested kinds.

        Costs one pass over the steps and one pass over the samples. Yields all tables for one block
        of samples, and then continues with the next block. An exporter that groups statements by
        kind can request one kind at a time.
        """
        if not _STEP_KINDS.isdisjoint(kinds):
            for path, rows in self._step_blocks():
                names = step_column_names(path, rows)
                if "activity" in kinds:
                    yield self._step(names, rows)
                if "wasInformedBy" in kinds:
                    yield self._step_link(names, path, rows)
        if self.detail == "series" or self._block_kinds().isdisjoint(kinds):
            return
        for block in self._survey.series.blocks():
            if not self._is_stated(block.series):
                continue
            if block.series.kind == SAMPLING:
                yield from self._samplings(block, kinds)
                continue
            if block.series.kind == FLOPS:
                yield from flop_statements(kinds, block, place_names(block), self._workload(block))
            names = sample_names(block)
            if "entity" in kinds:
                yield self._metric(block, names)
            if "wasGeneratedBy" in kinds:
                yield from self._generations(block, names)
            if "wasDerivedFrom" in kinds:
                yield from self._derivations(block)
            if "hadMember" in kinds:
                yield self._membership(block, names)
                if block.role == "stored":
                    yield from window_memberships(block, self._summary_times(block))

    def sample_blocks(self) -> Iterator[tuple[Name, Name, Block]]:
        """Yield (name of the series, name of the context, block) for each block of samples."""
        for block in self._survey.series.blocks():
            yield series_name(block.series), context_name(block.series.context), block

    def _workload(self, block: Block) -> Workload | None:
        if block.target is None:
            return None
        return self._records.workloads.get((block.writer, block.target))

    def _workloads_of(self, series: RunSeries) -> list[Workload]:
        keys = {
            (files.index, target_of(declared))
            for files, numbers in self._survey.series.declared()
            for declared, own in numbers.values()
            if own is series
        }
        return [w for key, w in self._records.workloads.items() if key in keys]

    # -- contexts and steps -------------------------------------------------------------------

    def _contexts(self) -> Iterator[Statement]:
        for path, interval in self._survey.places.items():
            if path is None:
                continue
            attributes: list[tuple[str, Any]] = [
                ("prov:type", Name("provml:Context")),
                ("prov:label", path[-1]),
                ("provml:name", path[-1]),
            ]
            aliases = sorted(self._survey.aliases.get(path, ()))
            attributes += [("provml:alias", alias) for alias in aliases]
            name = context_name(path)
            yield Statement("activity", name, _interval_arguments(interval), attributes)
            parent = context_name(path[:-1] or None)
            yield Statement(
                "wasInformedBy", None, {"prov:informed": name, "prov:informant": parent}
            )

    def _step(self, names: NameColumn, rows: NDArray[np.void]) -> Statement:
        has_step = int(rows["step"][0]) != layout.NO_STEP
        attributes: list[tuple[str, Any]] = [
            ("prov:type", Name("provml:Step" if has_step else "provml:Epoch"))
        ]
        if has_step:
            attributes.append(("provml:step", ValueColumn(int64_column(rows["step"]))))
        if int(rows["epoch"][0]) != layout.NO_EPOCH:
            attributes.append(("provml:epoch", ValueColumn(int64_column(rows["epoch"]))))
        interval: dict[str, Any] = {
            "prov:startTime": TimeColumn(int64_column(rows["start"])),
            "prov:endTime": TimeColumn(int64_column(rows["end"])),
        }
        return Statement("activity", names, interval, attributes, len(rows))

    def _step_link(self, names: NameColumn, path: Path, rows: NDArray[np.void]) -> Statement:
        arguments: dict[str, Any] = {"prov:informed": names, "prov:informant": context_name(path)}
        return Statement("wasInformedBy", None, arguments, rows=len(rows))

    def _step_blocks(self) -> Iterator[tuple[Path, NDArray[np.void]]]:
        """Yield the context path and the rows of each block of steps.

        In each block, either all rows have a step or none of them do. The same applies to epochs.
        """
        paths = list(self._survey.numbers)
        for rows in self._survey.steps.blocks():
            path = paths[int(rows["place"][0])]
            has_step, has_epoch = rows["step"] != layout.NO_STEP, rows["epoch"] != layout.NO_EPOCH
            for with_step in (True, False):
                for with_epoch in (True, False):
                    chosen = (has_step == with_step) & (has_epoch == with_epoch)
                    if chosen.any():
                        yield path, rows[chosen]

    # -- series and samples -------------------------------------------------------------------

    def _series(self) -> Iterator[Statement]:
        # metrics come first, so that a picture with few rows shows them rather than readings
        for series in sorted(self._survey.series.all, key=lambda s: s.kind in self._collectors):
            if series.kind == SAMPLING:
                continue  # these samples become activities, not entities
            name = series_name(series)
            attributes = _series_attributes(series)
            if series.kind == CUMULATIVE:
                attributes += series_rates(series, self._workloads_of(series))
            yield Statement("entity", name, {}, attributes)
            activity = context_name(series.context)
            yield Statement(
                "wasGeneratedBy", None, {"prov:entity": name, "prov:activity": activity}
            )
            yield Statement("hadMember", None, {"prov:collection": RESULTS, "prov:entity": name})
            if self.detail == "series" and series.of is not None:
                for version in self._versions_of(series):
                    yield Statement(
                        "wasDerivedFrom",
                        None,
                        {"prov:generatedEntity": name, "prov:usedEntity": version},
                    )

    def _versions_of(self, series: RunSeries) -> list[Name]:
        """Return the names of the versions of the model or artifact that a series is about."""
        versions = self._records.versions.get(series.of or ("", ""), [])
        first, last = series.first_ns, series.last_ns
        if first is None or last is None:
            return []
        before = [name for time_ns, name in versions if time_ns < first][-1:]
        return before + [name for time_ns, name in versions if first <= time_ns < last]

    def _metric(self, block: Block, names: NameColumn) -> Statement:
        series = block.series
        values = block.values
        if isinstance(values, list):
            values = [typed_literal(value) for value in values]
        attributes: list[tuple[str, Any]] = [
            ("prov:type", Name(self._sample_type(series.kind))),
            ("prov:label", series.name),
            ("prov:value", ValueColumn(values)),
            ("provml:name", series.name),
        ]
        if block.unit is not None:
            attributes.append(("provml:unit", block.unit))
        return Statement("entity", names, {}, attributes, len(block.time_ns))

    def _sample_type(self, kind: str) -> str:
        if kind in self._collectors:
            return _READING_TYPES.get(kind, "provml:Reading")
        return _SAMPLE_TYPES.get(kind, "provml:Sample")

    def _samplings(self, block: Block, kinds: Collection[str]) -> Iterator[Statement]:
        """Yield the statements about the activities in which a collector took its readings."""
        if isinstance(block.values, list):
            return  # the series is damaged: its values should be start times
        names, rows = sampling_names(block), len(block.time_ns)
        if "activity" in kinds:
            interval: dict[str, Any] = {
                "prov:startTime": TimeColumn(int64_column(block.values)),
                "prov:endTime": TimeColumn(block.time_ns),
            }
            yield Statement(
                "activity", names, interval, [("prov:type", Name("provml:Sampling"))], rows
            )
        if "wasInformedBy" in kinds:
            place: dict[str, Any] = {"prov:informed": names, "prov:informant": place_names(block)}
            yield Statement("wasInformedBy", None, place, rows=rows)
        if "wasAssociatedWith" in kinds:
            agent: dict[str, Any] = {
                "prov:activity": names,
                "prov:agent": collector_name(block.series.name),
            }
            yield Statement("wasAssociatedWith", None, agent, rows=rows)

    def _summary_times(self, block: Block) -> set[int]:
        series = block.series
        name = summarised_name(series.name) if block.role == "summary" else series.name
        return self._survey.summaries.get((block.writer, series.context, name), set())

    def _generations(self, block: Block, names: NameColumn) -> Iterator[Statement]:
        """Yield the statements that say which activities generated a block's samples.

        If the record of a summary is lost, the summary's samples count as ordinary samples.
        """
        if block.role != "summary":
            yield self._generation(block, names)
            return
        summarised, plain = split_summaries(block, self._summary_times(block))
        if summarised is not None:
            yield self._generation(summarised, sample_names(summarised))
        if plain is not None:
            yield self._generation(plain, sample_names(plain))

    def _derivations(self, block: Block) -> Iterator[Statement]:
        """Yield the derivations of a block's samples.

        Summaries are derived from the windows of values that they cover. Samples that describe a
        model or an artifact are derived from a version of that model or artifact.
        """
        if block.role == "summary":
            summarised, _ = split_summaries(block, self._summary_times(block))
            if summarised is not None:
                yield derive_samples(summarised, sample_names(summarised), window_names(summarised))
        if block.series.of is not None:
            versions = self._records.versions.get(block.series.of, [])
            for version, rows in split_by_version(block, versions):
                yield derive_samples(rows, sample_names(rows), version)

    def _generation(self, block: Block, names: NameColumn) -> Statement:
        is_reading = block.series.kind in self._collectors
        arguments: dict[str, Any] = {
            "prov:entity": names,
            "prov:activity": sampling_names(block) if is_reading else generator_names(block),
            "prov:time": TimeColumn(block.time_ns),
        }
        return Statement("wasGeneratedBy", None, arguments, rows=len(block.time_ns))

    def _membership(self, block: Block, names: NameColumn) -> Statement:
        arguments: dict[str, Any] = {
            "prov:collection": series_name(block.series),
            "prov:entity": names,
        }
        return Statement("hadMember", None, arguments, rows=len(block.time_ns))

    def _sample_files(self) -> Iterator[Statement]:
        for files in self.journal.writers:
            members = [
                series
                for series in self._survey.series.all
                if files in series.writers
                and series.count
                and series.kind != SAMPLING
                and not self._is_stated(series)
            ]
            if not members:
                continue
            name = local_name("journal", encode_name(files.name))
            yield Statement("entity", name, {}, _samples_file_attributes(files))
            yield Statement("wasGeneratedBy", None, {"prov:entity": name, "prov:activity": RUN})
            for series in members:
                yield Statement(
                    "wasDerivedFrom",
                    None,
                    {"prov:generatedEntity": series_name(series), "prov:usedEntity": name},
                )


_READING_TYPES: Final = {
    "system": "provml:SystemReading",
    "process": "provml:ProcessReading",
    "gpu": "provml:GpuReading",
    "energy": "provml:EnergyReading",
}
_SAMPLE_TYPES: Final = {
    "metric": "provml:Metric",
    FLOPS: "provml:Flops",
    CUMULATIVE: "provml:CumulativeFlops",
}
_STEP_KINDS: Final = frozenset({"activity", "wasInformedBy"})
_SAMPLE_KINDS: Final = frozenset({"entity", "wasGeneratedBy", "hadMember"})
_SAMPLING_KINDS: Final = frozenset({"activity", "wasInformedBy", "wasAssociatedWith"})


def run_prefixes(journal: Journal) -> dict[str, str]:
    """Return the IRI of each prefix that the names in a run's statements use."""
    description = journal.description
    base = base_iri(description)
    owner = name_owner(description)
    run = f"{base}{encode_name(description['experiment'])}/{encode_name(description['id'])}/"
    return {
        "prov": vocabulary.PROV,
        "xsd": vocabulary.XSD,
        "rdf": vocabulary.RDF,
        "provml": vocabulary.PROVML,
        "tags": vocabulary.TAGS,
        "base": base,
        "run": run,
        **({} if owner is None else owner.prefixes),
        **parent_prefixes(description),
    }


def _sample_capacity(journal: Journal) -> int:
    """Return an upper bound on the number of samples, based on the sizes of the files."""
    return sum(files.count_data_slots() for files in journal.writers)


def _interval_arguments(interval: Interval) -> dict[str, Any]:
    arguments: dict[str, Argument] = {}
    if interval.start_ns is not None and interval.end_ns is not None:
        arguments["prov:startTime"] = Moment(interval.start_ns)
        arguments["prov:endTime"] = Moment(interval.end_ns)
    return arguments


def _series_attributes(series: RunSeries) -> list[tuple[str, Any]]:
    attributes: list[tuple[str, Value]] = [
        ("prov:type", Name("prov:Collection")),
        ("prov:type", Name("provml:Series")),
        ("prov:label", series.name),
        ("provml:name", series.name),
        ("provml:count", series.count),
    ]
    attributes += [("provml:unit", unit) for unit in series.units]
    if series.rank is not None:
        attributes.append(("provml:rank", series.rank))
    if series.minimum is not None and series.maximum is not None:
        attributes.append(("provml:min", typed_literal(series.minimum)))
        attributes.append(("provml:max", typed_literal(series.maximum)))
    if series.mean is not None and series.kind not in (FLOPS, CUMULATIVE):
        attributes.append(("provml:mean", series.mean))
    if series.count:
        attributes.append(("provml:last", typed_literal(series.last)))
    if series.first_ns is not None and series.last_ns is not None:
        attributes.append(("provml:firstTime", Moment(series.first_ns)))
        attributes.append(("provml:lastTime", Moment(series.last_ns)))
    return attributes


def _samples_file_attributes(files: WriterFiles) -> list[tuple[str, Any]]:
    name = files.samples_path.name
    digest, size = files.digest_samples()
    return [
        ("prov:type", Name("provml:SamplesFile")),
        ("prov:label", name),
        ("provml:name", name),
        ("provml:path", f"{layout.JOURNAL_FOLDER}/{name}"),
        *([] if digest is None else [("provml:sha256", digest)]),
        ("provml:size", size),
    ]
