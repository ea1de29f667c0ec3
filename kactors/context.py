"""Kernel code's view of the machine: the primitives that fault policies, system calls and khugepaged are written in.

Every primitive that touches something shared is a message to its owner; what it costs is the owner's answer's delay.
"""

from __future__ import annotations

import types
from collections.abc import Generator, Iterable
from typing import Any, cast

from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.execution import Directory, Execution, Task
from kactors.kernel.accounting import Spent
from protocols.allocation import AllocPages, FreePages, PagesAllocated
from protocols.base import Message
from protocols.mmap_sem import (
    DOWN_READ,
    DOWN_WRITE,
    DOWNGRADE_WRITE,
    RETRY_WRITE,
    UP_READ,
    UP_WRITE,
    MmapSemReleased,
)
from protocols.page_table import (
    FREE_TABLE,
    UNLOCK_PTE,
    LockPte,
    Pmd,
    PmdLock,
    PmdUnlock,
    Pte,
    PteLocked,
    PtesZapped,
    ReadPmd,
    ReadPte,
    TableFreed,
    ZapPtes,
)
from protocols.rcu import RCU, Synchronize
from protocols.scheduling import MustSleep, SelectTaskRq, TaskRq, TtwuQueue
from protocols.tlb import (
    FLUSH_TLB,
    FLUSH_TLB_AND_TABLES,
    READ_CPUMASK,
    SYNC_IPI,
    BroadcastTlbie,
    FlushIpi,
    FlushTargets,
)
from protocols.tracepoints import (
    FramePutBack,
    FrameTaken,
    IpiDone,
    IpiSend,
    MmapSemWait,
    TlbFlush,
)
from protocols.vma import FindVma, VmaFound, VmaSnapshot, VmaStartWrite, VmWriteBegin, VmWriteEnd

SEND_IPI_EVENTS = 2
"""Tracepoints of an IPI at its sender: csd_queue_cpu, ipi_send_cpu."""
FLUSH_EVENTS = 1
"""tlb_flush."""
CALL_EVENTS = 2
"""Of a function that another CPU has asked for, or that a CPU calls in parallel: csd_function_entry and _exit."""


