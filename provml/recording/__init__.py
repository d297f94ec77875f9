"""The code that records a run: the class `Run`, the run's folder, and the start and end of a run.

Imports no module that derives documents, except `provml.export` when a run ends.
"""
