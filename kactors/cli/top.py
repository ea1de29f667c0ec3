"""`kactors top`: the sessions of a service and what they do, again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from kactors.cli.calling import Calling, connect_options
from kactors.cli.client import ends_quietly
from kactors.cli.commands import main
from kactors.client import BlockingClient
from kactors.report.tables import table
from kactors.report.units import count, duration, size
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.server import ServerStats
from protocols.service.sessions import SessionInfo, State, Stats

REFRESH_S = 1.0
HEADERS = (
    "session",
    "policy",
    "machine",
    "state",
    "events",
    "events/s",
    "virtual time",
    "faults",
    "peak",
    "worker",
)
LEFT = 4
ORDER = (State.RUNNING, State.PAUSED, State.FAILED, State.ENDED)


@dataclass
class Look:
    """What was seen at one moment, and what is remembered of earlier ones.

    Attributes:
        at_s: when, on a monotonic clock.
        server: the service's numbers.
        sessions: running ones first, else oldest first.
        stats: the numbers of those that run or ran while we looked; of the others the service would have to bring the
            machine back, only to be looked at.
        rates: deliveries a second of wall-clock time since the look before.
        rate: the same of the whole service.
    """

    at_s: float
    server: ServerStats
    sessions: Sequence[SessionInfo]
    stats: dict[str, Stats] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    rate: float | None = None


@main.command()
@click.option("--once", is_flag=True, help="Print one table and end.")
@connect_options
def top(once: bool, calling: Calling) -> None:
    """Show the sessions of a service, each second, until Ctrl-C.

    peak: most pages at one moment that were allocated and not yet mapped.
    """
    with calling.open() as client:
        if once:
            seen = look(client)
            click.echo("\n".join([_headline(client, seen), "", *table(HEADERS, rows(seen), left=LEFT)]))
            return
        with ends_quietly():
            _watch(client)


def look(client: BlockingClient, before: Look | None = None) -> Look:
    """Ask the service for what is shown."""
    sessions = sorted(client.list(), key=lambda info: ORDER.index(info.state))
    seen = Look(time.monotonic(), client.server_stats(), sessions, dict(before.stats) if before else {})
    moved = {info.session: info.events for info in before.sessions} if before else {}
    for info in sessions:
        if info.state is State.RUNNING or moved.get(info.session, info.events) != info.events:
            stats = _stats(client, info.session)
            if stats is not None:
                seen.stats[info.session] = stats
                seen.rates[info.session] = stats.events_per_s
    if before is not None:
        passed_s = seen.at_s - before.at_s
        seen.rate = (seen.server.events_simulated - before.server.events_simulated) / passed_s
        for info in sessions:
            if info.session in moved:
                seen.rates[info.session] = (info.events - moved[info.session]) / passed_s
    return seen


def rows(seen: Look) -> list[list[str]]:
    """Return a row a session."""
    return [_row(info, seen) for info in seen.sessions]


def _row(info: SessionInfo, seen: Look) -> list[str]:
    stats, rate = seen.stats.get(info.session), seen.rates.get(info.session)
    return [
        info.session,
        info.policy,
        info.machine,
        info.state.value,
        count(info.events),
        "-" if rate is None else count(rate),
        duration(info.now_ns),
        "-" if stats is None else count(stats.quantities.faults),
        "-" if stats is None else count(stats.quantities.transient_pages_peak),
        "-" if stats is None or stats.worker is None else str(stats.worker),
    ]


def _headline(client: BlockingClient, seen: Look) -> str:
    server = seen.server
    parts = [
        f"kactors {client.service.version} at {client.address}",
        f"up {duration(int(server.uptime_s * 1e9))}",
        f"{count(server.connections)} connections",
        f"{count(server.sessions)} sessions, {count(server.running)} running",
        *([f"{count(seen.rate)} events/s"] if seen.rate is not None else []),
        f"{len(server.workers)} workers",
        f"{size(server.resident_bytes + sum(worker.resident_bytes for worker in server.workers))} of memory",
        f"{size(server.stored_bytes)} stored",
    ]
    return ", ".join(parts)


def _stats(client: BlockingClient, session: str) -> Stats | None:
    try:
        return client.session(session).stats()
    except ServiceError as error:
        if error.code is ErrorCode.UNKNOWN_SESSION:
            return None  # deleted since it was listed
        raise


def _watch(client: BlockingClient) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    def shown(seen: Look) -> Group:
        screen = Table(*HEADERS, box=None, pad_edge=False)
        for column in screen.columns[LEFT:]:
            column.justify = "right"
        for row in rows(seen):
            screen.add_row(*(Text(cell) for cell in row))
        return Group(Text(_headline(client, seen)), Text(), screen)

    seen = look(client)
    with Live(shown(seen), console=Console(), auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.refresh()
            time.sleep(REFRESH_S)
            seen = look(client, seen)
            live.update(shown(seen))
