"""Guesses the context of a metric from its name, for tools that have no contexts.

The rule: split the name at ``/``, ``.``, ``_``, ``-`` and spaces. If the name has at least two
parts, the first part, or else the last, may name the context, in upper or lower case:

- training: ``train``, ``training``
- validation: ``val``, ``valid``, ``validation``
- evaluation: ``test``, ``testing``, ``eval``, ``evaluation``

The metric keeps its full name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from provml.base.context import Context, context_from_word

_NAME_SEPARATORS: Final = re.compile(r"[/._\-\s]+")


@lru_cache(maxsize=4096)
def context_from_name(name: str) -> Context | None:
    """Return the context that a metric's name implies, or None: validation for ``val_loss``.

    For a name that was seen before, this costs one dictionary look-up.
    """
    parts = [part.lower() for part in _NAME_SEPARATORS.split(name) if part]
    if len(parts) < 2:
        return None
    return context_from_word(parts[0]) or context_from_word(parts[-1])
