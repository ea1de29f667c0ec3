"""Clearing page tables: the part that munmap, MADV_DONTNEED and mprotect share (protocols.md D3 to D5, F1 to F8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kactors import filemap
from kactors.cpu import Cpu
from kactors.fault_policy import FaultPolicy
from kactors.kernel.pte import ZERO_PFN
from protocols.allocation import HandlePages
from protocols.page_table import (
    DetachTables,
    HugeZapped,
    Pmd,
    PmdState,
    ProtectPtes,
    PtesProtected,
    SplitHuge,
    TablesDetached,
    ZapHuge,
)
from protocols.tracepoints import RangeDiscarded
from protocols.vma import VmaKind, VmaSnapshot


class Gather:
    """mmu_gather: the frames and tables taken out of the page tables, not to be freed before the TLBs forget them.

    Attributes:
        pfns: small pages, to be freed.
        huge: first frames of huge pages.
        tables: page tables.
        batched: small pages taken out since the last flush, those of the page cache too.
        unflushed_from: lowest address that was cleared since the last flush, -1 when there is none.
    """

    def __init__(self) -> None:
        self.pfns: list[int] = []
        self.huge: list[int] = []
        self.tables: list[int] = []
        self.batched = 0
        self.unflushed_from = -1

    def cleared(self, start: int) -> None:
        """Entries from ``start`` upwards have been cleared: a TLB may still hold them, the zero page's too."""
        if self.unflushed_from < 0:
            self.unflushed_from = start


