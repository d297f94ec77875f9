"""Estimates carbon dioxide emissions with codecarbon (extra ``emissions``).

The estimate depends on the country, so pass a collector object instead of a collector name:
``start_run(collect=[*names, EmissionsCollector("FRA")])``. Imports only `readings` from provml, and
codecarbon only when needed, because importing codecarbon takes about a second.
"""

from __future__ import annotations

from typing import Any

from provml.collect.readings import UnavailableError


class EmissionsCollector:
    """Estimates the emissions since the last reading, in kilograms of CO2 equivalent.

    codecarbon works offline: it uses the energy mix of the country that you pass, and does not look
    up the machine's location. It uses its own threads during the run.
    """

    name = "emissions"
    units = {"emissions_kg": "kg"}  # noqa: RUF012 - never mutated

    def __init__(self, country: str = "", tracker: Any = None) -> None:
        """Store the settings. `initialize` imports codecarbon.

        Args:
            country: the three-letter ISO 3166-1 code of the country, such as ``FRA``.
            tracker: your own codecarbon tracker, configured but not started; by default, the
                collector creates an offline tracker for the country.
        """
        self._country = country
        self._tracker = tracker
        self._before_kg = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """The settings to record with the run: only the country."""
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
                f"codecarbon did not start: {self._country!r} is not a three-letter ISO 3166-1 "
                "country code; pass a code such as 'FRA'",
                expected=False,
            )

    def collect(self) -> dict[str, float]:
        """Return the emissions since the last reading, in kilograms of CO2 equivalent."""
        now_kg = float(self._tracker.flush())
        used_kg, self._before_kg = now_kg - self._before_kg, now_kg
        return {"emissions_kg": used_kg}

    def close(self) -> None:
        """Stop codecarbon's threads."""
        self._tracker.stop()
