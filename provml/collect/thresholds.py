"""Finds the values of a reading that exceed their thresholds. Imports no other part of provml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DEFAULT_THRESHOLDS: Final = {"cpu_percent": 90.0, "memory_percent": 85.0, "disk_percent": 95.0}
_CRITICAL_FACTOR: Final = 1.1

Alert = dict[str, Any]
"""A value above its threshold, as a dict.

The keys are ``timestamp`` (seconds since the Unix epoch), ``metric``, ``value``, ``threshold`` and
``severity``.
"""


def find_alerts(
    reading: Mapping[str, Any], thresholds: Mapping[str, float], timestamp: float
) -> list[Alert]:
    """Return an alert for each value of a reading that is above its threshold.

    The severity is ``critical`` if the value is at least 1.1 times the threshold, else ``warning``.

    Args:
        reading: values by metric name.
        thresholds: thresholds by metric name.
        timestamp: the time of the alerts, in seconds since the Unix epoch.
    """
    alerts: list[Alert] = []
    for metric, threshold in thresholds.items():
        value = reading.get(metric)
        if isinstance(value, (int, float)) and value > threshold:
            severity = "warning" if value < threshold * _CRITICAL_FACTOR else "critical"
            alert = {"timestamp": timestamp, "metric": metric, "value": value}
            alerts.append(alert | {"threshold": threshold, "severity": severity})
    return alerts