class KernelContext(Execution):
    """The primitives of kernel code on whatever it runs."""

    def __init__(self, engine: Engine, name: str, cpu_id: int, directory: Directory) -> None:
        self._ipi_requests = 0
        super().__init__(engine, name, cpu_id, directory)

    # --- mmap_sem ----------------------------------------------------------------------------------------------------

    async def down_read(self) -> None:
        """Take mmap_sem for reading (A2); sleeps behind a writer."""
        began_ns = self.clock_ns
        self.traced()
        answer = await self.ask(self.directory.mm, DOWN_READ)
        slept = type(answer) is MustSleep
        if slept:
            await self.sleep()
        self.current.holds_read = True
        self._waited(began_ns, write=False, slept=slept)

    async def down_write(self) -> None:
        """Take mmap_sem for writing; spins on a running owner, else sleeps."""
        began_ns, slept = self.clock_ns, False
        self.traced()
        task = self.current
        task.spins = True
        answer = await self.ask(self.directory.mm, DOWN_WRITE, Spent.LOCK_SPIN)
        while type(answer) is MustSleep:
            task.spins, slept = False, True
            self.spend(self.machine.rwsem_queue_ns)
            await self.sleep()
            task.spins = True
            answer = await self.ask(self.directory.mm, RETRY_WRITE, Spent.LOCK_SPIN)
        task.spins, task.holds_write = False, True
        self._waited(began_ns, write=True, slept=slept)

    async def up_read(self) -> None:
        """Release mmap_sem as a reader (A12); pay for those that it wakes."""
        self.traced()
        self.current.holds_read = False
        await self._release(UP_READ)

    async def up_write(self) -> None:
        """Release mmap_sem and every per-VMA write lock."""
        self.traced()
        self.current.holds_write = False
        await self._release(UP_WRITE)

    async def downgrade_write(self) -> None:
        """Keep mmap_sem as a reader only."""
        self.traced()
        self.current.holds_write, self.current.holds_read = False, True
        await self._release(DOWNGRADE_WRITE)

    async def _release(self, message: Message) -> None:
        released: MmapSemReleased = await self.ask(self.directory.mm, message)
        self.spend(released.woken * self.machine.wake_ns + released.ipis * self.machine.ipi_exit_ns)
        for sleeper in released.to_wake:
            await self._try_to_wake_up(sleeper)

    async def _try_to_wake_up(self, sleeper: int) -> None:
        """Find a CPU for a sleeper, queue it there, and interrupt that CPU if it is idle."""
        machine = self.machine
        chosen: TaskRq = await self.ask(self.directory.sched_domain, SelectTaskRq(thread=sleeper))
        # Who has not fallen asleep yet goes on at once; a sleeper has to be moved to a run queue first.
        before_ns = machine.wake_ns if chosen.counted else 0
        self.spend(before_ns)
        self.say(self.directory.cpus[chosen.cpu], TtwuQueue(counted=chosen.counted), sleeper)
        self.spend(machine.wake_ns - before_ns + (machine.ipi_exit_ns if chosen.idle else 0))

    def _waited(self, began_ns: int, *, write: bool, slept: bool) -> None:
        if self.engine.listens(MmapSemWait):
            self.note(MmapSemWait(write=write, wait=self.clock_ns - began_ns, slept=slept))
        self.traced()

    # --- VMAs --------------------------------------------------------------------------------------------------------

    async def find_vma(self, address: int) -> VmaSnapshot | None:
        """Look the VMA up under mmap_sem (A3); None: no VMA holds the address, in bytes."""
        found: VmaFound = await self.ask(self.directory.mm, FindVma(address=address))
        return found.vma

    def vm_write_begin(self, vma_id: int) -> None:
        """Make vm_sequence odd (D1 to D6); does not wait, for readers only look."""
        self.spend(self.machine.atomic_ns)
        self.say(self.directory.mm, VmWriteBegin(vma_id=vma_id))

    def vm_write_end(self, vma_id: int) -> None:
        """Make vm_sequence even again; does not wait."""
        self.spend(self.machine.atomic_ns)
        self.say(self.directory.mm, VmWriteEnd(vma_id=vma_id))

    async def vma_start_write(self, start: int, end: int, *, wait: bool = True) -> None:
        """Write-lock every VMA in the range until mmap_sem is released; sleeps until their readers are gone.

        Without ``wait`` it does not care for the readers, which is wrong.
        """
        answer = await self.ask(self.directory.mm, VmaStartWrite(start=start, end=end, wait=wait))
        if type(answer) is MustSleep:
            await self.sleep()

    # --- page tables -------------------------------------------------------------------------------------------------

    def ptl(self, table: int) -> Any:
        """Return the address of a page table's actor."""
        return self.engine.actors[table]

    def pte_index(self, address: int) -> int:
        """Return the address's index in its page table."""
        return (address >> self.machine.page_shift) % self.machine.pmd_pages

    async def read_pmd(self, address: int) -> Pmd:
        """Read the PMD entry of an address without a lock (A5, C8); does not wait for anybody."""
        return cast(Pmd, await self.ask(self.directory.mm, ReadPmd(address=address)))

    async def pmd_lock(self, address: int) -> Pmd:
        """Take pmd_lock (E4), spinning as long as it takes; return the entry under the lock."""
        return cast(Pmd, await self.ask(self.directory.mm, PmdLock(address=address), Spent.LOCK_SPIN))

    def pmd_unlock(self, address: int) -> None:
        """Release pmd_lock."""
        self.say(self.directory.mm, PmdUnlock(address=address), self.current.tag)

    async def read_pte(self, table: int, address: int) -> int:
        """Read the PTE of an address without its lock (A7, C8): 0 is none; does not wait for anybody."""
        pte: Pte = await self.ask(self.ptl(table), ReadPte(index=self.pte_index(address)))
        return pte.value

    async def pte_lock(self, table: int, address: int) -> int:
        """Take the PTE lock (A9), spinning as long as it takes; return the entry under the lock, 0 for none."""
        locked: PteLocked = await self.ask(self.ptl(table), LockPte(index=self.pte_index(address)), Spent.LOCK_SPIN)
        return locked.value

    def pte_unlock(self, table: int) -> None:
        """Release the PTE lock (A11); whoever spins on it is next."""
        self.say(self.ptl(table), UNLOCK_PTE, self.current.tag)

    async def zap_ptes(self, table: int, first: int, last: int) -> tuple[int, ...]:
        """Clear the entries first..last-1 under the PTE lock; return the frames that they mapped."""
        zapped: PtesZapped = await self.ask(self.ptl(table), ZapPtes(first=first, last=last))
        return zapped.pfns

    async def free_table(self, table: int) -> int:
        """End a page table; return the frame that held it."""
        freed: TableFreed = await self.ask(self.ptl(table), FREE_TABLE)
        return freed.pfn

    # --- blocks of pages ---------------------------------------------------------------------------------------------

    async def take_huge(self) -> int:
        """Take a huge page's frames and tie them together (prep_compound_page); return the first.

        -1: none is free, and for a page that one can do without nothing is reclaimed (GFP_TRANSHUGE_LIGHT).
        """
        order = self.machine.huge_order
        answer = await self.ask(self.directory.allocator, AllocPages(order=order, count=1, memalloc=False))
        if type(answer) is not PagesAllocated:
            return -1
        self._look_through(order)
        pfn: int = answer.pfns[0]
        self._note_taken(pfn, order)
        return pfn

    async def put_huge(self, pfn: int) -> None:
        """Give back what ``take_huge`` took."""
        order = self.machine.huge_order
        self._note_put_back(pfn, order)
        await self._free_block(pfn, order)

    async def _free_block(self, pfn: int, order: int) -> None:
        """free_pages_prepare, then a section under zone->lock: large blocks go back one by one."""
        self._look_through(order)
        await self.ask(self.directory.allocator, FreePages(order=order, pfns=(pfn,)))

    def _look_through(self, order: int) -> None:
        """Each further page of a block has a struct page of its own, which is written or checked."""
        self.spend(self.machine.tail_page_ns * ((1 << order) - 1))

    def _note_taken(self, pfn: int, order: int) -> None:
        if self.engine.listens(FrameTaken):
            self.note(FrameTaken(pfn=pfn, order=order))
        self.traced()

    def _note_put_back(self, pfn: int, order: int) -> None:
        if self.engine.listens(FramePutBack):
            self.note(FramePutBack(pfn=pfn, order=order))
        self.traced()

    # --- RCU ---------------------------------------------------------------------------------------------------------

    async def synchronize_rcu(self) -> None:
        """Wait until every RCU read section that has begun by now has ended; in one of its own it waits for ever."""
        await self.ask(self.directory.mm, Synchronize(domain=RCU))

    async def synchronize_srcu(self, domain: str) -> None:
        """Wait until every read section of the SRCU domain that has begun by now has ended (B1)."""
        await self.ask(self.directory.mm, Synchronize(domain=domain))

    # --- TLB and IPIs ------------------------------------------------------------------------------------------------

    async def flush_tlb(self, start: int, end: int, *, freed_tables: bool = False) -> None:
        """Remove the range's translations from every CPU, with ``freed_tables`` the lazy ones too; wait for the end."""
        told, remote = self.engine.listens(TlbFlush), False
        if told:
            self._note_flush(start, end, done=False)
        if self.machine.tlb == "tlbie":
            await self.ask(self.directory.mm, BroadcastTlbie(start=start, end=end), Spent.IPI_WAIT)
        else:
            request = FLUSH_TLB_AND_TABLES if freed_tables else FLUSH_TLB
            targets: FlushTargets = await self.ask(self.directory.mm, request)
            pages = (end - start) >> self.machine.page_shift
            full = pages > self.machine.tlb_flush_ceiling_pages
            message = FlushIpi(start=start, end=end, full=full, generation=targets.generation)
            remote = targets.skipped or any(cpu != self.cpu_id for cpu in targets.cpus)
            await self.send_ipi("flush", targets.cpus, message, skipped=targets.skipped)
        if told:
            self._note_flush(start, end, done=True, remote=remote)

    def _note_flush(self, start: int, end: int, *, done: bool, remote: bool = False) -> None:
        shift = self.machine.page_shift
        self.note(TlbFlush(first=start >> shift, last=-(-end >> shift), done=done, remote=remote))

    async def synchronize(self, cpus: Iterable[int] | None = None) -> None:
        """Prove that every CPU (by default those in mm_cpumask) has had its interrupts on since now."""
        if cpus is None:
            targets: FlushTargets = await self.ask(self.directory.mm, READ_CPUMASK)
            cpus = targets.cpus
        await self.send_ipi("sync", cpus, SYNC_IPI)

    def flush_local(self, message: FlushIpi) -> None:
        """Flush this CPU's own TLB; khugepaged, which runs nowhere in particular, has none."""

    def flush_cost_ns(self, message: FlushIpi) -> int:
        """Return what a flush costs the CPU that does it."""
        if message.full:
            return self.machine.tlb_flush_full_ns
        return ((message.end - message.start) >> self.machine.page_shift) * self.machine.tlb_flush_page_ns

    async def send_ipi(self, kind: str, cpus: Iterable[int], message: Message, *, skipped: bool = False) -> None:
        """Interrupt CPUs, all but this one, and spin until each has acknowledged (smp_call_function_many, wait=1).

        A flush is done here too, while the others are on their way to it; as a function call, even if all of those
        that might have it to do were ``skipped``.
        """
        targets = tuple(self.directory.cpus[cpu] for cpu in cpus if cpu != self.cpu_id)
        in_call = FlushIpi is type(message) and (skipped or bool(targets))
        self.traced(FLUSH_EVENTS if in_call else 0)
        task, machine = self.current, self.machine
        self._ipi_requests += bool(targets)
        request, sent_at_ns = self._ipi_requests, self.clock_ns
        if targets and self.engine.listens(IpiSend):
            self.note(IpiSend(request=request, kind=kind, targets=len(targets)))
        for target in targets:
            self.traced(SEND_IPI_EVENTS)
            self.spend(machine.ipi_send_ns)
            self.say_at(self.clock_ns + self.jitter(machine.ipi_delivery_ns), target, message, task.tag)
        self.spend(machine.ipi_exit_ns if targets else 0)
        if type(message) is FlushIpi:
            self.traced(FLUSH_EVENTS + CALL_EVENTS if in_call else FLUSH_EVENTS)
            self.flush_local(message)
        if not targets:
            return
        task.acks = len(targets)
        await self._await_acks(targets, kind)
        if self.engine.listens(IpiDone):
            done = IpiDone(
                request=request,
                kind=kind,
                sent_at=sent_at_ns,
                wait=self.clock_ns - sent_at_ns,
                targets=len(targets),
                last_acker=task.last_acker,
            )
            self.note(done)

    @types.coroutine
    def _await_acks(self, targets: tuple[Any, ...], kind: str) -> Generator[Any, Event, None]:
        task = self.current
        task.servers, task.request, task.since_ns = targets, f"{kind} IPI ack", self.clock_ns
        self._begin_wait(Spent.IPI_WAIT)
        yield
        task.servers = ()
        self._end_wait()

    def take_ack(self, task: Task, event: Event) -> bool:
        """Count an ack; True when it was the last one."""
        task.acks -= 1
        acker: Any = event[2]
        task.last_acker = acker.cpu_id
        return task.acks == 0
