"""Implements ``provml run``: records a command that itself knows nothing of provml.

- `supervisor` starts the command, waits for its end and records both.
- `program` finds out what the command line runs; `environment_probe` describes its code and
  environment from outside.
- `streams` passes the output on, `output_recorder` reads it, and `bounded_log` keeps its beginning
  and end.
- `signals` passes signals on to the command.
- `exit_status` reads how the scripts in the run ended.
- `notebook` runs a notebook. `leftovers` records what a killed ``provml run`` left behind.
"""
