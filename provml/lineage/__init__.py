"""Questions over many runs: what made a file, what came of it, how runs differ.

A store's runs are kept as tables beside them (`tables`, `rows`, `segments`), which can be deleted
at any time, and are asked by DuckDB (`database`, `store`). Nothing here records.
"""
