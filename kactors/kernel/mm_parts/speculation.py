"""The bound that the review mail asks about: how many speculations may be in flight at one moment."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from kactors.engine.actor import Handler
from kactors.engine.waits import Holder
from kactors.kernel.mm_parts.part import Host, Part, Who
from protocols.base import Message
from protocols.host import SetSpeculationBound
from protocols.scenario import Bounds, OnLimit
from protocols.scheduling import MUST_SLEEP, RETRY
from protocols.stop import BoundExceeded
from protocols.vma import SpfAdmitted, SpfEnter, SpfExit


class Admission(Part):
    """Counts speculations in flight, per mm or per address, and does at the limit what the scenario says."""

    def __init__(self, mm: Host, bounds: Bounds) -> None:
        super().__init__(mm)
        self._bounds = bounds
        self._inside: Counter[int] = Counter()
        self._waiting: dict[int, deque[Who]] = {}

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of SpfEnter, SpfExit and of a new bound."""
        return {SpfEnter: self._enter, SpfExit: self._exit, SetSpeculationBound: self._set_bound}

    def holder(self, who: Who) -> Holder | None:
        """Name the bound that ``who`` waits for."""
        if any(who in queue for queue in self._waiting.values()):
            return Holder("bounds.spf_inflight_max", (self.mm.name,), 0, "the speculations in flight have not ended")
        return None

    def _page(self, address: int) -> int:
        return address >> self.machine.page_shift

    def _queue(self, address: int) -> int:
        """Return the name of the queue in which a speculation on this address waits."""
        return 0 if self._bounds.spf_inflight_scope == "mm" else self._page(address)

    def _in_flight(self, address: int) -> int:
        if self._bounds.spf_inflight_scope == "mm":
            return self._inside.total()
        return self._inside[self._page(address)]

    def _enter(self, message: SpfEnter, client: Any, tag: int) -> None:
        limit = self._bounds.spf_inflight_max
        inside = self._in_flight(message.address)
        done_ns = self.now_ns + self.machine.atomic_ns
        if limit is None or inside < limit:
            # Counted by page in either scope, so that the scope may change while they are in flight.
            self._inside[self._page(message.address)] += 1
            self.mm.reply(done_ns, client, tag, SpfAdmitted(admitted=True))
        elif self._bounds.on_limit is OnLimit.WAIT:
            self._waiting.setdefault(self._queue(message.address), deque()).append((client, tag))
            self.mm.reply(done_ns, client, tag, MUST_SLEEP)
        elif self._bounds.on_limit is OnLimit.CLASSIC:
            self.mm.reply(done_ns, client, tag, SpfAdmitted(admitted=False))
        else:
            cause = "speculations outnumber the bound: more threads fault at one moment than it allows"
            self.mm.engine.halt(
                BoundExceeded(bound="bounds.spf_inflight_max", limit=limit, value=inside + 1, cause=cause)
            )

    def _exit(self, message: SpfExit, client: Any, tag: int) -> None:
        del client, tag
        page = self._page(message.address)
        self._inside[page] -= 1
        if not self._inside[page]:
            del self._inside[page]
        waiting = self._waiting.get(self._queue(message.address))
        if waiting:
            self._wake(*waiting.popleft())

    def _set_bound(self, message: SetSpeculationBound, client: Any, tag: int) -> None:
        """From here on another bound holds. Whoever waits looks again: it may be free to go, or wait for less."""
        del client, tag
        self._bounds = self._bounds.model_copy(
            update={
                "spf_inflight_max": message.inflight_max,
                "spf_inflight_scope": message.scope,
                "on_limit": message.on_limit,
            }
        )
        queues, self._waiting = self._waiting, {}
        for sleeper in (sleeper for queue in queues.values() for sleeper in queue):
            self._wake(*sleeper)

    def _wake(self, sleeper: Any, tag: int) -> None:
        self.mm.reply(self.now_ns + self.machine.wake_ns, sleeper, tag, RETRY)
