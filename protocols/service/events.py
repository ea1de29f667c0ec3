"""What subscribers are told. Events are notifications ``[2, "sim.event", [event]]``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from protocols.service.base import Natural, Params, Positive, Reply, SessionId

Topic = Literal["state", "counters", "ipi_waits", "transient_pages", "stories", "search"]
"""``state``: running, paused, ended; deleted, to whoever listens to anything.
``counters``: every so often of virtual time. ``ipi_waits``: each one.
``transient_pages``: each change. ``stories``: each delivery as a line. ``search``: how far a search is, now and then,
its end included; only for searches, and alone."""


class Filter(Params):
    """Which events of the topics are wanted; all that are given must hold.

    ``wait_min_ns``: IPI waits of at least so long. ``kind``: flush or sync. ``actor``: sender or receiver of an IPI
    or of a delivery. ``contains``: a story with this text. ``pages_min``: at least so many transient pages.
    """

    wait_min_ns: Natural | None = None
    kind: Literal["flush", "sync"] | None = None
    actor: Annotated[str, Field(max_length=64)] | None = None
    contains: Annotated[str, Field(max_length=200)] | None = None
    pages_min: Natural | None = None


class SubscribeParams(Params):
    """Be told of a session, or with the topic ``search`` of the search of that name.

    Events flow as long as there is credit; what does not fit is dropped and counted. ``credit``: how many events may be
    sent before more credit is given by ``sim.credit``. ``rate_per_s``: at most so many, of wall-clock time.
    ``interval_ns``: how far apart counters are, in virtual time.
    """

    session: SessionId
    topics: Annotated[tuple[Topic, ...], Field(min_length=1, max_length=5, strict=False)]
    filter: Filter = Filter()
    rate_per_s: Annotated[int, Field(ge=1, le=100_000)] | None = None
    credit: Positive = 100
    interval_ns: Annotated[int, Field(ge=1_000, le=2**62, multiple_of=1_000)] = 1_000_000


class Subscribed(Reply):
    """``subscription`` is in every event that belongs to this request. ``number``: the last one given so far."""

    session: str
    subscription: int
    number: int
    dropped: int
    """Events that this subscriber has missed in all."""


class CreditParams(Params):
    """Allow ``events`` more."""

    subscription: Positive
    events: Positive


class Credit(Reply):
    """What is left to send without more credit, and what was dropped in all."""

    subscription: int
    credit: int
    dropped: int


class UnsubscribeParams(Params):
    """Be told no more."""

    subscription: Positive


class SimEvent(Reply):
    """One event.

    ``number`` counts this subscription's events from 1, sent and dropped alike; ``dropped`` is how many of them were
    dropped right before this one. ``of`` numbers the topic's happenings since time 0: equal for equal histories; those
    of ``state`` since the machine was brought to its worker. A search has no virtual time: there ``at_ns`` is 0, and
    ``data`` is what ``check.stats`` answers.
    """

    subscription: int
    session: str
    number: int
    dropped: int
    topic: Topic
    of: int
    at_ns: int
    data: dict[str, Any]


class ServerEvent(Reply):
    """``[2, "server.event", [event]]``: to every client when the service ends."""

    kind: Literal["shutdown"]
    reason: str
