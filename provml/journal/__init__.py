"""The recording: the files of a run, their writer, their reader, and how a dead run is closed.

Imports nothing that derives: no model, no export, no numpy until samples are read as arrays.
"""
