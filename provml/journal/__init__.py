"""The recording on disk: a run's files, their writer and reader, and the recovery of dead runs.

Imports nothing that derives: no model, no export. numpy is imported when samples are read.
"""
