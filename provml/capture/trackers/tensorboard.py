"""Records calls to TensorBoard's ``SummaryWriter``, in both torch and tensorboardX.

| TensorBoard | provml |
|---|---|
| scalars | metrics, with the exact values from the call (TensorBoard keeps 32-bit floats) |
| hyperparameters | parameters and metrics |
| images, figures, audio, video | artifacts, with the encoded bytes that TensorBoard writes |
| histograms | artifacts: JSON with the non-empty buckets |
| texts | events |
| everything else | events named after the tag |

Each log folder is a source; see `sources`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.capture.trackers.sources import (
    TrackerSource,
    context_from_folder,
    find_package_version,
    get_source,
)
from provml.journal.values import encode

if TYPE_CHECKING:
    from inspect import Signature

name: Final = "tensorboard"
modules: Final = ("torch.utils.tensorboard.writer", "tensorboardX.writer")

_MAX_TEXT_LENGTH: Final = 10_000
_MAX_MEDIA_BYTES: Final = 10 * 2**20
_MEDIA_VERBS: Final = (
    "add_image",
    "add_images",
    "add_image_with_boxes",
    "add_figure",
    "add_video",
    "add_audio",
)
_HISTOGRAM_VERBS: Final = ("add_histogram", "add_histogram_raw")
_SUMMARY_FUNCTIONS: Final = ("image", "image_boxes", "video", "audio", "histogram", "histogram_raw")
"""The functions in the writers' modules that create protocol buffers for media and histograms."""

_MOMENTS: Final = ("min", "max", "num", "sum", "sum_squares")


class _TensorBoardState:
    """The sources and trials of all writers, and the last protocol buffer of each thread.

    Attributes:
        sources: the source of each writer.
        trials: the run name of each writer's first trial, by the key of the writer's source.
        trial_numbers: a counter, to name later trials that the script has not named.
        last: a thread-local object whose ``summary`` is the last protocol buffer that the thread
            created.
    """

    def __init__(self) -> None:
        self.sources: IdentityMap[TrackerSource] = IdentityMap()
        self.trials: dict[str, str | None] = {}
        self.trial_numbers = count(2)
        self.last = threading.local()


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the methods of the module's writer class, so that their calls are recorded."""
    import inspect  # slow to import, so import it only if the script uses a writer

    writer = module.SummaryWriter
    special: dict[str, Callable[..., None]] = {
        "add_scalar": _add_scalar,
        "add_scalars": _add_scalars,
        "add_hparams": _add_hparams,
        "add_text": _add_text,
    }
    for verb in [verb for verb in vars(writer) if verb.startswith("add_")]:
        signature = inspect.signature(getattr(writer, verb))
        if verb in special:
            after = special[verb]
        elif verb in _MEDIA_VERBS:
            after = partial(_add_media, signature)
        elif verb in _HISTOGRAM_VERBS:
            after = partial(_add_histogram, signature)
        else:
            after = partial(_add_other, verb.removeprefix("add_"), signature)
        calls.record(writer, verb, after, leaf=verb == "add_scalar")
    for maker in _SUMMARY_FUNCTIONS:
        calls.record(module, maker, _note_summary, nested=True, leaf=True)


def _writer_source(writer: Any) -> TrackerSource:
    sources = STATE.part(_TensorBoardState).sources
    known = sources.get(writer)
    if known is not None:
        return known
    folder = str(writer.get_logdir() if hasattr(writer, "get_logdir") else writer.logdir)
    package = type(writer).__module__.partition(".")[0]
    for base in type(writer).__mro__:
        if base.__module__ in modules:
            package = base.__module__.partition(".")[0]
    facts = {"log_dir": folder, "package": package, "version": find_package_version(package)}
    label = os.path.basename(os.path.normpath(folder))
    source = get_source(name, _folder_key(folder), label, facts, context_from_folder(folder))
    sources.add(writer, source)
    return source


def _folder_key(folder: str) -> str:
    return folder if "://" in folder else os.path.abspath(folder)


def _add_scalar(
    result: Any,
    writer: Any,
    tag: str,
    scalar_value: Any,
    global_step: Any = None,
    walltime: float | None = None,
    *_: Any,
    **__: Any,
) -> None:
    _writer_source(writer).log_metric(tag, scalar_value, global_step, None, walltime)


def _add_scalars(
    result: Any,
    writer: Any,
    main_tag: str,
    tag_scalar_dict: Mapping[str, Any],
    global_step: Any = None,
    walltime: float | None = None,
    *_: Any,
    **__: Any,
) -> None:
    source = _writer_source(writer)
    for tag, value in tag_scalar_dict.items():
        source.log_metric(f"{main_tag}/{tag}", value, global_step, None, walltime)


def _add_hparams(
    result: Any,
    writer: Any,
    hparam_dict: Mapping[str, Any],
    metric_dict: Mapping[str, Any],
    *rest: Any,
    global_step: Any = None,
    **options: Any,
) -> None:
    # torch: (..., hparam_domain_discrete, run_name, global_step); tensorboardX: (..., name, step)
    if global_step is None and rest and isinstance(rest[-1], int):
        global_step = rest[-1]
    run_name = options.get("run_name") or options.get("name")
    run_name = run_name or next((word for word in rest if isinstance(word, str)), None)
    source = _trial_source(_writer_source(writer), run_name)
    source.log_params(hparam_dict)
    for tag, value in metric_dict.items():
        source.log_metric(tag, value, global_step)


