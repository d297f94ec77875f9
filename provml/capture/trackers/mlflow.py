"""Records calls to MLflow's functions, such as ``mlflow.log_metric``, and to ``MlflowClient``.

Values that autologging logs are recorded too, because autologging calls the client. If the script
calls MLflow's functions, values are recorded exactly as the script passes them. Parameters keep
their types, and a metric gets a step only if the script passes a step. Each MLflow run is a source;
see `sources`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import ModuleType
from typing import Any, Final

from provml.base.clock import to_datetime
from provml.base.context import Context
from provml.capture.metric_contexts import context_from_name
from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.sources import (
    TRACKER_FINISHED,
    TrackerSource,
    find_package_version,
    get_source,
)

name: Final = "mlflow"
modules: Final = (
    "mlflow.tracking.fluent",
    "mlflow.tracking.client",
    "mlflow.models.model",
    "mlflow.utils.autologging_utils.client",
)

_MLFLOW_TAG_PREFIX: Final = "mlflow."
_MODEL_FILE: Final = "MLmodel"
_MOST_QUEUED: Final = 100_000


class _MlflowState:
    """What is known from earlier calls.

    Attributes:
        models: the name and run id of each new MLflow model, by model id.
        queued: the parameters that autologging has queued, by their names and texts.
    """

    def __init__(self) -> None:
        self.models: dict[str, tuple[str, str | None]] = {}
        self.queued: dict[tuple[str, str], Any] = {}


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the module's functions, or its classes' methods, so that their calls are recorded."""
    if module.__name__ == "mlflow.tracking.fluent":
        calls.record(module, "log_metric", _log_metric)
        calls.record(module, "log_metrics", _log_metrics)
        calls.record(module, "log_params", _log_params)
        return
    if module.__name__ == "mlflow.models.model":
        # `Model.log` logs the run's metrics again, for the model: don't record them twice
        calls.record(module.Model, "log", _ignore_call)
        return
    if module.__name__ == "mlflow.utils.autologging_utils.client":
        calls.record(
            module.MlflowAutologgingQueueingClient, "log_params", _queue_params, nested=True
        )
        return
    client = module.MlflowClient
    calls.record(client, "log_metric", _client_log_metric)
    calls.record(client, "log_param", _client_log_param)
    calls.record(client, "set_tag", _client_set_tag)
    calls.record(client, "log_batch", _client_log_batch)
    # the functions above may also call these methods, so record nested calls too
    calls.record(client, "create_run", _client_create_run, nested=True)
    calls.record(client, "set_terminated", _client_set_terminated, nested=True)
    calls.record(client, "log_inputs", _client_log_inputs, nested=True)
    calls.record(client, "log_artifact", _client_log_artifact, nested=True)
    calls.record(client, "log_artifacts", _client_log_artifacts, nested=True)
    if hasattr(client, "log_model_artifacts"):  # only in MLflow 3
        calls.record(client, "_create_logged_model", _client_create_model, nested=True)
        calls.record(client, "log_model_artifacts", _client_log_model_artifacts, nested=True)


def _ignore_call(*_: Any, **__: Any) -> None:
    """Record nothing: `Model.log` is wrapped only so that the calls inside it count as nested."""


def _run_source(run_id: str, tracking_uri: str | None = None, **facts: Any) -> TrackerSource:
    label = facts.get("run_name") or run_id[:8]
    facts = {"tracking_uri": tracking_uri, "run_id": run_id, **facts}
    return get_source(name, run_id, label, {**facts, "version": find_package_version("mlflow")})


def _active_source(run_id: str | None) -> TrackerSource:
    """Return the source of an MLflow run.

    Args:
        run_id: the id of the run; None means MLflow's active run.
    """
    fluent = sys.modules["mlflow.tracking.fluent"]
    own_id = run_id or fluent.active_run().info.run_id
    return _run_source(own_id, sys.modules["mlflow.tracking"].get_tracking_uri())


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
    _active_source(run_id).log_metric(key, value, step, None, _to_datetime(timestamp))


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
    _active_source(run_id).log_metrics(metrics, step, _to_datetime(timestamp))


