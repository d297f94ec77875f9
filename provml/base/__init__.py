"""Basics that every package of provml may import: contexts, times, settings, events, sinks.

Imports only `errors` from provml.
"""
