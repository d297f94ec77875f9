"""Graphs of runs for networkx, and pictures of them drawn with Graphviz.

Imports only `model` and the layers below it from provml.
"""
