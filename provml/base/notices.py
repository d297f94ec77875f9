"""Issues warnings without ever raising an exception.

Imports only `errors` from provml.
"""

from __future__ import annotations

import sys
import warnings

from provml.errors import ProvMLWarning


def warn_without_raising(message: str) -> None:
    """Issue a ProvMLWarning; print it to standard error if a filter turns warnings into errors."""
    try:
        # show no line of source code, because the code that found the problem did not cause it
        warnings.warn_explicit(message, ProvMLWarning, "provml", 1, registry={})
    except ProvMLWarning:
        _print_warning(message)


def _print_warning(message: str) -> None:
    try:
        sys.stderr.write(warnings.formatwarning(message, ProvMLWarning, "provml", 1, line=""))
    except Exception:  # noqa: BLE001 - standard error may be missing or closed, or be any object
        pass
