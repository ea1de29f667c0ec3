"""Subscriptions as the service keeps them: who is told, what was sent lately, and what was lost on the way."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import Credit, Subscribed, SubscribeParams

KEPT_EVENTS = 1024
"""How many events of a subscription can be sent again after a reconnect."""
ORPHAN_S = 60.0
"""How long a subscription waits for its client to come back."""

Send = Callable[[dict[str, Any]], bool]
"""Sends an event to a client; False: it does not read, and the event is dropped."""


@dataclass
class Subscriber:
    """One subscription.

    Attributes:
        number: in every event of it.
        client: under whose quota it counts.
        params: what was asked for.
        send: to the connection that holds it; None: it is gone, and may come back.
        orphaned_s: since when it has none, on a monotonic clock.
        credit: what the worker may still send, as it was last told.
        last: number of the last event that the worker sent.
        dropped: events missed in all.
        lost: those of them that the worker sent, when the client did not read.
        lost_since: how many were missed since the last that was sent.
        owed: credit that was spent on those that were lost, and is given back.
    """

    number: int
    client: str
    params: SubscribeParams
    send: Send | None
    credit: int
    orphaned_s: float = 0.0
    last: int = 0
    dropped: int = 0
    lost: int = 0
    lost_since: int = 0
    owed: int = 0
    kept: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))

    def deliver(self, event: dict[str, Any]) -> tuple[int, int]:
        """Pass an event on, or keep it for a client that may come back; return how many were sent and dropped."""
        newly = event["dropped"]
        event["dropped"] += self.lost_since
        self.last = event["number"]
        self.credit -= 1
        self.dropped += newly
        if self.send is None or self.send(event):
            self.kept.append(event)
            self.lost_since = 0
            return (0 if self.send is None else 1), newly
        self.lost_since = event["dropped"] + 1
        self.lost += 1
        self.owed += 1
        self.dropped += 1
        return 0, newly + 1

    def heard(self, heard: dict[str, int]) -> Credit:
        """Take what the worker says of credit and drops, and return it as the client is told it, with what was lost."""
        self.credit, self.dropped = heard["credit"], heard["dropped"] + self.lost
        return Credit(subscription=self.number, credit=self.credit, dropped=self.dropped)

    async def pay_back(self, order: Callable[..., Awaitable[dict[str, int]]]) -> None:
        """Give the worker the credit again that was spent on lost events.

        Raises:
            ServiceError, WorkerLostError: as ``order``; but where a session is being opened anew, it is paid later.
        """
        events, self.owed = self.owed, 0
        try:
            self.heard(await order("grant", subscription=self.number, events=events))
        except ServiceError as error:
            if error.code is not ErrorCode.UNKNOWN_SUBSCRIPTION:
                raise
            self.owed += events

    def farewell(self) -> None:
        """Tell the client that the session is deleted: nothing will come any more."""
        if self.send is not None:
            event = {"subscription": self.number, "session": self.params.session, "number": self.last + 1}
            event |= {"dropped": self.lost_since, "topic": "state", "of": 0, "at_ns": 0, "data": {"state": "deleted"}}
            self.send(event)

    def again(self, after: int) -> tuple[list[dict[str, Any]], int]:
        """Return the kept events after a number, and how many after it were sent and are not kept any more."""
        events = [event for event in self.kept if event["number"] > after]
        first = events[0]["number"] - events[0]["dropped"] if events else self.last + 1
        return events, max(0, first - after - 1)

    def order(self) -> dict[str, Any]:
        """Return what a worker is told of it."""
        params = self.params
        return {
            "subscription": self.number,
            "topics": list(params.topics),
            "filter": params.filter.model_dump(),
            "rate_per_s": params.rate_per_s,
            "credit": self.credit,
            "last": self.last,
            "dropped": self.dropped - self.lost,
            "interval_ns": params.interval_ns,
        }

    def subscribed(self) -> Subscribed:
        """Return what the client is answered."""
        return Subscribed(session=self.params.session, subscription=self.number, number=self.last, dropped=self.dropped)


class Subscribers:
    """Those of one session."""

    numbers = itertools.count(1)
    """Unique in the service: an event names its subscription and nothing else is needed."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._by_number: dict[int, Subscriber] = {}

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(list(self._by_number.values()))

    def add(self, client: str, params: SubscribeParams, send: Send) -> Subscriber:
        """Begin a subscription."""
        number = next(self.numbers)
        subscriber = Subscriber(number, client, params, send, params.credit)
        self._by_number[number] = subscriber
        return subscriber

    def get(self, number: int) -> Subscriber:
        """Return one.

        Raises:
            ServiceError: UNKNOWN_SUBSCRIPTION.
        """
        try:
            return self._by_number[number]
        except KeyError:
            message = f"{self._session} has no subscription {number}; sim.subscribe begins one"
            raise ServiceError(ErrorCode.UNKNOWN_SUBSCRIPTION, message) from None

    def find(self, number: int) -> Subscriber | None:
        """Return one, or None: it has ended while events of it were on their way."""
        return self._by_number.get(number)

    def remove(self, number: int) -> None:
        """End one."""
        self._by_number.pop(number, None)

    def orders(self) -> list[dict[str, Any]]:
        """Return what a worker that has just been given the machine is told."""
        return [subscriber.order() for subscriber in self._by_number.values()]
