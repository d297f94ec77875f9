"""From journal records to PROV: the vocabulary, the statements, and the mapping between them.

Imports the `journal` readers and the layers below them; nothing that records or exports.
"""
