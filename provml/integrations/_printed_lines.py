"""Tells ``provml run`` which lines of the output are printed by a framework that is recorded here.

Otherwise, the values that a framework both reports and prints would be recorded twice: exactly by
an integration, and rounded by the reader of the output. `printed_metrics` has the other half.
"""

from __future__ import annotations

from provml.base.settings import read_settings
from provml.capture.framework_lines import PRINTED_BY, announce


def announce_printed_lines(framework: str) -> None:
    """Let ``provml run`` read no metrics from the lines that a framework prints. Idempotent.

    Costs one system call, and does nothing if ``provml run`` did not start this process.

    Args:
        framework: the name of the framework. Does nothing if the framework prints no metrics.
    """
    folder = read_settings().joined_run if framework in PRINTED_BY else None
    if folder is not None:
        announce(folder, framework)
