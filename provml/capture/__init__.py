"""Records what an unchanged script does: its settings, output, tracker calls and opened files.

The modules in this package import the packages that record (`recording`, `collect`, `journal`), and
never the packages that derive documents. These are the shared modules:

- `state` owns the state of this package in a process.
- `bootstrap` sets up capture in each Python process of a command.
- `outer_run` opens the run that ``provml run`` started for a process.
- `metric_contexts` guesses the context of a metric from its name.
"""
