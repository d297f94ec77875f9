"""SPARQL over recorded runs: each run is a named graph of PROV-O, loaded into pyoxigraph.

    with provml.sparql.load_runs(["latest"]) as runs:
        for name, value in runs.query("SELECT ?name ?value { ... }"):
            ...

`loaded_runs` loads runs and keeps them on disk, `query` runs queries, `answers` converts results,
`ready_queries` holds the queries that ship with provml, and `remote` talks to SPARQL servers.
Imports `export`, `journal.store` and the layers below them; imports pyoxigraph only when needed.
"""

from __future__ import annotations

from provml.sparql.answers import SparqlAnswer
from provml.sparql.loaded_runs import LoadedRuns, LoadReport, load_runs

__all__ = ["LoadReport", "LoadedRuns", "SparqlAnswer", "load_runs"]
