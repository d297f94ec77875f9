"""The names that the runs of a store have in documents."""

from __future__ import annotations

import json
from pathlib import Path


def base_iri(store: Path) -> str:
    """Return the beginning of all names in a store, which contains the store's id."""
    return f"urn:provml:{json.loads((store / 'store.json').read_bytes())['id']}/"
