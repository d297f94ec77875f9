"""MLflow: its functions (``mlflow.log_metric``), its client, and so its autologging.

Values are recorded as the script gave them, where MLflow's own functions are called: without a
step where it gave none, parameters with their types. A source is a run of MLflow.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, Final

from provml.base.context import Context
from provml.capture.metric_contexts import context_from_name
from provml.capture.trackers.calls import Calls
from provml.capture.trackers.sources import Source, source_of, version_of

name: Final = "mlflow"
modules: Final = ("mlflow.tracking.fluent", "mlflow.tracking.client", "mlflow.models.model")

FINISHED: Final = "tracker finished"
"""The event of a run's end."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OWN_TAGS: Final = "mlflow."
_MODEL_FILE: Final = "MLmodel"

_models: dict[str, tuple[str, str | None]] = {}
"""The name and the run of each model that was begun, by its id."""


def patch(module: ModuleType, calls: Calls) -> None:
    """Have the functions of the module recorded, or the methods of its client."""
    if module.__name__ == "mlflow.tracking.fluent":
        calls.record(module, "log_metric", _log_metric)
        calls.record(module, "log_metrics", _log_metrics)
        calls.record(module, "log_params", _log_params)
        return
    if module.__name__ == "mlflow.models.model":
        # it logs again, for the model, what metrics the run has
        calls.record(module.Model, "log", _nothing)
        return
    client = module.MlflowClient
    calls.record(client, "log_metric", _client_log_metric)
    calls.record(client, "log_param", _client_log_param)
    calls.record(client, "set_tag", _client_set_tag)
    calls.record(client, "log_batch", _client_log_batch)
    # what one of the above may call beside what it is for
    calls.record(client, "create_run", _client_create_run, nested=True)
    calls.record(client, "set_terminated", _client_set_terminated, nested=True)
    calls.record(client, "log_inputs", _client_log_inputs, nested=True)
    calls.record(client, "log_artifact", _client_log_artifact, nested=True)
    calls.record(client, "log_artifacts", _client_log_artifacts, nested=True)
    if hasattr(client, "log_model_artifacts"):  # since MLflow 3; before it a model is a folder
        calls.record(client, "_create_logged_model", _client_create_model, nested=True)
        calls.record(client, "log_model_artifacts", _client_log_model_artifacts, nested=True)


def _nothing(*_: Any, **__: Any) -> None:
    """What is to be recorded, the client's methods say."""


def _source(run_id: str, tracking_uri: str | None = None, **facts: Any) -> Source:
    label = facts.get("run_name") or run_id[:8]
    facts = {"tracking_uri": tracking_uri, "run_id": run_id, **facts}
    return source_of(name, run_id, label, {**facts, "version": version_of("mlflow")})


def _active_source(run_id: str | None) -> Source:
    """The source of a function's call: that of the run it names, or of the one under way."""
    fluent = sys.modules["mlflow.tracking.fluent"]
    own_id = run_id or fluent.active_run().info.run_id
    return _source(own_id, sys.modules["mlflow.tracking"].get_tracking_uri())


