"""khugepaged: turns 512 small pages into a huge one, step by step (protocols.md E0 to E8).

Owns: its scan position, the huge page that it is filling.
Hears: answers to its own requests, wake-ups, IPI acks, its timer, wishes of the host.
Says: what a collapse needs of the mm, the page table and the allocator; flush and synchronisation IPIs.
Never: touches a PTE without its lock.

What takes long (looking through a page table, copying, freeing) it computes on a CPU, in turns with the threads there,
if ``takes_cpu`` is set; the rest takes no CPU's time. Its IPIs go to every CPU, as it sends them from none.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, ClassVar, Protocol, cast

from kactors.context import KernelContext
from kactors.engine.client import Process
from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.execution import Directory, Task
from kactors.kernel.pte import ZERO_PFN, pte_pfn, pte_write
from protocols.allocation import FreePages
from protocols.base import Message
from protocols.host import CollapseRange
from protocols.mmap_sem import OWNER_RUNS, OWNER_SLEEPS
from protocols.page_table import (
    SCAN_PTES,
    ClearPmd,
    InstallHuge,
    NextScanRange,
    Pmd,
    PmdState,
    PtesScanned,
    RestorePmd,
    ScanRange,
)
from protocols.roles import heard_by, said_by
from protocols.scenario import Khugepaged as Settings
from protocols.scheduling import RESUME, Resume, RunKthread
from protocols.tlb import READ_CPUMASK, FlushTargets, IpiAck
from protocols.tracepoints import CollapseDone, MmPageFree, PageCopied, PagesIsolated, VmEvent
from protocols.vma import VmaKind, VmaSnapshot

TAG = 1 << 20
"""Its tag on requests: above every thread's."""


