"""Which CPUs may hold translations of this mm: mm_cpumask, tlb_gen, and POWER's serialised tlbie."""

from __future__ import annotations

from typing import Any

from kactors.engine.actor import Handler
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.mm_parts.part import Host, Part
from protocols.base import Message
from protocols.tlb import (
    TLBIE_DONE,
    BroadcastTlbie,
    DropMm,
    FlushTargets,
    FlushTlb,
    JoinMm,
    LeaveMm,
    MmJoined,
    ReadCpumask,
    Tlbie,
)

CTX_ID_SHIFT = 40
"""A generation's high bits are the mm's ctx_id, so that a CPU tells one mm's flushes from another's."""


class Cpumask(Part):
    """The set of CPUs to interrupt, in CPU order so that a run never depends on a set's order.

    Args:
        mm: the actor.
        tlbie_line: native_tlbie_lock, one for all mms.
    """

    def __init__(self, mm: Host, tlbie_line: CacheLine) -> None:
        super().__init__(mm)
        self._members: dict[int, Any] = {}
        self._lazy: dict[int, Any] = {}
        self._sorted: tuple[int, ...] = ()
        self._generation = (mm.number << CTX_ID_SHIFT) + 1
        self._line = CacheLine(mm.machine)
        self._is_lazy: dict[int, CacheLine] = {}
        self._tlbie_line = tlbie_line

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of joins, flushes and tlbie."""
        return {
            JoinMm: self._join,
            LeaveMm: self._leave,
            DropMm: self._drop,
            FlushTlb: self._flush,
            ReadCpumask: self._read,
            BroadcastTlbie: self._tlbie,
        }

    def lines_busy_ns(self) -> dict[tuple[str, int], int]:
        """Return how long mm_cpumask's cache line and the machine's tlbie have been taken."""
        return {("mm_cpumask line", 0): self._line.busy_ns, ("tlbie", 0): self._tlbie_line.busy_ns}

    def members(self) -> dict[int, Any]:
        """Return the CPUs in mm_cpumask by number."""
        return self._members

    def idles(self, cpu: int) -> bool:
        """Return whether a CPU is idle, as far as the others can see: where lazy CPUs keep the mm, they cannot."""
        return self.machine.lazy_tlb != "keep" and cpu not in self._members

    def _join(self, _: JoinMm, client: Any, tag: int) -> None:
        was_lazy = self._lazy.pop(client.cpu_id, None) is not None
        self._members[client.cpu_id] = client
        self._sorted = tuple(sorted(self._members))
        # A CPU that was skipped has stayed in mm_cpumask: it looks at tlb_gen, whether it has missed anything.
        if was_lazy:
            done_ns = self._line.read(self._set_lazy(client.cpu_id), client.cpu_id)
        else:
            self._is_lazy.setdefault(client.cpu_id, CacheLine(self.machine, owner=client.cpu_id))
            done_ns = self._line.write(self.now_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, MmJoined(generation=self._generation))

    def _leave(self, _: LeaveMm, client: Any, tag: int) -> None:
        del tag
        self._members.pop(client.cpu_id, None)
        self._sorted = tuple(sorted(self._members))
        if self.machine.lazy_tlb == "skip":
            self._lazy[client.cpu_id] = client  # mm_cpumask stays as it is
            self._set_lazy(client.cpu_id)
        else:
            self._line.write(self.now_ns, client.cpu_id)

    def _set_lazy(self, cpu: int) -> int:
        """Return when a CPU has written is_lazy, a flag of its own in a line that flushes read."""
        return self._is_lazy[cpu].write(self.now_ns, cpu)

    def _read_lazy(self, at_ns: int, cpu: int) -> int:
        """tlb_is_not_lazy: return when a flush has read the flag of each CPU that it might skip."""
        if self.machine.lazy_tlb != "skip":
            return at_ns
        for other, line in self._is_lazy.items():
            if other != cpu and (other in self._members or other in self._lazy):
                at_ns = line.read(at_ns, cpu)
        return at_ns

    def _drop(self, _: DropMm, client: Any, tag: int) -> None:
        del tag
        self._members.pop(client.cpu_id, None)
        self._lazy.pop(client.cpu_id, None)
        self._sorted = tuple(sorted(self._members))
        self._line.write(self.now_ns, client.cpu_id)

    def _flush(self, message: FlushTlb, client: Any, tag: int) -> None:
        self._generation += 1
        done_ns = self._line.write(self.now_ns, client.cpu_id)
        cpus = self._sorted
        if message.freed_tables and self._lazy:
            # A lazy CPU may still walk the tables by itself (of pages it hears when it comes back): once it has been
            # interrupted, it does not even keep the mm lazily any more.
            cpus = tuple(sorted((*cpus, *self._lazy)))
            self._lazy.clear()
        skipped = bool(self._lazy) and not message.freed_tables
        if not message.freed_tables:
            done_ns = self._read_lazy(done_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, FlushTargets(cpus=cpus, generation=self._generation, skipped=skipped))

    def _read(self, _: ReadCpumask, client: Any, tag: int) -> None:
        done_ns = self._line.read(self.now_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, FlushTargets(cpus=self._sorted, generation=self._generation, skipped=False))

    def _tlbie(self, message: BroadcastTlbie, client: Any, tag: int) -> None:
        """One broadcast at a time in the whole machine (native_tlbie_lock): it reaches every CPU, interrupts or not."""
        done_ns = self._tlbie_line.write(self.now_ns, client.cpu_id, hold_ns=self.machine.tlbie_ns)
        invalidation = Tlbie(start=message.start, end=message.end)
        for cpu in self._sorted:
            self.mm.engine.post(done_ns, self._members[cpu], self.mm, invalidation)
        self.mm.reply(done_ns, client, tag, TLBIE_DONE)
