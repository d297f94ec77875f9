"""Combines several runs into one PROV document, with a bundle for each run.

The name of each bundle is in the namespace of its run.

Imports `mapping`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from provml.errors import ExportError
from provml.journal.reader import Journal
from provml.model.mapping import RunMapping, run_prefixes
from provml.model.names import BUNDLE
from provml.model.statements import Name


class RunBundles:
    """Several runs as the bundles of one PROV document.

    Iteration yields one mapping at a time, so memory does not grow with the number of runs.

    Attributes:
        samples: the number of samples in the mappings yielded so far.
        details: the levels of detail (``sample``, ``series``) of the mappings yielded so far.
    """

    def __init__(self, journals: Sequence[Journal], detail: str | None = None) -> None:
        """Derive the name of each bundle from the name of its run.

        Args:
            journals: the journals of the runs.
            detail: the level of detail for all runs; None to choose a level for each run.

        Raises:
            ExportError: two runs have the same name, so their bundles would have the same name.
        """
        self._journals = journals
        self._detail = detail
        self.samples = 0
        self.details: set[str] = set()
        self._iris: dict[str, Journal] = {}
        for journal in journals:
            iri = run_prefixes(journal)["run"]
            other = self._iris.setdefault(iri, journal)
            if other is not journal:
                raise ExportError(
                    f"{other.folder} and {journal.folder} are both named {iri}, but the bundles in "
                    "a document need different names: export these runs separately"
                )

    def __iter__(self) -> Iterator[RunMapping]:
        """Yield the mapping of each run, in order. Each mapping is built only when it is needed."""
        for journal in self._journals:
            mapping = RunMapping(journal, self._detail)
            self.samples += mapping.samples
            self.details.add(mapping.detail)
            yield mapping

    def damage(self) -> Counter[str]:
        """Return how many records and samples were skipped in the runs read so far, by reason."""
        total: Counter[str] = Counter()
        for journal in self._journals:
            total.update(journal.damage())
        return total

    def prefixes(self) -> dict[str, str]:
        """Return the prefixes of the document itself, one for each run.

        Each bundle also declares its own prefixes.
        """
        return {f"run{number}": iri for number, iri in enumerate(self._iris, 1)}

    def names(self) -> list[Name]:
        """Return the qualified names of the bundles, in the order of the runs.

        The names use the prefixes of the document.
        """
        local = BUNDLE.partition(":")[2]
        return [Name(f"{prefix}:{local}") for prefix in self.prefixes()]

    def iris(self) -> list[str]:
        """Return the IRIs of the bundles, in the order of the runs."""
        return [bundle_iri(journal) for journal in self._journals]


def bundle_iri(journal: Journal) -> str:
    """Return the IRI of a run's bundle. In RDF, the run's named graph has the same IRI."""
    return run_prefixes(journal)["run"] + BUNDLE.partition(":")[2]
