"""SPARQL queries over recorded runs. Each run is loaded into pyoxigraph as a named PROV-O graph.

    with provml.sparql.load_runs(["latest"]) as runs:
        for name, value in runs.query("SELECT ?name ?value { ... }"):
            ...

`loaded_runs` loads runs and keeps them on disk, `query` runs queries, and `answers` converts the
results. `ready_queries` contains the queries that ship with provml. `remote` connects to servers.
Imports `export`, `journal.store` and the layers below them; imports pyoxigraph only when needed.
"""

from __future__ import annotations

from provml.sparql.answers import SparqlAnswer
from provml.sparql.loaded_runs import LoadedRuns, LoadReport, load_runs

__all__ = ["LoadReport", "LoadedRuns", "SparqlAnswer", "load_runs"]
