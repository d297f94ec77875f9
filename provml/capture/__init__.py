"""Records an unchanged script: what it prints, its calls to other trackers, the files it opens.

The modules here import the packages that record (`recording`, `collect`, `journal`), and never
the packages that derive documents. To find your way:

- `state` owns all the memory of capture in a process.
- `bootstrap` sets capture up in each Python process of a command.
- `outer_run` opens the run that ``provml run`` started for the process.
- `metric_contexts` guesses the context of a metric from its name.
"""
