"""The pages of ``provml ui``: tables, curves and graphs of a store's runs, live or as files.

`app` builds the web application, and `static_export` writes the same pages as files. Each page is a
shell of HTML with a script from ``assets``. The scripts ask for their data by name, and `answers`
lists the functions that answer. Only the command line imports this package.
"""
