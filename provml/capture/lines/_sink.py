"""Where what was read goes: samples into the run, refused lines into counts by reason.

Imports `run`, `context`, `collect.secrets`.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

from provml.base.context import Context
from provml.collect.secrets import mask_text
from provml.errors import ProvMLError, RunClosedError
from provml.recording.run import Run

REJECTED: Final = "lines rejected"
"""The event that says how many lines were refused, by reason, with an example of each."""

_EXAMPLE_LENGTH: Final = 200
_MAX_REASONS: Final = 64


class RefusedError(ValueError):
    """Why a line, or a part of one, is no metric: words that are the same for each such line."""


class Sink:
    """What forms report to. Raises nothing.

    Attributes:
        read_ns: when the bytes being read came in, in nanoseconds since the epoch; None: now.
        recorded: how many samples were recorded.
        rejected: how many lines, or parts of one, were refused.
    """

    def __init__(self, run: Run, source: str) -> None:
        self.read_ns: int | None = None
        self.recorded = 0
        self.rejected = 0
        self._run = run
        self._source = source
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def metric(
        self,
        name: str,
        value: int | float,
        context: Context | None,
        *,
        step: int | None = None,
        epoch: int | None = None,
        time_ns: int | None = None,
        line: str = "",
    ) -> None:
        """Record a sample, by default of the time at which it was read.

        Args:
            line: what it was read from, shown where the sample is refused.
        """
        try:
            moment = self.read_ns if time_ns is None else time_ns
            if moment is None:
                self._run.log_metric(name, value, context, step, epoch=epoch)
            else:  # exact, where a timestamp is a float
                self._run._log_carefully([(name, value)], context, step, epoch, moment, None)
            self.recorded += 1
        except RunClosedError:
            self.reject("the run had ended", line)
        except ProvMLError as error:
            # a form checks numbers itself: what is left is the name
            self.reject(f"{type(error).__name__}: the name can't be a metric's", line)

    def now(self) -> int:
        """When the bytes being read came in."""
        return time.time_ns() if self.read_ns is None else self.read_ns

    def reject(self, reason: str, line: str) -> None:
        """Count a line, or a part of one, that looks like a metric and is none."""
        self.rejected += 1
        if reason not in self._counts:
            if len(self._counts) >= _MAX_REASONS:
                reason = "other reasons"
            example = mask_text(line[: 4 * _EXAMPLE_LENGTH].strip())[:_EXAMPLE_LENGTH]
            self._examples[reason] = example.encode("utf-8", "replace").decode()
        self._counts[reason] += 1

    def report(self) -> None:
        """Say in the run what was refused since the last report; nothing where nothing was."""
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
            pass  # the run has ended: there is nowhere left to say it
