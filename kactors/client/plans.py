"""What a method asks of the service, step by step, and what it asks when the connection is lost. No I/O.

A plan is a generator: it yields an ``Ask`` and is sent the answer as plain data, or has LostError or ServiceError
thrown into it. It returns the method's result. The Trio client and the blocking one carry out the same plans.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kactors.client.errors import LostError, ServiceLostError
from protocols.service.base import Params, Reply
from protocols.service.errors import ServiceError

T = TypeVar("T")
R = TypeVar("R", bound=Reply)

RESENDS_MAX = 5
"""A request that costs the connection so many times is the reason why, and not its victim."""


@dataclass(frozen=True)
class Ask:
    """One request."""

    method: str
    params: Params | None = None


@dataclass(frozen=True)
class Sleep:
    """Let so much wall-clock time go by."""

    seconds: float


Plan = Generator[Ask | Sleep, Any, T]


@dataclass(frozen=True)
class Done(Generic[T]):
    """The plan has ended."""

    value: T


def resume(plan: Plan[T], outcome: Any = None) -> Ask | Sleep | Done[T]:
    """Tell a plan what came of its last step, and return its next one.

    Args:
        plan: which; it begins with the outcome None.
        outcome: an answer, or the LostError or ServiceError that there was instead.

    Raises:
        ServiceError: the plan has failed.
        ServiceLostError: it does not try any more.
    """
    try:
        if isinstance(outcome, LostError | ServiceError):
            return plan.throw(outcome)
        return plan.send(outcome)
    except StopIteration as stop:
        return Done(stop.value)


class Resends:
    """Counts how often a request had to be sent again.

    Args:
        method: which method asks.
    """

    def __init__(self, method: str) -> None:
        self.made = 0
        self._method = method

    def count(self, lost: LostError) -> None:
        """Take note of a lost connection.

        Raises:
            ServiceLostError: it was one too many.
        """
        self.made += 1
        if self.made > RESENDS_MAX:
            raise ServiceLostError(f"{lost}, {self.made} times while {self._method} was asked") from lost


def read(method: str, params: Params | None, result: type[R]) -> Plan[R]:
    """Ask until there is an answer. For what may be asked twice: it changes nothing, or bears a key."""
    resends = Resends(method)
    while True:
        try:
            return result.model_validate((yield Ask(method, params)))
        except LostError as lost:
            resends.count(lost)


def given(**values: Any) -> dict[str, Any]:
    """Return those of the values that are not None: only keys that were given are sent."""
    return {key: value for key, value in values.items() if value is not None}
