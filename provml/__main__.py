"""``python -m provml`` is the command line, as ``provml`` is. Imports `cli`."""

from provml.cli import main

if __name__ == "__main__":
    main()
