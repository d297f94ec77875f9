"""Reads metrics from text: the output of a command or script, or a log file.

`LineReader` reads bytes as they arrive. Each public module in this package defines a class
``Parser``, which reads one format of lines. To add a format, add a module (see `LineParser` in
`_reader`). `_general` reads all other lines.
"""

from provml.capture.lines._patterns import compile_patterns
from provml.capture.lines._reader import LineReader

__all__ = ["LineReader", "compile_patterns"]
