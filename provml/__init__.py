"""provml records a machine-learning run as a W3C PROV graph.

    import provml

    with provml.start_run("digits"):
        provml.log_param("lr", 0.01)
        provml.log_metric("loss", 0.3, provml.Context.TRAINING, step=0)

The recording half imports nothing beyond the standard library; what reads a recording is
imported when it is asked for, and what derives from one (numpy, orjson, prov) when it is used.
"""

from typing import TYPE_CHECKING

from provml._api import (
    active_run,
    count_flops,
    end_run,
    log_artifact,
    log_current_execution_time,
    log_dataset,
    log_environment,
    log_event,
    log_execution_end_time,
    log_execution_start_time,
    log_flops_per_batch,
    log_flops_per_epoch,
    log_metric,
    log_metrics,
    log_model,
    log_param,
    log_params,
    log_source_code,
    log_system_metrics,
    set_tag,
    start_run,
    update_metadata,
)
from provml.base.context import Context
from provml.base.event import Event, EventSource
from provml.errors import (
    ContentNotFoundError,
    DocumentError,
    EndpointError,
    ExportError,
    InvalidArgumentError,
    InvalidMetricError,
    JournalError,
    MissingExtraError,
    MissingProgramError,
    NoActiveRunError,
    ProvMLError,
    ProvMLWarning,
    QueryError,
    RunClosedError,
    RunExistsError,
    RunNotFoundError,
    SeriesNotFoundError,
    StoreError,
)
from provml.recording.run import Run
from provml.version import __version__

if TYPE_CHECKING:
    from provml.capture.printed_output import capture_output
    from provml.lineage.questions import Store, open_store
    from provml.recorded_run import RecordedRun, load
    from provml.validation import validate
    from provml.validation.constraints.normal_forms import equivalent, normal_form

__all__ = [
    "ContentNotFoundError",
    "Context",
    "DocumentError",
    "EndpointError",
    "Event",
    "EventSource",
    "ExportError",
    "InvalidArgumentError",
    "InvalidMetricError",
    "JournalError",
    "MissingExtraError",
    "MissingProgramError",
    "NoActiveRunError",
    "ProvMLError",
    "ProvMLWarning",
    "QueryError",
    "RecordedRun",
    "Run",
    "RunClosedError",
    "RunExistsError",
    "RunNotFoundError",
    "SeriesNotFoundError",
    "Store",
    "StoreError",
    "__version__",
    "active_run",
    "capture_output",
    "count_flops",
    "end_run",
    "equivalent",
    "load",
    "log_artifact",
    "log_current_execution_time",
    "log_dataset",
    "log_environment",
    "log_event",
    "log_execution_end_time",
    "log_execution_start_time",
    "log_flops_per_batch",
    "log_flops_per_epoch",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "log_source_code",
    "log_system_metrics",
    "normal_form",
    "open_store",
    "set_tag",
    "start_run",
    "update_metadata",
    "validate",
]

_LATE = {
    "RecordedRun": "provml.recorded_run",
    "Store": "provml.lineage.questions",
    "capture_output": "provml.capture.printed_output",
    "load": "provml.recorded_run",
    "open_store": "provml.lineage.questions",
    "validate": "provml.validation",
    "normal_form": "provml.validation.constraints.normal_forms",
    "equivalent": "provml.validation.constraints.normal_forms",
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'provml' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
