"""Grace periods of RCU and of the domains of SRCU: which readers are waited for, and who waits.

Source: the requirements in Documentation/RCU, not an implementation: a grace period ends when all read sections have
that had begun before it. An SRCU domain counts readers under two indices, of which new readers take the present one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kactors.engine.actor import Handler
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.mm_parts.part import Host, Part, Who
from protocols.base import Message
from protocols.rcu import (
    GRACE_PERIOD_OVER,
    RCU,
    REPORT_QUIESCENT,
    CallRcu,
    Quiescent,
    RcuCallback,
    SrcuReadLock,
    SrcuReadLocked,
    SrcuReadUnlock,
    Synchronize,
)


@dataclass(slots=True)
class _Waiter:
    """Whom the end of a grace period is told, and how."""

    client: Any
    tag: int
    answer: Message


@dataclass(slots=True)
class _GracePeriod:
    """One of RCU: the CPUs that have not reported, by number."""

    waiter: _Waiter
    since_ns: int
    cpus: dict[int, Any]


@dataclass(slots=True)
class _Domain:
    """One of SRCU. While a grace period waits for the readers of the old index, later ones queue.

    Attributes:
        index: that new readers count under.
        readers: how many there are under each.
        waiting: for the end of a grace period, the present one's first.
        since_ns: when that began.
        counters: each CPU's line, in which it counts its own readers.
    """

    index: int = 0
    readers: list[int] = field(default_factory=lambda: [0, 0])
    waiting: deque[_Waiter] = field(default_factory=deque)
    since_ns: int = 0
    counters: dict[int, CacheLine] = field(default_factory=dict)


class GracePeriods(Part):
    """All domains of one mm. ``members`` tells the CPUs on which a reader may be: those in mm_cpumask."""

    def __init__(self, mm: Host, members: Callable[[], dict[int, Any]]) -> None:
        super().__init__(mm)
        self._members = members
        self._rcu: dict[int, _GracePeriod] = {}
        self._domains: dict[str, _Domain] = {}

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of grace periods and of SRCU's readers."""
        return {
            Synchronize: self._synchronize,
            CallRcu: self._call,
            Quiescent: self._quiescent,
            SrcuReadLock: self._read_lock,
            SrcuReadUnlock: self._read_unlock,
        }

    def call(self, domain: str, answer: Message, cpu: int) -> int:
        """Tell the mm itself with ``answer`` when a grace period is over; return what counting its readers takes a CPU.

        RCU's readers count themselves nowhere.
        """
        scan_ns = self._scan_ns(domain, cpu)
        self._begin(domain, _Waiter(self.mm, 0, answer))
        return scan_ns

    def _scan_ns(self, domain: str, cpu: int) -> int:
        """Return what reading the counters of all CPUs takes one of them, before the index changes and after that."""
        if domain == RCU or self.mm.engine.untimed:
            return 0
        lines = self._domain(domain).counters.values()
        return 2 * sum(line.read(self.now_ns, cpu) - self.now_ns for line in lines)

    def holder(self, who: Who) -> Holder | None:
        """Name the readers whose end ``who`` waits for."""
        for period in self._rcu.values():
            if (period.waiter.client, period.waiter.tag) == who:
                cpus = tuple(cpu.name for cpu in period.cpus.values())
                return Holder("RCU grace period", cpus, period.since_ns, "is in an RCU read section")
        for name, domain in self._domains.items():
            if any((waiter.client, waiter.tag) == who for waiter in domain.waiting):
                return Holder(f"SRCU grace period of {name}", ("its readers",), domain.since_ns, "have not left")
        return None

    def _synchronize(self, message: Synchronize, client: Any, tag: int) -> None:
        self._begin(message.domain, _Waiter(client, tag, GRACE_PERIOD_OVER))

    def _call(self, message: CallRcu, client: Any, tag: int) -> None:
        self._begin(message.domain, _Waiter(client, tag, RcuCallback(pfns=message.pfns)))

    def _begin(self, name: str, waiter: _Waiter) -> None:
        if name == RCU:
            self._begin_rcu(waiter)
            return
        domain = self._domain(name)
        domain.waiting.append(waiter)
        if len(domain.waiting) == 1:
            self._flip(domain)

    def _end(self, waiter: _Waiter) -> None:
        self.mm.engine.post(self.now_ns, waiter.client, self.mm, waiter.answer, waiter.tag)

    # --- RCU ---------------------------------------------------------------------------------------------------------

    def _begin_rcu(self, waiter: _Waiter) -> None:
        cpus = dict(sorted(self._members().items()))
        if not cpus:
            self._end(waiter)
            return
        # The lowest number that is free, not one that counts up: states of a search that are alike stay alike.
        number = next(number for number in range(len(self._rcu) + 1) if number not in self._rcu)
        self._rcu[number] = _GracePeriod(waiter, self.now_ns, cpus)
        for cpu in cpus.values():
            self.mm.engine.post(self.now_ns, cpu, self.mm, REPORT_QUIESCENT, number)

    def _quiescent(self, _: Quiescent, client: Any, tag: int) -> None:
        period = self._rcu[tag]
        del period.cpus[client.cpu_id]
        if not period.cpus:
            del self._rcu[tag]
            self._end(period.waiter)

    # --- SRCU --------------------------------------------------------------------------------------------------------

    def _domain(self, name: str) -> _Domain:
        return self._domains.setdefault(name, _Domain())

    def _read_lock(self, message: SrcuReadLock, client: Any, tag: int) -> None:
        domain = self._domain(message.domain)
        domain.readers[domain.index] += 1
        done_ns = self._count(domain, client.cpu_id)
        self.mm.reply(done_ns, client, tag, SrcuReadLocked(index=domain.index))

    def _count(self, domain: _Domain, cpu: int) -> int:
        """Return when a CPU has changed its own counter: only who counts all readers takes its line away."""
        line = domain.counters.get(cpu)
        if line is None:
            line = domain.counters[cpu] = CacheLine(self.machine, owner=cpu)
        return line.write(self.now_ns, cpu)

    def _read_unlock(self, message: SrcuReadUnlock, client: Any, tag: int) -> None:
        del tag
        domain = self._domain(message.domain)
        self._count(domain, client.cpu_id)
        domain.readers[message.index] -= 1
        if domain.waiting and not domain.readers[1 - domain.index]:
            self._over(domain)

    def _flip(self, domain: _Domain) -> None:
        """Let new readers count under the other index, so that those of this one come to an end."""
        domain.index, domain.since_ns = 1 - domain.index, self.now_ns
        if not domain.readers[1 - domain.index]:
            self._over(domain)

    def _over(self, domain: _Domain) -> None:
        self._end(domain.waiting.popleft())
        if domain.waiting:
            self._flip(domain)
