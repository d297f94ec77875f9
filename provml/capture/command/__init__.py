"""Implements ``provml run``, which records a command even if the command does not use provml.

- `supervisor` checks the arguments, and opens the run.
- `command_recording` starts the command, waits for it to end, and records its start and its end.
- `execution` executes the command, and `command_environment` builds its environment variables.
- `command_files` and `tracer` watch the command's files.
- `program` finds the script that the command line runs.
- `environment_probe` describes the command's source code and environment.
- `streams` passes the command's output on.
- `output_recorder` reads metrics from the output.
- `bounded_log` keeps the beginning and the end of the output.
- `signals` passes signals on to the command.
- `exit_status` describes how the command, and the scripts that joined its run, ended.
- `end_summary` prints what was recorded, if the command runs on a terminal.
- `notebook` runs a notebook.
- `leftovers` records what a killed ``provml run`` left behind.
"""
