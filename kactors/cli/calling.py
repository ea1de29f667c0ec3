"""--connect and what belongs to it: which service a command talks to, and as whom."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from kactors.client import BlockingClient, connect
from kactors.engine.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True)
class Calling:
    """What the options say; None: not given."""

    address: str | None
    token_file: Path | None
    token_env: str | None
    tls_ca: Path | None

    @property
    def wanted(self) -> bool:
        """Whether a command that also does without a service is to use one.

        Raises:
            UsageError: how to talk to it is given, and not to whom.
        """
        if self.address is None and (self.token_file or self.token_env or self.tls_ca):
            raise UsageError("--token-file, --token-env and --tls-ca are for a service: add --connect ADDRESS")
        return self.address is not None

    def open(self, client: str | None = None) -> BlockingClient:
        """Call the service.

        Args:
            client: our name.

        Raises:
            UsageError: an option is wrong.
            ServiceLostError: nobody answers.
            ServiceError: the token is not known.
        """
        return connect(self.address, client=client, token=self._token(), tls=self.tls_ca)

    def _token(self) -> str | None:
        if self.token_file is not None and self.token_env is not None:
            raise UsageError("--token-file and --token-env: give one of them")
        if self.token_env is not None:
            token = os.environ.get(self.token_env)
            if not token:
                raise UsageError(f"--token-env {self.token_env}: there is no such variable, or it is empty")
            return token
        return None if self.token_file is None else _token_of(self.token_file)


def connect_options(command: Command) -> Command:
    """Add the options of ``Calling`` to a command, which gets them as ``calling``."""

    @functools.wraps(command)
    def gathered(
        *words: Any,
        connect: str | None,
        token_file: Path | None,
        token_env: str | None,
        tls_ca: Path | None,
        **given: Any,
    ) -> Any:
        return command(*words, calling=Calling(connect, token_file, token_env, tls_ca), **given)

    options = (
        click.option("--connect", metavar="ADDRESS", help="A service: unix:/path, tcp:host:port or tls:host:port."),
        click.option("--token-file", type=FILE, help="For --connect: a file that holds the token."),
        click.option("--token-env", metavar="VARIABLE", help="For --connect: the variable that holds the token."),
        click.option("--tls-ca", type=FILE, help="For --connect tls:...: PEM file of the certificates to trust."),
    )
    wrapped: Any = gathered
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast(Command, wrapped)


def _token_of(path: Path) -> str:
    """Return the first token of a file: alone on its line, or after a name as in the service's own token file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"--token-file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--token-file {path}: it is no text") from error
    tokens = [words[-1] for line in lines if (words := line.split()) and not words[0].startswith("#")]
    if not tokens:
        raise UsageError(f"--token-file {path}: there is no token in it")
    return tokens[0]