def _log_params(
    result: Any,
    params: Mapping[str, Any],
    synchronous: bool | None = None,
    run_id: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    _active_source(run_id).log_params(params)


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
    source = _run_source(run_id, client.tracking_uri)
    source.log_metric(key, value, step, None, _to_datetime(timestamp))


def _client_log_param(
    result: Any, client: Any, run_id: str, key: str, value: Any, *_: Any, **__: Any
) -> None:
    _run_source(run_id, client.tracking_uri).log_params({key: value})


def _client_set_tag(
    result: Any, client: Any, run_id: str, key: str, value: Any, *_: Any, **__: Any
) -> None:
    _run_source(run_id, client.tracking_uri).set_tags({key: value})


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
    source = _run_source(run_id, client.tracking_uri)
    seen: dict[tuple[Any, ...], Any] = {}
    for metric in metrics:
        model = getattr(metric, "model_id", None)
        same = (metric.key, metric.timestamp, metric.step, metric.value)
        if seen.setdefault(same, model) == model:  # skip copies for other models
            moment = _to_datetime(metric.timestamp)
            source.log_metric(metric.key, metric.value, metric.step, None, moment)
    queued = STATE.part(_MlflowState).queued
    source.log_params({one.key: queued.get((one.key, one.value), one.value) for one in params})
    source.set_tags({tag.key: tag.value for tag in tags})


def _queue_params(
    result: Any, client: Any, run_id: Any, params: Mapping[str, Any], *_: Any, **__: Any
) -> None:
    """Remember the values of parameters, which autologging passes on as text in another thread."""
    queued = STATE.part(_MlflowState).queued
    if len(queued) + len(params) <= _MOST_QUEUED:
        queued.update({(name, str(value)): value for name, value in params.items()})


def _client_create_run(
    result: Any,
    client: Any,
    experiment_id: str,
    start_time: int | None = None,
    tags: Mapping[str, Any] | None = None,
    *_: Any,
    **__: Any,
) -> None:
    own = {key: value for key, value in (tags or {}).items() if key.startswith(_MLFLOW_TAG_PREFIX)}
    source = _run_source(
        result.info.run_id,
        client.tracking_uri,
        run_name=result.info.run_name,
        experiment_id=experiment_id,
        tags=own,
    )
    source.set_tags({key: value for key, value in (tags or {}).items() if key not in own})


def _client_set_terminated(
    result: Any, client: Any, run_id: str, status: str | None = None, *_: Any, **__: Any
) -> None:
    source = _run_source(run_id, client.tracking_uri)
    source.log_event(TRACKER_FINISHED, {"source": run_id, "status": status or "FINISHED"})


def _client_log_inputs(
    result: Any, client: Any, run_id: str, datasets: Iterable[Any] | None = None, *_: Any, **__: Any
) -> None:
    source = _run_source(run_id, client.tracking_uri)
    for one in datasets or ():
        dataset = one.dataset
        said = next((tag.value for tag in one.tags or () if tag.key == "mlflow.data.context"), None)
        context = None if said is None else context_from_name(f"x/{said}") or Context(said)
        facts = {
            part: getattr(dataset, part, None)
            for part in ("name", "digest", "source_type", "source", "schema", "profile")
        }
        uri = _find_local_path(dataset.source)
        source.log_dataset(dataset if uri is None else uri, dataset.name or "dataset", context)
        source.log_event("dataset logged", facts, context=context)


def _find_local_path(described: Any) -> str | None:
    """Return the path or URI of a dataset; None if it is unknown or the path does not exist.

    Args:
        described: MLflow's description of the dataset's source, as JSON text.
    """
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
    _run_source(run_id, client.tracking_uri).log_artifact(
        local_path, _join_artifact_path(artifact_path, own)
    )


def _client_log_artifacts(
    result: Any,
    client: Any,
    run_id: str,
    local_dir: Any,
    artifact_path: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    source = _run_source(run_id, client.tracking_uri)
    if os.path.exists(os.path.join(local_dir, _MODEL_FILE)):
        source.log_model(local_dir, artifact_path or "model")
    else:
        own = artifact_path or os.path.basename(os.path.abspath(local_dir))
        source.log_artifact(local_dir, own)


def _client_create_model(result: Any, client: Any, *_: Any, **__: Any) -> None:
    models = STATE.part(_MlflowState).models
    models[result.model_id] = result.name, getattr(result, "source_run_id", None)


def _client_log_model_artifacts(
    result: Any,
    client: Any,
    model_id: str,
    local_dir: Any,
    artifact_path: str | None = None,
    *_: Any,
    **__: Any,
) -> None:
    model, run_id = STATE.part(_MlflowState).models.get(model_id, (model_id, None))
    source = _run_source(run_id or model_id, client.tracking_uri)
    if artifact_path is None:
        source.log_model(local_dir, model)
    else:
        source.log_artifact(local_dir, _join_artifact_path(model, artifact_path))


def _join_artifact_path(folder: str | None, file_name: str) -> str:
    return f"{folder.rstrip('/')}/{file_name}" if folder else file_name


def _to_datetime(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else to_datetime(int(milliseconds) * 1_000_000)
