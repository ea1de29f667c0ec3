"""How long each lock was held: what keeps others out, and so limits what many CPUs can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from kactors.engine.observer import Hearing, Observer
from protocols.base import Tracepoint
from protocols.tracepoints import LockAcquired, LockReleased

Place = tuple[str, int]
"""A lock by its name, and which one: the page table, or the PMD's address."""


class LockUse(Observer):
    """Time in which a lock had an owner: a writer apart, and anybody at all.

    An owner who is woken has the lock from the moment in which it is handed to him.
    """

    def __init__(self) -> None:
        self._held_ns: Counter[Place] = Counter()
        self._owners: dict[Place, set[int]] = {}
        self._since_ns: dict[Place, int] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear of every lock that changes hands."""
        return {LockAcquired: self._acquired, LockReleased: self._released}

    def held_ns(self, now_ns: int) -> dict[Place, int]:
        """Return how long each lock has been held by now; ``NAME (write)`` where it has readers as well."""
        held = dict(self._held_ns)
        for place, since_ns in self._since_ns.items():
            held[place] = held.get(place, 0) + now_ns - since_ns
        return held

    def _acquired(self, at_ns: int, _who: str, taken: LockAcquired) -> None:
        for place in _places(taken):
            owners = self._owners.setdefault(place, set())
            if not owners:
                self._since_ns[place] = at_ns
            owners.add(taken.tag)

    def _released(self, at_ns: int, _who: str, freed: LockReleased) -> None:
        for place in _places(freed):
            owners = self._owners.get(place, set())
            owners.discard(freed.tag)
            if not owners and place in self._since_ns:
                self._held_ns[place] += at_ns - self._since_ns.pop(place)


def _places(told: LockAcquired | LockReleased) -> tuple[Place, ...]:
    anybody = (told.lock, told.place)
    return (anybody, (f"{told.lock} (write)", told.place)) if told.write else (anybody,)
