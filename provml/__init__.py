"""provml records a machine-learning run as a W3C PROV graph.

    import provml

    with provml.start_run("digits"):
        provml.log_param("lr", 0.01)
        provml.log_metric("loss", 0.3, provml.Context.TRAINING, step=0)

``import provml`` loads only the recording code, and no package outside the standard library. The
functions and classes that read a recorded run, and the modules `provml.integrations`,
`provml.reading`, `provml.sparql` and `provml.testing`, are imported when you first use them.
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
    log_input,
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
    use_model,
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
from provml.recording.annotations import MetadataUpdate
from provml.recording.run import Run
from provml.version import __version__

if TYPE_CHECKING:
    from provml import integrations as integrations
    from provml import reading as reading
    from provml import sparql as sparql
    from provml import testing as testing
    from provml.base.results import (
        AppendedBatch,
        AppendedPoint,
        Damage,
        DroppedCounts,
        Point,
        PointPage,
        RecordedException,
    )
    from provml.capture.printed_output import capture_output
    from provml.charts import plot
    from provml.integrations import autolog
    from provml.integrations.model_watch import watch
    from provml.journal.history import RecordedEvent, RecordedSpan
    from provml.lineage.questions import Store, open_store
    from provml.model.recorded_values import (
        RecordedAlert,
        RecordedContent,
        SeriesArrays,
        SeriesName,
    )
    from provml.recorded_run import RecordedRun, load
    from provml.validation import validate
    from provml.validation.constraints.normal_forms import equivalent, normal_form

__all__ = [
    "AppendedBatch",
    "AppendedPoint",
    "ContentNotFoundError",
    "Context",
    "Damage",
    "DocumentError",
    "DroppedCounts",
    "EndpointError",
    "Event",
    "EventSource",
    "ExportError",
    "InvalidArgumentError",
    "InvalidMetricError",
    "JournalError",
    "MetadataUpdate",
    "MissingExtraError",
    "MissingProgramError",
    "NoActiveRunError",
    "Point",
    "PointPage",
    "ProvMLError",
    "ProvMLWarning",
    "QueryError",
    "RecordedAlert",
    "RecordedContent",
    "RecordedEvent",
    "RecordedException",
    "RecordedRun",
    "RecordedSpan",
    "Run",
    "RunClosedError",
    "RunExistsError",
    "RunNotFoundError",
    "SeriesArrays",
    "SeriesName",
    "SeriesNotFoundError",
    "Store",
    "StoreError",
    "__version__",
    "active_run",
    "autolog",
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
    "log_input",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "log_source_code",
    "log_system_metrics",
    "normal_form",
    "open_store",
    "plot",
    "set_tag",
    "start_run",
    "update_metadata",
    "use_model",
    "validate",
    "watch",
]

_IMPORTED_ON_USE = {
    "AppendedBatch": "provml.base.results",
    "AppendedPoint": "provml.base.results",
    "Damage": "provml.base.results",
    "DroppedCounts": "provml.base.results",
    "Point": "provml.base.results",
    "PointPage": "provml.base.results",
    "RecordedAlert": "provml.model.recorded_values",
    "RecordedContent": "provml.model.recorded_values",
    "RecordedEvent": "provml.journal.history",
    "RecordedException": "provml.base.results",
    "RecordedRun": "provml.recorded_run",
    "RecordedSpan": "provml.journal.history",
    "SeriesArrays": "provml.model.recorded_values",
    "SeriesName": "provml.model.recorded_values",
    "Store": "provml.lineage.questions",
    "autolog": "provml.integrations",
    "capture_output": "provml.capture.printed_output",
    "equivalent": "provml.validation.constraints.normal_forms",
    "load": "provml.recorded_run",
    "normal_form": "provml.validation.constraints.normal_forms",
    "open_store": "provml.lineage.questions",
    "plot": "provml.charts",
    "validate": "provml.validation",
    "watch": "provml.integrations.model_watch",
}
_MODULES = ("integrations", "reading", "sparql", "testing")


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _IMPORTED_ON_USE:
        return getattr(import_module(_IMPORTED_ON_USE[name]), name)
    if name in _MODULES:
        return import_module(f"provml.{name}")
    raise AttributeError(f"module 'provml' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
