"""How things in a run are named: any text becomes a local part that every PROV form can carry.

A name is percent-encoded (UTF-8, RFC 3986: all but letters, digits, ``-``, ``_``, ``.``), so that
``/`` and ``~`` are free to separate; ``-`` alone stands for the empty name. Within its run:

    run:run                              the run's activity
    run:bundle                           the run's bundle, where a document holds several runs
    run:context/training~warm-up         a context, under its parents
    run:step/training/3.12               step 12 of epoch 3 (``step/training/12`` without epoch)
    run:epoch/training/3                 epoch 3, of what has an epoch and no step
    run:series/training/loss             a series; ``loss~rank1`` for a rank's,
                                         ``accuracy~model~net`` for what is of a model
    run:summarising/training/0.1763      a summary being made, at that nanosecond
    run:window/training/loss/0.1763      the values of loss that it is of
    run:sampling/system/training/12.1763  a reading taken in step 12, at that nanosecond
    run:alert/0.512                      an alert, by its place in the journal
    run:metric/training/loss/17          its 18th sample; ``2.17`` of the journal's third writer
    run:param/lr, run:param/lr/2         a parameter, and its second value

Beside the runs ``base:experiment/digits``, ``base:person/ada``, ``base:software/provml-0.1.0``:
every IRI holds a ``/``, where tools that are given no prefixes split it.

Imports nothing of provml.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from provml.model.statements import Name

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]([A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
"""Names that stand as they are."""


def encode_name(name: str) -> str:
    """The name as one part of a local name; injective."""
    if not name:
        return "-"
    if name == "-":
        return "%2D"
    if _PLAIN.fullmatch(name):
        return name
    text = quote(name, safe="").replace("~", "%7E")
    # a local name must not end in a dot (Turtle, PROV-N), nor be a dot segment (RFC 3986)
    start = len(text) - len(text.lstrip("."))
    text = "%2E" * start + text[start:]
    end = len(text) - len(text.rstrip("."))
    return text[: len(text) - end] + "%2E" * end


def encoded_path(path: tuple[str, ...]) -> str:
    """A context's path as one part of a local name."""
    return "~".join(map(encode_name, path))


def local_name(kind: str, *parts: str, version: int = 1) -> Name:
    """A name of the run: the kind, the parts, and the version where it is not the first."""
    tail = [str(version)] if version > 1 else []
    return Name("run:" + "/".join([kind, *parts, *tail]))


def context_name(path: tuple[str, ...] | None) -> Name:
    """The activity of a context, or of the run where there is none."""
    return RUN if path is None else local_name("context", encoded_path(path))


def step_prefix(path: tuple[str, ...] | None, kind: str = "step") -> str:
    """What a step's (or epoch's) name begins with; its number follows."""
    within = "" if path is None else encoded_path(path) + "/"
    return f"run:{kind}/{within}"


def series_path(
    name: str,
    context: tuple[str, ...] | None,
    rank: int | None,
    of: tuple[str, str] | None = None,
) -> str:
    """What the names of a series and its samples have in common."""
    own = encode_name(name) if of is None else f"{encode_name(name)}~{of[0]}~{encode_name(of[1])}"
    own = own if rank is None else f"{own}~rank{rank}"
    return own if context is None else f"{encoded_path(context)}/{own}"


def series_entity(kind: str, path: str) -> Name:
    """A series, by the path of `series_path`."""
    own = "" if kind == "metric" else f"{encode_name(kind)}/"
    return Name(f"run:series/{own}{path}")


def sample_prefix(kind: str, path: str, writer: int) -> str:
    """What a sample's name begins with; its number in the series and writer follows."""
    return f"run:{encode_name(kind)}/{path}/" + ("" if writer == 0 else f"{writer}.")


def sampling_prefix(collector: str, context: tuple[str, ...] | None, writer: int) -> str:
    """What the name of a reading's activity begins with; epoch, step and time follow."""
    own = encode_name(collector) if writer == 0 else f"{encode_name(collector)}~{writer}"
    within = "" if context is None else encoded_path(context) + "/"
    return f"run:sampling/{own}/{within}"


def summarising_prefix(context: tuple[str, ...], writer: int) -> str:
    """What the name of a summary's activity begins with; its time follows."""
    return f"run:summarising/{encoded_path(context)}/{writer}."


def window_prefix(context: tuple[str, ...], name: str, writer: int) -> str:
    """What the name of the values that a summary is of begins with; its time follows."""
    return f"run:window/{encoded_path(context)}/{encode_name(name)}/{writer}."


RUN = Name("run:run")
BUNDLE = Name("run:bundle")
