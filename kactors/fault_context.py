"""What a fault policy may do, beside the primitives of every kernel context: pages, references, PTE updates."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from contextlib import AbstractContextManager
from typing import Any

from kactors.engine.engine import Engine
from kactors.execution import Directory
from kactors.kernel.accounting import Spent
from kactors.kernel.cpu_parts.pages import Page, PageList
from kactors.kernel.cpu_parts.tlb import Tlb
from kactors.kernel.pte import PTE_NONE, mk_pte
from kactors.vma_context import VmaContext
from protocols.allocation import (
    DIRECT_RECLAIM,
    OUT_OF_MEMORY,
    AllocPages,
    FreePages,
    MemoryMoves,
    MoveMemory,
    MoveOnLru,
    OomHandled,
    PagesAllocated,
    Reclaimed,
)
from protocols.page_table import InstallTable, PmdState, PteLocked, SetPte, TableInstalled, TrylockPte
from protocols.rcu import RCU, CallRcu, SrcuReadLock, SrcuReadLocked, SrcuReadUnlock, VmaCallbacks
from protocols.scenario import BoundScope
from protocols.tracepoints import (
    MightSleep,
    MmPageAlloc,
    MmPageFree,
    PageDiscarded,
    SpfAbort,
    VmEvent,
)
from protocols.vma import (
    PutVma,
    ReadSequence,
    SpfAdmitted,
    SpfEnter,
    SpfExit,
    VmaEndRead,
    VmaSequence,
    VmaSnapshot,
    VmLockUpRead,
)

PAGEVEC_SIZE = 15
"""Pages that a CPU collects before it takes lru_lock to put them on a list (include/linux/pagevec.h)."""
SWAP_CLUSTER_MAX = 32
"""Freed pages that are taken off the lists under one lru_lock (release_pages)."""
RECLAIM_RETRIES_MAX = 16
"""MAX_RECLAIM_RETRIES: rounds of direct reclaim without progress before the OOM killer is called."""


class ThreadKilled(Exception):
    """SIGKILL: unwinds a thread's program. Not an error of the model."""


