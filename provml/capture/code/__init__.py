"""Records the code and configuration files that the processes of ``provml run`` use.

Recording works in two phases:

1. In each Python process, `collect.code_watch` notices the files, and `code_notes` writes a note
   about each file to disk, with the file's digest.
2. In the process of ``provml run``, `code_recorder` reads the notes while the command runs, and
   copies each file that still has the digest in its note. When the command has ended,
   `code_recorder` records all files.

Every process calls `install`, so this module imports the other modules only when it needs them.
"""

from __future__ import annotations


def install() -> None:
    """Start writing notes about the code and configuration files that this process uses.

    Does nothing outside ``provml run``, or if ``PROVML_CODE`` is off.
    """
    from provml.base.settings import read_settings

    settings = read_settings()
    if settings.joined_run and settings.code:
        from provml.capture.code.code_notes import start_notes

        start_notes(settings.joined_run, settings.command)
