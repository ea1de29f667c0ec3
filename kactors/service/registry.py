"""All sessions of one service: made, found, listed, forgotten; and what the workers tell of them passed on."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import Any

import structlog
import trio

from kactors.service import past
from kactors.service.committer import Committer
from kactors.service.metrics import Metrics
from kactors.service.quotas import need_subscription, quota
from kactors.service.searches import Searches
from kactors.service.seat import History
from kactors.service.simulation import Simulation
from kactors.service.store import Create, Delete, SessionRecord
from kactors.service.subscriber import ORPHAN_S, Send, Subscriber
from kactors.service.workers import Worker, Workers
from protocols.service import sessions
from protocols.service.commands import Position
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import SubscribeParams
from protocols.service.server import Limits
from protocols.service.sessions import State

LIVE_MAX = 128
"""Machines that one worker holds; the one that was not used for longest gives way, and is replayed when needed."""
JANITOR_S = 5.0

log = structlog.get_logger(__name__)


class Registry:
    """The sessions.

    Args:
        workers: where they compute.
        committer: where they are kept.
        limits: quotas.
        metrics: told of what is simulated and sent.
        nursery: for what outlives a request.
        build: fingerprint of the simulator.

    Attributes:
        ending: the service is about to end: nothing new begins.
    """

    def __init__(
        self,
        workers: Workers,
        committer: Committer,
        limits: Limits,
        metrics: Metrics,
        nursery: trio.Nursery,
        build: str,
    ) -> None:
        self.workers = workers
        self.committer = committer
        self.limits = limits
        self.ending = False
        self._metrics = metrics
        self._nursery = nursery
        self._build = build
        self._sessions: dict[str, Simulation] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._key_locks: dict[tuple[str, str], trio.Lock] = {}
        self._reserved: dict[str, str] = {}
        """Names of sessions that are being made, and for whom."""
        self.searches = Searches(workers, committer, limits, build, self.start_soon, self._has)

    # --- of the store ------------------------------------------------------------------------------------------------

    def load(self, records: Iterable[SessionRecord]) -> None:
        """Take the sessions that the store has, and let those run on that ran."""
        for record in records:
            simulation = self._sessions[record.session] = Simulation(record, self)
            if record.key is not None:
                self._keys[record.client, record.key] = record.session
            if record.state is State.RUNNING:
                simulation.resume()

    async def end(self) -> None:
        """Stop what runs, and write down where: it goes on when the service is back."""
        self.ending = True
        async with trio.open_nursery() as nursery:
            for simulation in self._sessions.values():
                if simulation.activity is not None:
                    nursery.start_soon(simulation.pause)

    # --- what a simulation needs of its home -------------------------------------------------------------------------

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task that outlives the request that began it."""
        self._nursery.start_soon(_guarded, task)

    def opened(self, worker: Worker) -> None:
        """Make room where a worker holds too many machines."""
        if len(worker.sessions) <= LIVE_MAX:
            return
        idle = [
            simulation
            for name in worker.sessions
            if (simulation := self._sessions.get(name)) is not None
            and simulation.activity is None
            and not simulation.subscribers
            and not simulation.changing.locked()
        ]
        if idle:
            min(idle, key=lambda simulation: simulation.seat.used_s).seat.forget()

    def simulated(self, events: int) -> None:
        """Count deliveries."""
        self._metrics.events_simulated += events

    # --- sessions ----------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Simulation:
        """Return a session.

        Raises:
            ServiceError: UNKNOWN_SESSION.
        """
        try:
            return self._sessions[name]
        except KeyError:
            message = f"there is no session {name}; sim.list shows those there are"
            raise ServiceError(ErrorCode.UNKNOWN_SESSION, message, {"session": name}) from None

    def _has(self, name: str) -> bool:
        return name in self._sessions or name in self._reserved

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Simulation]:
        return iter(list(self._sessions.values()))

    def states(self) -> dict[State, int]:
        """Return how many sessions are in each state."""
        return dict(Counter(simulation.state for simulation in self._sessions.values()))

    async def create(self, params: sessions.CreateParams, client: str) -> sessions.Created:
        """Make a session, or return the one that was made with this key."""
        request = params.model_dump(mode="json", exclude_unset=True)
        async with self._once(client, params.key, request) as existing:
            if existing is not None:
                return existing
            scenario = params.scenario
            if params.seed is not None:
                scenario = scenario.model_copy(update={"seed": params.seed})
            with_name = params.name or f"{scenario.workload}-{secrets.token_hex(4)}"
            async with self._reserve(with_name, client):
                record = SessionRecord(
                    session=with_name,
                    client=client,
                    key=params.key,
                    request=request if params.key is not None else None,
                    scenario=scenario,
                    build=self._build,
                    created_at=time.time(),
                    position=Position(events=0, now_ns=0, fingerprint=""),
                )
                simulation = Simulation(record, self)
                standing = await simulation.seat.reopen(History(scenario, (), None))
                position = Position.model_validate(standing["position"])
                simulation.record = SessionRecord(**(vars(record) | {"position": position}))
                await self._keep(simulation)
        return sessions.Created(**dict(simulation.where()))

    async def fork(self, params: sessions.ForkParams, client: str) -> sessions.Created:
        """Make a session with another's past."""
        request = params.model_dump(mode="json", exclude_unset=True)
        async with self._once(client, params.key, request) as existing:
            if existing is not None:
                return existing
            parent = self[params.session]
            name = params.name or f"{parent.record.scenario.workload}-{secrets.token_hex(4)}"
            async with self._reserve(name, client):
                child = await past.fork(parent, params, name, client, self)
                await self._keep(child)
        return sessions.Created(**dict(child.where()))

    async def delete(self, name: str) -> sessions.Deleted:
        """Forget a session; who waits for it is told that it was cancelled."""
        simulation = self[name]
        await simulation.close()
        async with simulation.changing:
            if self._sessions.get(name) is not simulation:
                raise ServiceError(ErrorCode.UNKNOWN_SESSION, f"{name} was deleted meanwhile", {"session": name})
            await self.committer.commit(Delete(name))
            self._sessions.pop(name, None)
            if simulation.record.key is not None:
                self._keys.pop((simulation.record.client, simulation.record.key), None)
        for subscriber in simulation.subscribers:
            subscriber.farewell()
        simulation.seat.close()
        return sessions.Deleted(session=name)

    def list(self, params: sessions.ListParams) -> sessions.SessionList:
        """Return a page of the sessions, oldest first."""
        names = iter(self._sessions)
        if params.after is not None:
            self[params.after]
            for name in names:
                if name == params.after:
                    break
        wanted = (
            self._sessions[name] for name in names if params.state is None or self._sessions[name].state is params.state
        )
        page = list(islice(wanted, params.limit + 1))
        return sessions.SessionList(
            sessions=tuple(_line(simulation) for simulation in page[: params.limit]), more=len(page) > params.limit
        )

    def need_a_run(self) -> None:
        """Refuse one more run in the background where there are as many as there may be.

        Raises:
            ServiceError: QUOTA.
        """
        running = sum(simulation.activity is not None for simulation in self._sessions.values())
        if running >= self.limits.sessions_running_max:
            raise quota("sessions_running_max", self.limits.sessions_running_max, "sessions run; pause one")

    # --- subscriptions -----------------------------------------------------------------------------------------------

    def subscribers(self) -> Sequence[Subscriber]:
        """Return those of all sessions, and of all searches."""
        own = (each for simulation in self._sessions.values() for each in simulation.subscribers)
        return [*own, *self.searches.subscribers()]

    def subscription(self, number: int) -> tuple[Simulation, Subscriber]:
        """Return a subscription and its session.

        Raises:
            ServiceError: UNKNOWN_SUBSCRIPTION.
        """
        for simulation in self._sessions.values():
            subscriber = simulation.subscribers.find(number)
            if subscriber is not None:
                return simulation, subscriber
        raise ServiceError(ErrorCode.UNKNOWN_SUBSCRIPTION, f"there is no subscription {number}")

    async def subscribe(self, params: SubscribeParams, client: str, send: Send) -> Subscriber:
        """Begin to tell a client what happens in a session."""
        simulation = self[params.session]
        need_subscription(self.subscribers(), params, client, self.limits)
        subscriber = simulation.subscribers.add(client, params, send)
        try:
            await simulation.seat.order("listen", **subscriber.order())
        except BaseException:
            simulation.subscribers.remove(subscriber.number)
            # The worker may have it already: it would go on telling nobody.
            simulation.seat.order_soon("unlisten", subscription=subscriber.number)
            raise
        return subscriber

    async def watch_subscribers(self) -> None:
        """Look after the subscriptions, for ever."""
        while True:
            await trio.sleep(JANITOR_S)
            for simulation in list(self._sessions.values()):
                for subscriber in simulation.subscribers:
                    await _guarded(partial(self._look_after, simulation, subscriber))

    async def _look_after(self, simulation: Simulation, subscriber: Subscriber) -> None:
        """End a subscription whose client does not come back; give credit back that was spent on lost events."""
        if subscriber.send is None and time.monotonic() - subscriber.orphaned_s > ORPHAN_S:
            await self.unsubscribe(simulation, subscriber)
        elif subscriber.owed and simulation.seat.worker is not None:
            await subscriber.pay_back(simulation.seat.order)

    async def unsubscribe(self, simulation: Simulation, subscriber: Subscriber) -> None:
        """End a subscription."""
        try:
            if simulation.seat.worker is not None:
                subscriber.heard(await simulation.seat.order("unlisten", subscription=subscriber.number))
        finally:
            simulation.subscribers.remove(subscriber.number)

    # --- what workers tell -------------------------------------------------------------------------------------------

    def told(self, name: str, params: dict[str, Any]) -> None:
        """Take a worker's notification: progress or happenings of a session."""
        simulation = self._sessions.get(params["session"])
        if simulation is None:
            return  # deleted while this was on its way
        if name == "progress":
            simulation.stand(params)
            return
        for event in params["events"]:
            subscriber = simulation.subscribers.find(event["subscription"])
            if subscriber is not None:
                sent, dropped = subscriber.deliver({"session": simulation.name} | event)
                self._metrics.events_sent += sent
                self._metrics.events_dropped += dropped

    # --- inside ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _once(
        self, client: str, key: str | None, request: dict[str, Any]
    ) -> AsyncIterator[sessions.Created | None]:
        """Yield the session that was made with the key, or None: then it is made inside, and nobody else makes it.

        Raises:
            ServiceError: CONFLICT: the key was used with other params.
        """
        if key is None:
            yield None
            return
        lock = self._key_locks.setdefault((client, key), trio.Lock())
        try:
            async with lock:
                made = self._sessions.get(self._keys.get((client, key), ""))
                if made is not None and made.record.request != request:
                    message = f"the key {key} was used with other params, for {made.name}; take another key"
                    raise ServiceError(ErrorCode.CONFLICT, message, {"session": made.name})
                yield None if made is None else sessions.Created(**dict(made.where()), existing=True)
        finally:
            if not lock.locked():  # else somebody has waited for it, and cleans up after himself
                self._key_locks.pop((client, key), None)

    @asynccontextmanager
    async def _reserve(self, name: str, client: str) -> AsyncIterator[None]:
        """Hold a name and a place while a session is made.

        Raises:
            ServiceError: CONFLICT, QUOTA or SHUTTING_DOWN.
        """
        limits = self.limits
        if self.ending:
            raise ServiceError(ErrorCode.SHUTTING_DOWN, "the service is ending; create it when it is back")
        if name in self._sessions or name in self._reserved or name in self.searches:
            raise ServiceError(ErrorCode.CONFLICT, f"there is a session {name} already", {"session": name})
        owners = [*(simulation.record.client for simulation in self._sessions.values()), *self._reserved.values()]
        if len(owners) >= limits.sessions_max:
            raise quota("sessions_max", limits.sessions_max, "sessions, of all clients")
        if owners.count(client) >= limits.sessions_per_client_max:
            raise quota("sessions_per_client_max", limits.sessions_per_client_max, "sessions of yours; delete one")
        self.committer.need_room()
        self._reserved[name] = client
        try:
            yield
        finally:
            del self._reserved[name]

    async def _keep(self, simulation: Simulation) -> None:
        record = simulation.record
        try:
            await self.committer.commit(Create(record))
        except BaseException:
            simulation.seat.forget()
            raise
        self._sessions[record.session] = simulation
        if record.key is not None:
            self._keys[record.client, record.key] = record.session


async def _guarded(task: Callable[[], Awaitable[None]]) -> None:
    """Run a task that nobody waits for: what goes wrong in it is no reason to end the service."""
    try:
        await task()
    except Exception:
        log.exception("task failed")


def _line(simulation: Simulation) -> sessions.SessionInfo:
    record = simulation.record
    return sessions.SessionInfo(
        session=record.session,
        client=record.client,
        state=simulation.state,
        sequence=record.sequence,
        events=simulation.events,
        now_ns=simulation.now_ns,
        workload=record.scenario.workload,
        policy=record.scenario.policy,
        machine=record.scenario.machine,
        seed=record.scenario.seed,
        created_at=record.created_at,
        checkpoints=tuple(record.checkpoints),
        forked_from=record.forked_from,
    )
