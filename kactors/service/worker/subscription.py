"""One subscriber's view of a simulation: filter, rate, credit, numbers. No I/O; the time is told."""

from __future__ import annotations

from typing import Any

from kactors.service.worker.orders import Listen
from protocols.service.events import Filter

BURST_S = 0.1
"""How much of a second's rate may come at once."""


class Subscription:
    """Decides for each happening whether its subscriber is told, and counts what he is not.

    Args:
        order: what the service asked for.

    Attributes:
        credit: how many events may be sent until more credit comes.
        last: the last event's number so far.
        dropped: events missed so far.
    """

    def __init__(self, order: Listen) -> None:
        self.number = order.subscription
        self.topics = frozenset(order.topics)
        self.credit = order.credit
        self.last = order.last
        self.dropped = order.dropped
        self.interval_ns = order.interval_ns
        self._wanted = order.filter
        self._rate_per_s = order.rate_per_s
        self._allowed = self._burst
        self._refilled_s: float | None = None
        self._dropped_since = 0

    def offer(self, topic: str, of: int, at_ns: int, data: dict[str, Any], now_s: float) -> dict[str, Any] | None:
        """Return the event to send, or None: it is not wanted, or there is no credit or no rate left for it.

        Args:
            topic: what kind of happening.
            of: its number among the topic's happenings.
            at_ns: its virtual time.
            data: what happened.
            now_s: wall-clock time, of any monotonic clock.
        """
        if topic not in self.topics or not _matches(self._wanted, topic, data):
            return None
        self.last += 1
        if self.credit <= 0 or not self._take(now_s):
            self.dropped += 1
            self._dropped_since += 1
            return None
        self.credit -= 1
        event = {
            "subscription": self.number,
            "number": self.last,
            "dropped": self._dropped_since,
            "topic": topic,
            "of": of,
            "at_ns": at_ns,
            "data": data,
        }
        self._dropped_since = 0
        return event

    @property
    def _burst(self) -> float:
        return max(1.0, (self._rate_per_s or 0) * BURST_S)

    def _take(self, now_s: float) -> bool:
        """A token bucket."""
        if self._rate_per_s is None:
            return True
        if self._refilled_s is not None:
            self._allowed = min(self._burst, self._allowed + (now_s - self._refilled_s) * self._rate_per_s)
        self._refilled_s = now_s
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True


def _matches(wanted: Filter, topic: str, data: dict[str, Any]) -> bool:
    if topic == "ipi_waits":
        return (
            (wanted.wait_min_ns is None or data["wait_ns"] >= wanted.wait_min_ns)
            and (wanted.kind is None or data["kind"] == wanted.kind)
            and (wanted.actor is None or wanted.actor in (data["sender"], data["last_acker"]))
        )
    if topic == "transient_pages":
        return wanted.pages_min is None or data["now"] >= wanted.pages_min
    if topic == "stories":
        return (wanted.actor is None or wanted.actor in (data["sender"], data["receiver"])) and (
            wanted.contains is None or wanted.contains in data["line"]
        )
    return True
