"""Tells the readers of output which lines are printed by a framework that is recorded here.

Otherwise, the values that a framework both reports and prints would be recorded twice: exactly by
an integration, and rounded by ``provml run`` or `provml.capture_output`.
"""

from __future__ import annotations

from provml.base.settings import read_settings
from provml.capture.framework_lines import PRINTED_BY, announce


def announce_printed_lines(framework: str) -> None:
    """Let nobody read metrics from the lines that a framework prints. Idempotent.

    Under ``provml run``, this costs a few system calls.

    Args:
        framework: the name of the framework. Does nothing if the framework prints no metrics.
    """
    if framework in PRINTED_BY:
        announce(read_settings().joined_run, framework)
