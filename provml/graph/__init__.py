"""Graphs of runs for networkx, and pictures of them by Graphviz.

Imports `model` and the layers below it.
"""
