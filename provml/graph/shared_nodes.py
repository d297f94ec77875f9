"""Finds nodes of several runs that stand for the same thing, such as a dataset that all runs used.

Two nodes of different runs are the same thing in two cases:

- They have content with the same SHA-256 digest. Empty content is never the same thing.
- They have no digest, and have the same types and attributes. This applies to parameters, hosts,
  environments, devices, the settings of collectors, and software.

Imports nothing else from provml.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

_COMPARED: Final = frozenset(
    {"Parameter", "Host", "Environment", "Device", "Settings", "SoftwareAgent"}
)
_OF_ONE_RUN: Final = frozenset({"SamplesFile", "Series", "Results"})


def find_shared_key(
    kind: str, types: Iterable[str], label: str, attributes: Mapping[str, Any]
) -> Hashable | None:
    """Return a key that equals the key of every node for the same thing, or None.

    None means that the node is never the same thing as a node of another run.

    Args:
        kind: ``entity``, ``activity`` or ``agent``.
        types: the types, without a prefix.
        attributes: the attributes, under their PROV names, as hashable values.
    """
    own = frozenset(types)
    if kind == "activity" or own & _OF_ONE_RUN:
        return None
    digest = attributes.get("provml:sha256")
    if isinstance(digest, str):
        return None if attributes.get("provml:size") in (0, "0") else ("content", digest)
    if own & _COMPARED:
        return ("equal", own, label, frozenset(attributes.items()))
    return None
