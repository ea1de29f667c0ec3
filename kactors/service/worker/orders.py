"""What the service tells a worker to do, and what it answers; between two processes of one version."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from protocols.scenario import Scenario
from protocols.service.commands import Command, Entry, Position, Until
from protocols.service.events import Filter, Topic
from protocols.service.searches import CheckStartParams, EndReason, SearchNumbers
from protocols.service.sessions import Quantities

Reason = Literal["events", "time", "predicate", "ended", "paused"]


class Order(BaseModel):
    """The base: about one session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str


class Open(Order):
    """Bring a session to ``target`` through its log; None: as far as that goes, and on to ``until_events``."""

    scenario: Scenario
    log: tuple[Entry, ...]
    target: Position | None
    until_events: int | None
    events_max: int
    actors_max: int
    wall_ns_max: int


class Run(Order):
    """Run to the first of these, all absolute; none: to the end. Answered when it stands there."""

    until_ns: int | None = None
    until_events: int | None = None
    until: Until | None = None


class Halt(Order):
    """Stop a run where it is; its order is answered too."""


class Apply(Order):
    """Carry a command out."""

    command: Command


class Look(Order):
    """Show an actor."""

    actor: str | None


class Listen(Order):
    """Tell what happens to a subscription."""

    subscription: int
    topics: tuple[Topic, ...]
    filter: Filter
    rate_per_s: int | None
    credit: int
    last: int
    dropped: int
    interval_ns: int


class Grant(Order):
    """More credit for a subscription."""

    subscription: int
    events: int


class Unlisten(Order):
    """Tell it no more."""

    subscription: int


class Drop(Order):
    """Forget the session's machine."""


class Search(Order):
    """Search; answered when it has ended. Names ``session`` because a turn is taken under it, as by a simulation."""

    params: CheckStartParams
    states_max: int
    wall_ns_max: int


class CutShort(Order):
    """End a search with what it has covered (``cancel``), or with nothing (``abandon``)."""


class Ask(Order):
    """Where it stands (``position``), its ``result``, or only whether anybody answers (``ping``)."""


class Standing(BaseModel):
    """Where a simulation stands."""

    model_config = ConfigDict(frozen=True)

    position: Position
    stop: dict[str, Any] | None
    quantities: Quantities
    wall_ns: int
    """How long this machine has been computing since it was opened, replay included."""


class Ran(Standing):
    """Where a run ended and why; its result when it has ended for good."""

    reason: Reason
    result: dict[str, Any] | None = None


class Applied(BaseModel):
    """Where a command was carried out, and where that leaves the simulation."""

    model_config = ConfigDict(frozen=True)

    at: Position
    standing: Standing


class Nothing(BaseModel):
    """Nothing to say: it was done."""


class SearchEnded(BaseModel):
    """What came of a search: its result as JSON has it."""

    model_config = ConfigDict(frozen=True)

    reason: EndReason
    numbers: SearchNumbers
    searched: dict[str, Any]


class Heard(BaseModel):
    """What a subscription stands at."""

    model_config = ConfigDict(frozen=True)

    credit: int
    last: int
    dropped: int


ORDERS: dict[str, type[Order]] = {
    "open": Open,
    "run": Run,
    "halt": Halt,
    "apply": Apply,
    "look": Look,
    "listen": Listen,
    "grant": Grant,
    "unlisten": Unlisten,
    "drop": Drop,
    "examine": Search,
    "search": Search,
    "cancel": CutShort,
    "abandon": CutShort,
    "ping": Ask,
    "position": Ask,
    "result": Ask,
}
