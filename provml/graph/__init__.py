"""Graphs of runs for networkx, and pictures of them drawn with Graphviz.

Imports `model` and the layers below it.
"""
