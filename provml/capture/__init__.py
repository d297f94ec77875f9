"""Records a script from outside: what it prints, its calls to other trackers, the files it opens.

The modules here import the packages that record (`recording`, `collect`, `journal`), and never
those that derive documents. To find your way:

- `state` owns everything that capture remembers in a process.
- `bootstrap` sets capture up in each Python process of a command.
- `get_outer_run` opens the run that ``provml run`` started around the process.
- `metric_contexts` guesses the context of a metric from its name.
"""
