"""All sessions of one service: made, found, listed, forgotten; and what the workers tell of them passed on."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
import trio

from kactors.service import past
from kactors.service.committer import Committer
from kactors.service.metrics import Metrics
from kactors.service.quotas import need_subscription, quota
from kactors.service.searches import Searches
from kactors.service.seat import History
from kactors.service.shelf import Kind, Quota, Shelf
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

KIND = Kind(
    "session",
    "session",
    "sim.list",
    ErrorCode.UNKNOWN_SESSION,
    (
        Quota("sessions_max", "sessions, of all clients"),
        Quota("sessions_per_client_max", "sessions of yours; delete one"),
    ),
)


class Registry(Shelf[Simulation]):
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
        taken: set[str] = set()
        super().__init__(KIND, limits, taken)
        self.workers = workers
        self.committer = committer
        self.ending = False
        self._metrics = metrics
        self._nursery = nursery
        self._build = build
        self.searches = Searches(self, build, taken)

    # --- of the store ------------------------------------------------------------------------------------------------

    def load(self, records: Iterable[SessionRecord]) -> None:
        """Take the sessions that the store has, and let those run on that ran."""
        for record in records:
            simulation = Simulation(record, self)
            self.put(simulation)
            if record.state is State.RUNNING:
                simulation.resume()

    async def end(self) -> None:
        """Stop what runs, and write down where: it goes on when the service is back."""
        self.ending = True
        async with trio.open_nursery() as nursery:
            for simulation in self:
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
            if (simulation := self.find(name)) is not None
            and simulation.activity is None
            and not simulation.subscribers
            and not simulation.changing.locked()
        ]
        if idle:
            min(idle, key=lambda simulation: simulation.seat.used_s).seat.forget()

    def simulated(self, events: int) -> None:
        """Count deliveries."""
        self._metrics.events_simulated += events

    def searched(self, schedules: int, steps: int) -> None:
        """Count schedules and their deliveries."""
        self._metrics.schedules_searched += schedules
        self._metrics.steps_searched += steps

    # --- sessions ----------------------------------------------------------------------------------------------------

    async def create(self, params: sessions.CreateParams, client: str) -> sessions.Created:
        """Make a session, or return the one that was made with this key."""
        request = params.model_dump(mode="json", exclude_unset=True)
        async with self.once(client, params.key, request) as existing:
            if existing is not None:
                return sessions.Created(**dict(existing.where()), existing=True)
            scenario = params.scenario
            if params.seed is not None:
                scenario = scenario.model_copy(update={"seed": params.seed})
            name = params.name or f"{scenario.workload}-{secrets.token_hex(4)}"
            with self.reserve(name, client):
                record = SessionRecord(
                    session=name,
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
        async with self.once(client, params.key, request) as existing:
            if existing is not None:
                return sessions.Created(**dict(existing.where()), existing=True)
            parent = self[params.session]
            name = params.name or f"{parent.record.scenario.workload}-{secrets.token_hex(4)}"
            with self.reserve(name, client):
                child = await past.fork(parent, params, name, client, self)
                await self._keep(child)
        return sessions.Created(**dict(child.where()))

    async def delete(self, name: str) -> sessions.Deleted:
        """Forget a session; who waits for it is told that it was cancelled."""
        simulation = self[name]
        await simulation.close()
        async with simulation.changing:
            if self.find(name) is not simulation:
                raise ServiceError(ErrorCode.UNKNOWN_SESSION, f"{name} was deleted meanwhile", {"session": name})
            await self.committer.commit(Delete(name))
            self.remove(simulation)
        for subscriber in simulation.subscribers:
            subscriber.farewell()
        simulation.seat.close()
        return sessions.Deleted(session=name)

    def list(self, params: sessions.ListParams) -> sessions.SessionList:
        """Return a page of the sessions, oldest first."""
        page, more = self.page(params.after, params.limit, params.state)
        return sessions.SessionList(sessions=tuple(map(_line, page)), more=more)

    def need_a_run(self) -> None:
        """Refuse one more run in the background where there are as many as there may be.

        Raises:
            ServiceError: QUOTA.
        """
        running = sum(simulation.activity is not None for simulation in self)
        if running >= self.limits.sessions_running_max:
            raise quota("sessions_running_max", self.limits.sessions_running_max, "sessions run; pause one")

    # --- subscriptions -----------------------------------------------------------------------------------------------

    def everybody(self) -> Sequence[Subscriber]:
        """Return those who are told of a session, and of a search."""
        return [*self.subscribers(), *self.searches.subscribers()]

    async def subscribe(self, params: SubscribeParams, client: str, send: Send) -> Subscriber:
        """Begin to tell a client what happens in a session."""
        simulation = self[params.session]
        need_subscription(self.everybody(), params, client, self.limits)
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
            for simulation in self:
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
        simulation = self.find(params["session"])
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

    @contextmanager
    def reserve(self, name: str, client: str) -> Iterator[None]:
        """Hold a name and a place while a session is made.

        Raises:
            ServiceError: CONFLICT, QUOTA or SHUTTING_DOWN.
        """
        if self.ending:
            raise ServiceError(ErrorCode.SHUTTING_DOWN, "the service is ending; create it when it is back")
        with super().reserve(name, client):
            self.committer.need_room()
            yield

    async def _keep(self, simulation: Simulation) -> None:
        try:
            await self.committer.commit(Create(simulation.record))
        except BaseException:
            simulation.seat.forget()
            raise
        self.put(simulation)


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
