"""The basics that every part of provml may import: contexts, times, settings, events and sinks.

Imports only `errors` from provml.
"""
