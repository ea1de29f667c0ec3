"""`kactors top`: the sessions and searches of a service and what they do, again and again."""

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
from protocols.service.searches import CheckStats, SearchState
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
SEARCH_HEADERS = (
    "search",
    "policy",
    "machine",
    "strategy",
    "state",
    "found",
    "schedules",
    "states",
    "frontier",
    "deliveries",
    "deliveries/s",
)
SEARCH_LEFT = 6
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
        searches: in the same order.
        rates: of each session and each search, which have different names, deliveries a second of wall-clock time since
            the look before.
        rate: the same of all sessions.
    """

    at_s: float
    server: ServerStats
    sessions: Sequence[SessionInfo]
    searches: Sequence[CheckStats]
    stats: dict[str, Stats] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    rate: float | None = None


@main.command()
@click.option("--once", is_flag=True, help="Print one table and end.")
@connect_options
def top(once: bool, calling: Calling) -> None:
    """Show the sessions and the searches of a service, each second, until Ctrl-C.

    peak: most pages at one moment that were allocated and not yet mapped. frontier: states below which a search
    has something left to try.
    """
    with calling.open() as client:
        if once:
            seen = look(client)
            click.echo("\n".join([_headline(client, seen), *_tables(seen)]))
            return
        with ends_quietly():
            _watch(client)


def look(client: BlockingClient, before: Look | None = None) -> Look:
    """Ask the service for what is shown."""
    sessions = sorted(client.list(), key=lambda info: ORDER.index(info.state))
    searches = sorted(client.list_checks(), key=lambda stats: stats.state is not SearchState.RUNNING)
    seen = Look(time.monotonic(), client.server_stats(), sessions, searches, dict(before.stats) if before else {})
    was = _moved(before) if before else {}
    for info in sessions:
        if info.state is State.RUNNING or was.get(info.session, info.events) != info.events:
            stats = _stats(client, info.session)
            if stats is not None:
                seen.stats[info.session] = stats
                seen.rates[info.session] = stats.events_per_s
    for search in searches:
        if search.state is SearchState.RUNNING and search.numbers.wall_s:
            seen.rates[search.check] = search.numbers.steps / search.numbers.wall_s
    if before is not None:
        _rate(seen, before)
    return seen


def _rate(seen: Look, before: Look) -> None:
    """Tell how fast all went since the look before."""
    passed_s = seen.at_s - before.at_s
    seen.rate = (seen.server.events_simulated - before.server.events_simulated) / passed_s
    moved, was = _moved(seen), _moved(before)
    for name in moved.keys() & was.keys():
        # A search whose worker was lost has begun anew.
        seen.rates[name] = max(0, moved[name] - was[name]) / passed_s


def _moved(seen: Look) -> dict[str, int]:
    """Return how many deliveries each session, and each search, has made."""
    sessions = {info.session: info.events for info in seen.sessions}
    return sessions | {stats.check: stats.numbers.steps for stats in seen.searches}


def rows(seen: Look) -> list[list[str]]:
    """Return a row a session."""
    return [_row(info, seen) for info in seen.sessions]


def search_rows(seen: Look) -> list[list[str]]:
    """Return a row a search."""
    return [_search_row(stats, seen.rates.get(stats.check)) for stats in seen.searches]


def _search_row(stats: CheckStats, rate: float | None) -> list[str]:
    numbers = stats.numbers
    return [
        stats.check,
        stats.policy,
        stats.machine,
        stats.strategy,
        "telling" if numbers.telling and stats.state is SearchState.RUNNING else stats.state.value,
        stats.found or "-",
        count(numbers.schedules),
        count(numbers.states),
        count(numbers.frontier),
        count(numbers.steps),
        "-" if rate is None else count(rate),
    ]


def _tables(seen: Look) -> list[str]:
    """Return the lines of the tables that have rows; without sessions and searches, the sessions' titles."""
    lines = []
    if seen.sessions or not seen.searches:
        lines += ["", *table(HEADERS, rows(seen), left=LEFT)]
    if seen.searches:
        lines += ["", *table(SEARCH_HEADERS, search_rows(seen), left=SEARCH_LEFT)]
    return lines


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
        *([f"{count(server.searches)} searches, {count(server.searches_running)} running"] if server.searches else []),
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
    from rich.text import Text

    def shown(seen: Look) -> Group:
        tables = Text("\n".join(_tables(seen)), no_wrap=True, overflow="crop")
        return Group(Text(_headline(client, seen)), tables)

    seen = look(client)
    with Live(shown(seen), console=Console(), auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.refresh()
            time.sleep(REFRESH_S)
            seen = look(client, seen)
            live.update(shown(seen))
