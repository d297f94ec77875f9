"""Implements ``provml run``: records a command that does not use provml itself.

- `supervisor` starts the command, waits for its end, and records its start and end.
- `program` finds the script that the command line runs; `environment_probe` describes the
  command's source code and environment from outside.
- `streams` passes the output on, `output_recorder` reads metrics from it, and `bounded_log` keeps
  its beginning and end.
- `signals` passes signals on to the command.
- `exit_status` says how the command ended, and reads how the scripts in the run ended.
- `notebook` runs a notebook. `leftovers` records what a killed ``provml run`` left behind.
"""
