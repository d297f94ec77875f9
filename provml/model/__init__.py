"""From records to PROV: the vocabulary, the statements, and the one place that maps.

Imports `journal` readers and what lies beneath; nothing that records or exports.
"""
