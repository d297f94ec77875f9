"""Record a run: the methods of `Run`, the run's files, and its end.

Imports no module that derives documents, except `provml.export` when a run ends.
"""
