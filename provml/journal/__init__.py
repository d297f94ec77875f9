"""The journal of a run: its files on disk, their writer and reader, and recovery after a crash.

Never imports packages that derive documents, such as `model` or `export`. Imports numpy only to
read samples.
"""
