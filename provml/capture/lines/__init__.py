"""Reads metrics from text: the output of a command or script, or a log file.

`LineReader` takes bytes as they arrive. Each public module here reads one format of lines with a
class ``Parser``; to add a format, add a file (see `LineParser` in `_reader`).
"""

from provml.capture.lines._patterns import compile_patterns
from provml.capture.lines._reader import LineReader

__all__ = ["LineReader", "compile_patterns"]
