"""Estimates carbon dioxide emissions with codecarbon (extra ``emissions``).

The collector needs to know the country, so pass it as an object: ``start_run(collect=[*names,
EmissionsCollector("FRA")])``. Imports `readings`; imports codecarbon only when needed, which takes
a second.
"""

from __future__ import annotations

from typing import Any

from provml.collect.readings import UnavailableError


class EmissionsCollector:
    """Reads the emissions since the last reading, in kilograms of CO2 equivalent.

    codecarbon works offline, from the country's energy mix; it does not look up the machine's
    location. It starts its own threads for the time of the run.
    """

    name = "emissions"
    units = {"emissions_kg": "kg"}  # noqa: RUF012 - never mutated

    def __init__(self, country: str = "", tracker: Any = None) -> None:
        """Store the settings. `initialize` imports codecarbon.

        Args:
            country: the three-letter ISO 3166-1 code of the country, such as ``FRA``.
            tracker: a codecarbon tracker that you configured yourself and have not started.
        """
        self._country = country
        self._tracker = tracker
        self._before_kg = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """The settings to record with the run: the country."""
        return {"country": self._country}

    def initialize(self) -> None:
        """Start codecarbon. Raises UnavailableError if it is not installed or can't start."""
        if self._tracker is None:
            try:
                from codecarbon import OfflineEmissionsTracker
            except ImportError:
                raise UnavailableError(
                    "measuring emissions needs codecarbon: pip install 'provml[emissions]'",
                    expected=False,
                ) from None
            import inspect
            import logging

            # codecarbon logs to standard error before it applies its log_level
            logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
            makers = [kind.__init__ for kind in OfflineEmissionsTracker.__mro__[:-1]]
            names = {name for maker in makers for name in inspect.signature(maker).parameters}
            has_output_methods = "output_methods" in names
            no_files: dict[str, Any] = (
                {"output_methods": []} if has_output_methods else {"save_to_file": False}
            )
            self._tracker = OfflineEmissionsTracker(
                country_iso_code=self._country,
                log_level="critical",
                allow_multiple_runs=True,
                **no_files,
            )
        self._tracker.start()
        if self._tracker.flush() is None:
            raise UnavailableError(
                f"codecarbon did not start: {self._country!r} must be an ISO 3166-1 country code "
                "of three letters, such as 'FRA'",
                expected=False,
            )

    def collect(self) -> dict[str, float]:
        """Return the kilograms of CO2 equivalent since the last reading."""
        now_kg = float(self._tracker.flush())
        used_kg, self._before_kg = now_kg - self._before_kg, now_kg
        return {"emissions_kg": used_kg}

    def close(self) -> None:
        """Stop codecarbon's threads."""
        self._tracker.stop()
