"""``python -m provml`` runs the command line, as ``provml`` does. Imports `cli`."""

from provml.cli import main

if __name__ == "__main__":
    main()
