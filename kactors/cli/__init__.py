"""The command line: parses, runs, prints. Everything that it does can be done from Python with ``kactors.run``."""

from kactors.cli.ablate import ablate
from kactors.cli.ask import ask
from kactors.cli.check import check, replay_schedule
from kactors.cli.client import client
from kactors.cli.commands import main
from kactors.cli.export import export
from kactors.cli.profile import profile
from kactors.cli.reproduce import reproduce
from kactors.cli.scale import scale
from kactors.cli.serve import serve
from kactors.cli.top import top
from kactors.cli.validate import validate_command

__all__ = [
    "ablate",
    "ask",
    "check",
    "client",
    "export",
    "main",
    "profile",
    "replay_schedule",
    "reproduce",
    "scale",
    "serve",
    "top",
    "validate_command",
]