def _trial_source(source: TrackerSource, run_name: str | None) -> TrackerSource:
    """Return the source for a trial. Each call of ``add_hparams`` logs a trial.

    A writer's first trial uses the writer's source. Each later trial gets its own source, unless it
    has the same name as the first trial.

    Args:
        source: the source of the writer.
        run_name: the name of the trial; None if it has no name.
    """
    state = STATE.part(_TensorBoardState)
    if source.key not in state.trials:
        state.trials[source.key] = run_name
        return source
    if run_name is not None and run_name == state.trials[source.key]:
        return source
    part = run_name or f"trial {next(state.trial_numbers)}"
    return get_source(name, os.path.join(source.key, part), part, {"log_dir": source.key})


def _add_text(
    result: Any,
    writer: Any,
    tag: str,
    text_string: str,
    global_step: Any = None,
    walltime: float | None = None,
    *_: Any,
    **__: Any,
) -> None:
    source, step = _writer_source(writer), _to_step(global_step)
    text = str(text_string)
    metadata: dict[str, Any] = {"text": text[:_MAX_TEXT_LENGTH]}
    if len(text) > _MAX_TEXT_LENGTH:
        metadata["characters"] = len(text)
        source.log_bytes(text.encode("utf-8", "backslashreplace"), tag, "txt", step, walltime)
    source.log_event(tag, metadata, context=source.context_for(tag), step=step, timestamp=walltime)


def _note_summary(summary: Any, *_: Any, **__: Any) -> None:
    STATE.part(_TensorBoardState).last.summary = summary


def _take_summary_values(kinds: tuple[str, ...]) -> list[Any]:
    """Return the values of the given kinds in the summary that the recorded call has created.

    Removes the summary, so that a later call does not find it.
    """
    last = STATE.part(_TensorBoardState).last
    summary, last.summary = getattr(last, "summary", None), None
    if summary is None:
        return []
    return [value for value in summary.value if value.WhichOneof("value") in kinds]


def _bind_arguments(
    signature: Signature, *args: Any, **kwargs: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a call's arguments by name, and separately its step and timestamp."""
    arguments = signature.bind(*args, **kwargs).arguments
    step = _to_step(arguments.get("global_step"))
    return arguments, {"step": step, "timestamp": arguments.get("walltime")}


def _add_media(signature: Signature, result: Any, writer: Any, *args: Any, **kwargs: Any) -> None:
    arguments, place = _bind_arguments(signature, writer, *args, **kwargs)
    source, tag = _writer_source(writer), str(arguments["tag"])
    contents = _take_summary_values(("image", "audio"))
    for number, value in enumerate(contents):
        own_tag = tag if len(contents) == 1 else f"{tag}/{number}"
        if value.HasField("image"):
            content = value.image.encoded_image_string
            ending = "gif" if content[:3] == b"GIF" else "png"
        else:
            content, ending = value.audio.encoded_audio_string, "wav"
        if len(content) <= _MAX_MEDIA_BYTES:
            source.log_bytes(content, own_tag, ending, **place)
        else:
            _log_tag_event(source, own_tag, {"bytes": len(content)}, place)
    if not contents:  # this version of the writer does not call `_SUMMARY_FUNCTIONS`
        _add_other("media", signature, result, writer, *args, **kwargs)


def _add_histogram(
    signature: Signature, result: Any, writer: Any, *args: Any, **kwargs: Any
) -> None:
    arguments, place = _bind_arguments(signature, writer, *args, **kwargs)
    source, tag = _writer_source(writer), str(arguments["tag"])
    histograms = _take_summary_values(("histo",))
    for value in histograms:
        histogram = value.histo
        moments = {part: getattr(histogram, part) for part in _MOMENTS}
        limits_and_counts = zip(histogram.bucket_limit, histogram.bucket, strict=False)
        filled = [(limit, number) for limit, number in limits_and_counts if number]
        buckets = {
            "bucket_limit": [limit for limit, _ in filled],
            "bucket": [number for _, number in filled],
        }
        content = json.dumps(encode(moments | buckets), allow_nan=False).encode()
        metadata = {"kind": "histogram", **moments}
        source.log_bytes(content, tag, "json", **place, metadata=metadata)
    if not histograms:
        _add_other("histogram", signature, result, writer, *args, **kwargs)


def _add_other(
    kind: str, signature: Signature, result: Any, writer: Any, *args: Any, **kwargs: Any
) -> None:
    arguments, place = _bind_arguments(signature, writer, *args, **kwargs)
    _log_tag_event(_writer_source(writer), str(arguments.get("tag", kind)), {"kind": kind}, place)


def _log_tag_event(
    source: TrackerSource, tag: str, metadata: Mapping[str, Any], place: Mapping[str, Any]
) -> None:
    source.log_event(tag, metadata, context=source.context_for(tag), **place)


def _to_step(global_step: Any) -> int | None:
    return None if global_step is None else int(global_step)
