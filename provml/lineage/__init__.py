"""Questions over many runs: what made a file, what was made from it, how runs differ.

The runs of a store are kept as tables in the store (`tables`, `rows`, `segments`), which can be
deleted at any time. DuckDB queries the tables (`database`, `questions`). Nothing here records.
"""
