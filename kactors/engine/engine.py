"""Time and order. The engine alone knows what happens next; a runtime only carries deliveries to actors.

Events wait in one bucket per instant and a heap of the instants. Within an instant they keep the order in which they
were posted, except that several senders who reach one actor at the same instant are put in an order that ``choices``
picks.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush, nsmallest
from typing import Any, ClassVar, cast

import msgpack

from kactors.engine.choices import Choices
from kactors.engine.errors import ModelError
from kactors.engine.event import Event, Party, describe
from kactors.engine.observer import Dispatcher, Observer
from kactors.engine.waits import judge
from protocols.base import Message, Tracepoint
from protocols.stop import AnyStop, EventLimit, PredicateHeld, Quiescent, TimeReached

STORY_EVENTS = 64
"""How many deliveries are hashed at a time and kept as the recent story: few enough to stay in the nearest caches."""

END_OF_TIME_NS = 1 << 63
"""Later than any event: the limit of a run without one."""


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
        untimed: no instant is later than another: what has been computed may still come after anything that is said.
        now_ns: the instant of the delivery in progress.
        stop: why the run stopped, or None while it runs.
        horizon_ns: how far ``run_events`` goes; a driver may move it between two events, back to now at most.
    """

    untimed: ClassVar[bool] = False
    choices: Choices
    limits: Limits = field(default_factory=Limits)
    now_ns: int = 0
    stop: AnyStop | None = None
    actors: list[Any] = field(default_factory=list)
    on_register: Callable[[Any], None] | None = None

    def __post_init__(self) -> None:
        self.limit_ns = END_OF_TIME_NS if self.limits.until_ns is None else self.limits.until_ns
        self.horizon_ns = self.limit_ns
        self._buckets: dict[int, list[Event | None]] = {}
        self._instants: list[int] = []
        self._background: list[tuple[int, int, Event]] = []
        self._background_count = 0
        self._recent: list[Event] = []
        self._earlier: list[Event] = []
        self._folded = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._pack = msgpack.Packer(default=_plain).pack
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
        event = (at_ns, receiver, sender, tag, message)
        if type(message) not in sender.says:
            raise _refusal(event, self.now_ns)
        # The same as _enqueue, written out: a call a message is 3 % of a run.
        bucket = self._buckets.get(at_ns)
        if bucket is not None:
            bucket.append(event)
        elif at_ns < self.now_ns:
            raise _refusal(event, self.now_ns)
        else:
            self._buckets[at_ns] = [event]
            heappush(self._instants, at_ns)
        return event

    def post_again(self, event: Event, at_ns: int) -> Event:
        """Move an undelivered event to a later instant: an interrupt shifted the computation that it ends.

        Raises:
            ModelError: the event is not under way, or the instant has passed.
        """
        self.cancel(event)
        moved = (at_ns, *event[1:])
        self._enqueue(moved)
        return moved

    def post_background(self, at_ns: int, receiver: Party, sender: Party, message: Message, tag: int = 0) -> None:
        """Like ``post``, for a daemon's timer: a run whose only events left are such timers is quiescent.

        Raises:
            ModelError: as ``post``.
        """
        event = (at_ns, receiver, sender, tag, message)
        if type(message) not in sender.says or at_ns < self.now_ns:
            raise _refusal(event, self.now_ns)
        self._background_count += 1
        heappush(self._background, (at_ns, self._background_count, event))

    def cancel(self, event: Event) -> None:
        """Withdraw an event that has not been delivered yet.

        Raises:
            ModelError: there is no such event.
        """
        bucket = self._buckets.get(event[0], [])
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

    def halt(self, stop: AnyStop) -> None:
        """Stop after the delivery in progress; the first reason stays."""
        if self.stop is None:
            self.stop = stop

    # --- what callers use --------------------------------------------------------------------------------------------

    def observe(self, observer: Observer) -> None:
        """Let an observer hear deliveries and tracepoints from now on."""
        self._dispatcher.add(observer)

    def dismiss(self, observer: Observer) -> None:
        """Let an observer hear no more."""
        self._dispatcher.remove(observer)

    @property
    def events(self) -> int:
        """Deliveries made so far."""
        return self._folded + len(self._recent)

    def story(self) -> tuple[str, ...]:
        """Return the last deliveries, oldest first, a line each."""
        return tuple(describe(event) for event in (self._earlier + self._recent)[-STORY_EVENTS:])

    def fingerprint(self) -> str:
        """Return the hash over all deliveries so far: same scenario, seed and version, same fingerprint."""
        fingerprint = self._hash.copy()
        if self._recent:  # else all is folded in, or nothing has happened: when it was folded must not count
            fingerprint.update(self._packed())
        return fingerprint.hexdigest()

    def run_events(self) -> Iterator[Event]:
        """Yield every event in its turn: the core loop.

        The caller hands each event to its receiver before it asks for the next one. Ends when ``stop`` is set, or at
        ``horizon_ns`` where that comes before the limit: then call it again to go on.
        """
        predicate = self.limits.predicate
        buckets, instants, recent = self._buckets, self._instants, self._recent
        dispatcher, observers, hearers = self._dispatcher, self._observers, self._dispatcher.hearers
        pause = self._next_pause()
        running = self.stop is None
        while running:
            if self._background:
                self._admit_background()
            if not instants or instants[0] > self.horizon_ns:
                self._end()
                return
            now_ns = self.now_ns = heappop(instants)
            bucket = buckets[now_ns]
            if len(bucket) > 1:
                self._order_ties(bucket)
            for event in bucket:  # grows while we iterate: what is posted for this very instant comes last
                if event is None:
                    continue
                if event[1] is observers:
                    dispatcher.receive(event)
                else:
                    recent.append(event)
                    if hearers:
                        dispatcher.delivery(event)
                    yield event
                    if predicate is not None and predicate():
                        self.halt(PredicateHeld())
                    if len(recent) == pause:
                        pause = self._next_pause()
                if self.stop is not None:
                    return
            del buckets[now_ns]

    def settle(self) -> None:
        """Do what precedes the next delivery, of a run that rests between two: what has been told is told.

        Afterwards all state follows from ``events`` and ``now_ns``, whether the run came here by steps or by a horizon.
        """
        bucket, place = self._rest()
        for later in range(place, len(bucket)):
            event = bucket[later]
            if event is None:
                continue
            if event[1] is not self._observers or self.stop is not None:
                return
            # A tombstone, because the core loop will come by.
            bucket[later] = None
            self._dispatcher.receive(event)
        self._admit_background()

    def next_ns(self) -> int:
        """Return the instant of what comes next in a settled run; END_OF_TIME_NS when nothing is left but daemons."""
        bucket, place = self._rest()
        if any(bucket[place:]):
            return self.now_ns
        return self._instants[0] if self._instants else END_OF_TIME_NS

    def pending(self, count: int) -> list[Event]:
        """Return the next ``count`` events, tracepoints included, in the order in which they stand now."""
        bucket, place = self._rest()
        found = [event for event in bucket[place:] if event is not None][:count]
        for at_ns in nsmallest(count, self._instants):
            found.extend(event for event in self._buckets[at_ns] if event is not None)
        return found[:count]

    # --- inside ------------------------------------------------------------------------------------------------------

    def _enqueue(self, event: Event) -> None:
        bucket = self._buckets.get(event[0])
        if bucket is not None:
            bucket.append(event)
        elif event[0] < self.now_ns:
            raise _refusal(event, self.now_ns)
        else:
            self._buckets[event[0]] = [event]
            heappush(self._instants, event[0])

    def _rest(self) -> tuple[list[Event | None], int]:
        """Return the bucket of the last delivery, and the place after it: empty when the loop is through with it."""
        last = self._recent[-1:]
        bucket = self._buckets.get(self.now_ns, [])
        for place, event in enumerate(bucket):
            if last and event is last[0]:
                return bucket, place + 1
        return [], 0

    def _end(self) -> None:
        """Say why no instant is left to go to, unless a driver's horizon is the reason."""
        if self._instants:
            self.now_ns = self.horizon_ns
            if self.horizon_ns == self.limit_ns:
                self.halt(TimeReached(at=self.limit_ns))
            return
        reason = judge(self.actors)
        if isinstance(reason, Quiescent):
            self._dispatcher.finish(self.now_ns)
        self.halt(reason)

    def _next_pause(self) -> int:
        """Do what is due now and then; return the length of ``_recent`` at which something is due again."""
        limit = self.limits.events
        if self.events == limit:
            self.halt(EventLimit(events=limit))
        if len(self._recent) == STORY_EVENTS:
            self._hash.update(self._packed())
            self._folded += STORY_EVENTS
            self._earlier = self._recent.copy()
            self._recent.clear()
        return STORY_EVENTS if limit is None else min(STORY_EVENTS, limit - self._folded)

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
        """Pick, one after another, among the first events of all senders; choice 0 is the one posted first."""
        queues: dict[int, list[tuple[int, Event]]] = {}
        for place in range(len(events) - 1, -1, -1):
            queues.setdefault(events[place][2].id, []).append((place, events[place]))
        # Places are unique, so comparing heads never goes as far as comparing events.
        heads = sorted(queue.pop() for queue in queues.values())
        order: list[Event] = []
        while heads:
            chosen = heads.pop(self.choices.pick("tie", len(heads)) if len(heads) > 1 else 0)[1]
            order.append(chosen)
            if queue := queues[chosen[2].id]:
                insort(heads, queue.pop())
        return order

    def _packed(self) -> bytes:
        """Return the recent deliveries as bytes, many in one call: one by one costs twice as much."""
        return self._pack(
            [(at, to.id, by.id, tag, message.code, message.__dict__) for at, to, by, tag, message in self._recent]
        )


def _plain(value: object) -> object:
    """Return what msgpack does not know (a message in a message, a set, a huge number) in its own terms."""
    if isinstance(value, Message):
        return value.__dict__
    if isinstance(value, frozenset):
        return sorted(value, key=repr)
    return value.name if isinstance(value, Enum) else repr(value)


def _refusal(event: Event, now_ns: int) -> ModelError:
    at_ns, _, sender, _, message = event
    said = type(message).__name__
    if type(message) not in sender.says:
        return ModelError(f"{sender.name} may not say {said}: its role does not declare it")
    return ModelError(f"{sender.name} posts {said} at {at_ns} ns, before now ({now_ns})")
