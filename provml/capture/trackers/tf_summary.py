"""Records what scripts write for TensorBoard with ``tf.summary`` or ``tensorboard.summary.Writer``.

`clu` and ``flax.metrics.tensorboard`` write through ``tf.summary``, so they are recorded too.

| call | provml |
|---|---|
| ``scalar``, ``Writer.add_scalar`` | metrics |
| ``hparams`` | parameters |
| ``text`` | events, with the text |
| ``image``, ``audio``, ``histogram`` | events named after the tag |

Each log folder is a source; see `sources`. If TensorFlow compiles a call into a graph
(``tf.function``), the value is still unknown when the script makes the call. In this case, provml
records an event without the value.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any, Final

from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.capture.trackers.sources import (
    TrackerSource,
    context_from_folder,
    find_package_version,
    get_source,
)

name: Final = "tensorboard"
modules: Final = (
    "tensorboard.plugins.scalar.summary_v2",
    "tensorboard.plugins.text.summary_v2",
    "tensorboard.plugins.image.summary_v2",
    "tensorboard.plugins.audio.summary_v2",
    "tensorboard.plugins.histogram.summary_v2",
    "tensorboard.plugins.hparams.summary_v2",
    "tensorboard.summary._writer",
    "tensorflow.python.ops.summary_ops_v2",
)

_SUMMARY_OPS: Final = "tensorflow.python.ops.summary_ops_v2"
_MAX_TEXT_LENGTH: Final = 10_000


class _WriterFolders:
    """The log folder of each summary writer."""

    def __init__(self) -> None:
        self.folders: IdentityMap[str] = IdentityMap()


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the module's functions that write summaries, so that their calls are recorded."""
    if module.__name__ == _SUMMARY_OPS:
        calls.record(module, "create_file_writer_v2", _writer_created, nested=True)
    elif module.__name__ == "tensorboard.summary._writer":
        calls.record(module.Writer, "__init__", _own_writer_created, leaf=True)
        calls.record(module.Writer, "add_scalar", _own_scalar, leaf=True)
    else:
        kind = module.__name__.split(".")[2]
        if kind == "hparams":
            calls.record(module, "hparams", _hparams)
        else:
            after = {"scalar": _scalar, "text": _text}.get(kind, partial(_other, kind))
            calls.record(module, kind, after)


def _writer_created(writer: Any, logdir: Any, *_: Any, **__: Any) -> None:
    if writer is not None:
        STATE.part(_WriterFolders).folders.add(writer, _to_text(logdir))


def _own_writer_created(result: None, writer: Any, output: Any) -> None:
    events = getattr(getattr(writer, "_output", None), "_ev_writer", None)
    folder = output if isinstance(output, str) else getattr(events, "_logdir", None)
    STATE.part(_WriterFolders).folders.add(writer, str(folder or "summary"))


def _source_for(folder: str | None) -> TrackerSource:
    own = folder or "summary"
    key = own if "://" in own else os.path.abspath(own)
    package = "tensorflow" if "tensorflow" in sys.modules else "tensorboard"
    facts = {"log_dir": own, "package": package, "version": find_package_version(package)}
    label = os.path.basename(os.path.normpath(own))
    return get_source(name, key, label, facts, context_from_folder(own))


def _current_source() -> TrackerSource:
    """Return the source for the folder of TensorFlow's default writer."""
    state = getattr(sys.modules.get(_SUMMARY_OPS), "_summary_state", None)
    writer = getattr(state, "writer", None)
    return _source_for(STATE.part(_WriterFolders).folders.get(writer))


def _was_written(result: Any) -> bool:
    """Return whether a call has written a summary, according to the result of the call."""
    number = getattr(result, "numpy", None)
    return bool(number()) if callable(number) else result is not False


def _find_step(step: Any) -> int | None:
    """Return a step as an int. If the step is None, use TensorFlow's default step.

    Returns None if TensorFlow has no default step either.
    """
    if step is None:
        find = getattr(sys.modules.get(_SUMMARY_OPS), "get_step", None)
        step = None if find is None else find()
    return None if step is None else int(step)


def _scalar(result: Any, name: Any, data: Any, step: Any = None, *_: Any, **__: Any) -> None:
    if _was_written(result):
        _current_source().log_metric(str(name), data, _find_step(step))


def _own_scalar(
    result: None,
    writer: Any,
    tag: str,
    data: Any,
    step: Any,
    *,
    wall_time: float | None = None,
    **_: Any,
) -> None:
    source = _source_for(STATE.part(_WriterFolders).folders.get(writer))
    source.log_metric(tag, data, step, None, wall_time)


def _text(result: Any, name: Any, data: Any, step: Any = None, *_: Any, **__: Any) -> None:
    if _was_written(result):
        number = getattr(data, "numpy", None)
        text = _to_text(number() if callable(number) else data)
        metadata: dict[str, Any] = {"text": text[:_MAX_TEXT_LENGTH]}
        if len(text) > _MAX_TEXT_LENGTH:
            metadata["characters"] = len(text)
        _log_tag_event(str(name), metadata, step)


def _other(
    kind: str, result: Any, name: Any, data: Any, *_: Any, step: Any = None, **__: Any
) -> None:
    if _was_written(result):
        _log_tag_event(str(name), {"kind": kind}, step)


def _log_tag_event(tag: str, metadata: Mapping[str, Any], step: Any) -> None:
    source = _current_source()
    source.log_event(tag, metadata, context=source.context_for(tag), step=_find_step(step))


def _hparams(result: Any, hparams: Mapping[Any, Any], *_: Any, **__: Any) -> None:
    if _was_written(result):
        params = {str(getattr(key, "name", key)): value for key, value in hparams.items()}
        _current_source().log_params(params)


def _to_text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else str(value)
