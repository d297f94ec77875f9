"""The journal of a run: its files on disk, their writer and reader, and the recovery after a crash.

Imports no package that derives documents, such as `model` or `export`. Imports numpy only to read
samples.
"""
