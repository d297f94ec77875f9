"""The modules that every part of provml may import: contexts, times, settings, files and texts.

Imports only `errors` from provml.
"""
