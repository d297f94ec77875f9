"""Several runs as one document: each a bundle, named in its run's own namespace.

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
    """Runs that become the bundles of one document.

    Iterating gives their mappings one at a time, so that memory does not grow with their number.

    Attributes:
        samples: how many samples the mappings given so far have.
        details: the details of the mappings given so far.
    """

    def __init__(self, journals: Sequence[Journal], detail: str | None = None) -> None:
        """Name the bundles.

        Raises:
            ExportError: two of the runs have one name, so that one bundle would hold both.
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
                    f"{other.folder} and {journal.folder} are both named {iri}: a document has no "
                    "two bundles of one name; export them apart"
                )

    def __iter__(self) -> Iterator[RunMapping]:
        """The runs' mappings, one at a time."""
        for journal in self._journals:
            mapping = RunMapping(journal, self._detail)
            self.samples += mapping.samples
            self.details.add(mapping.detail)
            yield mapping

    def damage(self) -> Counter[str]:
        """What reading the runs so far had to skip, by reason."""
        total: Counter[str] = Counter()
        for journal in self._journals:
            total.update(journal.damage())
        return total

    def prefixes(self) -> dict[str, str]:
        """The document's prefixes: one for each run, beside which each bundle has its own."""
        return {f"run{number}": iri for number, iri in enumerate(self._iris, 1)}

    def names(self) -> list[Name]:
        """The bundles' names, in order, under the document's prefixes."""
        local = BUNDLE.partition(":")[2]
        return [Name(f"{prefix}:{local}") for prefix in self.prefixes()]

    def iris(self) -> list[str]:
        """The bundles' names as IRIs, in order."""
        return [bundle_iri(journal) for journal in self._journals]


def bundle_iri(journal: Journal) -> str:
    """The IRI of a run's bundle, which is also the name of its graph."""
    return run_prefixes(journal)["run"] + BUNDLE.partition(":")[2]
