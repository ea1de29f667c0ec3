"""The mm: one process's address space as everybody else sees it.

Owns: mmap_sem, the VMA tree with mm_rb_lock, the heap's end, each VMA's sequence, references and locks, the PMD entries
      with pmd_lock, mm_cpumask and tlb_gen, grace periods and SRCU's counts of readers.
Hears: lock requests, look-ups, tree changes and PMD reads from CPUs and khugepaged.
Says: their answers, wake-ups, the frames of a split huge page to its page table, tlbie to CPUs.
Never: decides when a fault may proceed (the policy does), allocates a page, touches a PTE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from kactors.engine.actor import Actor, Handler, Server
from kactors.engine.engine import Engine
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine, Stores
from kactors.kernel.layout import Layout, Space
from kactors.kernel.mm_parts.grace_periods import GracePeriods
from kactors.kernel.mm_parts.heap import Heap
from kactors.kernel.mm_parts.locks import MmapSem
from kactors.kernel.mm_parts.pmds import Pmds
from kactors.kernel.mm_parts.shootdown import Cpumask
from kactors.kernel.mm_parts.speculation import Admission
from kactors.kernel.mm_parts.vmas import Vmas
from kactors.kernel.vma_tree import VmaTree
from protocols.base import Message
from protocols.machine import Machine
from protocols.roles import heard_by, said_by
from protocols.scenario import Bounds

ONE_PROCESS = Layout().space(0)


class Mm(Server):
    """The actor: it joins the parts, each of which owns one conversation.

    Args:
        engine: the machine's engine.
        machine: costs and page size.
        bounds: what the scenario limits.
        new_table: makes the ptl actor of a new page table from (PMD address, frame).
        allocator: told when a huge page is split into small ones.
        space: which process's it is, and where its areas lie.
        tlbie_line: native_tlbie_lock, which all mms share.
    """

    role: ClassVar[str] = "mm"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("mm")
    says: ClassVar[frozenset[type[Message]]] = said_by("mm")

    def __init__(
        self,
        engine: Engine,
        machine: Machine,
        bounds: Bounds,
        new_table: Callable[[int, int], Actor],
        allocator: Actor,
        *,
        space: Space = ONE_PROCESS,
        tlbie_line: CacheLine | None = None,
    ) -> None:
        self.machine = machine
        self.number = space.number
        self.lock_sequence = 1
        self.stores = Stores(machine)
        self.cpumask = Cpumask(self, tlbie_line or CacheLine(machine))
        self.sem = MmapSem(self, self.cpumask.idles)
        self.grace_periods = GracePeriods(self, self.cpumask.members)
        self.vmas = Vmas(self, VmaTree(top=space.mmap_base, bottom=space.lowest), self.grace_periods)
        self.heap = Heap(self, space.start_brk)
        self.pmds = Pmds(self, new_table, allocator)
        self.admission = Admission(self, bounds)
        super().__init__(engine, f"mm{space.number}" if space.number else "mm")

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of all parts."""
        merged: dict[type[Message], Handler] = {}
        for part in (self.sem, self.vmas, self.heap, self.pmds, self.cpumask, self.admission, self.grace_periods):
            merged |= part.handlers()
        return merged

    @property
    def tree(self) -> VmaTree:
        """The areas of the process."""
        return self.vmas.tree

    def busy_ns(self) -> dict[tuple[str, int], int]:
        """Return how long each contended cache line has been taken, by name and number (of the area)."""
        return {
            ("mmap_sem line", 0): self.sem.line_busy_ns,
            **self.vmas.lines_busy_ns(),
            **self.cpumask.lines_busy_ns(),
        }

    def holder(self, client: Actor, tag: int) -> Holder | None:
        """Name what keeps a request waiting: mmap_sem, a VMA's readers, pmd_lock, a grace period."""
        who = (client, tag)
        parts = (self.sem, self.vmas, self.pmds, self.admission, self.grace_periods)
        return next((holder for part in parts if (holder := part.holder(who)) is not None), None)

    def reply(self, at_ns: int, client: Any, tag: int, message: Message) -> None:
        """Answer a request, not before the CPU has behind it what it wrote before that."""
        super().reply(max(at_ns, self.stores.done_ns(client.cpu_id)), client, tag, message)

    def must_hold_mmap_sem(self, client: Any, tag: int, act: str, *, write: bool) -> None:
        """Tell that the client does what needs mmap_sem."""
        self.sem.must_hold(client, tag, act, write=write)

    def count_section(self, at_ns: int, cpu: int, *, ends: bool) -> int:
        """Return when a writer of mmap_sem has moved mm_lock_seq, as his section begins or ends."""
        return self.vmas.locks.count_section(at_ns, cpu, ends=ends)

    def end_write_section(self) -> None:
        """mmap_sem is released or downgraded: every per-VMA write lock ends with it (mm_lock_seq moves on)."""
        self.lock_sequence += 1
