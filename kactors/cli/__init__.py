"""The command line: parses, runs, prints. Everything that it does can be done from Python with ``kactors.run``."""

from kactors.cli.commands import main

__all__ = ["main"]