def _log_metric(
    result: Any,
    key: str,
    value: Any,
    step: int | None = None,
    synchronous: bool | None = None,
    timestamp: int | None = None,
    run_id: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    _active_source(run_id).metric(key, value, step, None, _moment(timestamp))


def _log_metrics(
    result: Any,
    metrics: Mapping[str, Any],
    step: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
    timestamp: int | None = None,
    *_: Any,
    **__: Any,
) -> None:
    _active_source(run_id).metrics(metrics, step, _moment(timestamp))


def _log_params(
    result: Any,
    params: Mapping[str, Any],
    synchronous: bool | None = None,
    run_id: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    _active_source(run_id).params(params)


def _client_log_metric(
    result: Any,
    client: Any,
    run_id: str,
    key: str,
    value: Any,
    timestamp: int | None = None,
    step: int | None = None,
    *_: Any,
    **__: Any,
) -> None:
    source = _source(run_id, client.tracking_uri)
    source.metric(key, value, step, None, _moment(timestamp))


def _client_log_param(
    result: Any, client: Any, run_id: str, key: str, value: Any, *_: Any, **__: Any
) -> None:
    _source(run_id, client.tracking_uri).params({key: value})


def _client_set_tag(
    result: Any, client: Any, run_id: str, key: str, value: Any, *_: Any, **__: Any
) -> None:
    _source(run_id, client.tracking_uri).tags({key: value})


def _client_log_batch(
    result: Any,
    client: Any,
    run_id: str,
    metrics: Iterable[Any] = (),
    params: Iterable[Any] = (),
    tags: Iterable[Any] = (),
    *_: Any,
    **__: Any,
) -> None:
    source = _source(run_id, client.tracking_uri)
    seen: dict[tuple[Any, ...], Any] = {}
    for metric in metrics:
        model = getattr(metric, "model_id", None)
        same = (metric.key, metric.timestamp, metric.step, metric.value)
        if seen.setdefault(same, model) == model:  # the same for another model is said once
            moment = _moment(metric.timestamp)
            source.metric(metric.key, metric.value, metric.step, None, moment)
    source.params({param.key: param.value for param in params})
    source.tags({tag.key: tag.value for tag in tags})


def _client_create_run(
    result: Any,
    client: Any,
    experiment_id: str,
    start_time: int | None = None,
    tags: Mapping[str, Any] | None = None,
    *_: Any,
    **__: Any,
) -> None:
    own = {key: value for key, value in (tags or {}).items() if key.startswith(_OWN_TAGS)}
    source = _source(
        result.info.run_id,
        client.tracking_uri,
        run_name=result.info.run_name,
        experiment_id=experiment_id,
        tags=own,
    )
    source.tags({key: value for key, value in (tags or {}).items() if key not in own})


def _client_set_terminated(
    result: Any, client: Any, run_id: str, status: str | None = None, *_: Any, **__: Any
) -> None:
    source = _source(run_id, client.tracking_uri)
    source.event(FINISHED, {"source": run_id, "status": status or "FINISHED"})


def _client_log_inputs(
    result: Any, client: Any, run_id: str, datasets: Iterable[Any] | None = None, *_: Any, **__: Any
) -> None:
    source = _source(run_id, client.tracking_uri)
    for one in datasets or ():
        dataset = one.dataset
        said = next((tag.value for tag in one.tags or () if tag.key == "mlflow.data.context"), None)
        context = None if said is None else context_from_name(f"x/{said}") or Context(said)
        facts = {
            part: getattr(dataset, part, None)
            for part in ("name", "digest", "source_type", "source", "schema", "profile")
        }
        uri = _local_path(dataset.source)
        source.dataset(dataset if uri is None else uri, dataset.name or "dataset", context)
        source.event("dataset logged", facts, context=context)


def _local_path(described: Any) -> str | None:
    """Where the data of a dataset lies, by MLflow's description of its source."""
    try:
        uri = json.loads(described).get("uri")
    except (ValueError, TypeError, AttributeError):
        return None
    if not isinstance(uri, str) or not uri:
        return None
    path = uri.removeprefix("file://")
    return path if "://" in path or os.path.exists(path) else None


def _client_log_artifact(
    result: Any,
    client: Any,
    run_id: str,
    local_path: Any,
    artifact_path: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    own = os.path.basename(os.path.normpath(local_path))
    _source(run_id, client.tracking_uri).artifact(local_path, _joined(artifact_path, own))


def _client_log_artifacts(
    result: Any,
    client: Any,
    run_id: str,
    local_dir: Any,
    artifact_path: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    source = _source(run_id, client.tracking_uri)
    if os.path.exists(os.path.join(local_dir, _MODEL_FILE)):
        source.model(local_dir, artifact_path or "model")
    else:
        own = artifact_path or os.path.basename(os.path.abspath(local_dir))
        source.artifact(local_dir, own)


def _client_create_model(result: Any, client: Any, *_: Any, **__: Any) -> None:
    _models[result.model_id] = result.name, getattr(result, "source_run_id", None)


def _client_log_model_artifacts(
    result: Any,
    client: Any,
    model_id: str,
    local_dir: Any,
    artifact_path: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    model, run_id = _models.get(model_id, (model_id, None))
    source = _source(run_id or model_id, client.tracking_uri)
    if artifact_path is None:
        source.model(local_dir, model)
    else:
        source.artifact(local_dir, _joined(model, artifact_path))


def _joined(folder: str | None, file_name: str) -> str:
    return f"{folder.rstrip('/')}/{file_name}" if folder else file_name


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=int(milliseconds))
