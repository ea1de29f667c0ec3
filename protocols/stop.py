"""Why a run stopped: a typed reason, with what a reader needs to understand it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from protocols.base import Count, Message, Ns


class WaitEdge(Message):
    """One arrow of the wait-for graph: ``waiter`` waits for ``resource``, which ``holder`` keeps since ``since``."""

    waiter: str
    resource: str
    holder: str
    since: Ns
    why: str


class Stop(Message):
    """The base of all reasons. ``finding`` is true for those that a user must look at (exit code 1)."""

    # Read back from JSON and MessagePack, which have lists where we have tuples.
    model_config = ConfigDict(strict=False)

    kind: str

    @property
    def finding(self) -> bool:
        """True for deadlock, livelock, violation and bound."""
        return self.kind in {"deadlock", "livelock", "violation", "bound"}


class TimeReached(Stop):
    """Virtual time reached the scenario's ``until``."""

    kind: Literal["time"] = "time"
    at: Ns


class EventLimit(Stop):
    """The named number of deliveries was made."""

    kind: Literal["events"] = "events"
    events: Count


class PredicateHeld(Stop):
    """The caller's predicate became true."""

    kind: Literal["predicate"] = "predicate"


class Quiescent(Stop):
    """Nothing is left to deliver and nobody waits: every thread has finished."""

    kind: Literal["quiescent"] = "quiescent"


class Deadlock(Stop):
    """Nothing is left to deliver, but somebody waits. ``cycle`` is empty when the wait leads to nobody."""

    kind: Literal["deadlock"] = "deadlock"
    cycle: tuple[WaitEdge, ...]
    waits: tuple[WaitEdge, ...]


class Livelock(Stop):
    """A search found a loop in which everybody gets his turns and nobody gets done; which messages go round in it."""

    kind: Literal["livelock"] = "livelock"
    text: str


class Violation(Stop):
    """A property does not hold: its name, what was seen, and the last deliveries."""

    kind: Literal["violation"] = "violation"
    property: str
    text: str
    story: tuple[str, ...] = ()


class BoundExceeded(Stop):
    """A bound that the scenario set was exceeded, and what likely caused it."""

    kind: Literal["bound"] = "bound"
    bound: str
    limit: Count
    value: Count
    cause: str


AnyStop = Annotated[
    TimeReached | EventLimit | PredicateHeld | Quiescent | Deadlock | Livelock | Violation | BoundExceeded,
    Field(discriminator="kind"),
]
"""Each reason, told apart by its ``kind``."""
