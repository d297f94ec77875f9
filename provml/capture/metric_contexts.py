"""Which context a metric's name means, where a tool has names alone.

The rule: a name is cut at ``/``, ``.``, ``_``, ``-`` and spaces; its first or its last part, in
either case, says the context: ``train``, ``training``; ``val``, ``valid``, ``validation``;
``test``, ``testing``, ``eval``, ``evaluation``. The first part counts before the last. The name
itself is kept as it is. Imports `context`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from provml.base.context import Context, context_from_word

_PARTS: Final = re.compile(r"[/._\-\s]+")


@lru_cache(maxsize=4096)
def context_from_name(name: str) -> Context | None:
    """The context that a metric's name means: ``val_loss``, ``Loss/test``; None for none.

    Costs a dictionary's look-up for a name seen before.
    """
    parts = [part.lower() for part in _PARTS.split(name) if part]
    if len(parts) < 2:
        return None
    return context_from_word(parts[0]) or context_from_word(parts[-1])
