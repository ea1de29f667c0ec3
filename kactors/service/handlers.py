"""What each method does. Those that need no waiting answer at once; the others run as tasks of their connection."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kactors.rpc.codec import pack
from kactors.rpc.schemas import api_info
from kactors.service import past
from kactors.service.connection import Connection
from kactors.service.quotas import need_credit
from kactors.service.registry import Registry
from kactors.service.search_handlers import SearchHandlers
from kactors.service.simulation import Goal, Simulation
from kactors.service.subscriber import Subscriber
from protocols.service import sessions
from protocols.service.base import Nothing, Reply
from protocols.service.commands import Inject
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import Credit, CreditParams, SubscribeParams, UnsubscribeParams
from protocols.service.methods import METHODS
from protocols.service.server import API_LEVEL, Hello, HelloParams, Limits, ServerStats, Shutdown, ShutdownParams

Answer = Reply | bytes
At_once = Callable[[Connection, Any], Answer | None]
Waiting = Callable[[Connection, Any], Awaitable[Answer]]

CAPABILITIES = ("attach", "check", "checkpoint", "events", "fork", "inject", "step_back")


class Handlers:
    """The methods of one service.

    Args:
        registry: its sessions.
        hello: what it says of itself, but for the client's part.
        server_stats: its own numbers.
        shut_down: begins its end; told why.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        version: str,
        build: str,
        limits: Limits,
        server_stats: Callable[[], ServerStats],
        shut_down: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._version = version
        self._build = build
        self._limits = limits
        self._server_stats = server_stats
        self._shut_down = shut_down
        self._searches = SearchHandlers(registry)
        self._api_info = pack(api_info().model_dump(mode="json"))
        self.at_once: Mapping[str, At_once] = {
            "hello": self._hello,
            "api.info": lambda _connection, _params: self._api_info,
            "sim.stats": self._stats_now,
            "sim.list": lambda _connection, params: registry.list(params),
            **self._searches.at_once,
            "server.stats": self._server_stats_now,
            "server.shutdown": self._shutdown,
        }
        """Answer without waiting, or None: it takes waiting this time."""
        self.waiting: Mapping[str, Waiting] = {
            "sim.create": self._create,
            "sim.start": self._start,
            "sim.pause": lambda _connection, params: registry[params.session].pause(),
            "sim.step": self._step,
            "sim.run_until": self._run_until,
            "sim.inject": self._inject,
            "sim.set_bound": self._set_bound,
            "sim.state": lambda _connection, params: registry[params.session].look(params.actor),
            "sim.stats": lambda _connection, params: registry[params.session].stats(),
            "sim.result": self._result,
            "sim.subscribe": self._subscribe,
            "sim.credit": self._credit,
            "sim.unsubscribe": self._unsubscribe,
            "sim.checkpoint": self._checkpoint,
            "sim.restore": lambda _connection, params: past.restore(registry[params.session], params),
            "sim.fork": self._fork,
            "sim.step_back": lambda _connection, params: past.step_back(registry[params.session], params),
            "sim.attach": self._attach,
            **self._searches.waiting,
            "sim.delete": lambda _connection, params: registry.delete(params.session),
        }

    # --- the service -------------------------------------------------------------------------------------------------

    def _hello(self, connection: Connection, params: HelloParams) -> Hello:
        connection.introduce(params.client, params.token)
        return Hello(
            service="kactors",
            version=self._version,
            api_level=API_LEVEL,
            fingerprint=self._build,
            capabilities=CAPABILITIES,
            methods=tuple(METHODS),
            limits=self._limits,
            client=connection.client,
            connection=connection.number,
        )

    def _server_stats_now(self, _connection: Connection, _params: Nothing) -> ServerStats:
        return self._server_stats()

    def _shutdown(self, connection: Connection, params: ShutdownParams) -> Shutdown:
        connection.need_local("server.shutdown")
        self._shut_down(params.reason)
        return Shutdown()

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _stats_now(self, _connection: Connection, params: sessions.SessionParams) -> Answer | None:
        return self._registry[params.session].packed_stats()

    async def _create(self, connection: Connection, params: sessions.CreateParams) -> Answer:
        connection.check_files(params.scenario)
        return await self._registry.create(params, connection.client)

    async def _start(self, _connection: Connection, params: sessions.StartParams) -> Answer:
        simulation = self._registry[params.session]
        self._registry.need_a_run()
        events = None if params.events is None else simulation.record.position.events + params.events
        return await simulation.start(Goal(params.until_ns, events), params.if_sequence)

    async def _step(self, _connection: Connection, params: sessions.StepParams) -> Answer:
        simulation = self._registry[params.session]
        return await simulation.run(_step_goal(simulation, params), params.if_sequence)

    async def _run_until(self, _connection: Connection, params: sessions.RunUntilParams) -> Answer:
        return await self._registry[params.session].run(Goal(params.until_ns), params.if_sequence)

    async def _inject(self, _connection: Connection, params: sessions.InjectParams) -> Answer:
        command = Inject(injection=params.injection)
        return await self._registry[params.session].apply(command, params.if_sequence)

    async def _set_bound(self, _connection: Connection, params: sessions.SetBoundParams) -> Answer:
        return await self._registry[params.session].apply(params.bounds, params.if_sequence)

    async def _result(self, _connection: Connection, params: sessions.SessionParams) -> Answer:
        simulation = self._registry[params.session]
        return pack({"session": simulation.name, "result": await simulation.result()})

    async def _checkpoint(self, _connection: Connection, params: sessions.CheckpointParams) -> Answer:
        checkpoints_max = self._limits.checkpoints_per_session_max
        return await past.checkpoint(self._registry[params.session], params.name, checkpoints_max)

    async def _fork(self, connection: Connection, params: sessions.ForkParams) -> Answer:
        if params.checkpoint is not None and params.events is not None:
            message = "sim.fork: checkpoint and events are two places to fork at; give one of them"
            raise ServiceError(ErrorCode.INVALID_PARAMS, message, {"errors": [message]})
        if params.policy is not None:
            connection.check_policy(params.policy)
        return await self._registry.fork(params, connection.client)

    # --- subscriptions -----------------------------------------------------------------------------------------------

    async def _subscribe(self, connection: Connection, params: SubscribeParams) -> Answer:
        if "search" in params.topics:
            return self._searches.subscribe(connection, params)
        subscriber = await self._registry.subscribe(params, connection.client, connection.send_event)
        return subscriber.subscribed()

    async def _credit(self, connection: Connection, params: CreditParams) -> Answer:
        searched = self._searches.credit(connection, params.subscription, params.events)
        if searched is not None:
            return searched
        simulation, subscriber = self._mine(connection, params.subscription)
        need_credit(subscriber, params.events, self._limits)
        if simulation.seat.worker is None:
            # Its next worker hears of all that there is.
            subscriber.credit += params.events
            return Credit(subscription=subscriber.number, credit=subscriber.credit, dropped=subscriber.dropped)
        order = simulation.seat.order("grant", subscription=subscriber.number, events=params.events)
        return subscriber.heard(await order)

    async def _unsubscribe(self, connection: Connection, params: UnsubscribeParams) -> Answer:
        searched = self._searches.unsubscribe(connection, params.subscription)
        if searched is not None:
            return searched
        simulation, subscriber = self._mine(connection, params.subscription)
        await self._registry.unsubscribe(simulation, subscriber)
        return Credit(subscription=subscriber.number, credit=subscriber.credit, dropped=subscriber.dropped)

    async def _attach(self, connection: Connection, params: sessions.AttachParams) -> Answer:
        """Look where a session stands, and take a subscription over: what was kept for it is sent before the answer."""
        self._searches.need_no_search(params.session)
        simulation = self._registry[params.session]
        attached = dict(simulation.where())
        if params.subscription is None:
            return sessions.Attached(**attached)
        subscriber = simulation.subscribers.get(params.subscription)
        if subscriber.send is not None and subscriber.client != connection.client:
            message = f"subscription {params.subscription} is another client's, who is still there"
            raise ServiceError(ErrorCode.FORBIDDEN, message)
        need_credit(subscriber, params.credit or 0, self._limits)
        events, missed = subscriber.again(params.after)
        subscriber.send, subscriber.client = connection.send_event, connection.client
        for event in events:
            connection.send_event(event)
        if params.credit is not None:
            await self._credit(connection, CreditParams(subscription=subscriber.number, events=params.credit))
        return sessions.Attached(**attached, subscription=subscriber.number, number=subscriber.last, missed=missed)

    def _mine(self, connection: Connection, number: int) -> tuple[Simulation, Subscriber]:
        found = self._registry.subscription(number)
        if found is None:
            raise ServiceError(ErrorCode.UNKNOWN_SUBSCRIPTION, f"there is no subscription {number}")
        simulation, subscriber = found
        if subscriber.send != connection.send_event:
            message = f"subscription {number} is another connection's; sim.attach takes it over"
            raise ServiceError(ErrorCode.UNKNOWN_SUBSCRIPTION, message)
        return simulation, subscriber

    def leave(self, connection: Connection) -> None:
        """Keep the subscriptions of a client that has gone, in case it comes back."""
        self._searches.leave(connection)
        for simulation in self._registry:
            for subscriber in simulation.subscribers:
                if subscriber.send == connection.send_event:
                    subscriber.send, subscriber.orphaned_s = None, time.monotonic()


def _step_goal(simulation: Simulation, params: sessions.StepParams) -> Goal:
    position = simulation.record.position
    events = params.events
    if events is None and params.time_ns is None and params.until is None:
        events = 1
    return Goal(
        until_ns=None if params.time_ns is None else position.now_ns + params.time_ns,
        until_events=None if events is None else position.events + events,
        until=params.until,
    )
