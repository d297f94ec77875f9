"""Builds the names of a run's PROV elements. Every PROV format can express these names.

A logged name, such as the name of a metric, may be any text. All characters except letters, digits,
``-``, ``_`` and ``.`` are percent-encoded (UTF-8, RFC 3986), so ``/`` and ``~`` can serve as
separators. An empty name becomes ``-``.

Names within a run look like this:

    run:run                              the run's activity
    run:bundle                           the run's bundle, in a document with several runs
    run:context/training~warm-up         the context ``warm-up`` within ``training``
    run:step/training/3.12               step 12 of epoch 3 (``step/training/12`` without an epoch)
    run:epoch/training/3                 epoch 3, for samples that have an epoch but no step
    run:series/training/loss             a series; ``loss~rank1`` if it belongs to rank 1,
                                         ``accuracy~model~net`` if it is about the model net
    run:summarising/training/0.1763      the activity that computed a summary at time 1763 (ns)
    run:window/training/loss/0.1763      the values of loss that this summary covers
    run:sampling/system/training/12.1763  a system reading in step 12 at time 1763 (ns)
    run:alert/0.512                      the alert at offset 512 of the first writer's events file
    run:metric/training/loss/17          the 18th sample of loss; ``2.17`` from the third writer
    run:param/lr, run:param/lr/2         a parameter, and its second value
    run:input/base                       a base model, a configuration or another input
    run:reading-summary/system.cpu_percent.mean   a summary of readings

Names that do not belong to a run look like ``base:experiment/digits``, ``base:person/ada`` and
``base:software/provml-0.1.0``. `people` builds the names of people.

Every IRI that provml builds contains a ``/``, because tools that do not know the prefixes split
IRIs at a ``/``.

Imports `statements`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from provml.model.statements import Name

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]([A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
"""A pattern for names that need no encoding."""


_NOT_ATTRIBUTE: Final = re.compile(
    r"[^A-Za-z0-9_.-]|^[^A-Za-z_]|\.$|_(?=[ux][0-9A-F]*_)", re.DOTALL
)
"""A pattern for the characters of a tag's name that an attribute's name can't contain."""
_ATTRIBUTE_ESCAPE: Final = re.compile(r"_u([0-9A-F]*)_")


def encode_name(name: str) -> str:
    """Percent-encode a name, for use as one part of a local name.

    Different names have different encodings.
    """
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


def tag_attribute(name: str) -> str:
    """Return the name of the attribute that contains a tag's value, such as ``tags:kind``.

    Letters, digits, ``-``, ``_`` and ``.`` are kept. Other characters are escaped: ``_u20_`` means
    a space. The usual escape in XML is ``_x0020_``, but the ``prov`` library would decode this
    escape when it reads PROV-XML. Percent-encoding is impossible, because PROV-XML writes the
    attribute as an element, and names of elements can't contain percent signs.
    """
    return f"tags:{_NOT_ATTRIBUTE.sub(_escape_attribute, name) or '_u_'}"


def tag_of_attribute(attribute: str) -> str:
    """Return the name of the tag whose value an attribute contains. Inverse of `tag_attribute`."""
    return _ATTRIBUTE_ESCAPE.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else "", attribute.removeprefix("tags:")
    )


def _escape_attribute(found: re.Match[str]) -> str:
    return f"_u{ord(found[0]):X}_"


def encoded_path(path: tuple[str, ...]) -> str:
    """Encode the path of a context, for use as one part of a local name."""
    return "~".join(map(encode_name, path))


def local_name(kind: str, *parts: str, version: int = 1) -> Name:
    """Build a name within the run: ``run:param/lr``, or ``run:param/lr/2`` for version 2."""
    tail = [str(version)] if version > 1 else []
    return Name("run:" + "/".join([kind, *parts, *tail]))


def context_name(path: tuple[str, ...] | None) -> Name:
    """Return the name of a context's activity, or of the run's activity if the path is None."""
    return RUN if path is None else local_name("context", encoded_path(path))


def step_prefix(path: tuple[str, ...] | None, kind: str = "step") -> str:
    """Return the prefix of the name of a step or epoch. The caller appends the number."""
    within = "" if path is None else encoded_path(path) + "/"
    return f"run:{kind}/{within}"


def series_path(
    name: str,
    context: tuple[str, ...] | None,
    rank: int | None,
    of: tuple[str, str] | None = None,
) -> str:
    """Return the part that the names of a series and of its samples have in common."""
    own = encode_name(name) if of is None else f"{encode_name(name)}~{of[0]}~{encode_name(of[1])}"
    own = own if rank is None else f"{own}~rank{rank}"
    return own if context is None else f"{encoded_path(context)}/{own}"


def series_entity(kind: str, path: str) -> Name:
    """Return the name of a series' entity. ``path`` is the result of `series_path`."""
    own = "" if kind == "metric" else f"{encode_name(kind)}/"
    return Name(f"run:series/{own}{path}")


def sample_prefix(kind: str, path: str, writer: int) -> str:
    """Return the prefix of a sample's name.

    The caller appends the sample's number among the samples of the same series and writer.
    """
    return f"run:{encode_name(kind)}/{path}/" + ("" if writer == 0 else f"{writer}.")


def sampling_prefix(collector: str, context: tuple[str, ...] | None, writer: int) -> str:
    """Return the prefix of the name of an activity that took a reading.

    The caller appends the epoch, the step and the time.
    """
    own = encode_name(collector) if writer == 0 else f"{encode_name(collector)}~{writer}"
    within = "" if context is None else encoded_path(context) + "/"
    return f"run:sampling/{own}/{within}"


def summarising_prefix(context: tuple[str, ...], writer: int) -> str:
    """Return the prefix of the name of a summarising activity. The caller appends the time."""
    return f"run:summarising/{encoded_path(context)}/{writer}."


def window_prefix(context: tuple[str, ...], name: str, writer: int) -> str:
    """Return the prefix of the name of a window of summarised values.

    The caller appends the time of the summary.
    """
    return f"run:window/{encoded_path(context)}/{encode_name(name)}/{writer}."


RUN = Name("run:run")
BUNDLE = Name("run:bundle")
