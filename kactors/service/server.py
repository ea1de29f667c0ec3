"""The whole service: everything that runs, in one nursery, from the first listener to the last checkpoint."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog
import trio

from kactors.rpc.address import Address
from kactors.rpc.groups import ungrouped
from kactors.service.committer import Committer
from kactors.service.connection import Rules
from kactors.service.handlers import Handlers
from kactors.service.http import Health, serve_http
from kactors.service.listen import Listening, plan_listening
from kactors.service.metrics import Gauges, Metrics, open_files, resident_bytes
from kactors.service.registry import Registry
from kactors.service.settings import Settings
from kactors.service.sockets import Server, Stream, open_listeners
from kactors.service.store import Store
from kactors.service.workers import Workers
from protocols.service.server import ServerStats, WorkerStats

GOODBYE_S = 0.1
SHUTDOWN_S = 1.2
"""How long the end may take before what still runs is left to the next start, which brings it back."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Bound:
    """Where the service can be reached, with the ports that it has got."""

    addresses: tuple[Address, ...]
    metrics: Address | None


class Service:
    """One service, and how to end it.

    Args:
        settings: what it was told.
        store: its sessions; closed by whoever opened it.
        listening: where it listens, checked.
    """

    def __init__(self, settings: Settings, store: Store, listening: Listening) -> None:
        self._settings = settings
        self._store = store
        self._listening = listening
        self._build = build_fingerprint()
        self._began_s = time.monotonic()
        self._reason = ""
        self._end = trio.Event()
        self._metrics = Metrics(version("kactors"), self._build)
        self._committer = Committer(store, self._metrics, settings.limits.stored_bytes_max)
        self._registry: Registry
        self._workers: Workers
        self._server: Server

    def shut_down(self, reason: str) -> None:
        """Begin the end; the first reason stays."""
        if not self._end.is_set():
            self._reason = reason
            self._end.set()

    async def run(self, *, task_status: trio.TaskStatus[Bound] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until told to end, then end within two seconds.

        Raises:
            UsageError: an address cannot be listened at, or the metrics address is refused.
        """
        settings = self._settings
        async with AsyncExitStack() as opened:
            listeners = await open_listeners(self._listening, settings.files_root, opened)
            async with trio.open_nursery() as core:
                await self._start(core)
                metrics = await self._open_metrics(core)
                bound = Bound(tuple(address for address, _, _ in listeners), metrics)
                async with trio.open_nursery() as doors:
                    for _, rules, listener in listeners:
                        handler = partial(_serve, self._server, rules)
                        doors.start_soon(partial(trio.serve_listeners, handler, [listener], handler_nursery=doors))
                    task_status.started(bound)
                    shown = None if metrics is None else str(metrics)
                    log.info("serving", addresses=[str(address) for address in bound.addresses], metrics=shown)
                    await self._end.wait()
                    log.info("ending", reason=self._reason)
                    self._registry.ending = True
                    self._server.say_goodbye(self._reason)
                    # What they are told is on its way by then; whoever waits for a step gets no answer.
                    doors.cancel_scope.deadline = trio.current_time() + GOODBYE_S
                with trio.move_on_after(SHUTDOWN_S):
                    await self._registry.end()
                core.cancel_scope.cancel()
        log.info("ended", reason=self._reason)

    async def _start(self, core: trio.Nursery) -> None:
        """Start everything that the listeners need, and bring back what the store has."""
        settings = self._settings
        self._workers = Workers(settings.workers, self._told, settings.stuck_s, self._metrics)
        self._registry = Registry(self._workers, self._committer, settings.limits, self._metrics, core, self._build)
        self._server = Server(self._handlers(), settings.limits, self._metrics)
        self._metrics.gauges = self._gauges
        core.start_soon(self._committer.run)
        await core.start(self._workers.supervise)
        self._registry.load(await trio.to_thread.run_sync(self._store.load_all))
        self._registry.searches.load(await trio.to_thread.run_sync(self._store.load_searches))
        core.start_soon(self._registry.watch_subscribers)

    def _told(self, name: str, params: dict[str, object]) -> None:
        if name == "searching":
            self._registry.searches.told(params)
        else:
            self._registry.told(name, params)

    def _handlers(self) -> Handlers:
        return Handlers(
            self._registry,
            version=version("kactors"),
            build=self._build,
            limits=self._settings.limits,
            server_stats=self._stats,
            shut_down=self.shut_down,
        )

    async def _open_metrics(self, nursery: trio.Nursery) -> Address | None:
        address = self._settings.metrics
        if address is None:
            return None
        port = await nursery.start(serve_http, self._metrics, self._health, address)
        return Address(address.kind, "", address.host, port)

    def _health(self) -> Health:
        return Health(reasons=tuple(f"worker {worker.number} is down" for worker in self._workers if worker.gone))

    def _gauges(self) -> Gauges:
        registry = self._registry
        running = [search for search in registry.searches if search.running]
        return Gauges(
            connections=len(self._server),
            subscriptions=len(registry.everybody()),
            sessions=registry.states(),
            searches=registry.searches.states(),
            searched_states=sum(search.numbers.states for search in running),
            searched_frontier=sum(search.numbers.frontier for search in running),
        )

    def _stats(self) -> ServerStats:
        metrics, registry = self._metrics, self._registry
        return ServerStats(
            uptime_s=time.monotonic() - self._began_s,
            connections=len(self._server),
            sessions=len(registry),
            running=sum(simulation.activity is not None for simulation in registry),
            subscriptions=len(registry.everybody()),
            tasks=trio.lowlevel.current_statistics().tasks_living,
            open_files=open_files(),
            resident_bytes=resident_bytes(),
            requests=metrics.requests,
            errors=metrics.errors,
            events_sent=metrics.events_sent,
            events_dropped=metrics.events_dropped,
            events_simulated=metrics.events_simulated,
            stored_bytes=self._committer.stored_bytes,
            searches=len(registry.searches),
            searches_running=sum(search.running for search in registry.searches),
            workers=tuple(self._worker_stats()),
        )

    def _worker_stats(self) -> Iterator[WorkerStats]:
        running = {simulation.name for simulation in self._registry if simulation.activity is not None}
        for worker in self._workers:
            yield WorkerStats(
                number=worker.number,
                pid=worker.pid,
                sessions=len(worker.sessions),
                running=len(worker.sessions & running),
                restarts=self._workers.restarts[worker.number],
                resident_bytes=resident_bytes(worker.pid),
            )


async def _serve(server: Server, rules: Rules, stream: Stream) -> None:
    await server.serve(stream, rules)


def build_fingerprint() -> str:
    """Return a hash over the simulator's sources: equal builds give equal runs."""
    digest = hashlib.blake2b(digest_size=8)
    package = Path(__file__).resolve().parents[1]
    for root in (package, package.parent / "protocols"):
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


async def serve(settings: Settings, *, task_status: trio.TaskStatus[Bound] = trio.TASK_STATUS_IGNORED) -> None:
    """Open the store, serve until SIGTERM, SIGINT or server.shutdown, and close it.

    Raises:
        UsageError: the store, an address or a token file is refused, or an address is taken.
    """
    listening = plan_listening(
        settings.addresses, tokens=settings.token_file, certificate=settings.certificate, key=settings.key
    )
    store = Store.open(settings.store)
    try:
        service = Service(settings, store, listening)
        with ungrouped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_end_on_signals, service)
                await service.run(task_status=task_status)
                nursery.cancel_scope.cancel()
    finally:
        store.close()


async def _end_on_signals(service: Service) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            service.shut_down(f"{signal.Signals(number).name}")
