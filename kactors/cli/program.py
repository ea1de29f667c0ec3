"""The outermost command: commands return exit codes, failures are one line on stderr and never a traceback."""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar, NoReturn

import click

from kactors.cli.draft import instead
from kactors.engine.errors import UsageError
from kactors.report.exits import USAGE, complain, exit_codes

CLICK_OWN = (click.ClickException, click.exceptions.Exit, click.Abort)


STREAMS = {"stdout": 1, "stderr": 2}
HINT = "; to see where, run it again as kactors --traceback ..."


class Words(click.Group):
    """A group of commands; a misspelt one is told with those that there are."""

    what: ClassVar[str] = "command"

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            raise UsageError(f"there is no {self.what} {args[0]}{instead(args[0], known)}")
        return super().resolve_command(ctx, args)


class Program(Words):
    """A group whose commands return an exit code."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line and exit."""
        extra["standalone_mode"] = False
        _open_closed_streams()
        try:
            code = super().main(*args, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            code = USAGE
        except click.ClickException as error:
            code = complain(error.format_message() + _where_to_look(error), USAGE)
        except OSError as error:  # the help that click prints by itself has nowhere to go
            code = complain(error.strerror or str(error), USAGE)
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever it raises ends the program with a line and an exit code."""
        with exit_codes(passing=CLICK_OWN, show_traceback=ctx.params["traceback"], hint=HINT):
            return super().invoke(ctx)


def _open_closed_streams() -> None:
    """Write to nobody what a stream would get that the caller has closed; no file of ours may get its number."""
    while (taken := os.open(os.devnull, os.O_RDWR)) <= max(STREAMS.values()):
        pass
    os.close(taken)
    for name, fd in STREAMS.items():
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, "w", encoding="utf-8"))


def _where_to_look(error: click.ClickException) -> str:
    """Return what follows click's own words where they do not say what would be right."""
    if not isinstance(error, (click.MissingParameter, click.NoSuchOption)) or error.ctx is None:
        return ""
    told = "?" in error.format_message() or "Choose from" in error.format_message()
    return "" if told else f" `{error.ctx.command_path} --help` tells what there is."
