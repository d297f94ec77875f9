"""What a run is told of in words and values: parameters, tags, metadata, events, messages.

Stands on the recorder; what was recorded is read by `history`, imported when it is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from provml.base.clock import Timestamp, to_datetime, to_time_ns
from provml.base.context import MAX_NAME_LENGTH, Context, validate_name
from provml.base.event import Event, EventSource
from provml.errors import InvalidArgumentError
from provml.recording.checks import (
    flatten,
    metadata_record,
    metadata_value,
    param_record,
    place_fields,
    tag_record,
)
from provml.recording.recorder import Recorder, Target

if TYPE_CHECKING:
    from provml.journal.history import RecordedEvent, RecordedSpan
    from provml.journal.reader import Journal


class MetadataUpdate(NamedTuple):
    """What an update of the metadata came to.

    Attributes:
        num_keys_written: how many keys were written.
        updated_at: when, cut to microseconds.
    """

    num_keys_written: int
    updated_at: datetime


class Params(Mapping[str, Any]):
    """A run's parameters; `Run.params`. What is asked of it is read from the journal."""

    def __init__(self, run: Annotations) -> None:
        """Not for users: `Run.params` is one."""
        self._run = run

    def set(self, /, **params: Any) -> None:
        """Record parameters as `Run.log_params` does."""
        self._run.log_params(params)

    def _values(self) -> dict[str, Any]:
        return self._run._last_values("param")

    def __getitem__(self, name: str) -> Any:
        return self._values()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __repr__(self) -> str:
        return f"<provml.Params {self._values()!r}>"


class Annotations(Recorder):
    """The verbs of `Run` for all but samples and content."""

    def log_param(self, name: str, value: Any) -> None:
        """Record a parameter of the run; a second value under a name is a revision of the first.

        Costs one write(). Values are kept with their type: str, int, float, bool, None, Decimal,
        bytes, aware datetimes, lists and mappings of these, small arrays; any other object by its
        ``repr`` and type. A str whose name says that it is a secret is masked.

        Raises:
            InvalidArgumentError: a bad name, or text that is not Unicode.
            RunClosedError: the run has ended.
        """
        self._append_all([param_record(validate_name(name, "a parameter's name"), value)])

    def log_params(self, params: Mapping[str, Any], prefix: str = "") -> None:
        """Record every parameter of a mapping; nested mappings give dotted names.

        Args:
            params: names and values; ``{"opt": {"lr": 0.1}}`` is recorded as ``opt.lr``.
            prefix: put before every name as it is.

        Raises:
            InvalidArgumentError, RunClosedError: as `log_param`; then nothing is recorded.
        """
        if not isinstance(params, Mapping):
            raise InvalidArgumentError(
                f"log_params takes a mapping, not {type(params).__name__}: {params!r:.80}"
            )
        flat = flatten(params, validate_name(prefix, "prefix"))
        self._append_all([param_record(name, value) for name, value in flat])

    def set_tag(self, name: str, value: Any) -> None:
        """Set a tag of the run; the last value under a name counts, all are kept.

        Costs one write(). Raises as `log_param` does.
        """
        self._append(tag_record(name, value))

    def log_event(
        self,
        event: str | Event,
        context: Context | str | None = None,
        step: SupportsIndex | None = None,
        epoch: SupportsIndex | None = None,
        *,
        source: str | EventSource | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: Timestamp | None = None,
        of: Target | None = None,
    ) -> None:
        """Record that something happened: an activity at its instant.

        Costs one write(). ``X_started`` and ``X_finish`` read as one span, see `Event`.

        Args:
            event: the event's name, or an `Event`, whose fields count where the call's are None.
            source: who or what it comes from: becomes an agent.
            metadata: whatever else there is to say, as JSON can hold it.
            context, step, epoch, timestamp: as in `log_metric`. A step without an epoch is that of
                the epoch whose samples last began it.
            of: the model or artifact that it is of, as in `log_metric`: the event used it.

        Raises:
            InvalidArgumentError: a bad name, source, metadata, context, step, epoch, timestamp or
                target.
            RunClosedError: the run has ended.
        """
        if isinstance(event, Event):
            source = event.source if source is None else source
            metadata = event.metadata if metadata is None else metadata
            timestamp = event.wallclock_time if timestamp is None else timestamp
            event = event.name
        if isinstance(source, EventSource):
            source = source.name
        record = {
            "record": "event",
            "time": time.time_ns() if timestamp is None else to_time_ns(timestamp),
            "name": validate_name(event, "an event's name"),
            "source": None if source is None else validate_name(source, "an event's source"),
            "metadata": metadata_value(metadata),
        }
        if of is not None:
            kind, own_name = self._target(of)
            record["of"] = {"kind": kind, "name": own_name}
        self._append(record | place_fields(context, step, epoch), context)

    @property
    def params(self) -> Params:
        """The parameters, to be set (``run.params.set(lr=0.1)``) and read."""
        return Params(self)

    def update_metadata(self, key: str, value: Any) -> MetadataUpdate:
        """Record metadata under a key; another value is a revision of the one before.

        Costs one write(). Values are kept as by `log_param`, mappings whole.

        Raises:
            InvalidArgumentError: a bad key, or text that is not Unicode.
            RunClosedError: the run has ended.
        """
        record = metadata_record(key, value)
        self._append(record)
        return MetadataUpdate(1, to_datetime(record["time"]))

    def log(
        self,
        message: str,
        *,
        level: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a message: an event of that name.

        Costs one write(). A message beyond 4,096 characters is cut in the event's name and whole
        in its metadata, under ``message``.

        Args:
            message: any Unicode text.
            level: how grave it is, ``info``, ``warning``, ...; kept in the metadata.
            metadata: as in `log_event`.

        Raises InvalidArgumentError and RunClosedError as `log_event` does.
        """
        if not isinstance(message, str):
            raise InvalidArgumentError(f"a message must be a str: {message!r:.80}")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidArgumentError(f"metadata must be a mapping: {metadata!r:.80}")
        own = dict(metadata or {})
        if level is not None:
            own["level"] = validate_name(level, "level")
        if len(message) > MAX_NAME_LENGTH:
            own["message"] = message
        self.log_event(message[:MAX_NAME_LENGTH], metadata=own or None)

    # -- what was recorded --------------------------------------------------------------------

    def events(
        self,
        name: str | None = None,
        *,
        source: str | None = None,
        since: Timestamp | None = None,
        until: Timestamp | None = None,
    ) -> list[RecordedEvent]:
        """The events recorded so far, by all of the run's processes; see `RecordedRun.events`.

        Costs a pass over the events files.
        """
        from provml.journal.history import find_events

        return find_events(self._journal(), name, source, since, until)

    def spans(
        self,
        name: str | None = None,
        *,
        source: str | None = None,
        since: Timestamp | None = None,
        until: Timestamp | None = None,
    ) -> list[RecordedSpan]:
        """The events so far that last; see `RecordedRun.spans`. Costs a pass over the events."""
        from provml.journal.history import find_spans

        return find_spans(self._journal(), name, source, since, until)

    def _last_values(self, kind: str) -> dict[str, Any]:
        from provml.journal.history import last_values

        return last_values(self._journal(), kind)

    def _journal(self) -> Journal:
        from provml.journal.reader import Journal

        return Journal(self.path)
