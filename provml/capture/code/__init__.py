"""Records the code and configuration files that the processes of ``provml run`` use.

It works in two phases:

1. In each Python process, `collect.code_watch` notices the files, and `code_notes` writes a note
   about each to disk, with the file's digest.
2. The command's own process reads the notes while the command runs. `code_recorder` copies each
   file that still has that digest, and records all files when the command has ended.

Every process calls `install`, so this module imports the others only when it needs them.
"""

from __future__ import annotations


def install() -> None:
    """Start noting the files that this process uses. Do nothing if there is no outer run."""
    from provml.base.settings import read_settings

    settings = read_settings()
    if settings.joined_run and settings.code:
        from provml.capture.code.code_notes import start_notes

        start_notes(settings.joined_run, settings.command)
