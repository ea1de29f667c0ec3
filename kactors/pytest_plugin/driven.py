"""A machine that an async test drives: step by step, to a state, with things done to it on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import trio
from pydantic import ValidationError

from kactors.engine.errors import UsageError
from kactors.engine.event import Event, describe as in_a_line
from kactors.engine.observer import Observer
from kactors.expected import should_be
from kactors.live import LiveMachine, LiveStats, Pause
from kactors.pytest_plugin.failures import Failure, FindingFailure, Section
from kactors.pytest_plugin.scenes import Described
from kactors.report.finding import finding, why_stopped
from protocols.result import Counters, Result
from protocols.scenario import Scenario
from protocols.service.commands import Entry, Inject, Position, SetBound, SetPolicy
from protocols.stop import AnyStop

SLICE: Final = 256
"""Deliveries between two checkpoints: about a millisecond."""
DELIVERIES_MAX: Final = 100_000
RECENT: Final = 16

Predicate = Callable[["DrivenMachine"], bool]


class Deliveries(Observer):
    """Keeps the first deliveries of a run."""

    def __init__(self) -> None:
        self.kept: list[Event] = []
        self.made = 0

    def deliveries(self) -> Callable[[Event], None]:
        """Hear everything."""
        return self._keep

    def _keep(self, event: Event) -> None:
        self.made += 1
        if self.made <= DELIVERIES_MAX:
            self.kept.append(event)

    def all(self) -> Sequence[Event]:
        """Return every delivery.

        Raises:
            UsageError: there were more than are kept.
        """
        if self.made > DELIVERIES_MAX:
            raise UsageError(
                f"the machine has made {self.made} deliveries; only the first {DELIVERIES_MAX} are kept: "
                "make the scenario smaller (until_ns, events_max)"
            )
        return self.kept


class DrivenMachine:
    """One machine, at time 0 when it is made. Every method that goes on is a Trio checkpoint and can be cancelled.

    Where the machine comes to a finding (deadlock, violation, bound), the method that led there raises it.

    Args:
        described: what runs.
        properties: let kactors' own properties watch.
        observers: more observers.

    Attributes:
        observers: those that were given.
    """

    def __init__(self, described: Described, *, properties: bool = True, observers: Sequence[Observer] = ()) -> None:
        self.observers = tuple(observers)
        self._deliveries = Deliveries()
        self._live = LiveMachine(
            described.scenario,
            properties=properties,
            observers=(self._deliveries, *self.observers),
            workload=described.workload,
            policy=described.policy,
        )

    # --- going on ----------------------------------------------------------------------------------------------------

    async def step(self, deliveries: int = 1) -> None:
        """Make so many deliveries, or as many as there are.

        Raises:
            FindingFailure: the machine came to one.
        """
        await self._advance(until_events=self.stats().events + deliveries)

    async def run_for(self, ns: int) -> None:
        """Let so much virtual time pass, or as much as there is.

        Raises:
            FindingFailure: the machine came to one.
        """
        await self._advance(until_ns=self.stats().now_ns + ns)

    async def run_until(self, holds: Predicate) -> None:
        """Go on until a condition holds; it is asked now and after each delivery.

        Args:
            holds: told the machine; ``lambda m: m.stats().faults == 2``, or of an actor's state
                ``lambda m: m.actor("mm")["sem"]["rwsem"]["writer"]``.

        Raises:
            FindingFailure: the machine came to one before.
            Failure: the machine ended before.
        """
        while not holds(self):
            if self.stop is not None:
                raise Failure(f"the run ended before the condition held: {why_stopped(self.stop)}", (self.section(),))
            await self.step()

    async def run(self) -> Result:
        """Go on to the end.

        Raises:
            FindingFailure: the end is one.
        """
        await self._advance()
        return self.result()

    async def _advance(self, *, until_ns: int | None = None, until_events: int | None = None) -> None:
        had_ended = self.stop is not None
        pause = Pause.BUDGET
        while pause is Pause.BUDGET:
            await trio.lowlevel.checkpoint()
            pause = self._live.advance(events_max=SLICE, until_ns=until_ns, until_events=until_events)
        stop = self.stop
        if stop is not None and stop.finding and not had_ended:
            lines = finding(stop, self.stats().now_ns)
            text = f"the machine came to a {stop.kind}"
            raise FindingFailure(text, stop, (("kactors finding", "\n".join(lines)), self.section()))

    # --- doing something to it ---------------------------------------------------------------------------------------

    def inject(self, kind: str, **what: Any) -> Entry:
        """Let something happen now.

        Args:
            kind: ``fault`` (cpu, address, write), ``munmap`` (cpu, address, length), ``collapse`` (address),
                ``memory_pressure`` (pages, duration_ns), ``starved_cpu`` (cpu, duration_ns).
            what: its fields, in bytes and ns.

        Raises:
            UsageError: there is no such kind or field, or the machine cannot do it.
        """
        try:
            command = Inject.model_validate({"injection": {"kind": kind, **what}})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"][2:])
            raise UsageError(f"inject {kind}{f': {key}' if key else ''}: {should_be(Inject, first)}") from None
        return self._live.apply(command)

    def apply(self, command: Inject | SetBound | SetPolicy) -> Entry:
        """Carry out any command of ``protocols.service.commands``: change a bound or the policy.

        Raises:
            UsageError: it cannot be carried out.
        """
        return self._live.apply(command)

    def close(self) -> None:
        """Abandon it; the fixture does so at the end of the test."""
        self._live.close()

    # --- looking at it -----------------------------------------------------------------------------------------------

    @property
    def scenario(self) -> Scenario:
        """What runs."""
        return self._live.scenario

    @property
    def stop(self) -> AnyStop | None:
        """Why it has ended; None while it can go on."""
        return self._live.stop

    def stats(self) -> LiveStats:
        """Return where it stands and what it has counted."""
        return self._live.stats()

    @property
    def counters(self) -> Counters:
        """What ``perf stat`` would show, so far."""
        return self._live.counters()

    def position(self) -> Position:
        """Return where it stands, with the hash over all deliveries."""
        return self._live.position()

    def actors(self) -> list[str]:
        """Return the names that ``actor`` knows; "engine" is the last."""
        return self._live.actor_names()

    def actor(self, name: str) -> dict[str, Any]:
        """Return an actor's state as plain data.

        Raises:
            UsageError: there is no actor of that name.
        """
        return self._live.state(name)

    def result(self) -> Result:
        """Return the result of a machine that has ended.

        Raises:
            UsageError: it has not ended.
        """
        return self._live.result()

    def deliveries(self) -> Sequence[Event]:
        """Return all deliveries so far.

        Raises:
            UsageError: there were more than are kept.
        """
        return self._deliveries.all()

    def trace(self) -> str:
        """Return all deliveries so far, a line each, as ``kactors run --trace FILE.txt`` writes them.

        Raises:
            UsageError: there were more than are kept.
        """
        return "".join(f"{in_a_line(event)}\n" for event in self.deliveries())

    def section(self) -> Section:
        """Return what a report says of the machine: what it is, where it stands, and its last deliveries."""
        recent = [f"  {line}" for line in self.actor("engine")["story"][-RECENT:]]
        return "kactors machine", "\n".join([self._standing(), *recent])

    def __repr__(self) -> str:
        return f"<machine: {self._standing()}>"

    def _standing(self) -> str:
        scenario, stats = self.scenario, self.stats()
        ended = "" if self.stop is None else f", ended: {why_stopped(self.stop)}"
        where = f"at {stats.now_ns} ns after {stats.events} deliveries"
        return f"policy {scenario.policy}, seed {scenario.seed}, {where}{ended}"
