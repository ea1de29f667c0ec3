"""Failures as clients see them: ``[code, message, data]``. A code never changes its meaning; classes are hundreds."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any


class ErrorCode(enum.IntEnum):
    """Every code. The first digit is its class, which tells whose turn it is to do something."""

    MALFORMED = 100
    """The bytes are no MessagePack, or not what RPC makes of it. The connection is closed."""
    TOO_LARGE = 101
    """A message is longer than hello's ``message_bytes_max``. The connection is closed."""
    TOO_DEEP = 102
    """A message nests deeper than hello's ``depth_max``. The connection is closed."""
    TOO_SLOW = 103
    """Half a message came and the rest did not within hello's ``half_message_s``. The connection is closed."""

    UNKNOWN_METHOD = 200
    """There is no such method; ``api.info`` lists them."""
    INVALID_PARAMS = 201
    """A key is unknown, missing or of the wrong type or range; ``data.errors`` names each."""
    UNKNOWN_SESSION = 202
    """There is no session of that name."""
    UNKNOWN_SUBSCRIPTION = 203
    """There is no subscription of that number, or it is another connection's."""
    UNKNOWN_CHECKPOINT = 204
    """The session has no checkpoint of that name."""
    UNKNOWN_ACTOR = 205
    """The machine has no actor of that name; ``data.actors`` lists some."""
    BAD_SCENARIO = 206
    """The scenario names something that does not exist, or that this connection may not use."""
    WRONG_STATE = 207
    """The session cannot do this now: it runs, has ended, or has not ended yet; ``data.state`` tells."""
    CONFLICT = 208
    """The key was used for something else, or ``if_sequence`` is not the session's sequence."""
    CANCELLED = 209
    """The command was cut short: the session was deleted or restored meanwhile."""
    UNKNOWN_SEARCH = 210
    """There is no search of that name."""

    QUOTA = 300
    """A limit of hello's is reached; ``data.limit`` names it, ``data.value`` is its value."""
    SHUTTING_DOWN = 301
    """The service is ending; sessions are kept and go on when it is back."""

    HELLO_FIRST = 400
    """This listener wants a token: say ``hello`` with one first."""
    BAD_TOKEN = 401
    """The token is not known."""
    FORBIDDEN = 402
    """This connection may not do that."""

    ENDED_BY_FINDING = 500
    """The simulation stopped at a deadlock, a violation or an exceeded bound (``data.stop``) and cannot go on."""

    INTERNAL = 600
    """A bug of the service."""
    ACTOR_CRASHED = 601
    """An actor of the simulation raised: a bug in the model, or in a user's file; ``data.blamed`` is then the line."""
    WORKER_LOST = 602
    """The process that simulated the session ended or hung, more than once at the same place."""
    STORE = 603
    """The store did not take it (disk full, database locked); nothing was written."""
    REPLAY_DIFFERS = 604
    """The session's history does not lead to its recorded fingerprint: it was made by another version."""

    @property
    def error_class(self) -> str:
        """The class: protocol, request, limit, auth, finding or internal."""
        return CLASSES[self // 100]


CLASSES: Mapping[int, str] = {
    1: "protocol",
    2: "request",
    3: "limit",
    4: "auth",
    5: "finding",
    6: "internal",
}


class ServiceError(Exception):
    """A failure that a client is told of.

    Args:
        code: what kind.
        message: one line: what is wrong, where, what would be right.
        data: more, for programs.
    """

    def __init__(self, code: ErrorCode, message: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = dict(data or {})

    def to_wire(self) -> list[Any]:
        """Return ``[code, message, data]``."""
        return [int(self.code), self.message, self.data]
