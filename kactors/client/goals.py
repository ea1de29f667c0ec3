"""Where a step is to end, in absolute terms: what makes it safe to ask for the rest of it after a lost connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kactors.client.plans import Ask, given
from protocols.service.commands import Position, Until
from protocols.service.sessions import RunUntilParams, State, StepParams, Where

Reason = Literal["events", "time", "predicate", "ended", "paused"]


@dataclass(frozen=True)
class Goal:
    """The first of these that comes; none: the end of the simulation.

    Attributes:
        events: deliveries since time 0.
        until_ns: virtual time.
        until: what holds.
    """

    events: int | None = None
    until_ns: int | None = None
    until: Until | None = None

    @classmethod
    def of_step(cls, params: StepParams, begin: Position) -> Goal:
        """Return where a step from ``begin`` ends."""
        events = params.events
        if events is None and params.time_ns is None and params.until is None:
            events = 1
        return cls(
            events=None if events is None else begin.events + events,
            until_ns=None if params.time_ns is None else begin.now_ns + params.time_ns,
            until=params.until,
        )

    def reached(self, where: Where) -> Reason | None:
        """Return why nothing is left to do, or None.

        Of time alone and of a predicate alone it is never certain from here: deliveries at the same instant may be
        left. Asking for those again does nothing where nothing is left.
        """
        if where.state is State.ENDED:
            return "ended"
        if self.events is not None and where.position.events >= self.events:
            return "events"
        if self.until_ns is not None and not self._time_alone and where.position.now_ns >= self.until_ns:
            return "time"
        return None

    def rest(self, where: Where) -> Ask:
        """Return the request for what is left from where it stands."""
        if self._time_alone:
            params = given(session=where.session, until_ns=self.until_ns, if_sequence=where.sequence)
            return Ask("sim.run_until", RunUntilParams(**params))
        events = None if self.events is None else self.events - where.position.events
        time_ns = None if self.until_ns is None else self.until_ns - where.position.now_ns
        params = given(events=events, time_ns=time_ns, until=self.until)
        return Ask("sim.step", StepParams(session=where.session, if_sequence=where.sequence, **params))

    @property
    def _time_alone(self) -> bool:
        return self.events is None and self.until is None
