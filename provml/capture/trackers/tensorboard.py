"""TensorBoard: the ``SummaryWriter`` of torch and of tensorboardX.

Scalars are metrics, with the values they were called with: TensorBoard itself keeps 32 bits of
them. Hyperparameters are parameters and metrics. Images, figures, audio and video are artifacts:
the bytes that TensorBoard was given; histograms too, as JSON, with the buckets that hold something.
Texts are events; what else is added is an event with its tag. A source is a log folder.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from provml.capture.trackers.calls import Calls
from provml.capture.trackers.sources import (
    Source,
    folder_context,
    source_of,
    version_of,
)
from provml.journal.values import encode

if TYPE_CHECKING:
    from inspect import Signature

name: Final = "tensorboard"
modules: Final = ("torch.utils.tensorboard.writer", "tensorboardX.writer")

_LONGEST_TEXT: Final = 10_000
_LARGEST_BYTES: Final = 10 * 2**20
_MEDIA: Final = (
    "add_image",
    "add_images",
    "add_image_with_boxes",
    "add_figure",
    "add_video",
    "add_audio",
)
_HISTOGRAMS: Final = ("add_histogram", "add_histogram_raw")
_SUMMARIES: Final = ("image", "image_boxes", "video", "audio", "histogram", "histogram_raw")
"""What makes the protocol buffers of these, in the writers' modules."""

_MOMENTS: Final = ("min", "max", "num", "sum", "sum_squares")

_known: dict[int, tuple[weakref.ref[Any], Source]] = {}
_last: Final = threading.local()
"""``summary``: what was last made on this thread for a writer, the protocol buffer it writes."""
_tries: Final = count(2)


def patch(module: ModuleType, calls: Calls) -> None:
    """Have the calls of the module's writers recorded."""
    import inspect  # takes longer to import than all of this, and is for those who use a writer

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
        elif verb in _MEDIA:
            after = partial(_add_media, signature)
        elif verb in _HISTOGRAMS:
            after = partial(_add_histogram, signature)
        else:
            after = partial(_add_other, verb.removeprefix("add_"), signature)
        calls.record(writer, verb, after, leaf=verb == "add_scalar")
    for maker in _SUMMARIES:
        calls.record(module, maker, _note_summary, nested=True, leaf=True)


def _source(writer: Any) -> Source:
    known = _known.get(id(writer))
    if known is not None and known[0]() is writer:
        return known[1]
    folder = str(writer.get_logdir() if hasattr(writer, "get_logdir") else writer.logdir)
    package = type(writer).__module__.partition(".")[0]
    for base in type(writer).__mro__:
        if base.__module__ in modules:
            package = base.__module__.partition(".")[0]
    facts = {"log_dir": folder, "package": package, "version": version_of(package)}
    label = os.path.basename(os.path.normpath(folder))
    source = source_of(name, _key(folder), label, facts, folder_context(folder))
    number = id(writer)
    _known[number] = weakref.ref(writer, lambda _: _known.pop(number, None)), source
    return source


def _key(folder: str) -> str:
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
    known = _known.get(id(writer))
    source = _source(writer) if known is None or known[0]() is not writer else known[1]
    source.metric(tag, scalar_value, global_step, None, walltime)


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
    source = _source(writer)
    for tag, value in tag_scalar_dict.items():
        source.metric(f"{main_tag}/{tag}", value, global_step, None, walltime)


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
    source = _tried(_source(writer), run_name)
    source.params(hparam_dict)
    for tag, value in metric_dict.items():
        source.metric(tag, value, global_step)


_tried_by: dict[str, str | None] = {}


def _tried(source: Source, run_name: str | None) -> Source:
    """Where one of a writer's trials belongs: the first to the writer, each other apart."""
    if source.key not in _tried_by:
        _tried_by[source.key] = run_name
        return source
    if run_name is not None and run_name == _tried_by[source.key]:
        return source
    part = run_name or f"trial {next(_tries)}"
    return source_of(name, os.path.join(source.key, part), part, {"log_dir": source.key})


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
    source, step = _source(writer), _step(global_step)
    text = str(text_string)
    metadata: dict[str, Any] = {"text": text[:_LONGEST_TEXT]}
    if len(text) > _LONGEST_TEXT:
        metadata["characters"] = len(text)
        source.content(text.encode("utf-8", "backslashreplace"), tag, "txt", step, walltime)
    source.event(tag, metadata, context=source.context_for(tag), step=step, timestamp=walltime)


def _note_summary(summary: Any, *_: Any, **__: Any) -> None:
    _last.summary = summary


def _written(kinds: tuple[str, ...]) -> list[Any]:
    """What of these kinds the call that has just ended made."""
    summary, _last.summary = getattr(_last, "summary", None), None
    if summary is None:
        return []
    return [value for value in summary.value if value.WhichOneof("value") in kinds]


def _said(signature: Signature, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of a call by their names, and of these what says when it was."""
    said = signature.bind(*args, **kwargs).arguments
    step = _step(said.get("global_step"))
    return said, {"step": step, "timestamp": said.get("walltime")}


def _add_media(signature: Signature, result: Any, writer: Any, *args: Any, **kwargs: Any) -> None:
    said, place = _said(signature, writer, *args, **kwargs)
    source, tag = _source(writer), str(said["tag"])
    contents = _written(("image", "audio"))
    for number, value in enumerate(contents):
        own_tag = tag if len(contents) == 1 else f"{tag}/{number}"
        if value.HasField("image"):
            content = value.image.encoded_image_string
            ending = "gif" if content[:3] == b"GIF" else "png"
        else:
            content, ending = value.audio.encoded_audio_string, "wav"
        if len(content) <= _LARGEST_BYTES:
            source.content(content, own_tag, ending, **place)
        else:
            _tell(source, own_tag, {"bytes": len(content)}, place)
    if not contents:  # a version that makes them otherwise
        _add_other("media", signature, result, writer, *args, **kwargs)


def _add_histogram(
    signature: Signature, result: Any, writer: Any, *args: Any, **kwargs: Any
) -> None:
    said, place = _said(signature, writer, *args, **kwargs)
    source, tag = _source(writer), str(said["tag"])
    made = _written(("histo",))
    for value in made:
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
        source.content(content, tag, "json", **place, metadata=metadata)
    if not made:
        _add_other("histogram", signature, result, writer, *args, **kwargs)


def _add_other(
    kind: str, signature: Signature, result: Any, writer: Any, *args: Any, **kwargs: Any
) -> None:
    said, place = _said(signature, writer, *args, **kwargs)
    _tell(_source(writer), str(said.get("tag", kind)), {"kind": kind}, place)


def _tell(source: Source, tag: str, metadata: Mapping[str, Any], place: Mapping[str, Any]) -> None:
    source.event(tag, metadata, context=source.context_for(tag), **place)


def _step(global_step: Any) -> int | None:
    return None if global_step is None else int(global_step)
