"""A run as a graph of ``networkx``: built from its statements, cut and folded to be looked at.

Imports `model` and what lies beneath; networkx when it runs.
"""
