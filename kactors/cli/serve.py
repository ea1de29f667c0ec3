"""`kactors serve`: the long-running service."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

from kactors.cli.commands import main

LogStyle = Literal["console", "json"]
FILE = click.Path(path_type=Path, dir_okay=False)


@main.command()
@click.option(
    "--listen", "addresses", multiple=True, metavar="ADDRESS", help="unix:/path, tcp:host:port or tls:host:port."
)
@click.option("--store", type=FILE, help="The SQLite file that holds the sessions; made where there is none.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Simulating processes; by default one a core.")
@click.option("--token-file", type=FILE, help="`name token` a line, mode 0600: who may call over TCP.")
@click.option("--tls-cert", type=FILE, help="PEM file of the certificate and its chain.")
@click.option("--tls-key", type=FILE, help="PEM file of its private key.")
@click.option("--metrics", metavar="HOST:PORT", help="Answer /metrics and /healthz there, over HTTP.")
@click.option(
    "--files-root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Scenarios that come over TCP may name files below it; without it, none.",
)
@click.option(
    "--limit", "limits", multiple=True, metavar="NAME=VALUE", help="One of the limits that `hello` tells. Repeatable."
)
@click.option("--log", "style", type=click.Choice(["console", "json"]), help="By default console on a terminal.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is logged.",
)
def serve(
    addresses: Sequence[str],
    metrics: str | None,
    limits: Sequence[str],
    style: LogStyle | None,
    log_level: str,
    **given: Any,
) -> int:
    """Serve simulations to msgpack clients until Ctrl-C or SIGTERM; sessions are kept and go on afterwards.

    By default it listens at a socket file in $XDG_RUNTIME_DIR (or ~/.local/state/kactors) that only you may use.
    """
    import trio

    from kactors.rpc.address import default_address, default_store, parse_address
    from kactors.service import logs
    from kactors.service.server import serve as serve_until_ended
    from kactors.service.settings import LIMITS, Settings, limits_from_words

    logs.configure(style, log_level)
    where = tuple(parse_address(address) for address in addresses) or (default_address(),)
    store = given["store"]
    if store is None:
        store = default_store()
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = Settings(
        addresses=where,
        store=store,
        limits=limits_from_words(LIMITS, limits),
        token_file=given["token_file"],
        certificate=given["tls_cert"],
        key=given["tls_key"],
        metrics=None if metrics is None else parse_address(metrics),
        files_root=given["files_root"],
        **({} if given["workers"] is None else {"workers": given["workers"]}),
    )
    trio.run(serve_until_ended, settings)
    # Python would search all that is left for garbage before it ends, which takes longer than our own end.
    gc.freeze()
    return 0