def pmd_ranges(cpu: Cpu, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield [start, end) cut at PMD borders."""
    size = cpu.machine.pmd_size
    while start < end:
        border = min((start // size + 1) * size, end)
        yield start, border
        start = border


async def unmap_vmas(cpu: Cpu, policy: FaultPolicy, vmas: Sequence[VmaSnapshot], start: int, end: int) -> Gather:
    """unmap_page_range for each VMA: inside a write section, clear its PTEs in [start, end)."""
    gather = Gather()
    await cpu.lru_add_drain()
    _note_discard(cpu, start, end, done=False)
    for vma in vmas:
        await policy.zap_begin(cpu, vma)
        for first, last in pmd_ranges(cpu, max(vma.start, start), min(vma.end, end)):
            await _zap_pmd_range(cpu, vma, first, last, gather)
        await policy.zap_end(cpu, vma)
    return gather


def _note_discard(cpu: Cpu, start: int, end: int, *, done: bool) -> None:
    if cpu.engine.listens(RangeDiscarded):
        size = cpu.machine.page_size
        cpu.note(RangeDiscarded(first=start // size, last=-(-end // size), done=done))


async def _zap_pmd_range(cpu: Cpu, vma: VmaSnapshot, start: int, end: int, gather: Gather) -> None:
    pmd = await cpu.read_pmd(start)
    while pmd.state is PmdState.HUGE and end - start == cpu.machine.pmd_size:
        if await _zap_huge(cpu, start, gather):
            return
        pmd = await cpu.read_pmd(start)
    table = await small_table(cpu, pmd, start)
    if table < 0:
        return
    await cpu.pte_lock(table, start)
    first = cpu.pte_index(start)
    last = first + ((end - start) >> cpu.machine.page_shift)
    if vma.kind is VmaKind.FILE:
        zapped = await filemap.zap_file_ptes(cpu, table, first, last)
    else:
        frames = await cpu.zap_ptes(table, first, last)
        own = tuple(pfn for pfn in frames if pfn != ZERO_PFN)
        await _handle_pages(cpu, own)
        zapped = filemap.Zapped(len(frames), len(own), own)
    if zapped.entries:
        gather.cleared(start)
    gather.pfns.extend(zapped.own)
    gather.batched += zapped.pages
    # Flushed before the PTE lock is dropped (force_flush in zap_pte_range): a full batch, and pages of a shared file,
    # since a store through an old translation would be lost to the dirty bit that the page has just got. The hash MMU's
    # batch of invalidations ends with the lazy MMU mode, which is left under the PTE lock as well (F7).
    full = gather.batched >= cpu.machine.mmu_gather_pages
    if full or zapped.dirtied or (cpu.machine.tlb == "tlbie" and gather.unflushed_from >= 0):
        await _force_flush(cpu, gather, end)
    cpu.pte_unlock(table)


async def _handle_pages(cpu: Cpu, pfns: tuple[int, ...]) -> None:
    """page_remove_rmap writes to the struct pages: they come from the CPUs that have mapped the pages."""
    if pfns and cpu.machine.page_lines:
        await cpu.ask(cpu.directory.allocator, HandlePages(pfns=pfns))


async def _force_flush(cpu: Cpu, gather: Gather, end: int) -> None:
    await cpu.flush_tlb(gather.unflushed_from, end)
    gather.batched, gather.unflushed_from = 0, -1


async def small_table(cpu: Cpu, pmd: Pmd, address: int) -> int:
    """Return the page table at a PMD, after splitting a huge page that stands there; -1 when there is none."""
    if pmd.state is PmdState.HUGE:
        await cpu.pmd_lock(address)
        pmd = await cpu.ask(cpu.directory.mm, SplitHuge(address=address))
        cpu.pmd_unlock(address)
        base = address // cpu.machine.pmd_size * cpu.machine.pmd_size
        await cpu.flush_tlb(base, base + cpu.machine.pmd_size)
    return pmd.table


async def _zap_huge(cpu: Cpu, address: int, gather: Gather) -> bool:
    """zap_huge_pmd; False when another MADV_DONTNEED has split or zapped it meanwhile."""
    huge = (await cpu.pmd_lock(address)).state is PmdState.HUGE
    if huge:
        zapped: HugeZapped = await cpu.ask(cpu.directory.mm, ZapHuge(address=address))
        gather.cleared(address)
        gather.huge.append(zapped.pfn)
        if zapped.table >= 0:
            gather.tables.append(zapped.table)
    cpu.pmd_unlock(address)
    return huge


async def detach_tables(cpu: Cpu, start: int, end: int, gather: Gather) -> None:
    """free_pgtables: take out the page tables that no VMA needs any more."""
    detached: TablesDetached = await cpu.ask(cpu.directory.mm, DetachTables(start=start, end=end))
    gather.tables.extend(detached.tables)


async def finish_unmap(cpu: Cpu, policy: FaultPolicy, start: int, end: int, gather: Gather) -> None:
    """tlb_finish_mmu: flush what is not flushed yet, then free pages, then page tables."""
    freed_tables = bool(gather.tables)
    if not policy.unmap_flushes_first:
        await _free_pages(cpu, gather)
    if freed_tables or gather.unflushed_from >= 0:
        await cpu.flush_tlb(start, end, freed_tables=freed_tables)
    _note_discard(cpu, start, end, done=True)
    if freed_tables and cpu.machine.tlb == "tlbie":
        # Nobody was interrupted, so a walker with irqs off may still be inside: stands for the RCU-sched grace period.
        await cpu.synchronize()
    if policy.unmap_flushes_first:
        await _free_pages(cpu, gather)
    for table in gather.tables:
        await cpu.put_page(await cpu.free_table(table))


async def _free_pages(cpu: Cpu, gather: Gather) -> None:
    await cpu.lru_delete(len(gather.pfns))
    await cpu.free_pages(tuple(gather.pfns))
    await cpu.lru_delete(len(gather.huge), cluster=1)
    await cpu.free_pages(tuple(gather.huge), order=cpu.machine.huge_order)


async def change_protection(cpu: Cpu, policy: FaultPolicy, start: int, end: int, *, writable: bool) -> None:
    """D4: set the permission of every present PTE in the range, and flush when one lost some."""
    changed = 0
    for first, last in pmd_ranges(cpu, start, end):
        table = await small_table(cpu, await cpu.read_pmd(first), first)
        if table < 0:
            continue
        await cpu.pte_lock(table, first)
        index = cpu.pte_index(first)
        pages = (last - first) >> cpu.machine.page_shift
        request = ProtectPtes(first=index, last=index + pages, writable=writable)
        protected: PtesProtected = await cpu.ask(cpu.ptl(table), request)
        cpu.pte_unlock(table)
        changed += protected.changed
    if changed and policy.mprotect_flushes:
        await cpu.flush_tlb(start, end)
