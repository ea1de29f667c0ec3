"""The client without async, for scripts: one thread, one socket, one request at a time."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from kactors.client.caller import Caller
from kactors.client.client_plans import ClientPlans
from kactors.client.dial import RECONNECT_S, greeting, service_address, tls_context
from kactors.client.feeds import Feed
from kactors.client.handles import Handle, NamedHandle, ServiceHandle, SessionHandle, Subscription
from kactors.client.hub import Hub
from kactors.client.job import Job
from kactors.client.plans import Plan
from kactors.client.search_plans import SearchPlans
from kactors.client.session_plans import SessionPlans
from kactors.rpc.address import Address
from protocols.result import Result
from protocols.service.events import SimEvent

P = ParamSpec("P")
T = TypeVar("T")
Plans = TypeVar("Plans")
Made = TypeVar("Made")
Held = TypeVar("Held")


class BlockingEvents(Subscription[Caller]):
    """The events of one subscription, in order: ``for event in events``. It ends when the block is left.

    ``event.dropped`` tells how many were missed right before it.
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> SimEvent:
        while (event := self._feed.next()) is None:
            self._line.hear()
        credit = self._feed.refill()
        if credit is not None:
            self._line.tell("sim.credit", credit)
        return event


def _called(plan: Callable[Concatenate[Plans, P], Plan[T]]) -> Callable[Concatenate[Handle[Caller, Plans], P], T]:
    """Make a method of a plan."""

    @functools.wraps(plan)
    def method(self: Handle[Caller, Plans], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.line.carry_out(plan(self.plans, *args, **kwargs))

    return method


def _making(
    handle: Callable[[], Callable[[Caller, Made], Held]], plan: Callable[Concatenate[Plans, P], Plan[Made]]
) -> Callable[Concatenate[Handle[Caller, Plans], P], Held]:
    """Make a method that returns a handle of what its plan has made; its class is named late: a session forks one."""

    @functools.wraps(plan)
    def method(self: Handle[Caller, Plans], /, *args: P.args, **kwargs: P.kwargs) -> Held:
        return handle()(self.line, self.line.carry_out(plan(self.plans, *args, **kwargs)))

    return method


def _subscribing(
    feed: Callable[Concatenate[Plans, P], Feed],
) -> Callable[Concatenate[Handle[Caller, Plans], P], AbstractContextManager[BlockingEvents]]:
    """Make a method that returns a block of events."""

    @functools.wraps(feed)
    @contextmanager
    def method(self: Handle[Caller, Plans], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[BlockingEvents]:
        made, caller = feed(self.plans, *args, **kwargs), self.line
        caller.hub.feeds.append(made)
        try:
            caller.carry_out(made.open())
            caller.hub.pass_on()
            yield BlockingEvents(caller, made)
        finally:
            caller.hub.feeds.remove(made)
            farewell = made.close()
            if farewell is not None:
                caller.tell("sim.unsubscribe", farewell)

    return method


class BlockingSession(SessionHandle[Caller]):
    """One session of the service. What its methods ask, and what holds after a lost connection: session_plans.py.

    Every method raises ServiceError (the service refuses) and ServiceLostError (it is gone).
    """

    look = _called(SessionPlans.look)
    stats = _called(SessionPlans.stats)
    state = _called(SessionPlans.state)
    result = _called(SessionPlans.result)
    start = _called(SessionPlans.start)
    pause = _called(SessionPlans.pause)
    step = _called(SessionPlans.step)
    run_until = _called(SessionPlans.run_until)
    run = _called(SessionPlans.run)
    inject = _called(SessionPlans.inject)
    set_bound = _called(SessionPlans.set_bound)
    restore = _called(SessionPlans.restore)
    step_back = _called(SessionPlans.step_back)
    checkpoint = _called(SessionPlans.checkpoint)
    delete = _called(SessionPlans.delete)
    fork = _making(lambda: BlockingSession, SessionPlans.fork)
    subscribe = _subscribing(SessionPlans.feed)


class BlockingSearch(NamedHandle[Caller, SearchPlans]):
    """One search of the service. What its methods ask: search_plans.py.

    Every method raises ServiceError (the service refuses) and ServiceLostError (it is gone).
    """

    stats = _called(SearchPlans.stats)
    cancel = _called(SearchPlans.cancel)
    result = _called(SearchPlans.result)
    wait = _called(SearchPlans.wait)
    delete = _called(SearchPlans.delete)
    subscribe = _subscribing(SearchPlans.feed)


class BlockingClient(ServiceHandle[Caller]):
    """A service. Every method raises ServiceError (the service refuses) and ServiceLostError (it is gone).

    One thread at a time; Ctrl-C at any moment leaves it fit for another request.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; sessions stay as they are."""
        self.line.close()

    def session(self, name: str) -> BlockingSession:
        """Return a session of that name, whether there is one or not."""
        return BlockingSession(self.line, SessionPlans(name))

    def search(self, name: str) -> BlockingSearch:
        """Return a search of that name, whether there is one or not."""
        return BlockingSearch(self.line, SearchPlans(name))

    def run_together(self, jobs: Sequence[Job], on_done: Callable[[int, Result], None] | None = None) -> list[Result]:
        """Make sessions and run all of them to their ends at once; return the results in the order of the jobs.

        Args:
            jobs: what to run.
            on_done: told of each job's place and result as it ends.
        """
        return self.line.carry_out_together([job.plan(self.plans) for job in jobs], on_done)

    create = _making(lambda: BlockingSession, ClientPlans.create)
    check = _making(lambda: BlockingSearch, ClientPlans.check)
    list_checks = _called(ClientPlans.list_checks)
    list = _called(ClientPlans.list)
    server_stats = _called(ClientPlans.server_stats)
    api_info = _called(ClientPlans.api_info)
    shutdown = _called(ClientPlans.shutdown)
    call = _called(ClientPlans.call)


def connect(
    address: Address | str | None = None,
    *,
    client: str | None = None,
    token: str | None = None,
    tls: ssl.SSLContext | Path | None = None,
    connect_s: float = 0.0,
    reconnect_s: float = RECONNECT_S,
) -> BlockingClient:
    """Call a service, for the length of a ``with`` block. The arguments and what is raised are those of open_client."""
    where = service_address(address)
    caller = Caller(Hub(where, greeting(client, token)), tls_context(where, tls), reconnect_s)
    caller.dial(connect_s)
    return BlockingClient(caller, ClientPlans())
