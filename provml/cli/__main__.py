"""``python -m provml.cli``."""

from provml.cli import main

if __name__ == "__main__":
    main()
