"""What the store knows of a session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protocols.scenario import Scenario
from protocols.service.commands import Entry, Position
from protocols.service.sessions import State
from protocols.stop import AnyStop


@dataclass(frozen=True)
class CheckpointRecord:
    """A named position, and how much of the log leads to it.

    Attributes:
        position: where it is.
        log_length: commands that were given before it.
    """

    position: Position
    log_length: int


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """One session as it was last acknowledged.

    Attributes:
        session: its name.
        client: who made it.
        key: the idempotency key that it was made with; no two sessions of a client have the same.
        request: the params that came with the key, as JSON has them.
        scenario: what runs on what, with the seed that counts.
        build: fingerprint of the simulator that made it.
        created_at: seconds since 1970.
        state: what it does.
        sequence: number of acknowledged changes.
        position: where it stands.
        goal_ns: virtual time that it runs to, or None.
        goal_events: delivery that it runs to, or None.
        stop: why it ended.
        error: why it failed: ``[code, message, data]``.
        wall_ns: time spent on simulating it.
        forked_from: name of the session whose past it shares; that one may be gone.
        log: the commands, in their order.
        checkpoints: by name, in the order of their making.
        has_result: whether a result is stored. Told by the store, never to it.
    """

    session: str
    client: str
    scenario: Scenario
    build: str
    created_at: float
    position: Position
    key: str | None = None
    request: dict[str, Any] | None = None
    state: State = State.PAUSED
    sequence: int = 0
    goal_ns: int | None = None
    goal_events: int | None = None
    stop: AnyStop | None = None
    error: list[Any] | None = None
    wall_ns: int = 0
    forked_from: str | None = None
    log: tuple[Entry, ...] = ()
    checkpoints: dict[str, CheckpointRecord] = field(default_factory=dict)
    has_result: bool = False
