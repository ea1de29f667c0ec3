"""A machine that goes on when it is told to, as far as it is told to, and does what it is told."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kactors.engine.engine import END_OF_TIME_NS, Limits
from kactors.engine.errors import ActorCrash, UsageError
from kactors.engine.event import Event, show
from kactors.engine.observer import Observer
from kactors.fault_policy import FaultPolicy
from kactors.live.commands import Commands
from kactors.live.feeds import Feed, Feeds
from kactors.live.stats import LiveStats, predicate, stats_of
from kactors.live.view import View
from kactors.run import Machine
from kactors.workloads import Workload
from protocols.result import Counters, Result
from protocols.scenario import Scenario
from protocols.service.commands import Entry, Inject, Position, SetBound, SetPolicy, Until
from protocols.stop import AnyStop, BoundExceeded


class Pause(enum.Enum):
    """Why ``advance`` came back."""

    BUDGET = "budget"
    TIME = "time"
    EVENTS = "events"
    PREDICATE = "predicate"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Quota:
    """What one simulation may use, beside its scenario's limits; None: as much as it wants. They are part of its past.

    Attributes:
        events_max: it stops there, as the scenario's ``events_max`` would.
        actors_max: more CPUs are refused; page tables beyond it stop the run as a bound.
    """

    events_max: int | None = None
    actors_max: int | None = None


NO_QUOTA = Quota()


class LiveMachine:
    """One running simulation, at time 0.

    However it is advanced, it makes the deliveries that ``kactors.run`` makes of the scenario; with commands, those
    that any machine makes which is given the same commands at the same positions.

    Args:
        scenario: what runs on what.
        limits: more limits.
        properties: stop as a violation when an interleaving breaks a property.
        observers: more observers.
        workload: replaces the scenario's workload; a log then brings the machine back only with the same one.
        policy: replaces the scenario's policy; likewise.

    Attributes:
        scenario: as given.

    Raises:
        UsageError: the scenario names something that does not exist, or is larger than the quota.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        limits: Quota = NO_QUOTA,
        properties: bool = True,
        observers: Sequence[Observer] = (),
        workload: Workload | None = None,
        policy: FaultPolicy | None = None,
    ) -> None:
        self.scenario = scenario
        most = min((n for n in (scenario.events_max, limits.events_max) if n is not None), default=None)
        bounded = Limits(scenario.until_ns, most)
        self._machine = Machine(
            scenario,
            workload=workload,
            policy=policy,
            limits=bounded,
            properties=properties,
            observers=observers,
        )
        self._engine = self._machine.system.engine
        self._events: Iterator[Event] | None = None
        self._result: Result | None = None
        self._crash: ActorCrash | None = None
        self._commands = Commands(self._machine)
        self._feeds = Feeds(self._machine)
        self._view = View(self._machine.system)
        if limits.actors_max is not None:
            self._limit_actors(limits.actors_max)

    # --- where it stands ---------------------------------------------------------------------------------------------

    @property
    def stop(self) -> AnyStop | None:
        """Why it has ended; None while it can go on."""
        return self._engine.stop

    def position(self) -> Position:
        """Return where it stands; costs a hash over up to 64 deliveries."""
        engine = self._engine
        return Position(events=engine.events, now_ns=engine.now_ns, fingerprint=engine.fingerprint())

    def stats(self) -> LiveStats:
        """Return what it has counted."""
        return stats_of(self._machine)

    def counters(self) -> Counters:
        """Return the counters that ``perf stat`` would show, so far."""
        return self._machine.counters.counters()

    def actor_names(self) -> list[str]:
        """Return the names that ``state`` knows, in the order in which the actors were made; "engine" is the last."""
        return self._view.names()

    def state(self, actor: str) -> dict[str, Any]:
        """Return an actor's state as plain data, cut where it is long.

        Raises:
            UsageError: there is no actor of that name.
        """
        return self._view.of(actor)

    def result(self) -> Result:
        """Return the result of a simulation that has ended, as often as asked.

        Raises:
            UsageError: it has not ended.
        """
        if self._result is None:
            if self.stop is None:
                raise UsageError("the simulation has not ended: it has no result yet")
            self._result = self._machine.result()
        return self._result

    # --- going on ----------------------------------------------------------------------------------------------------

    def advance(
        self,
        *,
        events_max: int,
        until_ns: int | None = None,
        until_events: int | None = None,
        until: Until | None = None,
    ) -> Pause:
        """Go on until the first of these, and say which it was.

        Args:
            events_max: make at most so many deliveries (a sample of the counters counts as one): BUDGET.
            until_ns: let virtual time come to this instant, deliveries at it included, and no farther: TIME.
            until_events: this many deliveries since time 0: EVENTS.
            until: it holds, now or after a delivery: PREDICATE.

        Raises:
            ActorCrash: an actor raised: an internal bug. The machine cannot go on.
        """
        if self._crash is not None:
            raise self._crash
        engine = self._engine
        holds = predicate(self._machine, until) if until is not None else None
        budget = events_max
        while engine.stop is None:
            if holds is not None and holds():
                return Pause.PREDICATE
            if until_events is not None and engine.events >= until_events:
                return Pause.EVENTS
            if until_ns is not None and engine.now_ns >= until_ns < engine.next_ns():
                return Pause.TIME
            if budget <= 0:
                return Pause.BUDGET
            count = budget if until_events is None else min(budget, until_events - engine.events)
            budget -= max(self._go(count, until_ns, holds), 1)
        return Pause.ENDED

    def apply(self, command: Inject | SetBound | SetPolicy) -> Entry:
        """Carry out a command here and now; return what the log needs to have it done again.

        Raises:
            UsageError: it cannot be carried out; nothing has changed.
        """
        if self.stop is not None:
            raise UsageError(f"the simulation has ended ({self.stop.kind}): nothing can be done to it any more")
        at = self.position()
        self._commands.carry_out(command)
        return Entry(at=at, command=command)

    def listen(self, topics: frozenset[str], feed: Feed | None, *, interval_ns: int | None = None) -> None:
        """Tell ``feed`` what happens from now on, instead of what was told before; None: tell nobody anything.

        ``feed`` must not touch the machine. ``interval_ns``: how far apart samples of the counters are; None: as before
        (at first a millisecond).

        Raises:
            UsageError: an unknown topic, or an interval below 1 ns; nothing has changed.
        """
        self._feeds.listen(topics, feed, interval_ns)

    def close(self) -> None:
        """Abandon it: no thread of it goes on."""
        self._events = None
        self._machine.system.close()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _go(self, count: int, until_ns: int | None, holds: Callable[[], bool] | None) -> int:
        """Make up to ``count`` deliveries, not beyond a goal or a sample of the counters; return how many were made."""
        engine, feeds = self._engine, self._feeds
        before = engine.events
        goal_ns = engine.limit_ns if until_ns is None else max(until_ns, engine.now_ns)
        engine.horizon_ns = min(engine.limit_ns, goal_ns, feeds.next_sample_ns)
        events = self._events = self._events or engine.run_events()
        held = self._deliver(islice(events, count), holds)
        made = engine.events - before
        if made < count and not held:
            # The core loop has come to its end, or to the horizon.
            self._events = None
        else:
            self._rest(events)
        if engine.stop is None and engine.now_ns >= feeds.next_sample_ns < engine.next_ns():
            feeds.sample()
        return made

    def _deliver(self, events: Iterator[Event], holds: Callable[[], bool] | None) -> bool:
        """Hand events to their receivers until the predicate holds; return whether it did."""
        for event in events:
            try:
                event[1].receive(event)
            except Exception as error:
                crash = ActorCrash(event[1].name, show(event[4]), event[0], self._engine.story())
                self._crash = crash
                raise crash from error
            if holds is not None and self._settled() and holds():
                return True
        return False

    def _settled(self) -> bool:
        """Settle unless the delivery just made was the last; the core loop ends at that one before anything is told."""
        engine = self._engine
        if engine.stop is not None or engine.events == engine.limits.events:
            return False
        engine.settle()
        return True

    def _rest(self, events: Iterator[Event]) -> None:
        """Come to rest between two deliveries, or end where none can follow: that too has to depend on the position."""
        engine = self._engine
        if self._settled() and engine.stop is None:
            following_ns = engine.next_ns()
            if following_ns < END_OF_TIME_NS and not engine.now_ns == engine.limit_ns < following_ns:
                return
        # The core loop knows how to end, and why.
        next(events, None)
        self._events = None

    def _limit_actors(self, most: int) -> None:
        """Refuse a machine that is too large; stop one that becomes so."""
        engine = self._engine

        def grown(_actor: Any) -> None:
            if len(engine.actors) > most:
                cause = "page tables, and the host, are actors too"
                engine.halt(BoundExceeded(bound="actors_max", limit=most, value=len(engine.actors), cause=cause))

        if len(engine.actors) > most:
            self.close()
            raise UsageError(f"the machine has {len(engine.actors)} actors, at most {most} are allowed: use fewer CPUs")
        engine.on_register = grown
