"""Metrics read out of text: what a command prints, a log file, a script's own output.

`LineReader` takes bytes as they come. Each public module here is one form of lines, with a class
``Form`` (see `_reader`): a further form is one file more. Imports what records, nothing that
derives.
"""

from provml.capture.lines._patterns import compile_patterns
from provml.capture.lines._reader import LineReader

__all__ = ["LineReader", "compile_patterns"]
