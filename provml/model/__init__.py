"""Converts the records of a run's journal into PROV statements.

Imports the `journal` readers and the layers below them, but no code that records or exports.
"""
