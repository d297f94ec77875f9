"""Emissions of carbon dioxide, as codecarbon (extra ``emissions``) estimates them.

Chosen as an object, as it has to be told the country: ``start_run(collect=[*names,
EmissionsCollector("FRA")])``. Imports `readings`; codecarbon when it is used, which takes a second.
"""

from __future__ import annotations

from typing import Any

from provml.collect.readings import UnavailableError


class EmissionsCollector:
    """Kilograms of CO2 equivalent since the last reading.

    codecarbon works offline: from the country's energy mix, without asking where the machine is. It
    has threads of its own while the run goes on.
    """

    name = "emissions"
    units = {"emissions_kg": "kg"}  # noqa: RUF012 - never changed

    def __init__(self, country: str = "", tracker: Any = None) -> None:
        """Nothing is imported before `initialize`.

        Args:
            country: its ISO 3166-1 code of three letters.
            tracker: a tracker of codecarbon's that is set up otherwise, not started yet.
        """
        self._country = country
        self._tracker = tracker
        self._before_kg = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """The country."""
        return {"country": self._country}

    def initialize(self) -> None:
        """Start codecarbon. Raises UnavailableError where it is not installed or refuses."""
        if self._tracker is None:
            try:
                from codecarbon import OfflineEmissionsTracker
            except ImportError:
                raise UnavailableError(
                    "emissions need codecarbon: pip install 'provml[emissions]'", expected=False
                ) from None
            import inspect
            import logging

            # it speaks on standard error before it heeds its own log_level
            logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
            makers = [kind.__init__ for kind in OfflineEmissionsTracker.__mro__[:-1]]
            names = {name for maker in makers for name in inspect.signature(maker).parameters}
            new = "output_methods" in names
            no_files: dict[str, Any] = {"output_methods": []} if new else {"save_to_file": False}
            self._tracker = OfflineEmissionsTracker(
                country_iso_code=self._country,
                log_level="critical",
                allow_multiple_runs=True,
                **no_files,
            )
        self._tracker.start()
        if self._tracker.flush() is None:
            raise UnavailableError(
                f"codecarbon did not start: is {self._country!r} a country's ISO code of three "
                "letters?",
                expected=False,
            )

    def collect(self) -> dict[str, float]:
        """Kilograms since the last reading."""
        now_kg = float(self._tracker.flush())
        used_kg, self._before_kg = now_kg - self._before_kg, now_kg
        return {"emissions_kg": used_kg}

    def close(self) -> None:
        """End codecarbon's threads."""
        self._tracker.stop()
