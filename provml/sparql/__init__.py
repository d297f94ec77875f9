"""SPARQL over recorded runs: each is a named graph of PROV-O, loaded into pyoxigraph.

    with provml.sparql.load_runs(["latest"]) as runs:
        for name, value in runs.query("SELECT ?name ?value { ... }"):
            ...

`loaded` keeps runs on disk beside them, `query` asks, `answers` writes what was found, `ready` has
the queries that ship, `remote` speaks to SPARQL servers. Imports `export`, `store` and what lies
beneath; pyoxigraph when it runs.
"""

from __future__ import annotations

from provml.sparql.answers import SparqlAnswer
from provml.sparql.loaded_runs import LoadedRuns, Refreshed, load_runs

__all__ = ["LoadedRuns", "Refreshed", "SparqlAnswer", "load_runs"]