class Writer(Protocol):
    """What a policy asks of writers; khugepaged is one."""

    @property
    def collapse_synchronizes(self) -> bool:
        """Whether a collapse interrupts all CPUs once more after its flush."""
        ...

    @property
    def collapsing_pmd(self) -> PmdState:
        """What a collapse leaves at the PMD until it is done."""
        ...

    @property
    def collapse_flushes(self) -> bool:
        """Whether a collapse flushes at all (E4)."""
        ...

    @property
    def collapse_locks_ptes(self) -> bool:
        """Whether a collapse isolates pages under the PTE lock (E5)."""
        ...

    async def collapse_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """Before the collapse."""

    async def collapse_end(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """After the collapse."""


class Khugepaged(KernelContext):
    """The actor.

    Args:
        engine: the machine's engine.
        directory: the other actors' addresses.
        settings: its sysfs settings.
        writer: the policy's rules for writers (E3); a new one holds for the collapses that begin from then on.
    """

    role: ClassVar[str] = "khugepaged"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("khugepaged")
    says: ClassVar[frozenset[type[Message]]] = said_by("khugepaged")

    def __init__(self, engine: Engine, directory: Directory, settings: Settings, writer: Writer) -> None:
        super().__init__(engine, "khugepaged", -1, directory)
        self._settings = settings
        self.writer = writer
        self.current = Task(TAG, "khugepaged")
        self._naps = False
        self._scan_due = False
        self._wishes: deque[int] = deque()
        self._mms: Sequence[Any] = ()
        self._last_cpu = directory.machine.cpus - 1

    def scan(self, mms: Sequence[Any]) -> None:
        """Scan these address spaces in turn; wishes are for the first of them."""
        self._mms = mms

    def start(self) -> None:
        """Begin to scan, one sleep from now; without scanning, wait for wishes."""
        self.current.coroutine = self._live()
        self.current.coroutine.send(None)

    def receive(self, event: Event) -> None:
        """Handle one delivery: an ack, its timer, a wish, or what its coroutine waits for."""
        kind = type(event[4])
        if kind is IpiAck and not self.take_ack(self.current, event):
            return
        if kind is Resume or kind is CollapseRange:
            self._called(event)
            if not self._naps:
                return
        # A nap begins at the local clock, and a wish may come before that.
        self.arrived(max(event[0], self.clock_ns))
        coroutine = self.current.coroutine
        if coroutine is not None:
            coroutine.send(event)

    def processes(self) -> list[Process]:
        """Return itself while a collapse is under way; asleep between two scans it waits for nobody."""
        return [self.current]

    @types.coroutine
    def sleep(self, server: Any = None) -> Generator[Any, Event, Message]:
        """Wait for a wake-up; while it owns mmap_sem nobody spins on it."""
        task, mm = self.current, self.directory.mm
        if task.holds_write:
            self.say(mm, OWNER_SLEEPS, TAG)
        task.servers, task.since_ns = (server or mm,), self.clock_ns
        event = yield
        task.servers = ()
        if task.holds_write:
            self.say(mm, OWNER_RUNS, TAG)
        return event[4]

    def _called(self, event: Event) -> None:
        """Note why it should wake up; while it is busy, that has to wait for its next nap."""
        if type(event[4]) is Resume:
            self._scan_due = True
            return
        if self.current.coroutine is None:
            self.start()
        self._wishes.append(cast(CollapseRange, event[4]).address // self.machine.pmd_size * self.machine.pmd_size)

    async def _nap(self) -> None:
        """Sleep scan_sleep_millisecs, but serve the wishes that came and come: a timer that keeps no machine alive."""
        await self._serve_wishes()
        self._scan_due = False
        if self._settings.scan_sleep_millisecs:
            wake_ns = self.clock_ns + self._settings.scan_sleep_millisecs * 1_000_000
            self.engine.post_background(wake_ns, self, self, RESUME, TAG)
        while not self._scan_due:
            await self._doze()
            await self._serve_wishes()

    async def _serve_wishes(self) -> None:
        scanned = self.directory.mm
        while self._wishes:
            self.directory.mm = self._mms[0] if self._mms else scanned
            await self.collapse_range(self._wishes.popleft())
        self.directory.mm = scanned

    @types.coroutine
    def _doze(self) -> Generator[Any, Event, None]:
        """Wait for the timer or a wish."""
        self._naps = True
        yield
        self._naps = False

    async def _live(self) -> None:
        position = 0
        while True:
            await self._nap()
            for _ in range(-(-self._settings.pages_to_scan // self.machine.pmd_pages)):
                found: ScanRange = await self.ask(self.directory.mm, NextScanRange(after=position))
                position = max(found.address, 0)
                if found.address >= 0:
                    await self.collapse_range(found.address)
                    continue
                if self._mms:
                    self.directory.mm = self._mms[(self._mms.index(self.directory.mm) + 1) % len(self._mms)]
                break

    async def _compute(self, ns: int) -> None:
        """Compute on a CPU: an idle one, the last one if there is a choice or none."""
        if not self._settings.takes_cpu or self.engine.untimed or not ns:
            return
        busy: FlushTargets = await self.ask(self.directory.mm, READ_CPUMASK)
        idle = [cpu for cpu in range(self.machine.cpus) if cpu not in busy.cpus]
        if idle and self._last_cpu not in idle:
            self._last_cpu = idle[0]
        await self.ask(self.directory.cpus[self._last_cpu], RunKthread(duration=ns))

    async def collapse_range(self, address: int) -> None:
        """Scan one PMD range and collapse it if its PTEs allow."""
        began_ns, writer = self.clock_ns, self.writer
        await self.down_read()
        # Only now is the page table safe: munmap may have freed it since the range was chosen.
        vma = await self.find_vma(address)
        pmd = await self.read_pmd(address)
        status = self._revalidate(vma, address, pmd)
        if not status:
            await self._compute(self.machine.scan_pte_ns * self.machine.pmd_pages)
            status = self._judge(await self.ask(self.ptl(pmd.table), SCAN_PTES))
        await self.up_read()
        if not status:
            status = await self._collapse(address, writer)
        self.note(CollapseDone(address=address, status=status, duration=self.clock_ns - began_ns))

    def _revalidate(self, vma: VmaSnapshot | None, address: int, pmd: Pmd) -> str:
        """hugepage_vma_revalidate, mm_find_pmd: the status name when the range is not the one chosen any more."""
        if vma is None or not vma.hugepage or vma.kind is VmaKind.FILE:
            return "vma_check_failed"
        if vma.start > address or address + self.machine.pmd_size > vma.end:
            return "vma_check_failed"
        return "" if pmd.state is PmdState.TABLE else "pmd_null"

    def _judge(self, scanned: PtesScanned) -> str:
        """E0, E5: the kernel's status name for why this range cannot be collapsed; empty when it can."""
        mapped = [pte for _, pte in scanned.entries if pte_pfn(pte) != ZERO_PFN]
        if self.machine.pmd_pages - len(mapped) > self._settings.max_ptes_none:
            return "exceed_none_pte"
        return "" if any(pte_write(pte) for pte in mapped) else "lack_writable_pte"

    async def _collapse(self, address: int, writer: Writer) -> str:
        """E1 to E8."""
        huge_pfn = await self.take_huge()
        if huge_pfn < 0:
            return "alloc_huge_page_failed"
        await self.down_write()
        vma = await self.find_vma(address)
        pmd = await self.read_pmd(address)
        status = self._revalidate(vma, address, pmd)
        if vma is not None and not status:
            await writer.collapse_begin(self, vma)
            status = await self._isolate_and_copy(address, pmd, huge_pfn, writer)
            await writer.collapse_end(self, vma)
        await self.up_write()
        if status != "succeeded":
            await self.put_huge(huge_pfn)
        return status

    async def _isolate_and_copy(self, address: int, pmd: Pmd, huge_pfn: int, writer: Writer) -> str:
        """E4 to E8: with the PMD cleared and every CPU past it, take the pages, copy them, install the huge PMD."""
        mm = self.directory.mm
        await self.pmd_lock(address)
        self.say(mm, ClearPmd(address=address, left=writer.collapsing_pmd), TAG)
        if writer.collapse_flushes:
            await self._flush(address, writer)
        self.pmd_unlock(address)

        if writer.collapse_locks_ptes:
            await self.pte_lock(pmd.table, address)
        await self._compute(self.machine.scan_pte_ns * self.machine.pmd_pages)
        scanned: PtesScanned = await self.ask(self.ptl(pmd.table), SCAN_PTES)
        status = self._judge(scanned)
        if not status:
            self.note(PagesIsolated(address=address, table=pmd.table))
            self.traced()
        if writer.collapse_locks_ptes:
            self.pte_unlock(pmd.table)
        if status:
            await self.pmd_lock(address)
            self.say(mm, RestorePmd(address=address, table=pmd.table), TAG)
            self.pmd_unlock(address)
            return status
        await self._copy(address, pmd.table, scanned, huge_pfn)
        await self.pmd_lock(address)
        self.say(mm, InstallHuge(address=address, pfn=huge_pfn, table_pfn=-1), TAG)
        self.pmd_unlock(address)
        return "succeeded"

    async def _flush(self, address: int, writer: Writer) -> None:
        """E4: no CPU keeps a translation, and none is still walking: each takes an IPI."""
        if self.machine.tlb == "tlbie":
            await self.synchronize()  # serialize_against_pte_lookup F8, and only then the invalidation
        await self.flush_tlb(address, address + self.machine.pmd_size)
        if self.machine.tlb == "ipi" and writer.collapse_synchronizes:
            await self.synchronize(range(self.machine.cpus))  # tlb_remove_table_sync_one

    async def _copy(self, address: int, table: int, scanned: PtesScanned, huge_pfn: int) -> None:
        """E7: copy what is mapped, clear the rest, clear the old PTEs, free the old pages."""
        machine = self.machine
        sources = {index: pte_pfn(pte) for index, pte in scanned.entries if pte_pfn(pte) != ZERO_PFN}
        copy_ns = self.jitter(machine.copy_huge_ns * len(sources) // machine.pmd_pages)
        clear_ns = self.jitter(machine.clear_huge_ns * (machine.pmd_pages - len(sources)) // machine.pmd_pages)
        if self._settings.takes_cpu:
            await self._compute(copy_ns + clear_ns)
        else:
            self.spend(copy_ns + clear_ns)
        if self.engine.listens(PageCopied):
            vpn = address >> machine.page_shift
            for index in range(machine.pmd_pages):
                source = sources.get(index, -1)
                self.note(PageCopied(vpn=vpn + index, source=source, target=huge_pfn + index))
        await self.pte_lock(table, address)
        await self.zap_ptes(table, 0, machine.pmd_pages)
        self.pte_unlock(table)
        # What was isolated is freed. A page that somebody mapped since is lost: a policy's checks must prevent it.
        pfns = list(sources.values())
        for pfn in pfns:
            self.note(MmPageFree(pfn=pfn, order=0))
        # Each leaves its rmap and the LRU, as it came there.
        await self._compute(len(pfns) * (machine.rmap_lru_ns + self._tracing_ns))
        await self.ask(self.directory.allocator, FreePages(order=0, pfns=tuple(pfns)))
        self.note(VmEvent(name="thp_collapse_alloc", count=1))
