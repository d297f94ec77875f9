"""Makes the names of a run's PROV elements, which every PROV format can hold.

A logged name, for example of a metric, may be any text. It is percent-encoded (UTF-8, RFC 3986:
all except letters, digits, ``-``, ``_``, ``.``), so ``/`` and ``~`` can serve as separators. The
empty name becomes ``-``. Within a run:

    run:run                              the run's activity
    run:bundle                           the run's bundle, in a document with several runs
    run:context/training~warm-up         a context, after its parents
    run:step/training/3.12               step 12 of epoch 3 (``step/training/12`` without epoch)
    run:epoch/training/3                 epoch 3, for samples with an epoch and no step
    run:series/training/loss             a series; ``loss~rank1`` for one rank,
                                         ``accuracy~model~net`` for a series about a model
    run:summarising/training/0.1763      the activity that made a summary, at that nanosecond
    run:window/training/loss/0.1763      the values of loss that the summary covers
    run:sampling/system/training/12.1763  a reading of the system in step 12, at that nanosecond
    run:alert/0.512                      an alert, by its position in the journal
    run:metric/training/loss/17          the 18th sample of loss; ``2.17`` by the third writer
    run:param/lr, run:param/lr/2         a parameter, and its second value

Outside the runs, names are ``base:experiment/digits``, ``base:person/ada`` and
``base:software/provml-0.1.0``.
Every IRI contains a ``/``: tools that do not know the prefixes split an IRI there.

Imports `statements`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from provml.model.statements import Name

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]([A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
"""Names that need no encoding."""


def encode_name(name: str) -> str:
    """Percent-encode a name as one part of a local name. Different names stay different."""
    if not name:
        return "-"
    if name == "-":
        return "%2D"
    if _PLAIN.fullmatch(name):
        return name
    text = quote(name, safe="").replace("~", "%7E")
    # a local name must neither end in a dot (Turtle, PROV-N) nor be a dot segment (RFC 3986)
    start = len(text) - len(text.lstrip("."))
    text = "%2E" * start + text[start:]
    end = len(text) - len(text.rstrip("."))
    return text[: len(text) - end] + "%2E" * end


def encoded_path(path: tuple[str, ...]) -> str:
    """Encode a context's path as one part of a local name."""
    return "~".join(map(encode_name, path))


def local_name(kind: str, *parts: str, version: int = 1) -> Name:
    """Build a name within the run: ``run:kind/part``, with ``/2`` for the second version."""
    tail = [str(version)] if version > 1 else []
    return Name("run:" + "/".join([kind, *parts, *tail]))


def context_name(path: tuple[str, ...] | None) -> Name:
    """Return the name of a context's activity, or of the run's activity if the path is None."""
    return RUN if path is None else local_name("context", encoded_path(path))


def step_prefix(path: tuple[str, ...] | None, kind: str = "step") -> str:
    """Return the start of a step's or epoch's name. The caller appends the number."""
    within = "" if path is None else encoded_path(path) + "/"
    return f"run:{kind}/{within}"


def series_path(
    name: str,
    context: tuple[str, ...] | None,
    rank: int | None,
    of: tuple[str, str] | None = None,
) -> str:
    """Return the part that the names of a series and of its samples share."""
    own = encode_name(name) if of is None else f"{encode_name(name)}~{of[0]}~{encode_name(of[1])}"
    own = own if rank is None else f"{own}~rank{rank}"
    return own if context is None else f"{encoded_path(context)}/{own}"


def series_entity(kind: str, path: str) -> Name:
    """Return the name of a series' entity, from its kind and its `series_path`."""
    own = "" if kind == "metric" else f"{encode_name(kind)}/"
    return Name(f"run:series/{own}{path}")


def sample_prefix(kind: str, path: str, writer: int) -> str:
    """Return the start of a sample's name.

    The caller appends the sample's number within the series and writer.
    """
    return f"run:{encode_name(kind)}/{path}/" + ("" if writer == 0 else f"{writer}.")


def sampling_prefix(collector: str, context: tuple[str, ...] | None, writer: int) -> str:
    """Return the start of the name of the activity that took a reading.

    The caller appends epoch, step and time.
    """
    own = encode_name(collector) if writer == 0 else f"{encode_name(collector)}~{writer}"
    within = "" if context is None else encoded_path(context) + "/"
    return f"run:sampling/{own}/{within}"


def summarising_prefix(context: tuple[str, ...], writer: int) -> str:
    """Return the start of the name of a summarising activity. The caller appends its time."""
    return f"run:summarising/{encoded_path(context)}/{writer}."


def window_prefix(context: tuple[str, ...], name: str, writer: int) -> str:
    """Return the start of the name of a window of summarised values; the caller appends a time."""
    return f"run:window/{encoded_path(context)}/{encode_name(name)}/{writer}."


RUN = Name("run:run")
BUNDLE = Name("run:bundle")