class FaultContext(VmaContext):
    """A CPU, as the fault policies see it.

    Attributes:
        mm_users: threads of the process.
        killed: the process was chosen by the OOM killer.
        tlb: this CPU's translations.
        pages: this CPU's page list.
        bounded: what the scenario limits the number of speculations for; None: it does not.
        huge_faults: the first fault of a MADV_HUGEPAGE range brings a huge page.
    """

    mm_users: int
    killed: bool

    def __init__(self, engine: Engine, name: str, cpu_id: int, directory: Directory) -> None:
        super().__init__(engine, name, cpu_id, directory)
        machine = directory.machine
        self.tlb = Tlb(machine)
        self.pages = PageList(machine.pcp_high, machine.pcp_batch)
        self._pagevec = 0
        self.bounded: BoundScope | None = None
        self.huge_faults = False
        self._callbacks: deque[tuple[Any, VmaCallbacks]] = deque()

    # --- interrupts --------------------------------------------------------------------------------------------------

    @abstractmethod
    def irqs_off(self, path: str) -> AbstractContextManager[None]:
        """Return a context in which this CPU takes no IPI; ``path`` names the code, for explanations."""

    @abstractmethod
    def rcu_read_lock(self) -> AbstractContextManager[None]:
        """Return an RCU read section: it costs nothing and writes nothing shared; grace periods wait for its end.

        Sections nest. A thread that sleeps inside holds up every grace period, as with CONFIG_PREEMPT_RCU.
        """

    async def srcu_read_lock(self, domain: str) -> int:
        """Begin a read section of an SRCU domain, in which one may sleep; return what srcu_read_unlock needs (B1)."""
        locked: SrcuReadLocked = await self.ask(self.directory.mm, SrcuReadLock(domain=domain))
        self.current.srcu_section = (domain, locked.index)
        return locked.index

    def srcu_read_unlock(self, domain: str, index: int) -> None:
        """End a read section of an SRCU domain; ``index`` is what its beginning returned."""
        self.current.srcu_section = None
        self.spend(self.machine.atomic_ns)
        self.say(self.directory.mm, SrcuReadUnlock(domain=domain, index=index))

    def call_rcu(self, pfns: tuple[int, ...], domain: str = RCU) -> None:
        """Free frames after a grace period, of an SRCU domain if one is named (B1); the caller does not wait."""
        self.say(self.directory.mm, CallRcu(domain=domain, pfns=pfns))

    def _run_callbacks(self, *, back: bool = False) -> None:
        """Free VMAs after a grace period, a slab object each: in a kworker, which the CPU switches to, or a softirq.

        With ``back`` it switches back to the thread afterwards; else it is about to switch anyway.
        """
        machine = self.machine
        while self._callbacks:
            mm, due = self._callbacks.popleft()
            switches = (1 + back) * due.kworker
            ns = due.scan + len(due.vma_ids) * machine.pcp_ns + switches * machine.switch_ns
            self.clock_ns += ns
            self.spent[Spent.SWITCH] += ns
            for vma_id in due.vma_ids:
                self.say(mm, PutVma(vma_id=vma_id))

    def pick(self, label: str, n: int) -> int:
        """Decide something that the model leaves open: a number in ``range(n)``."""
        return self.engine.choices.pick(label, n)

    # --- pages -------------------------------------------------------------------------------------------------------

    async def alloc_page(self, address: int, *, zeroed: bool = True) -> Page:
        """Allocate and zero a page for a fault (C11); may reclaim. Until it is mapped it counts as transient.

        Without ``zeroed`` it is to be filled by ``copy_user_page``.

        Raises:
            ThreadKilled: no memory is left and this process is the OOM killer's victim.
        """
        self.work(self.machine.charge_ns)
        pfn = await self._take_frame()
        if self.engine.listens(MmPageAlloc):
            self.note(MmPageAlloc(pfn=pfn, address=address, cpu=self.cpu_id))
        self.traced()
        zeroing_ns = await self.move_memory(self.machine.clear_page_ns, self.machine.page_size) if zeroed else 0
        return Page(pfn, address, zeroing_ns)

    async def move_memory(self, alone_ns: int, size: int) -> int:
        """Clear ``size`` bytes, or copy half as many, which takes ``alone_ns`` if nobody else does; return how long."""
        took_ns = await self.memory_takes(self.jitter(alone_ns), size)
        began_ns = self.clock_ns
        self.spend(took_ns)
        return self.clock_ns - began_ns

    async def memory_takes(self, alone_ns: int, size: int) -> int:
        """Return how long it takes from now until ``size`` bytes have gone through this socket's memory channels.

        Many CPUs of a socket share its bandwidth; alone it takes ``alone_ns``. The memory is the socket's own (first
        touch).
        """
        machine = self.machine
        if not machine.memory_bandwidth_gbs:
            return alone_ns
        message = MoveMemory(socket=machine.socket_of(self.cpu_id), size=size)
        moves: MemoryMoves = await self.ask(self.directory.allocator, message)
        return max(alone_ns, moves.takes)

    async def copy_user_page(self, page: Page) -> Page:
        """Copy another page into one that was allocated for that; return it with what filling it has cost."""
        machine = self.machine
        copying_ns = await self.move_memory(machine.copy_page_ns, 2 * machine.page_size)
        return Page(page.pfn, page.address, copying_ns)

    async def take_page(self) -> int:
        """Take a frame for anything but a fault's own page."""
        pfn = await self._take_frame()
        self._note_taken(pfn, 0)
        return pfn

    async def _take_frame(self) -> int:
        """Take one frame from the per-CPU list, after a trip to the zone when it is empty."""
        self.spend(self.machine.pcp_ns)
        pfn = self.pages.take()
        while pfn is None:
            self.pages.refill(await self.alloc_block(0, self.pages.batch))
            pfn = self.pages.take()
        return pfn

    async def alloc_block(self, order: int, count: int) -> tuple[int, ...]:
        """Take blocks from the zone; reclaims, and calls the OOM killer, as G3 has it."""
        allocator = self.directory.allocator
        fruitless = 0
        while True:
            answer = await self.ask(allocator, AllocPages(order=order, count=count, memalloc=self.killed))
            if type(answer) is PagesAllocated:
                return answer.pfns
            if self.killed:
                raise ThreadKilled
            if self.engine.listens(MightSleep):
                self.note(MightSleep(why="direct reclaim"))
            reclaimed: Reclaimed = await self.ask(allocator, DIRECT_RECLAIM)
            fruitless = 0 if reclaimed.pages else fruitless + 1
            if fruitless >= RECLAIM_RETRIES_MAX:
                handled: OomHandled = await self.ask(allocator, OUT_OF_MEMORY)
                if handled.killed:
                    self.killed = True

    async def discard(self, page: Page) -> None:
        """Throw away a page that was zeroed for nothing (A10, C14)."""
        self.zeroed_in_vain(page.zeroing_ns)
        if self.engine.listens(PageDiscarded):
            self.note(PageDiscarded(pfn=page.pfn, address=page.address, zeroing=page.zeroing_ns))
        self.traced()
        await self._put_frame(page.pfn)

    def zeroed_in_vain(self, ns: int) -> None:
        """Count what zeroing took as wasted; it took less where the core has become less busy in the middle of it."""
        ns = min(ns, self.spent[self.mode])
        self.spent[self.mode] -= ns
        self.spent[Spent.ZEROING_WASTED] += ns

    async def put_page(self, pfn: int) -> None:
        """Give back what ``take_page`` took."""
        self._note_put_back(pfn, 0)
        await self._put_frame(pfn)

    async def _put_frame(self, pfn: int) -> None:
        """Put a frame on the per-CPU list; a full list gives a batch back to the zone."""
        self.spend(self.machine.pcp_ns)
        self.pages.put(pfn)
        overflow = self.pages.overflow()
        if overflow:
            await self.ask(self.directory.allocator, FreePages(order=0, pfns=overflow))

    async def free_pages(self, pfns: tuple[int, ...], order: int = 0) -> None:
        """Free frames that no page table maps any more."""
        for pfn in pfns:
            if self.engine.listens(MmPageFree):
                self.note(MmPageFree(pfn=pfn, order=order))
            self.traced()
        for pfn in pfns:
            await (self._free_block(pfn, order) if order else self._put_frame(pfn))

    async def lru_cache_add(self, *, huge: bool = False) -> None:
        """Collect a page for the LRU list; a full batch goes there, under the lru_lock of this CPU's node.

        A huge page is not kept back: it goes there at once, with what has been collected.
        """
        self._pagevec += 1
        if huge or self._pagevec == PAGEVEC_SIZE:
            await self.lru_add_drain()

    async def lru_add_drain(self) -> None:
        """Put what has been collected on the list."""
        pages, self._pagevec = self._pagevec, 0
        await self._move_on_lru(pages)

    async def lru_delete(self, pages: int, *, cluster: int = SWAP_CLUSTER_MAX) -> None:
        """Take pages that are to be freed off the list, some at a time; huge ones one by one."""
        for first in range(0, pages, cluster):
            await self._move_on_lru(min(cluster, pages - first))

    async def _move_on_lru(self, pages: int) -> None:
        if pages and self.machine.lru_page_ns:
            message = MoveOnLru(socket=self.machine.socket_of(self.cpu_id), pages=pages)
            await self.ask(self.directory.allocator, message, Spent.LOCK_SPIN)

    # --- page tables -------------------------------------------------------------------------------------------------

    async def install_table(self, address: int) -> int:
        """pte_alloc A5: make sure that a page table hangs at the address; return its number, -1 under a huge page."""
        pfn = await self.take_page()
        self.spend(self.machine.clear_page_ns)
        installed: TableInstalled = await self.ask(self.directory.mm, InstallTable(address=address, pfn=pfn))
        if not installed.used:
            await self.put_page(pfn)
        return installed.table

    async def install_table_unlocked(self, vma: VmaSnapshot, address: int) -> None:
        """pte_alloc A5 for a fault without mmap_sem: a page table, if the PMD is none under pmd_lock.

        The VMA must still be in the tree, or munmap, which takes tables out under the same lock after it has detached
        the VMA, would leave this one behind.
        """
        pfn = await self.take_page()
        self.spend(self.machine.clear_page_ns)
        pmd = await self.pmd_lock(address)
        seen: VmaSequence = await self.ask(self.directory.mm, ReadSequence(vma_id=vma.vma_id))
        used = pmd.state is PmdState.NONE and seen.attached
        if used:
            await self.ask(self.directory.mm, InstallTable(address=address, pfn=pfn))
        self.pmd_unlock(address)
        if not used:
            await self.put_page(pfn)

    async def pte_trylock(self, table: int, address: int) -> int | None:
        """Take the PTE lock if it is free; return the entry under the lock, or None."""
        answer = await self.ask(self.ptl(table), TrylockPte(index=self.pte_index(address)), Spent.LOCK_SPIN)
        return answer.value if type(answer) is PteLocked else None

    def set_pte(self, table: int, address: int, pfn: int, *, write: bool) -> None:
        """A11, C13: rmap and LRU, write the entry, then update_mmu_cache; only under the PTE lock."""
        self.spend(self.machine.rmap_lru_ns)
        self.say(
            self.ptl(table), SetPte(index=self.pte_index(address), value=mk_pte(pfn, write=write)), self.current.tag
        )
        # The hash MMU would fault once more on what it does not find, so the kernel inserts the entry at once.
        self.spend(self.machine.hpte_insert_ns)

    def clear_pte(self, table: int, address: int) -> None:
        """Make an entry none again; only under the PTE lock, and a flush must follow."""
        self.say(self.ptl(table), SetPte(index=self.pte_index(address), value=PTE_NONE), self.current.tag)

    # --- the bound on speculation -------------------------------------------------------------------------------------

    async def spf_enter(self, address: int) -> bool:
        """Ask to speculate where the scenario bounds that; False: take the classic path."""
        if self.bounded is None:
            return True
        server = self.directory.mm if self.bounded in ("mm", "address") else self.directory.admission
        admitted: SpfAdmitted = await self.ask_until_served(server, SpfEnter(address=address))
        self.current.admitted_by = server
        self.current.speculates_at = address if admitted.admitted else -1
        return admitted.admitted

    def spf_exit(self, address: int) -> None:
        """The speculation has ended."""
        # The bound may have come or gone since: what was admitted is counted until it ends, and nothing else is.
        admitted, self.current.speculates_at = self.current.speculates_at >= 0, -1
        if admitted:
            self.say(self.current.admitted_by, SpfExit(address=address))

    async def let_go(self) -> None:
        """Release what a fault holds that a SIGKILL has interrupted: VM_FAULT_OOM does so on its way out."""
        task, mm = self.current, self.directory.mm
        if task.speculates_at >= 0:
            self.spf_exit(task.speculates_at)
        if task.refers_to >= 0:
            self.say(mm, PutVma(vma_id=task.refers_to))
        if task.reads_vma >= 0:
            self.say(mm, VmaEndRead(vma_id=task.reads_vma))
        if task.read_locks >= 0:
            self.say(mm, VmLockUpRead(vma_id=task.read_locks))
        if task.srcu_section is not None:
            self.srcu_read_unlock(*task.srcu_section)
        task.refers_to = task.reads_vma = task.read_locks = -1
        if task.holds_read:
            await self.up_read()

    # --- what a kernel counts ----------------------------------------------------------------------------------------

    def count(self, name: str) -> None:
        """Add one to a /proc/vmstat counter."""
        if self.engine.listens(VmEvent):
            self.note(VmEvent(name=name, count=1))

    def spf_abort(self, reason: str, address: int) -> None:
        """Count an aborted speculation under perf's name for the reason."""
        self.note(SpfAbort(address=address, reason=reason))
