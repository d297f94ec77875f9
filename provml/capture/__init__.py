"""What is recorded from outside a script: its output, the calls it makes to other trackers, files.

`joined` is the way from a script's process to the run around it; `naming` says which context a
name means. Imports what records, and nothing that derives.
"""
