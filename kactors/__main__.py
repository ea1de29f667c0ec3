"""``python -m kactors``, and the program ``kactors``."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C while it is being loaded, which takes a second, ends as it does afterwards."""
    try:
        from kactors.cli import main as program

        program(prog_name="kactors")
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("kactors: interrupted\n")
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
