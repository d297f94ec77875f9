"""Run the command line by ``python -m provml``, as ``provml`` does. Imports `cli`."""

from provml.cli import main

if __name__ == "__main__":
    main()
