"""Answers the requests of the page that shows one run.

Imports `run_content`; imports `export` and `validation` only when they are needed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from provml.errors import RunNotFoundError
from provml.journal.description import read_reference
from provml.journal.kept_copies import OUTPUT_NAMES, copy_path
from provml.journal.reader import Journal
from provml.journal.status import RunState
from provml.model.resources import ResourceUse
from provml.model.series import RunSeries
from provml.ui.answers import json_value
from provml.ui.browsed_store import BrowsedStore
from provml.ui.kept_output import find_logs, read_last_lines
from provml.ui.queries import Query
from provml.ui.run_content import (
    LoggedContent,
    LoggedEvent,
    RunContent,
    SeriesPositions,
    read_run,
)
from provml.ui.run_documents import list_documents

MOST_SHOWN: Final = 10_000
_MOST_SERIES: Final = 2_000
_MOST_DEVICES: Final = 64
_LONGEST_VALUE: Final = 20_000
_LONGEST_METADATA: Final = 2_000
_OUTPUT_LINES: Final = 20
_MOST_FINDINGS: Final = 200
_VALIDATED_SAMPLES: Final = 100_000
_READING_FACTS: Final = tuple(name for name in ResourceUse.__slots__ if name != "contexts")
_MADE: Final = ("artifact", "model")
_SHOWN_FACTS: Final = ("shape", "dtype", "rows", "columns", "files", "format", "class", "unread")


# -- overview ---------------------------------------------------------------------------------


def answer_run(store: BrowsedStore, query: Query) -> Mapping[str, Any]:
    """Return the overview of a run: its state, settings, results, code, machine and documents."""
    key = query.required("run")
    found = read_run(store, key)
    description, state = found.description, found.state
    labels = ("id", "experiment", "project", "owner", "framework", "task", "external_id")
    metrics = found.series[:_MOST_SERIES]
    return {
        "key": key,
        **{name: description.get(name) for name in labels},
        "version": description.get("provml"),
        **_describe_state(state),
        "folder": str(found.folder),
        "parent": _find_parent(store, found),
        **_describe_start(found),
        "settings": _describe_settings(found),
        "tags": _cut_values(found.tags),
        "metadata": _cut_values(found.metadata),
        "metrics": [_series_json(series, found.positions) for series in metrics],
        "metrics_count": len(found.series),
        "readings": [_reading_json(use) for use in found.readings[:_MOST_SERIES]],
        "reading_summaries": _cut_values(found.reading_summaries),
        "counts": _count_contents(found),
        "files": found.content_count,
        "events": found.event_count,
        "alerts": sum(event.level is not None for event in found.events),
        "output": _read_output_end(found),
        "damage": found.damage,
        "graph": f"graph/{quote(key)}.html",
        "formats": list_documents(),
    }


def _describe_state(state: RunState) -> dict[str, Any]:
    ended_ns = state.ended_ns
    exception = state.exception or {}
    return {
        "status": state.status,
        "reason": state.reason,
        "exception": {
            name: str(exception[name])[:_LONGEST_VALUE]
            for name in ("type", "message", "traceback")
            if exception.get(name) is not None
        }
        or None,
        "started_ns": str(state.started_ns),
        "ended_ns": None if ended_ns is None else str(ended_ns),
        "duration_s": None if ended_ns is None else (ended_ns - state.started_ns) / 1e9,
        "samples": state.samples,
        "dropped": {"samples": state.dropped_samples, "events": state.dropped_events},
    }


def _find_parent(store: BrowsedStore, found: RunContent) -> dict[str, Any] | None:
    """Return the name of the parent, and its key if the store contains the parent."""
    parent = read_reference(found.description.get("parent"))
    if parent is None:
        return None
    key = parent.folder
    try:
        if key is not None:
            store.run_folder(key)
    except RunNotFoundError:
        key = None
    return {"name": parent.name, "key": key}


def _describe_start(found: RunContent) -> dict[str, Any]:
    """Return what is known about the command, the code and the machine."""
    start, environment, git = found.start, found.environment, found.git
    command = start.get("command")
    script = start.get("script")
    script = script if isinstance(script, dict) else {}
    facts = ("platform", "cpu", "system", "release", "machine", "cpus", "usable_cpus")
    packages = environment.get("packages")
    return {
        "command": shlex.join(map(str, command)) if isinstance(command, list) else None,
        "working_folder": json_value(start.get("folder")),
        "script": {name: json_value(script.get(name)) for name in ("path", "sha256")}
        if script
        else None,
        "git": {name: json_value(git.get(name)) for name in ("commit", "branch", "remote", "dirty")}
        if git
        else None,
        "python": json_value(environment.get("python") or start.get("python")),
        "packages": _cut_values(packages) if isinstance(packages, dict) else {},
        "variables": _cut_values(environment.get("variables") or {}),
        "machine": {
            "host": json_value(start.get("host")),
            **{name: json_value(environment.get(name) or start.get(name)) for name in facts},
            "memory_bytes": json_value(start.get("memory_bytes")),
            "devices": [
                {"name": name, "facts": _cut_value(own)}
                for name, own in found.devices[:_MOST_DEVICES]
            ],
        },
    }


def _describe_settings(found: RunContent) -> dict[str, Any]:
    """Return the parameters: the given ones first, then the others, then those left at defaults."""

    def order(name: str) -> int:
        return 0 if name in found.given else 2 if name in found.defaults else 1

    names = sorted(found.params, key=order)
    return {
        "count": len(names),
        "values": [
            [
                name,
                _cut_value(found.params[name]),
                ("given", "logged", "default")[order(name)],
            ]
            for name in names[:MOST_SHOWN]
        ],
    }


def _series_json(series: RunSeries, positions: Mapping[int, SeriesPositions]) -> dict[str, Any]:
    places = positions.get(series.index, SeriesPositions())
    return {
        "name": series.name,
        "kind": series.kind,
        "context": None if series.context is None else list(series.context),
        "rank": series.rank,
        "of": None if series.of is None else list(series.of),
        "unit": ", ".join(series.units) or None,
        "count": series.count,
        "last": _cut_value(series.last),
        "last_at": json_value(places.last),
        "last_ns": None if series.last_ns is None else str(series.last_ns),
        "min": json_value(series.minimum),
        "min_at": json_value(places.lowest),
        "max": json_value(series.maximum),
        "max_at": json_value(places.highest),
    }


def _reading_json(use: ResourceUse) -> dict[str, Any]:
    return {name: json_value(getattr(use, name)) for name in _READING_FACTS}


def _count_contents(found: RunContent) -> dict[str, int]:
    counts: dict[str, int] = {}
    for content in found.contents:
        counts[content.kind] = counts.get(content.kind, 0) + 1
    return counts


def _read_output_end(found: RunContent) -> dict[str, Any] | None:
    """Return the last lines of the most useful log, or of the traceback if all logs are empty."""
    logs = {log.name: log for log in find_logs(found)}
    failed = found.state.status not in ("running", "finished")
    names = OUTPUT_NAMES if failed else ("stdout", "output", "stderr")
    for name in names:
        log = logs.get(name)
        lines = [] if log is None else read_last_lines(found.folder, log, _OUTPUT_LINES)
        if lines:
            return {"name": name, "lines": [line[:_LONGEST_METADATA] for line in lines]}
    traceback = (found.state.exception or {}).get("traceback")
    if not isinstance(traceback, str):
        return None
    return {"name": None, "lines": traceback.splitlines()[-_OUTPUT_LINES:]}


# -- events and files -------------------------------------------------------------------------


def answer_events(store: BrowsedStore, query: Query) -> Mapping[str, Any]:
    """Return the events and alerts of a run, in order of time."""
    found = read_run(store, query.required("run"))
    offset = query.count("offset", 0, 10**9)
    limit = query.count("limit", MOST_SHOWN, MOST_SHOWN)
    shown = found.events[offset : offset + limit]
    return {
        "total": found.event_count,
        "offset": offset,
        "started_ns": str(found.state.started_ns),
        "events": [_event_json(event) for event in shown],
        "notes": _note_left_out(found.event_count, len(found.events), "events", "show --json"),
    }


def _event_json(event: LoggedEvent) -> dict[str, Any]:
    return {
        "name": event.name,
        "time_ns": str(event.time_ns),
        "source": event.source,
        "context": None if event.context is None else list(event.context),
        "step": json_value(event.step),
        "epoch": event.epoch,
        "of": None if event.of is None else list(event.of),
        "level": event.level,
        "text": event.text,
        "metadata": _cut_value(event.metadata, _LONGEST_METADATA),
    }


def answer_files(store: BrowsedStore, query: Query) -> Mapping[str, Any]:
    """Return the files and objects that a run used or made, in order of time."""
    found = read_run(store, query.required("run"))
    offset = query.count("offset", 0, 10**9)
    limit = query.count("limit", MOST_SHOWN, MOST_SHOWN)
    shown = found.contents[offset : offset + limit]
    return {
        "total": found.content_count,
        "offset": offset,
        "files": [_content_json(found.folder, content) for content in shown],
        "notes": _note_left_out(found.content_count, len(found.contents), "files", "show --json"),
    }


def _content_json(folder: Path, content: LoggedContent) -> dict[str, Any]:
    facts = content.facts
    size, metadata = facts.get("size"), content.metadata
    role = "code" if content.kind == "code" else "out" if content.kind in _MADE else "in"
    return {
        "kind": content.kind,
        "name": content.name,
        "role": role,
        "purpose": content.purpose,
        "sha256": _text_or_none(facts.get("sha256")),
        "size": size if isinstance(size, int) else None,
        "path": _text_or_none(facts.get("path")),
        "uri": _text_or_none(facts.get("uri")),
        "time_ns": str(content.time_ns),
        "context": None if content.context is None else list(content.context),
        "step": json_value(content.step),
        "epoch": content.epoch,
        "copy": copy_path(folder, facts) is not None,
        "facts": {
            name: _cut_value(facts[name], _LONGEST_METADATA)
            for name in _SHOWN_FACTS
            if facts.get(name) is not None
        },
        "metadata": _cut_value(metadata, _LONGEST_METADATA) if metadata else None,
    }


def _note_left_out(total: int, kept: int, what: str, command: str) -> list[str]:
    if total <= kept:
        return []
    return [f"only the first {kept:,} of {total:,} {what} are listed: run provml {command}"]


# -- validity ---------------------------------------------------------------------------------


def answer_validity(store: BrowsedStore, query: Query) -> Mapping[str, Any]:
    """Check a run's statements against PROV-CONSTRAINTS, and the run's files against checksums.

    Takes about 20 us per PROV statement, and 40 ms per million samples.
    """
    from provml.validation import validate_run

    key = query.required("run")
    folder = store.run_folder(key)
    samples = read_run(store, key).state.samples
    detail = "series" if samples > _VALIDATED_SAMPLES else None
    report = validate_run(folder, detail, schema=False, shapes=False, name=key)
    journal = Journal(folder)
    damage = journal.verify()
    notes = list(report.notes)
    if detail is not None:
        notes.append(
            f"the constraints were checked on the series, not on each of the {samples:,} samples: "
            "run provml validate --constraints --detail sample to check every sample"
        )
    if journal.unchecked:
        notes.append(f"{journal.unchecked:,} samples have no checksum yet")
    return {
        "conforms": report.conforms,
        "checks": report.checks,
        "findings": [finding.to_dict() for finding in report.findings[:_MOST_FINDINGS]],
        "further": report.further + max(0, len(report.findings) - _MOST_FINDINGS),
        "damage": [str(one) for one in damage[:_MOST_FINDINGS]],
        "notes": notes,
    }


# -- values -----------------------------------------------------------------------------------


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _cut_values(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _cut_value(values[name]) for name in list(values)[:MOST_SHOWN]}


def _cut_value(value: Any, longest: int = _LONGEST_VALUE) -> Any:
    """Return a value as JSON data. A value that is too long becomes the beginning of its text."""
    plain = json_value(value)
    if plain is None or isinstance(plain, bool | int | float):
        return plain
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    if len(text) <= longest:
        return plain
    return f"{text[:longest]}… ({len(text):,} characters)"
