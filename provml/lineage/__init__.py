"""Answers questions about many runs, such as what a file was made from and how runs differ.

provml keeps tables of a store's runs inside the store (`tables`, `rows`, `segments`), and queries
the tables with DuckDB (`database`, `questions`). You can delete the tables at any time: provml
builds them again. This package never records anything.
"""
