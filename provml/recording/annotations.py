"""The methods of `Run` that record parameters, tags, metadata, events and messages.

Imports `recorder` and `checks`; imports `journal.history` only to read recorded values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from provml.base.clock import Timestamp, to_datetime, to_time_ns
from provml.base.context import MAX_NAME_LENGTH, Context, validate_name
from provml.base.event import Event, EventSource
from provml.errors import InvalidArgumentError
from provml.journal.record_building import build_event
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
    """The result of `Run.update_metadata`.

    Attributes:
        num_keys_written: the number of keys written.
        updated_at: the time of the update, truncated to microseconds.
    """

    num_keys_written: int
    updated_at: datetime


class Params(Mapping[str, Any]):
    """The parameters of a run, as `Run.params` returns them.

    Each access covers the parameters that all processes have recorded so far, but reads the journal
    again only if the journal has changed.
    """

    def __init__(self, run: Annotations) -> None:
        """Internal: read `Run.params` instead of creating an instance."""
        self._run = run
        self._last: Mapping[str, Any] | None = None

    def set(self, /, **params: Any) -> None:
        """Record each keyword argument as a parameter; see `Run.log_params`."""
        self._run.log_params(params)

    def _values(self) -> Mapping[str, Any]:
        if self._last is None:
            from provml.journal.history import LastValues

            self._last = LastValues(self._run.path, "param")
        return self._last

    def __getitem__(self, name: str) -> Any:
        return self._values()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __repr__(self) -> str:
        return f"<provml.Params {dict(self._values())!r}>"


class Annotations(Recorder):
    """The methods of `Run` that record parameters, tags, metadata, events and messages."""

    def log_param(self, name: str, value: Any) -> None:
        """Record a parameter. A second value under the same name is recorded as a revision.

        Costs one write(). These values keep their type: str, int, float, bool, None, Decimal,
        bytes, aware datetimes, lists and mappings of these, and small arrays. Configuration objects
        become mappings, as in `log_params`. For a function or class, provml records the type and
        the qualified name; for any other object, the type and the ``repr``, without memory
        addresses. If the name suggests a secret, such as ``api_key``, provml masks all text
        in the value.

        Raises:
            InvalidArgumentError: the name is invalid, or a string is not valid Unicode.
            RunClosedError: the run has ended.
        """
        self._append_all([param_record(validate_name(name, "a parameter's name"), value)])

    def log_params(self, params: object, prefix: str = "") -> None:
        """Record the entries of a mapping or configuration object as parameters.

        A configuration object is an `argparse.Namespace`, a dataclass, a named tuple, a
        `types.SimpleNamespace`, an attrs object, a pydantic model or an OmegaConf configuration.
        Nested names are joined by dots. A missing OmegaConf value is recorded as ``???``.

        Args:
            params: names and values; ``{"opt": {"lr": 0.1}}`` is recorded as ``opt.lr``. A key that
                is not text is recorded as text, such as ``0`` for the int 0.
            prefix: text to prepend to every name.

        Raises:
            InvalidArgumentError: as for `log_param`, or two parameters would have the same name.
                Nothing is recorded.
            RunClosedError: the run has ended.
        """
        flat = flatten(params, validate_name(prefix, "prefix"))
        self._append_all([param_record(name, value) for name, value in flat.items()])

    def set_tag(self, name: str, value: Any) -> None:
        """Set a tag of the run, replacing any earlier value.

        The journal keeps the earlier values. Costs one write(). Raises the same exceptions as
        `log_param`.
        """
        self._append(tag_record(name, value))

    def log_event(
        self,
        event: str | Event,
        context: Context | str | None = None,
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
        *,
        source: str | EventSource | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: Timestamp | None = None,
        of: Target | None = None,
    ) -> None:
        """Record an event, which becomes a PROV activity at one instant.

        Costs one write(). provml reads a pair of events named ``X_started`` and ``X_finish`` as one
        span; see `Event`.

        Args:
            event: the event's name, or an `Event`. The other arguments override the fields of the
                `Event`.
            context, step, epoch, timestamp: as in `log_metric`. A step without an epoch belongs to
                the epoch that was in progress when the event happened.
            source: the person or program that caused the event; provml records it as a PROV agent.
            metadata: more details about the event, as a mapping of JSON-compatible values.
            of: the model or artifact that the event used, in any form that `log_metric` accepts.

        Raises:
            InvalidArgumentError: an argument is invalid.
            RunClosedError: the run has ended.
        """
        if isinstance(event, Event):
            source = event.source if source is None else source
            metadata = event.metadata if metadata is None else metadata
            timestamp = event.wallclock_time if timestamp is None else timestamp
            event = event.name
        if isinstance(source, EventSource):
            source = source.name
        record = build_event(
            name=validate_name(event, "an event's name"),
            metadata=metadata_value(metadata),
            source=None if source is None else validate_name(source, "an event's source"),
            time_ns=None if timestamp is None else to_time_ns(timestamp),
        )
        if of is not None:
            kind, own_name = self._target(of)
            record["of"] = {"kind": kind, "name": own_name}
        self._append(record | place_fields(context, step, epoch), context)

    @property
    def params(self) -> Params:
        """The run's parameters.

        Set a parameter with ``run.params.set(lr=0.1)``, and read it with ``run.params["lr"]``.
        """
        return Params(self)

    def update_metadata(self, key: str, value: Any) -> MetadataUpdate:
        """Record metadata under a key. A second value under the same key is recorded as a revision.

        Costs one write(). Values keep their type, as in `log_param`; mappings are not flattened.

        Raises:
            InvalidArgumentError: the key is invalid, or a string is not valid Unicode.
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
        """Record a message as an event whose name is the message.

        Costs one write(). If the message is longer than 4,096 characters, the name is truncated,
        and the event's metadata contains the whole message under the key ``message``.

        Args:
            message: any Unicode text.
            level: the severity, such as ``info`` or ``warning``; provml adds it to the metadata.
            metadata: as in `log_event`.

        Raises:
            InvalidArgumentError, RunClosedError: as for `log_event`.
        """
        if not isinstance(message, str):
            raise InvalidArgumentError(f"a message must be a str, not {message!r:.80}")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidArgumentError(f"metadata must be a mapping, not {metadata!r:.80}")
        own = dict(metadata or {})
        if level is not None:
            own["level"] = validate_name(level, "level")
        if len(message) > MAX_NAME_LENGTH:
            own["message"] = message
        self.log_event(message[:MAX_NAME_LENGTH], metadata=own or None)

    # -- reading back -------------------------------------------------------------------------

    def events(
        self,
        name: str | None = None,
        *,
        source: str | None = None,
        since: Timestamp | None = None,
        until: Timestamp | None = None,
    ) -> list[RecordedEvent]:
        """Return the events recorded so far by all processes of the run; see `RecordedRun.events`.

        Costs one pass over the events files.
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
        """Return the spans recorded so far by all processes of the run; see `RecordedRun.spans`.

        Costs one pass over the events files.
        """
        from provml.journal.history import find_spans

        return find_spans(self._journal(), name, source, since, until)

    def _journal(self) -> Journal:
        from provml.journal.reader import Journal

        return Journal(self.path)
