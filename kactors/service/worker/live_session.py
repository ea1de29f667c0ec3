"""One simulation of a worker: its machine, the run that is under way, and those who listen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from kactors.live import Happening, LiveMachine, Pause
from kactors.service.worker import orders
from kactors.service.worker.failures import told_as_service_errors
from kactors.service.worker.subscription import Subscription
from protocols.service.commands import Until
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import Quantities

SLICE_NS = 4_000_000
"""How long a simulation computes before another one, or an order, has its turn: a pause waits for one of these."""
PROGRESS_NS = 50_000_000
"""How often the service hears where a running simulation is."""
FIRST_SLICE_EVENTS = 100
NEAR_EVENTS = 1_000
"""A run with no more to go is a step that somebody waits for."""

Tell = Callable[[str, dict[str, Any]], None]
"""Sends a notification to the service."""

REASONS: dict[Pause, orders.Reason] = {
    Pause.TIME: "time",
    Pause.EVENTS: "events",
    Pause.PREDICATE: "predicate",
    Pause.ENDED: "ended",
}


@dataclass
class Running:
    """A run under way; its goals are absolute."""

    until_ns: int | None
    until_events: int | None
    until: Until | None
    ended: trio.Event = field(default_factory=trio.Event)
    reason: orders.Reason = "paused"
    error: ServiceError | None = None


@dataclass(frozen=True)
class Quotas:
    """What one session may use: deliveries, and time of this worker."""

    events_max: int
    wall_ns_max: int


class LiveSession:
    """One simulation.

    Args:
        name: the session's.
        machine: where its history led.
        quotas: a run beyond them fails.
        wall_ns: time spent so far.
        tell: sends a notification to the service.
    """

    def __init__(self, name: str, machine: LiveMachine, quotas: Quotas, *, wall_ns: int, tell: Tell) -> None:
        self.name = name
        self.machine = machine
        self.running: Running | None = None
        self._quotas = quotas
        self._wall_ns = wall_ns
        self._tell = tell
        self._subscriptions: dict[int, Subscription] = {}
        self._happened: list[dict[str, Any]] = []
        self._slice_events = FIRST_SLICE_EVENTS
        self._told_at_ns = 0
        self._changes = 0

    # --- running -----------------------------------------------------------------------------------------------------

    def begin(self, order: orders.Run) -> Running:
        """Note the goals; ``compute`` pursues them.

        Raises:
            ServiceError: a run is under way.
        """
        if self.running is not None:
            raise ServiceError(ErrorCode.WRONG_STATE, f"{self.name} is running; pause it first", {"state": "running"})
        self.running = Running(order.until_ns, order.until_events, order.until)
        self._changed("running")
        return self.running

    def compute(self) -> None:
        """Compute for about SLICE_NS, and end the run where it has come to its goal or to grief."""
        running = self.running
        if running is None:
            return
        began_ns, before = time.perf_counter_ns(), self.machine.stats().events
        try:
            with told_as_service_errors():
                self._advance(running)
        except ServiceError as error:
            running.error = error
            self.end("paused")
        spent_ns = time.perf_counter_ns() - began_ns
        self._wall_ns += spent_ns
        # A step that came to its goal sooner says nothing of how much a whole slice takes.
        if self.machine.stats().events - before >= self._slice_events or spent_ns > SLICE_NS:
            self._slice_events = next_size(self._slice_events, spent_ns)
        self._flush()
        if self.running is not None and began_ns - self._told_at_ns >= PROGRESS_NS:
            self._told_at_ns = began_ns
            self._tell("progress", {"session": self.name} | self.standing().model_dump(mode="json"))

    def is_near_its_goal(self) -> bool:
        """Return whether few deliveries are left of the run under way."""
        goal = None if self.running is None else self.running.until_events
        return goal is not None and goal - self.machine.stats().events <= NEAR_EVENTS

    def end(self, reason: orders.Reason) -> None:
        """End the run under way, if there is one."""
        if self.running is not None:
            running, self.running = self.running, None
            running.reason = reason
            running.ended.set()
            self._changed("ended" if self.machine.stop is not None else "paused")
            self._flush()

    def _advance(self, running: Running) -> None:
        quotas = self._quotas
        if self._wall_ns > quotas.wall_ns_max:
            raise _over("wall_time_s_max", quotas.wall_ns_max / 1e9, f"{self.name} has computed for")
        ceiling = quotas.events_max if running.until_events is None else min(running.until_events, quotas.events_max)
        pause = self.machine.advance(
            events_max=self._slice_events,
            until_ns=running.until_ns,
            until_events=ceiling,
            until=running.until,
        )
        if pause is Pause.EVENTS and ceiling != running.until_events:
            raise _over("events_max", quotas.events_max, f"{self.name} has made deliveries:")
        if pause is not Pause.BUDGET:
            self.end(REASONS[pause])

    def standing(self) -> orders.Standing:
        """Return where it stands."""
        stats = self.machine.stats()
        stop = self.machine.stop
        return orders.Standing(
            position=self.machine.position(),
            stop=None if stop is None else stop.model_dump(mode="json"),
            quantities=Quantities.model_validate(stats, from_attributes=True),
            wall_ns=self._wall_ns,
        )

    # --- listeners ---------------------------------------------------------------------------------------------------

    def listen(self, order: orders.Listen) -> orders.Heard:
        """Let a subscription hear from now on."""
        subscription = Subscription(order)
        self._subscriptions[order.subscription] = subscription
        self._tune()
        return heard(subscription)

    def subscription(self, number: int) -> Subscription:
        """Return a subscription.

        Raises:
            ServiceError: there is none of that number.
        """
        try:
            return self._subscriptions[number]
        except KeyError:
            message = f"{self.name} has no subscription {number}"
            raise ServiceError(ErrorCode.UNKNOWN_SUBSCRIPTION, message) from None

    def unlisten(self, number: int) -> orders.Heard:
        """Let a subscription hear no more."""
        subscription = self.subscription(number)
        del self._subscriptions[number]
        self._tune()
        return heard(subscription)

    def _tune(self) -> None:
        """Listen to what somebody wants to hear, and to nothing else; sample counters whenever somebody wants them."""
        wanted = self._subscriptions.values()
        topics = frozenset[str]().union(*(each.topics for each in wanted)) - {"state"}
        interval_ns = math.gcd(*(each.interval_ns for each in wanted if "counters" in each.topics)) or None
        self.machine.listen(topics, self._offer if topics else None, interval_ns=interval_ns)

    def _offer(self, happening: Happening) -> None:
        topic, at_ns, data = happening.topic, happening.at_ns, happening.data
        now_s = time.monotonic()
        for subscription in self._subscriptions.values():
            if topic != "counters":
                self._tell_subscriber(subscription, topic, happening.number, at_ns, data, now_s)
            elif at_ns % subscription.interval_ns == 0:
                self._tell_subscriber(subscription, topic, at_ns // subscription.interval_ns, at_ns, data, now_s)

    def _changed(self, state: str) -> None:
        self._changes += 1
        stop = self.machine.stop
        data: dict[str, Any] = {"state": state, "stop": None if stop is None else stop.model_dump(mode="json")}
        stats = self.machine.stats()
        data["events"] = stats.events
        for subscription in self._subscriptions.values():
            self._tell_subscriber(subscription, "state", self._changes, stats.now_ns, data, time.monotonic())

    def _tell_subscriber(
        self, subscription: Subscription, topic: str, of: int, at_ns: int, data: dict[str, Any], now_s: float
    ) -> None:
        event = subscription.offer(topic, of, at_ns, data, now_s)
        if event is not None:
            self._happened.append(event)

    def _flush(self) -> None:
        if self._happened:
            self._tell("happenings", {"session": self.name, "events": self._happened})
            self._happened = []


def heard(subscription: Subscription) -> orders.Heard:
    """Return what a subscription stands at."""
    return orders.Heard(credit=subscription.credit, last=subscription.last, dropped=subscription.dropped)


def next_size(events: int, spent_ns: int) -> int:
    """Return how many deliveries the next slice should have, after one of ``events`` that took ``spent_ns``."""
    fitting = events * SLICE_NS // max(spent_ns, 1)
    return max(1, min(fitting, 2 * events, 100_000))


def _over(limit: str, value: float, what: str) -> ServiceError:
    message = f"{what} {value:g}, as many as a session may ({limit})"
    return ServiceError(ErrorCode.QUOTA, message, {"limit": limit, "value": value})
