"""The bound that the review mail asks about: how many speculations may be in flight at one moment."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from kactors.engine.actor import Handler
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.mm_parts.part import Host, Part, Who
from protocols.base import Message
from protocols.host import SetSpeculationBound
from protocols.scenario import Bounds, OnLimit
from protocols.scheduling import MUST_SLEEP, RETRY
from protocols.stop import BoundExceeded
from protocols.vma import SpfAdmitted, SpfEnter, SpfExit


class Admission(Part):
    """Counts speculations in flight, all, or per CPU or address, and does at the limit what the scenario says.

    Where the scope is all of a machine's or a CPU's, the first mm counts those of every process.
    """

    def __init__(self, mm: Host, bounds: Bounds) -> None:
        super().__init__(mm)
        self._bounds = bounds
        self._inside: Counter[int] = Counter()
        self._on_cpu: Counter[int] = Counter()
        self._lines: dict[int, CacheLine] = {}
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

    def _queue(self, address: int, cpu: int) -> int:
        """Return the name of the counter that bounds a speculation, and of the queue in which it waits."""
        match self._bounds.spf_inflight_scope:
            case "address":
                return self._page(address)
            case "cpu":
                return cpu
        return 0

    def _in_flight(self, address: int, cpu: int) -> int:
        match self._bounds.spf_inflight_scope:
            case "address":
                return self._inside[self._page(address)]
            case "cpu":
                return self._on_cpu[cpu]
        return self._inside.total()

    def _count(self, address: int, cpu: int) -> int:
        """Return when a CPU has changed the counter that bounds it: a shared word, unless it is the CPU's own."""
        queue = self._queue(address, cpu)
        line = self._lines.get(queue)
        if line is None:
            line = self._lines[queue] = CacheLine(self.machine, owner=cpu)
        return line.write(self.now_ns, cpu)

    def _enter(self, message: SpfEnter, client: Any, tag: int) -> None:
        limit = self._bounds.spf_inflight_max
        cpu = client.cpu_id
        inside = self._in_flight(message.address, cpu)
        done_ns = self._count(message.address, cpu)
        if limit is None or inside < limit:
            # Counted by page and by CPU in every scope, so that the scope may change while they are in flight.
            self._inside[self._page(message.address)] += 1
            self._on_cpu[cpu] += 1
            self.mm.reply(done_ns, client, tag, SpfAdmitted(admitted=True))
        elif self._bounds.on_limit is OnLimit.WAIT:
            self._waiting.setdefault(self._queue(message.address, cpu), deque()).append((client, tag))
            self.mm.reply(done_ns, client, tag, MUST_SLEEP)
        elif self._bounds.on_limit is OnLimit.CLASSIC:
            self.mm.reply(done_ns, client, tag, SpfAdmitted(admitted=False))
        else:
            cause = "speculations outnumber the bound: more threads fault at one moment than it allows"
            self.mm.engine.halt(
                BoundExceeded(bound="bounds.spf_inflight_max", limit=limit, value=inside + 1, cause=cause)
            )

    def _exit(self, message: SpfExit, client: Any, tag: int) -> None:
        del tag
        self._count(message.address, client.cpu_id)
        for counter, key in ((self._inside, self._page(message.address)), (self._on_cpu, client.cpu_id)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
        if self._bounds.spf_inflight_scope == "address" and not self._inside[self._page(message.address)]:
            self._lines.pop(self._page(message.address), None)
        waiting = self._waiting.get(self._queue(message.address, client.cpu_id))
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
        self._lines.clear()
        queues, self._waiting = self._waiting, {}
        for sleeper in (sleeper for queue in queues.values() for sleeper in queue):
            self._wake(*sleeper)

    def _wake(self, sleeper: Any, tag: int) -> None:
        self.mm.reply(self.now_ns + self.machine.wake_ns, sleeper, tag, RETRY)
