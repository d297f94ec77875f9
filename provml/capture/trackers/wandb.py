"""Records calls to Weights & Biases (W&B): to ``wandb.init`` and to the methods of W&B runs.

W&B's offline and disabled modes are supported too. The type of a value that the script passes to
``log`` determines how provml records the value:

- numbers and text: as metrics
- pictures and other files: as artifacts
- everything else: as an event that contains the type and the text of the value

Values set in ``summary`` become metrics in the context ``summary``. Each W&B run is a source; see
`sources`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from itertools import islice
from types import ModuleType
from typing import Any, Final

from provml.base.context import Context
from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.capture.trackers.sources import (
    TRACKER_FINISHED,
    TrackerSource,
    describe_object,
    find_package_version,
    get_source,
)

name: Final = "wandb"
modules: Final = (
    "wandb.sdk.wandb_init",
    "wandb.sdk.wandb_run",
    "wandb.sdk.wandb_config",
    "wandb.sdk.lib.noop_run",
    "wandb.sdk.lib.disabled",
)

SUMMARY: Final = Context("summary")
_MAX_FILES: Final = 1000
_RECORDED_SETTINGS: Final = (
    "run_id",
    "run_name",
    "project",
    "entity",
    "run_group",
    "run_job_type",
    "mode",
)


class _WandbRunState:
    """The recording state of one W&B run.

    Attributes:
        source: the source that represents the W&B run.
        step: the current step of the W&B run.
        config: the text of each configuration value recorded so far, by key.
        finished: whether provml has recorded the end of the W&B run.
    """

    def __init__(self, run: Any, source: TrackerSource) -> None:
        self.source = source
        self.step = int(getattr(run, "_local_step", 0) or 0)
        self.config: dict[str, str] = {}
        self.finished = False


class _WandbState:
    """The state of each W&B run, by its run object and by its configuration object."""

    def __init__(self) -> None:
        self.by_run: IdentityMap[_WandbRunState] = IdentityMap()
        self.by_config: IdentityMap[_WandbRunState] = IdentityMap()


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the module's functions, or its classes' methods, so that their calls are recorded."""
    part = module.__name__.rpartition(".")[2]
    if part == "wandb_init":
        calls.record(module, "init", _init)
    elif part == "wandb_config":
        for verb in ("update", "setdefaults", "update_locked", "merge_locked"):
            calls.record(module.Config, verb, _config_changed)
        for verb in ("__setitem__", "__setattr__"):
            calls.record(module.Config, verb, _config_changed)
    elif part == "disabled":
        calls.record(module.SummaryDisabled, "update", _disabled_summary_update)
        for verb in ("__setitem__", "__setattr__"):
            calls.record(module.SummaryDisabled, verb, _disabled_summary_set)
    else:
        run = module.NoopRun if part == "noop_run" else module.Run
        calls.record(run, "log", _log)
        calls.record(run, "save", _save)
        calls.record(run, "log_artifact", _log_artifact)
        calls.record(run, "log_model", _log_model)
        calls.record(run, "alert", _alert)
        calls.record(run, "use_artifact", partial(_use_item, "artifact"))
        calls.record(run, "finish", _finish)
        calls.record(run, "_finish", _finish)
        if part == "wandb_run":
            calls.record(run, "_summary_update_callback", _summary_update)


def _run_state(run: Any) -> _WandbRunState:
    remembered = STATE.part(_WandbState)
    known = remembered.by_run.get(run)
    if known is not None:
        return known
    settings = run.settings
    facts = {part: getattr(settings, part, None) for part in _RECORDED_SETTINGS}
    facts = {part: value for part, value in facts.items() if value is not None}
    key = str(facts.get("run_id") or id(run))
    label = str(facts.get("run_name") or key)
    facts["version"] = find_package_version("wandb")
    state = _WandbRunState(run, get_source(name, key, label, facts))
    remembered.by_run.add(run, state)
    config = getattr(run, "_config", None)
    if config is not None:
        remembered.by_config.add(config, state)
        _record_new_config(state, config)
    return state


def _record_new_config(state: _WandbRunState, config: Any) -> None:
    """Record the configuration values that are new or have changed since the last call."""
    new = {}
    for key, value in config.items():
        text = describe_object(value)
        if state.config.get(key) != text:
            state.config[key] = text
            new[key] = value
    state.source.log_params(new)


def _init(run: Any, *_: Any, **__: Any) -> None:
    if run is not None:
        _run_state(run)


def _config_changed(result: Any, config: Any, *_: Any, **__: Any) -> None:
    known = STATE.part(_WandbState).by_config.get(config)
    if known is not None:
        _record_new_config(known, config)


