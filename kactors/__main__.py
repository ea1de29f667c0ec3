"""``python -m kactors``."""

from kactors.cli import main

if __name__ == "__main__":
    main(prog_name="kactors")
