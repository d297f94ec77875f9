"""Records the samples that the parsers find, and counts refused lines by reason."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

from provml.base.context import Context
from provml.capture.lines._logged_names import LoggedNames
from provml.collect.secrets import mask_text
from provml.errors import ProvMLError, RunClosedError
from provml.recording.run import Run
from provml.recording.run_directory import RunDirectory

REJECTED: Final = "lines rejected"
"""The name of the event that counts refused lines by reason, with an example for each reason."""

MAX_STEP: Final = 2**63 - 1
"""The largest step that can be recorded."""
_MAX_RANKS: Final = 64
_EXAMPLE_LENGTH: Final = 200
_MAX_REASONS: Final = 64


class RefusedError(ValueError):
    """Raised if a line, or a part of a line, can't be read as a metric.

    Refused lines are counted by the message of this error. So the message must be the same for all
    lines that are refused for the same reason.
    """


class LineSink:
    """A recorder for the samples and refused lines that parsers report. No method raises an error.

    Attributes:
        read_ns: the time when the bytes being read arrived, in nanoseconds since the epoch; None
            means now.
        recorded: the number of samples recorded.
        rejected: the number of lines and parts of lines refused.
        rank: the rank that the line being read names; None if it names none.
    """

    def __init__(self, run: Run, source: str, others_log: bool = False) -> None:
        self.read_ns: int | None = None
        self.rank: int | None = None
        self.recorded = 0
        self.rejected = 0
        self._run = run
        self._runs_of_ranks: dict[int, Run] = {}
        self._names: set[str] = set()
        self._logged = LoggedNames(run, self._names, others_log)
        self._source = source
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def record_metric(
        self,
        name: str,
        value: int | float,
        context: Context | None,
        *,
        step: int | float | None = None,
        epoch: int | float | None = None,
        unit: str | None = None,
        time_ns: int | None = None,
        line: str = "",
    ) -> None:
        """Record a sample.

        Args:
            name, value, context, step, epoch, unit: as in `Run.log_metric`.
            time_ns: the time of the sample, in nanoseconds since the epoch; by default the time
                when the line arrived.
            line: the line that contains the sample. It is kept as an example if the sample is
                refused.
        """
        try:
            moment = self.read_ns if time_ns is None else time_ns
            self._names.add(name)
            run = self._run if self.rank is None else self._run_of_rank(self.rank)
            if moment is None:
                run.log_metric(name, value, context, step, epoch=epoch, unit=unit)
            else:  # `log_metric` takes the time as a float, which is not exact
                run._log_carefully([(name, value)], context, step, epoch, moment, unit)
            self.recorded += 1
        except RunClosedError:
            self.reject("the run had ended", line)
        except ProvMLError as error:
            # the parsers have checked all numbers, so only the name can be wrong
            self.reject(f"{type(error).__name__}: the metric's name is not valid", line)

    def _run_of_rank(self, rank: int) -> Run:
        """Return an object that records into the run as a process with the given rank.

        The first call for each rank opens journal files. After `_MAX_RANKS` ranks, the samples of
        further ranks are recorded without their rank.
        """
        own = self._runs_of_ranks.get(rank)
        if own is None:
            folder = self._run._folder
            if folder.settings.rank == rank or len(self._runs_of_ranks) >= _MAX_RANKS:
                return self._run
            facts = {**folder.facts, "rank": rank}
            settings = folder.settings._replace(rank=rank)
            of_rank = RunDirectory(folder.path, folder.description, facts, settings)
            own = self._runs_of_ranks[rank] = Run(of_rank, None, (), owner=False)
        return own

    def close(self) -> None:
        """Close the journal files of the ranks."""
        for run in self._runs_of_ranks.values():
            run.end_run()
        self._runs_of_ranks.clear()

    def is_logged(self, name: str, context: Context | None) -> bool:
        """Return whether the program itself logs a metric that it also prints."""
        return self._logged.has(name, context)

    def arrival_time_ns(self) -> int:
        """Return the time when the bytes being read arrived, in nanoseconds since the epoch."""
        return time.time_ns() if self.read_ns is None else self.read_ns

    def reject(self, reason: str, line: str) -> None:
        """Count a line, or a part of a line, that looks like a metric but can't be read as one.

        Args:
            reason: the reason; lines with the same reason are counted together.
            line: the line, to keep as an example. Secrets in it are masked.
        """
        self.rejected += 1
        if reason not in self._counts:
            if len(self._counts) >= _MAX_REASONS:
                reason = "other reasons"
            example = mask_text(line[: 4 * _EXAMPLE_LENGTH].strip())[:_EXAMPLE_LENGTH]
            self._examples[reason] = example.encode("utf-8", "replace").decode()
        self._counts[reason] += 1

    def report(self) -> None:
        """Log an event that counts the lines refused since the last report, if there are any."""
        if not self._counts:
            return
        metadata = {
            "stream": self._source,
            "lines": self._counts.total(),
            "reasons": dict(self._counts),
            "examples": self._examples,
        }
        self._counts, self._examples = Counter(), {}
        try:
            self._run.log_event(REJECTED, source="provml", metadata=metadata)
        except ProvMLError:
            pass  # the run has ended, so nothing can be recorded any more
