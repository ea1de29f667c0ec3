"""Time and order. The engine alone knows what happens next; a runtime only carries deliveries to actors.

Events wait in one bucket per instant and a heap of the instants. Within an instant they keep the order in which they
were posted, except that several senders who reach one actor at the same instant are put in an order that ``choices``
picks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, cast

import msgpack

from kactors.engine.choices import Choices
from kactors.engine.errors import ModelError
from kactors.engine.event import Event, Party, describe
from kactors.engine.observer import Dispatcher, Observer
from kactors.engine.waits import judge
from protocols.base import Message, Tracepoint
from protocols.stop import EventLimit, PredicateHeld, Stop, TimeReached

STORY_EVENTS = 256
"""How many deliveries are hashed at a time and kept as the recent story."""


@dataclass(frozen=True)
class Limits:
    """When to stop a run that does not end by itself.

    Attributes:
        until_ns: virtual time, or None.
        events: number of deliveries, or None.
        predicate: called after each delivery; true stops the run.
    """

    until_ns: int | None = None
    events: int | None = None
    predicate: Callable[[], bool] | None = None


@dataclass
class Engine:
    """One machine's virtual time, total order, fingerprint and observers.

    Attributes:
        now_ns: the instant of the delivery in progress.
        events: deliveries made so far.
        stop: why the run stopped, or None while it runs.
    """

    choices: Choices
    limits: Limits = field(default_factory=Limits)
    now_ns: int = 0
    events: int = 0
    stop: Stop | None = None
    actors: list[Any] = field(default_factory=list)
    on_register: Callable[[Any], None] | None = None

    def __post_init__(self) -> None:
        self._buckets: dict[int, list[Event | None]] = {}
        self._instants: list[int] = []
        self._background: list[tuple[int, int, Event]] = []
        self._background_count = 0
        self._recent: list[Event] = []
        self._earlier: list[Event] = []
        self._hash = hashlib.blake2b(digest_size=16)
        self._pack = msgpack.Packer(default=vars).pack
        self._dispatcher = Dispatcher(self.halt)
        self._observers = cast(Party, self._dispatcher)

    # --- what actors use ---------------------------------------------------------------------------------------------

    def register(self, actor: Any) -> int:
        """Give a new actor its number; actors made later, in the same order, get the same numbers."""
        self.actors.append(actor)
        if self.on_register is not None:
            self.on_register(actor)
        return len(self.actors) - 1

    def post(self, at_ns: int, receiver: Party, sender: Party, message: Message, tag: int = 0) -> Event:
        """Deliver ``message`` at ``at_ns``, now or later.

        Raises:
            ModelError: the instant has passed, or the sender has not declared that it says this.
        """
        if type(message) not in sender.says:
            raise ModelError(f"{sender.name} may not say {type(message).__name__}: its role does not declare it")
        event = (at_ns, receiver, sender, tag, message)
        bucket = self._buckets.get(at_ns)
        if bucket is not None:
            bucket.append(event)
        elif at_ns < self.now_ns:
            raise ModelError(f"{sender.name} posts {type(message).__name__} at {at_ns} ns, before now ({self.now_ns})")
        else:
            self._buckets[at_ns] = [event]
            heappush(self._instants, at_ns)
        return event

    def post_again(self, event: Event, at_ns: int) -> Event:
        """Move an undelivered event to a later instant: an interrupt shifted the computation that it ends."""
        self.cancel(event)
        moved = (at_ns, *event[1:])
        self._enqueue(moved)
        return moved

    def post_background(self, at_ns: int, receiver: Party, sender: Party, message: Message, tag: int = 0) -> None:
        """Like ``post``, for a daemon's timer: a run whose only events left are such timers is quiescent."""
        self._background_count += 1
        heappush(self._background, (at_ns, self._background_count, (at_ns, receiver, sender, tag, message)))

    def cancel(self, event: Event) -> None:
        """Withdraw an event that has not been delivered yet."""
        bucket = self._buckets[event[0]]
        for place, posted in enumerate(bucket):
            if posted is event:
                # A tombstone and no removal: the core loop may be iterating over this very bucket.
                bucket[place] = None
                return
        raise ModelError(f"no such event to cancel: {describe(event)}")

    def emit(self, at_ns: int, actor: Party, tracepoint: Tracepoint) -> Event | None:
        """Tell observers at ``at_ns``; return the queued event when that lies ahead and somebody listens."""
        if type(tracepoint) not in self._dispatcher.tracepoints:
            return None
        if at_ns <= self.now_ns:
            self._dispatcher.tell(self.now_ns, actor, tracepoint)
            return None
        event: Event = (at_ns, self._observers, actor, 0, tracepoint)
        self._enqueue(event)
        return event

    def listens(self, kind: type[Tracepoint]) -> bool:
        """Return whether any observer hears this kind: spares the building of a tracepoint that nobody wants."""
        return kind in self._dispatcher.tracepoints

    def halt(self, stop: Stop) -> None:
        """Stop after the delivery in progress; the first reason stays."""
        if self.stop is None:
            self.stop = stop

    # --- what callers use --------------------------------------------------------------------------------------------

    def observe(self, observer: Observer) -> None:
        """Let an observer hear deliveries and tracepoints from now on."""
        self._dispatcher.add(observer)

    def story(self) -> tuple[str, ...]:
        """Return the last deliveries, oldest first, a line each."""
        return tuple(describe(event) for event in (self._earlier + self._recent)[-STORY_EVENTS:])

    def fingerprint(self) -> str:
        """Return the hash over all deliveries so far: same scenario, seed and version, same fingerprint."""
        self._fold()
        return self._hash.copy().hexdigest()

    def run_events(self) -> Iterator[Event]:
        """Yield every event in its turn: the core loop.

        The caller hands each event to its receiver before it asks for the next one. Ends when ``stop`` is set.
        """
        limit = -1 if self.limits.events is None else self.limits.events
        predicate = self.limits.predicate
        dispatcher, observers = self._dispatcher, self._observers
        while self._next_instant():
            bucket = self._buckets[self.now_ns]
            if len(bucket) > 1:
                self._order_ties(bucket)
            for event in bucket:  # grows while we iterate: what is posted for this very instant comes last
                if event is None:
                    continue
                if event[1] is observers:
                    dispatcher.receive(event)
                    if self.stop is not None:
                        return
                    continue
                self.events += 1
                recent = self._recent
                recent.append(event)
                if len(recent) == STORY_EVENTS:
                    self._fold()
                if dispatcher.hears_deliveries:
                    dispatcher.delivery(event)
                yield event
                if predicate is not None and predicate():
                    self.halt(PredicateHeld())
                if self.events == limit:
                    self.halt(EventLimit(events=limit))
                if self.stop is not None:
                    return
            del self._buckets[self.now_ns]

    # --- inside ------------------------------------------------------------------------------------------------------

    def _enqueue(self, event: Event) -> None:
        bucket = self._buckets.get(event[0])
        if bucket is not None:
            bucket.append(event)
        else:
            self._buckets[event[0]] = [event]
            heappush(self._instants, event[0])

    def _next_instant(self) -> bool:
        """Advance ``now_ns`` to the next instant that has events; False when the run is over."""
        if self._background:
            self._admit_background()
        if self.stop is not None:
            return False
        if not self._instants:
            self.halt(judge(self.actors))
            self._dispatcher.finish(self.now_ns)
            return False
        at_ns = self._instants[0]
        until_ns = self.limits.until_ns
        if until_ns is not None and at_ns > until_ns:
            self.now_ns = until_ns
            self.halt(TimeReached(at=until_ns))
            return False
        self.now_ns = heappop(self._instants)
        return True

    def _admit_background(self) -> None:
        """Move the daemons' timers that are due before everything else into the queue."""
        while self._background and self._instants and self._background[0][0] <= self._instants[0]:
            self._enqueue(heappop(self._background)[2])

    def _order_ties(self, bucket: list[Event | None]) -> None:
        """Let ``choices`` order simultaneous arrivals at one actor, first in first out for each sender."""
        arrivals: dict[int, list[int]] = {}
        for place, event in enumerate(bucket):
            if event is not None and event[1] is not self._observers:
                arrivals.setdefault(event[1].id, []).append(place)
        for places in arrivals.values():
            if len(places) > 1:
                chosen = self._pick_order([event for place in places if (event := bucket[place]) is not None])
                for place, event in zip(places, chosen, strict=True):
                    bucket[place] = event

    def _pick_order(self, events: list[Event]) -> list[Event]:
        queues: dict[int, list[Event]] = {}
        for event in reversed(events):
            queues.setdefault(event[2].id, []).append(event)
        senders = list(reversed(queues.values()))
        order: list[Event] = []
        while len(senders) > 1:
            place = self.choices.pick("tie", len(senders))
            order.append(senders[place].pop())
            if not senders[place]:
                senders[place] = senders[-1]
                senders.pop()
        order.extend(reversed(senders[0]))
        return order

    def _fold(self) -> None:
        """Add the recent deliveries to the fingerprint, many at a time: one by one costs twice as much."""
        recent = self._recent
        self._hash.update(
            self._pack([(at, to.id, by.id, tag, message.code, vars(message)) for at, to, by, tag, message in recent])
        )
        if recent:
            self._earlier = recent
            self._recent = []
