"""Sessions: simulations that are made, driven, looked at, and brought back."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

from pydantic import Field

from protocols.result import Result
from protocols.scenario import Scenario
from protocols.service.base import Name, Natural, Params, Positive, Reply, SessionId
from protocols.service.commands import Injection, Position, SetBound, Until
from protocols.stop import AnyStop


class State(enum.StrEnum):
    """What a session is doing."""

    PAUSED = "paused"
    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"


class SessionParams(Params):
    """Which session."""

    session: SessionId


class ChangingParams(SessionParams):
    """A change to a session. ``if_sequence``: only when the session's sequence is this, so that a retry is safe."""

    if_sequence: Natural | None = None


class CreateParams(Params):
    """A new session, paused at time 0.

    With ``key``, the same client asking again with the same params gets the same session, also after a restart.
    ``seed`` replaces the scenario's.
    """

    scenario: Annotated[Scenario, Field(strict=False)]
    seed: int | None = None
    key: Name | None = None
    name: SessionId | None = None


class StartParams(ChangingParams):
    """Run in the background until the end, ``until_ns`` or ``events`` more deliveries."""

    until_ns: Natural | None = None
    events: Positive | None = None


class StepParams(ChangingParams):
    """Run until ``events`` more deliveries, ``time_ns`` more virtual time, or ``until`` holds; the first that comes.

    None of them: one delivery.
    """

    events: Positive | None = None
    time_ns: Positive | None = None
    until: Until | None = None


class RunUntilParams(ChangingParams):
    """Run until virtual time ``until_ns``; without it, to the end."""

    until_ns: Natural | None = None


class InjectParams(ChangingParams):
    """Let something happen to the machine, now."""

    injection: Injection


class SetBoundParams(ChangingParams):
    """Change bounds from here on; a key that is not given stays as it is, null lifts the bound."""

    bounds: SetBound


class StateParams(SessionParams):
    """Look at an actor. Without ``actor``: the names of the actors."""

    actor: Name | None = None


class CheckpointParams(SessionParams):
    """Name the present position. Without ``name``: ``c1``, ``c2``, ..."""

    name: Name | None = None


class RestoreParams(ChangingParams):
    """Go back to a checkpoint; what was done since is forgotten."""

    checkpoint: Name


class ForkParams(SessionParams):
    """A new session with the same past: up to now, a checkpoint, or a number of deliveries; then the changes."""

    checkpoint: Name | None = None
    events: Natural | None = None
    policy: str | None = None
    bounds: SetBound | None = None
    name: SessionId | None = None
    key: Name | None = None


class StepBackParams(ChangingParams):
    """Go back by so many deliveries; commands given after that point are forgotten."""

    events: Positive = 1


class AttachParams(Params):
    """Take over a session's subscription after a reconnect, or only look where the session stands.

    ``after``: the number of the last event that arrived; what came after it and is still kept is sent again.
    """

    session: SessionId
    subscription: Positive | None = None
    after: Natural = 0
    credit: Positive | None = None


class ListParams(Params):
    """Sessions in the order of their making, those after ``after``."""

    state: Annotated[State, Field(strict=False)] | None = None
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class Where(Reply):
    """Where a session stands. ``sequence`` counts the acknowledged changes."""

    session: str
    state: State
    sequence: int
    position: Position
    stop: AnyStop | None = None


class Created(Where):
    """``existing``: the key was known and no new session was made."""

    existing: bool = False


class Attached(Where):
    """Where the session stands, and of the subscription, if one was taken over: its last number and what was missed.

    ``missed``: events after ``after`` that are not kept any more; the others are sent again.
    """

    subscription: int | None = None
    number: int = 0
    missed: int = 0


class Stepped(Where):
    """Why it stopped here: events, time, predicate, ended, or paused (by another request)."""

    reason: Literal["events", "time", "predicate", "ended", "paused"]


class Quantities(Reply):
    """What a simulation counts while it runs; ``Until`` compares these."""

    faults: int = 0
    spf: int = 0
    spf_aborts: int = 0
    records: int = 0
    ipi_waits: int = 0
    ipi_wait_max_ns: int = 0
    transient_pages: int = 0
    transient_pages_peak: int = 0
    pages_wasted: int = 0
    free_pages: int = 0
    collapses: int = 0
    oom_kills: int = 0


class Stats(Reply):
    """A session's numbers: exact while it is paused, at most a tenth of a second old while it runs."""

    session: str
    state: State
    sequence: int
    events: int
    now_ns: int
    goal_ns: int | None
    goal_events: int | None
    wall_s: float
    events_per_s: float
    worker: int | None
    subscriptions: int
    quantities: Quantities


class ActorState(Reply):
    """One actor's state as plain data, cut where it is long; or the names of the actors."""

    actor: str | None
    actors: tuple[str, ...]
    state: dict[str, Any]
    events: int
    now_ns: int


class Checkpoint(Reply):
    """A named position."""

    session: str
    checkpoint: str
    position: Position


class SessionInfo(Reply):
    """A line of sim.list."""

    session: str
    client: str
    state: State
    sequence: int
    events: int
    now_ns: int
    workload: str
    policy: str
    machine: str
    seed: int
    created_at: float
    """Seconds since 1970, of the service's clock."""
    checkpoints: tuple[str, ...]
    forked_from: str | None


class SessionList(Reply):
    """``more``: ask again with ``after`` set to the last session's name."""

    sessions: tuple[SessionInfo, ...]
    more: bool


class Outcome(Reply):
    """The result of a session that has ended: what ``kactors run --json`` prints."""

    session: str
    result: Result


class Deleted(Reply):
    """The session is gone."""

    session: str
