"""Tells ``provml run`` and `provml.capture_output` which frameworks an integration records.

Both then skip the lines that these frameworks print. Otherwise, a value that a framework reports
and prints would be recorded twice: exactly by the integration, and rounded from the output.
"""

from __future__ import annotations

from provml.base.settings import read_settings
from provml.capture.framework_lines import PRINTED_BY, announce


def announce_printed_lines(framework: str) -> None:
    """Make provml ignore the lines that a framework prints, instead of reading metrics from them.

    Idempotent. Under ``provml run``, a call costs a few system calls.

    Args:
        framework: the name of the framework. Nothing happens if the framework prints no metrics.
    """
    if framework in PRINTED_BY:
        announce(read_settings().joined_run, framework)
