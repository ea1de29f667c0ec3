"""The bound that the review mail asks about: how many speculations may be in flight at one moment."""

from __future__ import annotations

from collections import deque
from typing import Any

from kactors.engine.actor import Handler
from kactors.engine.waits import Holder
from kactors.kernel.mm_parts.part import Host, Part, Who
from protocols.base import Message
from protocols.scenario import Bounds, OnLimit
from protocols.scheduling import MUST_SLEEP, RETRY
from protocols.stop import BoundExceeded
from protocols.vma import SpfAdmitted, SpfEnter, SpfExit


class Admission(Part):
    """Counts speculations in flight, per mm or per address, and does at the limit what the scenario says."""

    def __init__(self, mm: Host, bounds: Bounds) -> None:
        super().__init__(mm)
        self._bounds = bounds
        self._inside: dict[int, int] = {}
        self._waiting: dict[int, deque[Who]] = {}

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of SpfEnter and SpfExit."""
        return {SpfEnter: self._enter, SpfExit: self._exit}

    def holder(self, who: Who) -> Holder | None:
        """Name the bound that ``who`` waits for."""
        if any(who in queue for queue in self._waiting.values()):
            return Holder("bounds.spf_inflight_max", (self.mm.name,), 0, "the speculations in flight have not ended")
        return None

    def _key(self, address: int) -> int:
        return 0 if self._bounds.spf_inflight_scope == "mm" else address >> self.machine.page_shift

    def _enter(self, message: SpfEnter, client: Any, tag: int) -> None:
        limit = self._bounds.spf_inflight_max
        key = self._key(message.address)
        inside = self._inside.get(key, 0)
        done_ns = self.now_ns + self.machine.atomic_ns
        if limit is None or inside < limit:
            self._inside[key] = inside + 1
            self.mm.reply(done_ns, client, tag, SpfAdmitted(admitted=True))
        elif self._bounds.on_limit is OnLimit.WAIT:
            self._waiting.setdefault(key, deque()).append((client, tag))
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
        key = self._key(message.address)
        self._inside[key] -= 1
        waiting = self._waiting.get(key)
        if waiting:
            sleeper, sleeper_tag = waiting.popleft()
            self.mm.reply(self.now_ns + self.machine.wake_ns, sleeper, sleeper_tag, RETRY)
