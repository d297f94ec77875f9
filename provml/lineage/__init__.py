"""Answers questions over many runs: what made a file, what was made from it, how runs differ.

Keeps the runs of a store as tables in the store (`tables`, `rows`, `segments`); you can delete the
tables at any time. Queries them with DuckDB (`database`, `questions`). Never records anything.
"""
