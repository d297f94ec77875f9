"""The entry point of ``python -m provml``, which runs the ``provml`` command.

Imports only `cli` from provml.
"""

from provml.cli import main

if __name__ == "__main__":
    main()
