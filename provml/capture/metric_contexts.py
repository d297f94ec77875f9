"""Guesses the context of a metric from its name, for tools that have nothing but names.

The rule: split the name at ``/``, ``.``, ``_``, ``-`` and spaces. If there are two parts or more,
the first or else the last one may name the context, in upper or lower case: ``train``,
``training``; ``val``, ``valid``, ``validation``; ``test``, ``testing``, ``eval``, ``evaluation``.
The name itself does not change.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from provml.base.context import Context, context_from_word

_NAME_SEPARATORS: Final = re.compile(r"[/._\-\s]+")


@lru_cache(maxsize=4096)
def context_from_name(name: str) -> Context | None:
    """Return the context that a metric's name implies: ``val_loss``, ``Loss/test``; else None.

    Costs a dictionary look-up for a name that was seen before.
    """
    parts = [part.lower() for part in _NAME_SEPARATORS.split(name) if part]
    if len(parts) < 2:
        return None
    return context_from_word(parts[0]) or context_from_word(parts[-1])