def _log(
    result: Any,
    run: Any,
    data: Mapping[str, Any],
    step: int | None = None,
    commit: bool | None = None,
    *_: Any,
    **__: Any,
) -> None:
    state = _run_state(run)
    source = state.source
    # count the steps as `Run._log` does, because reading `run.step` calls another process
    own_step = state.step if step is None else int(step)
    state.step = max(state.step, own_step)
    if (step is None and commit is None) or commit:
        state.step += 1
    data = dict(data)
    moment = data.get("_timestamp")
    timestamp = moment if isinstance(moment, (int, float)) else None
    for key, value in list(data.items()):
        path = getattr(value, "_path", None)
        if isinstance(path, str) and os.path.isfile(path):
            del data[key]
            facts = {"metadata": {"type": f"wandb.{type(value).__name__}"}}
            context = source.context_for(key)
            source.log_artifact(path, key, context=context, step=own_step, **facts)
    source.log_metrics(data, own_step, timestamp)


def _summary_update(result: Any, run: Any, record: Any, *_: Any, **__: Any) -> None:
    values = {".".join(map(str, item.key)): item.value for item in record.update}
    _run_state(run).source.log_metrics(values, within=SUMMARY)


def _disabled_summary_update(
    result: Any, summary: Any, values: Any = (), *_: Any, **named: Any
) -> None:
    run = getattr(sys.modules.get("wandb"), "run", None)
    if run is not None and getattr(run, "summary", None) is summary:
        _run_state(run).source.log_metrics({**dict(values), **named}, within=SUMMARY)


def _disabled_summary_set(result: Any, summary: Any, key: str, value: Any) -> None:
    _disabled_summary_update(result, summary, {key: value})


def _save(result: Any, run: Any, glob_str: Any = None, *_: Any, **__: Any) -> None:
    import glob

    source = _run_state(run).source
    found = result if isinstance(result, list) else glob.iglob(os.fsdecode(glob_str or ""))
    for path in islice(found, _MAX_FILES):
        real = os.path.realpath(path)
        if os.path.isfile(real):
            source.log_artifact(real, os.path.basename(path))


def _log_artifact(
    result: Any,
    run: Any,
    artifact_or_path: Any,
    name: str | None = None,
    type: str | None = None,
    aliases: Any = None,
    *_: Any,
    **__: Any,
) -> None:
    source = _run_state(run).source
    manifest = getattr(artifact_or_path, "manifest", None)
    if manifest is None:
        path = os.fspath(artifact_or_path)
        facts = {"type": type, "aliases": aliases}
        _log_path(source, path, name or os.path.basename(os.path.normpath(path)), facts)
        return
    kind = artifact_or_path.type
    own = str(artifact_or_path.name).partition(":")[0]
    facts = {"artifact": own, "type": kind, "aliases": aliases}
    entries = manifest.entries
    for path, entry in islice(entries.items(), _MAX_FILES):
        own_name = f"{own}/{path}"
        if entry.local_path is not None and os.path.exists(entry.local_path):
            _log_path(source, entry.local_path, own_name, facts)
        elif entry.ref is not None:
            source.log_artifact(str(entry.ref), own_name, metadata=facts)
    source.log_event("artifact logged", {**facts, "files": len(entries)})


def _log_path(source: TrackerSource, path: str, own_name: str, facts: Mapping[str, Any]) -> None:
    if facts["type"] == "model":
        source.log_model(path, own_name)
    else:
        source.log_artifact(path, own_name, metadata=facts)


def _log_model(
    result: Any, run: Any, path: Any, name: str | None = None, *_: Any, **__: Any
) -> None:
    own = name or os.path.basename(os.path.normpath(os.fspath(path)))
    _run_state(run).source.log_model(path, own)


def _use_item(kind: str, result: Any, run: Any, artifact_or_name: Any, *_: Any, **__: Any) -> None:
    own = getattr(artifact_or_name, "name", artifact_or_name)
    _run_state(run).source.log_event(f"{kind} used", {kind: str(own)})


def _alert(result: Any, run: Any, title: str, text: str = "", *_: Any, **__: Any) -> None:
    _run_state(run).source.log_event(str(title), {"text": str(text)[:10_000], "kind": "alert"})


def _finish(result: Any, run: Any, exit_code: int | None = None, *_: Any, **__: Any) -> None:
    state = _run_state(run)
    if not state.finished:
        state.finished = True
        metadata = {"source": state.source.key, "exit_code": exit_code}
        state.source.log_event(TRACKER_FINISHED, metadata)
