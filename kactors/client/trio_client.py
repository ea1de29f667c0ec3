"""The client for Trio: any number of tasks share one connection."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import trio

from kactors.client.client_plans import ClientPlans
from kactors.client.connector import Connector
from kactors.client.dial import RECONNECT_S, greeting, service_address, tls_context
from kactors.client.feeds import Feed
from kactors.client.handles import Handle, NamedHandle, ServiceHandle, SessionHandle, Subscription
from kactors.client.hub import Hub
from kactors.client.plans import Plan
from kactors.client.search_plans import SearchPlans
from kactors.client.session_plans import SessionPlans
from kactors.rpc.address import Address
from kactors.rpc.groups import ungrouped
from protocols.service.events import SimEvent

P = ParamSpec("P")
T = TypeVar("T")
Plans = TypeVar("Plans")
Made = TypeVar("Made")
Held = TypeVar("Held")


class Events(Subscription[Connector]):
    """The events of one subscription, in order: ``async for event in events``. It ends when the block is left.

    ``event.dropped`` tells how many were missed right before it.
    """

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> SimEvent:
        while (event := self._feed.next()) is None:
            await self._line.news()
        credit = self._feed.refill()
        if credit is not None:
            self._line.tell("sim.credit", credit)
        return event


def _awaited(
    plan: Callable[Concatenate[Plans, P], Plan[T]],
) -> Callable[Concatenate[Handle[Connector, Plans], P], Coroutine[Any, Any, T]]:
    """Make a method of a plan."""

    @functools.wraps(plan)
    async def method(self: Handle[Connector, Plans], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.line.carry_out(plan(self.plans, *args, **kwargs))

    return method


def _making(
    handle: Callable[[], Callable[[Connector, Made], Held]], plan: Callable[Concatenate[Plans, P], Plan[Made]]
) -> Callable[Concatenate[Handle[Connector, Plans], P], Coroutine[Any, Any, Held]]:
    """Make a method that returns a handle of what its plan has made; its class is named late: a session forks one."""

    @functools.wraps(plan)
    async def method(self: Handle[Connector, Plans], /, *args: P.args, **kwargs: P.kwargs) -> Held:
        return handle()(self.line, await self.line.carry_out(plan(self.plans, *args, **kwargs)))

    return method


def _subscribing(
    feed: Callable[Concatenate[Plans, P], Feed],
) -> Callable[Concatenate[Handle[Connector, Plans], P], AbstractAsyncContextManager[Events]]:
    """Make a method that returns a block of events."""

    @functools.wraps(feed)
    @asynccontextmanager
    async def method(self: Handle[Connector, Plans], /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Events]:
        made, connector = feed(self.plans, *args, **kwargs), self.line
        connector.hub.feeds.append(made)
        try:
            await connector.carry_out(made.open())
            connector.hub.pass_on()
            yield Events(connector, made)
        finally:
            connector.hub.feeds.remove(made)
            farewell = made.close()
            if farewell is not None:
                connector.tell("sim.unsubscribe", farewell)

    return method


class Session(SessionHandle[Connector]):
    """One session of the service. What its methods ask, and what holds after a lost connection: session_plans.py.

    Every method raises ServiceError (the service refuses) and ServiceLostError (it is gone).
    """

    look = _awaited(SessionPlans.look)
    stats = _awaited(SessionPlans.stats)
    state = _awaited(SessionPlans.state)
    result = _awaited(SessionPlans.result)
    start = _awaited(SessionPlans.start)
    pause = _awaited(SessionPlans.pause)
    step = _awaited(SessionPlans.step)
    run_until = _awaited(SessionPlans.run_until)
    run = _awaited(SessionPlans.run)
    inject = _awaited(SessionPlans.inject)
    set_bound = _awaited(SessionPlans.set_bound)
    restore = _awaited(SessionPlans.restore)
    step_back = _awaited(SessionPlans.step_back)
    checkpoint = _awaited(SessionPlans.checkpoint)
    delete = _awaited(SessionPlans.delete)
    fork = _making(lambda: Session, SessionPlans.fork)
    subscribe = _subscribing(SessionPlans.feed)


class Search(NamedHandle[Connector, SearchPlans]):
    """One search of the service. What its methods ask: search_plans.py.

    Every method raises ServiceError (the service refuses) and ServiceLostError (it is gone).
    """

    stats = _awaited(SearchPlans.stats)
    cancel = _awaited(SearchPlans.cancel)
    result = _awaited(SearchPlans.result)
    wait = _awaited(SearchPlans.wait)
    delete = _awaited(SearchPlans.delete)
    subscribe = _subscribing(SearchPlans.feed)


class Client(ServiceHandle[Connector]):
    """A service. Every method raises ServiceError (the service refuses) and ServiceLostError (it is gone)."""

    def session(self, name: str) -> Session:
        """Return a session of that name, whether there is one or not."""
        return Session(self.line, SessionPlans(name))

    def search(self, name: str) -> Search:
        """Return a search of that name, whether there is one or not."""
        return Search(self.line, SearchPlans(name))

    create = _making(lambda: Session, ClientPlans.create)
    check = _making(lambda: Search, ClientPlans.check)
    list_checks = _awaited(ClientPlans.list_checks)
    list = _awaited(ClientPlans.list)
    server_stats = _awaited(ClientPlans.server_stats)
    api_info = _awaited(ClientPlans.api_info)
    shutdown = _awaited(ClientPlans.shutdown)
    call = _awaited(ClientPlans.call)


@asynccontextmanager
async def open_client(
    address: Address | str | None = None,
    *,
    client: str | None = None,
    token: str | None = None,
    tls: ssl.SSLContext | Path | None = None,
    connect_s: float = 0.0,
    reconnect_s: float = RECONNECT_S,
) -> AsyncIterator[Client]:
    """Call a service, for the length of an ``async with`` block.

    Args:
        address: of the service; by default $KACTORS_CONNECT, or where ``kactors serve`` listens by default.
        client: our name, under which quotas are counted and keys are known; by default one that nobody else has.
        token: for services that want one.
        tls: a context, or a PEM file of the certificates to trust, instead of those that the system trusts.
        connect_s: how long a service that is just starting may take to answer, in wall-clock time.
        reconnect_s: how long a service that has gone may take to come back.

    Raises:
        UsageError: the address or the certificate file is wrong.
        ServiceLostError: nobody answers.
        ServiceError: the token is not known.
    """
    where = service_address(address)
    hub = Hub(where, greeting(client, token))
    connector = Connector(hub, tls_context(where, tls), reconnect_s)
    stream = await connector.dial(connect_s)
    with ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connector.keep, stream)
            yield Client(connector, ClientPlans())
            nursery.cancel_scope.cancel()
