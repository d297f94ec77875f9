"""Guesses the context of a metric from its name, for tools that have no contexts.

The name is split at ``/``, ``.``, ``_``, ``-`` and spaces. If there are at least two parts, the
first part may name the context. If the first part names none, the last part may. These words, in
upper or lower case, name a context:

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
    """Return the context that a metric's name implies, such as validation for ``val_loss``.

    Returns None if the name implies no context. Costs one dictionary look-up if the function has
    already been called with the name.
    """
    parts = [part.lower() for part in _NAME_SEPARATORS.split(name) if part]
    if len(parts) < 2:
        return None
    return context_from_word(parts[0]) or context_from_word(parts[-1])
